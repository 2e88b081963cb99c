/** Bodies that the recordings only hold the digests of, made again. */
import { createHash } from 'node:crypto'

const base64 = (length: number): string => Buffer.alloc(length, 'a').toString('base64')
const reads = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ KV: { Verb: 'get-or-empty', Key: `k${i}` } }))
const writes = (length: number) => [{ KV: { Verb: 'set', Key: 'big', Value: base64(length) } }]

const MADE = [reads(64), reads(65), writes(380_000), writes(524_289)].map((operations) =>
  Buffer.from(JSON.stringify(operations)),
)
const BY_DIGEST = new Map(MADE.map((body) => [createHash('sha256').update(body).digest('hex'), body]))

/** What was sent; where only its length matters, as many letters. */
export function bodyOf({ length, sha256 }: { readonly length: number; readonly sha256?: string }): Buffer {
  return BY_DIGEST.get(sha256 ?? '') ?? Buffer.alloc(length, 'a')
}
