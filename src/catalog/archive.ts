import type { Epoch } from '../model/epoch.ts'
import { toIndex } from '../model/epoch.ts'
import { AtollError } from '../model/errors.ts'
import { keys } from '../model/keys.ts'
import type { Operation, Store } from '../store/store.ts'
import type { Snapshot } from './catalog.ts'
import { MARK } from './codec.ts'
import { MAX_PLAN_BYTES } from './commands/plan.ts'
import { pagesOf, tooFast } from './pages.ts'
import { isSaved, readSnapshot, type SnapshotEntry, writeSnapshot } from './snapshot.ts'
import type { Tables } from './tables.ts'

export interface ArchiveOptions {
  readonly store: Store
  readonly datacenter: string
  readonly tables: Tables
  /** Resolves once no command of this process is under way. */
  readonly idle: () => Promise<void>
  /** Begins another life of the store with at least this generation, and reads the tables anew. */
  readonly raiseGeneration: (generation: number) => Promise<Epoch>
}

/** What tells the index of what is absent, of any kind: written anew wherever a catalog begins another life. */
export const GENERAL_MARKS: readonly { readonly key: string; readonly value: Uint8Array }[] = [
  keys.tableIndex('checks'),
  keys.tableIndex('nodes'),
  keys.tableIndex('services'),
  keys.kvIndex,
  keys.queryIndex,
  keys.sessionIndex,
].map((key) => ({ key, value: MARK }))

const ENTRIES_AT_ONCE = 1_000
const OPERATIONS_AT_ONCE = 100
const MAX_PASSES = 10

/** Everything as of one revision, read page by page as the bytes are taken. */
export async function saveSnapshot({ store, datacenter }: ArchiveOptions): Promise<Snapshot> {
  const pages = pagesOf(store, ENTRIES_AT_ONCE)
  const first = await pages.next()
  const { revision } = first.value!
  const { epoch } = store
  const saved = async function* (): AsyncGenerator<readonly SnapshotEntry[]> {
    try {
      for (let page = first; !page.done; page = await pages.next()) {
        yield page.value.kvs.filter(({ key }) => isSaved(key)).map(({ key, value }): SnapshotEntry => [key, value])
      }
    } catch (error) {
      throw tooFast(error)
    }
  }
  const index = toIndex(epoch, revision)
  const head = { datacenter, generation: epoch.generation, revision, index }
  return { index, bytes: writeSnapshot(head, saved()) }
}

/**
 * Makes the store hold what the archive does, writing only what differs, in bounded transactions between two marks: while
 * the first stands, nobody writes. Then the generation rises above all that this store and the archive had, so that no
 * index goes back. Cut off in between, it has to be done again.
 */
export async function restoreSnapshot(bytes: Uint8Array, options: ArchiveOptions): Promise<void> {
  const { head, entries } = readSnapshot(bytes)
  const { store, datacenter, tables, idle, raiseGeneration } = options
  if (head.datacenter !== datacenter) {
    const message = `the snapshot is of datacenter "${head.datacenter}", this is "${datacenter}"`
    throw new AtollError('invalid', message, { field: 'snapshot' })
  }
  await store.txn({ then: [{ put: keys.restoring, value: MARK }] })
  await idle()
  // Servers that did not know of the mark yet may have written a last time: until nothing differs any more.
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const found = await differences(store, entries)
    if (pass > 0 && found.length === 0) break
    await write(store, found)
  }
  await write(store, marks(tables))
  await raiseGeneration(Math.max(head.generation, store.epoch.generation) + 1)
  await store.txn({ then: [{ delete: keys.restoring }] })
}

/** What has to be written for the store to hold these entries. Marks of what is gone stay: indexes rest on them. */
async function differences(store: Store, entries: ReadonlyMap<string, Uint8Array>): Promise<Operation[]> {
  const found: Operation[] = []
  const there = new Set<string>()
  for await (const { kvs } of pagesOf(store)) {
    for (const { key, value } of kvs) {
      if (!isSaved(key)) continue
      const wanted = entries.get(key)
      if (wanted !== undefined) there.add(key)
      if (wanted === undefined && !isMark(key)) found.push({ delete: key })
      else if (wanted !== undefined && Buffer.compare(wanted, value) !== 0) found.push({ put: key, value: wanted })
    }
  }
  for (const [key, value] of entries) if (!there.has(key)) found.push({ put: key, value })
  return found
}

const isMark = (key: string): boolean => /^(?:e\/[itd]|t)\//.test(key)

/** Under the new generation all that may be gone has an index above what it had. */
function marks(tables: Tables): Operation[] {
  const services = [...tables.registry.serviceStates.keys()].map((part) => ({ put: `e/i/${part}`, value: MARK }))
  return [...GENERAL_MARKS.map(({ key, value }) => ({ put: key, value })), ...services]
}

async function write(store: Store, operations: Iterable<Operation>): Promise<void> {
  let then: Operation[] = []
  let bytes = 0
  const flush = async (): Promise<void> => {
    if (then.length > 0) await store.txn({ then })
    then = []
    bytes = 0
  }
  for (const operation of operations) {
    const size = 'put' in operation ? operation.put.length * 2 + operation.value.length : 0
    if (then.length === OPERATIONS_AT_ONCE || bytes + size > MAX_PLAN_BYTES) await flush()
    then.push(operation)
    bytes += size
  }
  await flush()
}
