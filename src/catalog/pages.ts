import { AtollError } from '../model/errors.ts'
import { type KeyValue, type Store, StoreError } from '../store/store.ts'

const PAGE = 10_000

export interface Page {
  readonly revision: number
  readonly kvs: readonly KeyValue[]
}

/** Every key as of one revision, in order. Throws StoreError 'compacted' when that is forgotten between two pages. */
export async function* pagesOf(store: Store, limit = PAGE): AsyncGenerator<Page> {
  let page = await store.range('', '', { limit })
  const { revision } = page
  yield { revision, kvs: page.kvs }
  while (page.more) {
    page = await store.range(`${page.kvs.at(-1)!.key}\0`, '', { limit, revision })
    yield { revision, kvs: page.kvs }
  }
}

/** As an AtollError where history was forgotten: the store changed too fast. */
export function tooFast(error: unknown): unknown {
  if (!(error instanceof StoreError && error.code === 'compacted')) return error
  return new AtollError('unavailable', 'so much was written meanwhile that the store forgot the beginning; try again', {
    cause: error,
  })
}
