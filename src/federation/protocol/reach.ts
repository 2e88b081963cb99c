/**
 * Whom a gateway is connected to directly, and how far that is: told in beacons, so that others know which one can pass a
 * connection on. Six bytes for each: 32 bits of a hash of the peer id, 16 of the round-trip time in milliseconds. A hint: two
 * ids with one hash cost a try that fails.
 */
import { MAX_REACH } from './limits.ts'
import { fnv } from './speaker.ts'

const ENTRY_BYTES = 6
export const MAX_REACH_BYTES = MAX_REACH * ENTRY_BYTES
const MAX_ROUND_TRIP_MS = 0xffff
/** A time that was told stays until it is wrong by so much: small changes are no news. */
const CHANGE_RATIO = 0.2
const CHANGE_MS = 5

export interface Reached {
  readonly peerId: string
  readonly roundTripMs: number
}

/** Round-trip times in milliseconds, by hash of the peer id. */
export type Reach = ReadonlyMap<number, number>

/** Undefined when it does not say that it is connected to that peer. */
export const reachOf = (reach: Reach, peerId: string): number | undefined => reach.get(fnv(peerId))

/** The nearest where there are too many. */
export function encodeReach(reached: readonly Reached[]): Uint8Array {
  const nearest = [...reached].sort((a, b) => a.roundTripMs - b.roundTripMs).slice(0, MAX_REACH)
  // In the order of their ids, so that what is equal gives equal bytes.
  nearest.sort((a, b) => (a.peerId < b.peerId ? -1 : 1))
  const bytes = new Uint8Array(nearest.length * ENTRY_BYTES)
  const view = new DataView(bytes.buffer)
  nearest.forEach(({ peerId, roundTripMs }, i) => {
    view.setUint32(i * ENTRY_BYTES, fnv(peerId))
    view.setUint16(i * ENTRY_BYTES + 4, Math.min(MAX_ROUND_TRIP_MS, Math.ceil(roundTripMs)))
  })
  return bytes
}

/** Bytes behind the last whole entry are left alone. */
export function decodeReach(bytes: Uint8Array): Reach {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const reach = new Map<number, number>()
  for (let at = 0; at + ENTRY_BYTES <= bytes.byteLength; at += ENTRY_BYTES)
    reach.set(view.getUint32(at), view.getUint16(at + 4))
  return reach
}

/** What this gateway says of itself. */
export class OwnReach {
  #told = new Map<string, number>()

  /** What to tell, encoded: equal to the former as long as nothing worth telling changed. */
  update(reached: readonly Reached[]): Uint8Array {
    const told = new Map<string, number>()
    for (const { peerId, roundTripMs } of reached) {
      const former = this.#told.get(peerId)
      const stays = former !== undefined && Math.abs(roundTripMs - former) <= Math.max(CHANGE_MS, former * CHANGE_RATIO)
      told.set(peerId, stays ? former : roundTripMs)
    }
    this.#told = told
    return encodeReach([...told].map(([peerId, roundTripMs]) => ({ peerId, roundTripMs })))
  }
}
