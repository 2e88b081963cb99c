import type { Random } from './ports.ts'

/** `getRandomValues` refuses more at once. */
const MAX_CHUNK_BYTES = 65_536

/** Bytes and UUIDs fit for keys and tokens; `float` is for jitter and sampling only. */
export const systemRandom: Random = {
  bytes(length) {
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; at += MAX_CHUNK_BYTES) {
      crypto.getRandomValues(bytes.subarray(at, at + MAX_CHUNK_BYTES))
    }
    return bytes
  },
  float: () => Math.random(),
  uuid: () => crypto.randomUUID(),
}
