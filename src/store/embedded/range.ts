import { type KeyValue, type RangeOptions, type RangeResult, StoreError } from '../store.ts'
import { Unpacker } from './packer.ts'
import type { Reply, Request } from './protocol.ts'
import { unpackRow } from './rows.ts'

const PAGE_ROWS = 2000
const PAGE_BYTES = 1024 * 1024
/** A long read whose revision is compacted meanwhile starts over so often. */
const MAX_STARTS = 3

/** What is wrong with a reply that is not the one asked for. */
export const errorOf = (reply: Reply): StoreError =>
  reply.kind === 'error'
    ? new StoreError(reply.code, reply.message)
    : new StoreError('failed', `the store's worker answered with ${reply.kind}`)

type Ask = (request: Request) => Promise<Reply>

/** Reads a range in pages, all as of one revision. */
export async function readWholeRange(ask: Ask, from: string, to: string, options: RangeOptions): Promise<RangeResult> {
  for (let start = 1; ; start++) {
    const result = await readPages(ask, from, to, options)
    if (!('oldest' in result)) return result
    if (options.revision !== undefined || start === MAX_STARTS) {
      const asked = options.revision ?? 'that the read began with'
      throw new StoreError('compacted', `revision ${asked} is compacted; the oldest left is ${result.oldest - 1}`)
    }
  }
}

async function readPages(
  ask: Ask,
  from: string,
  to: string,
  { limit = Number.MAX_SAFE_INTEGER, revision: asked }: RangeOptions,
): Promise<RangeResult | { oldest: number }> {
  const kvs: KeyValue[] = []
  let revision = asked
  let low = from
  for (;;) {
    const maxRows = Math.min(PAGE_ROWS, limit - kvs.length)
    const reply = await ask({ kind: 'range', from: low, to, maxRows, maxBytes: PAGE_BYTES, revision })
    if (reply.kind === 'compacted') return reply
    if (reply.kind !== 'range') throw errorOf(reply)
    const unpacker = new Unpacker(reply.kvs)
    for (let i = 0; i < reply.count; i++) kvs.push(unpackRow(unpacker))
    revision = reply.revision
    if (!reply.more || kvs.length >= limit) return { revision, kvs, more: reply.more }
    // The next key in the order of bytes.
    low = `${kvs.at(-1)!.key}\0`
  }
}
