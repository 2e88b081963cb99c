import { create } from '@bufbuild/protobuf'
import { type KeyValue, type RangeOptions, type RangeResult, StoreError } from '../store.ts'
import type { Cluster } from './cluster.ts'
import type { KeySpace } from './key-space.ts'
import { isEmptyRange, readKeyValue } from './messages.ts'
import { KV, RangeRequestSchema } from './proto/etcd_pb.js'

const FIRST_PAGE = 64
const MAX_PAGE = 4_096
/** An answer may be larger when its entries are; the next page is then smaller. */
const PAGE_BYTES = 1024 * 1024

/** All of a range as of one revision. Rejects with StoreError: 'compacted', or 'invalid' when it is still to come. */
export async function readRange(
  cluster: Cluster,
  keys: KeySpace,
  from: string,
  to: string,
  options: RangeOptions & { readonly revision: number },
): Promise<RangeResult> {
  const kvs: KeyValue[] = []
  let more = false
  for await (const page of rangePages(cluster, keys, from, to, options)) {
    for (const kv of page.kvs) kvs.push(kv)
    more = page.more
  }
  return { revision: options.revision, kvs, more }
}

/** The same page by page: about a megabyte each, an entry at least. `more`: whether the range goes on behind the page. */
export async function* rangePages(
  cluster: Cluster,
  keys: KeySpace,
  from: string,
  to: string,
  { limit = Number.POSITIVE_INFINITY, revision }: RangeOptions & { readonly revision: number },
): AsyncGenerator<{ readonly kvs: readonly KeyValue[]; readonly more: boolean }> {
  if (isEmptyRange(from, to)) return
  const { key, rangeEnd } = keys.dataRange(from, to)
  let next = key
  let page = FIRST_PAGE
  for (let read = 0; ; ) {
    const request = create(RangeRequestSchema, {
      key: next,
      rangeEnd,
      revision: BigInt(Math.max(1, revision)),
      limit: BigInt(Math.min(page, limit - read)),
    })
    const response = await cluster.ask(KV.method.range, request, 'a range').catch(async (error: unknown) => {
      const outside = error instanceof StoreError && error.code === 'compacted'
      if (outside) await assertNotToCome(cluster, keys, revision)
      throw error
    })
    let bytes = 0
    const kvs = response.kvs.map((kv) => {
      bytes += kv.key.byteLength + kv.value.byteLength
      return readKeyValue(kv, keys)
    })
    read += kvs.length
    yield { kvs, more: response.more }
    if (!response.more || read >= limit) return
    const last = response.kvs.at(-1)!.key
    next = new Uint8Array(last.byteLength + 1)
    next.set(last)
    page = Math.max(1, Math.min(MAX_PAGE, page * 2, Math.floor((page * PAGE_BYTES) / Math.max(1, bytes))))
  }
}

/** etcd has one code for revisions that it has forgotten and for those that are still to come. */
async function assertNotToCome(cluster: Cluster, keys: KeySpace, revision: number): Promise<void> {
  const request = create(RangeRequestSchema, { key: keys.head, keysOnly: true })
  const { header } = await cluster.ask(KV.method.range, request, 'its revision')
  const now = Number(header!.revision)
  if (revision > now) throw new StoreError('invalid', `revision: ${revision} is still to come; the store is at ${now}`)
}
