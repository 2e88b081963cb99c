/** What must be so some time after the last fault: everyone holds what everyone exports, and nobody is given up. */
import { compareEpoch } from '../../src/model/epoch.ts'
import type { Follower } from './follower.ts'
import type { SimNode } from './node.ts'
import { epochName } from './store.ts'
import type { SimDatacenter, World } from './world.ts'

/** What is not as it should be; undefined when all is. */
export function whyNotConverged(world: World): string | undefined {
  for (const node of world.nodes) {
    const why = whyNotReady(world, node)
    if (why) return `${node.name} ${why}`
    for (const datacenter of world.datacenters) {
      if (datacenter === node.datacenter) continue
      const follower = node.life!.followers[datacenter.index]
      const reason = follower ? whyNotHeld(world, node, datacenter, follower) : 'is not known'
      if (reason) return `${datacenter.name} in ${node.name}: ${reason}`
    }
  }
  for (const { name, nodes } of world.datacenters) {
    const speakers = nodes.filter(({ life }) => life!.isSpeaking).length
    if (speakers !== 1) return `${name} has ${speakers} speakers`
  }
  return undefined
}

function whyNotReady(world: World, node: SimNode): string | undefined {
  const { life } = node
  if (!life) return 'is down'
  const { publisher, speaks } = life.publishing
  if (!speaks || !publisher.epoch) return 'publishes nothing'
  if (compareEpoch(publisher.epoch, node.store.epoch) !== 'same')
    return `publishes ${epochName(publisher.epoch)}, its store is ${epochName(node.store.epoch)}`
  for (const peer of world.nodes)
    if (peer !== node && !world.network.isConnected(node.index, peer.index)) return `is not connected to ${peer.name}`
  for (const [peer, { breaker }] of life.lines) if (breaker.isOpen) return `has an open breaker for ${peer.name}`
  return undefined
}

function whyNotHeld(
  world: World,
  node: SimNode,
  { store, name }: SimDatacenter,
  { replica, sink, headHeard }: Follower,
): string | undefined {
  const { nowMs } = world
  if (!replica.epoch) return 'not loaded'
  if (compareEpoch(replica.epoch, store.epoch) !== 'same')
    return `of epoch ${epochName(replica.epoch)} instead of ${epochName(store.epoch)}`
  if (sink.fingerprint !== store.fingerprint) return `at ${replica.revision} of ${store.revision}`
  if (replica.need()) return `needs ${replica.need()}`
  if (replica.isQuarantined(nowMs)) return 'quarantined'
  if (!headHeard || !node.life!.directory.isLive(name)) return 'lost'
  if (replica.ageMs(nowMs) > 3000) return `${Math.round(replica.ageMs(nowMs))} ms old`
  return undefined
}
