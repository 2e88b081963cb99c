/** What this DC exports, read from its store: the entries and events of one range of keys. */
import type { ExportedChange, ExportedEntry, ExportSource } from '../federation/federation.ts'
import { keys, prefixEnd } from '../model/keys.ts'
import type { KeyValue, Store, StoreEvent, Watch } from '../store/store.ts'

/** Entries read at once; a page of this size takes a few milliseconds. */
const PAGE = 2_000

const FROM = keys.exported
const TO = prefixEnd(keys.exported)

const entryOf = (kv: KeyValue): ExportedEntry => ({
  key: kv.key,
  value: kv.value,
  createRevision: kv.createRevision,
  modRevision: kv.modRevision,
})

const changeOf = (event: StoreEvent): ExportedChange =>
  event.type === 'put'
    ? entryOf(event.kv)
    : { key: event.key, value: null, createRevision: 0, modRevision: event.modRevision }

export function exportSourceOf(store: Store): ExportSource {
  const open = new Set<Watch>()
  return {
    get epoch() {
      return store.epoch
    },
    // A subscriber that still reads history has not got all that the store has: a head must not speak of it yet.
    revision() {
      let least = store.status().revision
      for (const { position } of open) least = Math.min(least, position)
      return least
    },
    storeRevision: () => store.status().revision,
    ...(store.status().driver === 'etcd' && {
      catchUp: async () => {
        await store.barrier()
      },
    }),
    async read(onPart) {
      let from: string = FROM
      let revision: number | undefined
      for (;;) {
        const page = await store.range(from, TO, { limit: PAGE, ...(revision !== undefined && { revision }) })
        revision ??= page.revision
        await onPart(page.kvs.map(entryOf))
        const last = page.kvs.at(-1)
        if (!page.more || last === undefined) return revision
        from = `${last.key}\0`
      }
    },
    subscribe(sinceRevision, handler) {
      const watch = store.watch(FROM, TO, sinceRevision, {
        onRevisions: (batch) =>
          handler.onRevisions(
            batch.map(({ revision, events }) => ({ revision, changes: events.map((event) => changeOf(event)) })),
          ),
        onCompacted: () => {
          open.delete(watch)
          handler.onCompacted()
        },
        onEnd: (error) => {
          open.delete(watch)
          handler.onEnd(error)
        },
      })
      open.add(watch)
      return {
        cancel() {
          open.delete(watch)
          watch.cancel()
        },
      }
    },
  }
}
