/** Replicas on a node's disk: as `src/federation/replica-files.ts` and `intake.ts` keep them and take them up. */
import { Content } from '../../src/federation/protocol/content.ts'
import { ageSince } from '../../src/model/age.ts'
import type { Follower } from './follower.ts'
import type { Life, SavedFollower, SimDisk } from './node.ts'

/** False when there is nothing new to save. */
export function saveFollower({ node }: Life, { replica, datacenter }: Follower, nowMs: number): boolean {
  const { epoch, revision, proven } = replica
  const former = node.disk.replicas.get(datacenter)?.state
  if (!epoch || (former?.revision === revision && former.epoch.random === epoch.random)) return false
  node.disk.replicas.set(datacenter, {
    state: { epoch, revision, proven, ageMs: replica.ageMs(nowMs) },
    entries: replica.content.entries(),
    wallMs: nowMs + node.wallOffsetMs,
  })
  return true
}

export function restoreFollower(life: Life, datacenter: number, saved: SavedFollower, nowMs: number): void {
  const { node, directory } = life
  const { name, id } = node.world.datacenters[datacenter]!
  const content = new Content()
  for (const entry of saved.entries) content.put(entry)
  directory.pin(name, id)
  const ageMs = ageSince(saved.state.ageMs, saved.wallMs, nowMs + node.wallOffsetMs)
  const follower = life.follow(datacenter, nowMs)
  life.followers[datacenter] = follower
  node.hit('replica: restored from disk')
  follower.run(follower.replica.restore({ ...saved.state, content, ageMs }, nowMs), nowMs)
}

export const copyOfDisk = ({ replicas, peers }: SimDisk): SimDisk => ({
  replicas: new Map(replicas),
  peers: new Set(peers),
})
