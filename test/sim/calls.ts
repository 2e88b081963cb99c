/** Calls between DCs, for the breakers: as `src/federation/calls.ts` routes them, in virtual time. */
import type { SimNode } from './node.ts'
import type { SimDatacenter, World } from './world.ts'

const DEADLINE_MS = 1000

/** To the nearest gateway that may be asked. */
export function call(world: World, from: SimNode, to: SimDatacenter): void {
  const { life } = from
  if (!life || from.datacenter === to) return
  const reachable = from.reachable(to.index, world.nowMs)
  const allowed = reachable.filter((peer) => life.line(peer).breaker.allows(world.nowMs))
  if (reachable.length > 0 && allowed.length < reachable.length) from.hit('breaker: refused a call')
  if (allowed[0]) send(world, from, allowed[0])
}

function send(world: World, from: SimNode, peer: SimNode): void {
  const { network, nowMs, random } = world
  const line = from.life!.line(peer)
  if (line.breaker.isOpen) from.hit('breaker: probe')
  line.breaker.begin()
  line.inFlight++
  const answered =
    !network.isBlocked(from.index, peer.index) &&
    !network.isBlocked(peer.index, from.index) &&
    !network.isQuiet(peer.index) &&
    (!world.faultsOn || random.float() > peer.turnMs / 2500)
  const afterMs = answered ? network.roundTripMs(from.index, peer.index) : DEADLINE_MS
  from.arrives({ kind: 'called', peer, ok: answered, atMs: nowMs + afterMs })
}

/** Once faults ended: whoever is not called any more is asked again, as users do. */
export function callOpenLines(world: World): void {
  for (const node of world.nodes) {
    if (!node.life) continue
    for (const [peer, { breaker }] of node.life.lines)
      if (breaker.isOpen && breaker.allows(world.nowMs) && world.network.isConnected(node.index, peer.index))
        send(world, node, peer)
  }
}
