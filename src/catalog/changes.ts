import { REVISIONS_PER_GENERATION } from '../model/epoch.ts'
import { AtollError } from '../model/errors.ts'
import { keys, prefixEnd } from '../model/keys.ts'
import type { Clock } from '../runtime/ports.ts'
import type { RevisionEvents, Store, Watch } from '../store/store.ts'
import type { KvChange, KvChanges, KvChangesOptions } from './catalog.ts'
import { decodeKv } from './codec.ts'
import type { Tables } from './tables.ts'

interface Source {
  readonly store: Store
  readonly tables: Tables
  readonly clock: Clock
}

/**
 * What happened to the keys with a prefix after an index, from the store's own history: whole transactions, in order, none
 * left out. Resolves with the first that there are, or with none after `waitMs`; `index` is where to go on in both cases.
 */
export function kvChanges(prefix: string, options: KvChangesOptions, source: Source): Promise<KvChanges> {
  const { store, tables, clock } = source
  const { since = tables.index, waitMs, signal } = options
  const revision = tables.revisionOf(since)
  const isOfThisLife = Math.floor(since / REVISIONS_PER_GENERATION) === store.epoch.generation
  if (!isOfThisLife || revision > tables.revision) return Promise.resolve(compactedAt(tables.index))
  return new Promise((resolve, reject) => {
    const found: RevisionEvents[] = []
    let watch: Watch | undefined
    let ended = false
    const end = (give: () => void): void => {
      if (ended) return
      ended = true
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      watch?.cancel()
      give()
    }
    const onAbort = (): void => end(() => reject(new AtollError('timeout', 'called off')))
    const timer = clock.after(waitMs, () => {
      const reached = Math.max(revision, watch?.position ?? 0)
      end(() => resolve({ index: tables.indexOf(reached), compacted: false, changes: [] }))
    })
    signal?.addEventListener('abort', onAbort)
    const { from, to } = rangeOf(prefix)
    watch = store.watch(from, to, revision, {
      onRevisions: (batch) => {
        if (ended) return
        found.push(...batch)
        // What comes in the same turn belongs together; the watch may not be known here yet.
        queueMicrotask(() => end(() => resolve(changesOf(found, tables))))
      },
      onCompacted: () => end(() => resolve(compactedAt(tables.index))),
      onEnd: (error) => end(() => reject(error ?? new AtollError('unavailable', 'the store is closed'))),
    })
    if (ended) watch.cancel()
    if (signal?.aborted) onAbort()
  })
}

const rangeOf = (prefix: string): { from: string; to: string } => ({
  from: keys.kv(prefix),
  to: prefixEnd(keys.kv(prefix)),
})

const compactedAt = (index: number): KvChanges => ({ index, compacted: true, changes: [] })

function changesOf(batch: readonly RevisionEvents[], tables: Tables): KvChanges {
  const changes = batch.flatMap(({ revision, events }) =>
    events.map((event): KvChange => {
      const index = tables.indexOf(revision)
      if (event.type === 'delete') return { key: event.key.slice(2), index, row: undefined }
      const key = event.kv.key.slice(2)
      return { key, index, row: decodeKv(key, event.kv.value, tables.indexOf(event.kv.createRevision), index) }
    }),
  )
  return { index: changes.at(-1)!.index, compacted: false, changes }
}
