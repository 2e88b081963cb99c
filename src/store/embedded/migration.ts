/**
 * The two ends of a migration in an embedded store. They work on the file themselves, without a worker: nothing else happens in
 * this process, and leases of a source must not lapse meanwhile.
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Epoch } from '../../model/epoch.ts'
import type { Random } from '../../runtime/ports.ts'
import type { FoundTarget, MigrationSource, MigrationTarget, StoredEntry } from '../migration.ts'
import { StoreError } from '../store.ts'
import { Batch } from './apply.ts'
import { packCommand } from './commands.ts'
import { Database } from './database.ts'
import { Packer, textAt } from './packer.ts'
import { newRandom } from './random-part.ts'
import { keyBounds, type Row } from './rows.ts'

export interface EmbeddedEndOptions {
  /** Folder of the store. */
  readonly path: string
  readonly random: Random
}

const PAGE_ROWS = 2_000
const PAGE_BYTES = 1024 * 1024
const NOTHING = new Uint8Array(0)

/** Rejects with StoreError: 'invalid' where there is none, 'locked' while a server has it, 'unfinished', 'corrupt', 'version'. */
export async function openEmbeddedSource(options: EmbeddedEndOptions): Promise<MigrationSource> {
  const { path } = options
  if (!exists(path)) {
    throw new StoreError('invalid', `there is no store in ${path}; name the data directory of the datacenter's server`)
  }
  const database = open(options)
  return {
    place: path,
    epoch: database.epoch,
    revision: database.state.revision,
    pages: () => pagesOf(database),
    // Nobody else opens it while this process has.
    assertUnused: async () => {},
    close: async () => database.close(),
  }
}

/** Looks at it without changing it. Rejects with StoreError: 'locked' while a server has it, 'corrupt', 'version'. */
export async function openEmbeddedTarget(options: EmbeddedEndOptions): Promise<MigrationTarget> {
  return new EmbeddedTarget(options, exists(options.path) ? open(options, true) : undefined)
}

const exists = (path: string): boolean => statSync(join(path, 'store.db'), { throwIfNoEntry: false }) !== undefined

const open = ({ path, random }: EmbeddedEndOptions, unfinished = false): Database =>
  new Database(
    { path, random: newRandom(random), historyRevisions: 0, historyBytes: 0, maxSizeBytes: 0 },
    { unfinished },
  )

function* rowsOf(database: Database): Generator<StoredEntry> {
  for (const row of database.statements.range.iterate(...keyBounds(NOTHING, NOTHING), -1)) {
    const { k, v } = row as unknown as Row
    yield { key: textAt(new Uint8Array(k), 0, k.byteLength), value: v }
  }
}

async function* pagesOf(database: Database): AsyncGenerator<readonly StoredEntry[]> {
  let page: StoredEntry[] = []
  let bytes = 0
  for (const entry of rowsOf(database)) {
    page.push(entry)
    bytes += entry.key.length + entry.value.byteLength
    if (bytes < PAGE_BYTES && page.length < PAGE_ROWS) continue
    yield page
    page = []
    bytes = 0
  }
  if (page.length > 0) yield page
}

class EmbeddedTarget implements MigrationTarget {
  readonly place: string
  readonly found: FoundTarget
  readonly #options: EmbeddedEndOptions
  #database: Database | undefined

  constructor(options: EmbeddedEndOptions, database: Database | undefined) {
    this.#options = options
    this.#database = database
    this.place = options.path
    const content = database && (database.unfinished ? 'unfinished' : isEmpty(database) ? 'none' : 'some')
    this.found = { content: content ?? 'none', epoch: database?.epoch }
  }

  async begin(): Promise<void> {
    this.#database ??= open(this.#options, true)
    this.#database.begin()
  }

  async write(entries: readonly StoredEntry[]): Promise<void> {
    if (entries.length === 0) return
    const database = this.#database!
    const packer = new Packer()
    packCommand(packer, { kind: 'txn', txn: { then: entries.map(({ key, value }) => ({ put: key, value })) } })
    database.transaction(() => void new Batch(database, packer.finish()).apply(1))
  }

  pages(): AsyncIterable<readonly StoredEntry[]> {
    return pagesOf(this.#database!)
  }

  async finish(generation: number): Promise<Epoch> {
    return this.#database!.finish({ generation, random: newRandom(this.#options.random) })
  }

  async close(): Promise<void> {
    this.#database?.close()
  }
}

function isEmpty(database: Database): boolean {
  for (const _ of rowsOf(database)) return false
  return true
}
