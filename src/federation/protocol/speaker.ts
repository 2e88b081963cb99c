/**
 * One gateway of a DC puts deltas into gossip: of those that live, the first in an order that differs from DC to DC
 * (rendezvous hashing: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998).
 */
import type { Gateway } from './directory.ts'

/** A gateway of the own DC that was silent for so long leaves speaking to the next. */
const SILENT_MS = 1500

/** `gateways`: those known of the own DC, this one among them or not. */
export function isSpeaker(
  self: { readonly datacenter: string; readonly peerId: string },
  gateways: readonly Gateway[],
  nowMs: number,
): boolean {
  const own = fnv(`${self.datacenter} ${self.peerId}`)
  return gateways.every(
    ({ peerId, heardMs }) =>
      peerId === self.peerId ||
      nowMs - (heardMs ?? Number.NEGATIVE_INFINITY) >= SILENT_MS ||
      fnv(`${self.datacenter} ${peerId}`) > own,
  )
}

/** FNV-1a, 32 bits. */
export function fnv(text: string): number {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  return (state ^ (state >>> 15)) >>> 0
}
