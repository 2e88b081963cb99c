/** Runs in the worker: opens the SQLite file, and holds the statements and the counters that everything else works on. */
import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Epoch } from '../../model/epoch.ts'
import { StoreError } from '../store.ts'
import type { Position, WorkerOptions } from './protocol.ts'
import { storeErrorOf } from './sqlite-errors.ts'

const STORAGE_VERSION = 1
/** What a reader must know about to understand the file; one that it does not know makes it refuse. */
const CAPABILITIES: readonly string[] = ['history', 'leases']
/** Beside these while a migration into the store is under way, or was broken off: no server may open it. */
const UNFINISHED = 'unfinished-migration'
/** Marks the file as ours: "Atol". */
const APPLICATION_ID = 0x41746f6c
const PAGE_BYTES = 4096
/** A file of at most this size is checked as a whole after a crash. */
const CHECKED_BYTES = 64 * 1024 * 1024

/**
 * `kv` is the present, `history` every change: a key's row in `kv` points to the row in `history` that holds its value.
 * Rows of `history` are numbered in order; `p` is the row that this one superseded, `n` is 0 for a deletion, and `b` counts
 * the bytes of all rows before it. Keys are blobs, so that their order is that of the bytes and NUL is like any other.
 */
const SCHEMA = `
  CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE state(id INTEGER PRIMARY KEY, revision INT NOT NULL, next_row INT NOT NULL, bytes INT NOT NULL,
    compacted INT NOT NULL, swept INT NOT NULL, next_lease INT NOT NULL) STRICT;
  CREATE TABLE kv(k BLOB PRIMARY KEY, h INT NOT NULL, m INT NOT NULL, c INT NOT NULL, n INT NOT NULL, l INT NOT NULL, p INT)
    WITHOUT ROWID, STRICT;
  CREATE INDEX kv_lease ON kv(l) WHERE l <> 0;
  CREATE TABLE history(h INTEGER PRIMARY KEY, rev INT NOT NULL, k BLOB NOT NULL, v BLOB, c INT NOT NULL, n INT NOT NULL,
    l INT NOT NULL, p INT, b INT NOT NULL) STRICT;
  CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl INT NOT NULL) STRICT;
  INSERT INTO state VALUES(0, 0, 1, 0, 0, 0, 1);
`

/** The counters, as they will be when the running batch commits. */
export interface State {
  revision: number
  /** Number of the next row of `history`. */
  nextRow: number
  /** Sum of the bytes of all rows ever written to `history`. */
  bytes: number
  compacted: number
  /** Rows up to here were looked at by the sweep. */
  swept: number
  nextLease: number
}

export class Database {
  readonly sqlite: DatabaseSync
  epoch: Epoch
  readonly statements: Statements
  /** Ids of the leases that there are. */
  readonly leases: Map<number, number>
  state: State
  #committed: State
  readonly #begin
  readonly #commit

  /** `unfinished`: whether a store is taken into which a migration is not finished; otherwise it throws 'unfinished'. */
  constructor(options: WorkerOptions, { unfinished = false } = {}) {
    const file = prepareFile(options.path)
    this.sqlite = openFile(file)
    try {
      initialize(this.sqlite, file, options, unfinished)
      this.epoch = epochOf(this.sqlite)
      this.statements = prepareStatements(this.sqlite)
      this.state = this.statements.readState.get() as unknown as State
      this.#committed = { ...this.state }
      const leases = this.sqlite.prepare('SELECT id, ttl FROM lease').all() as unknown as { id: number; ttl: number }[]
      this.leases = new Map(leases.map(({ id, ttl }) => [id, ttl]))
      this.#begin = this.sqlite.prepare('BEGIN IMMEDIATE')
      this.#commit = this.sqlite.prepare('COMMIT')
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Runs `work` in one transaction of SQLite; on return it is on disk. Any error leaves the store unusable. */
  transaction(work: () => void): void {
    this.#begin.run()
    let committing = false
    try {
      work()
      const { revision, nextRow, bytes, compacted, swept, nextLease } = this.state
      if (changed(this.state, this.#committed)) {
        this.statements.writeState.run(revision, nextRow, bytes, compacted, swept, nextLease)
      }
      committing = true
      this.#commit.run()
    } catch (error) {
      this.#rollback()
      throw storeErrorOf(error, committing)
    }
    Object.assign(this.#committed, this.state)
  }

  /** Begins another life of the store, unless it has had one of that generation or above. */
  raise(epoch: Epoch): Epoch {
    if (epoch.generation > this.epoch.generation) {
      this.transaction(() => setEpoch(this.sqlite, epoch))
      this.epoch = epoch
    }
    return this.epoch
  }

  /** Whether a migration into the store was begun and not finished. */
  get unfinished(): boolean {
    return capabilitiesOf(this.sqlite).includes(UNFINISHED)
  }

  /** Begins a migration into the store: nothing is in it any more, and no server opens it until `finish`. */
  begin(): void {
    this.transaction(() => {
      setMeta(this.sqlite, 'capabilities', [...CAPABILITIES, UNFINISHED].join(','))
      this.sqlite.exec('DELETE FROM kv; DELETE FROM history; DELETE FROM lease')
      Object.assign(this.state, { revision: 0, nextRow: 1, bytes: 0, compacted: 0, swept: 0, nextLease: 1 })
    })
    this.leases.clear()
  }

  /** Ends a migration: from now on it is a store like any other, in a life of its own. */
  finish(epoch: Epoch): Epoch {
    this.transaction(() => {
      setEpoch(this.sqlite, epoch)
      setMeta(this.sqlite, 'capabilities', CAPABILITIES.join(','))
    })
    this.epoch = epoch
    return epoch
  }

  /** Number of the last row of `history` with a revision up to `revision`, or any number before the next one. */
  lastRowAt(revision: number): number {
    let low = 0
    let high = this.state.nextRow - 1
    if (revision >= this.state.revision) return high
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      const row = this.statements.rowUpTo.get(middle) as { h: number; rev: number } | undefined
      if (!row || row.rev <= revision) low = middle
      else high = row.h - 1
    }
    return low
  }

  /** Bytes of history before the first row above `row`. */
  bytesBefore(row: number): number {
    const next = this.statements.bytesAfter.get(row) as { b: number } | undefined
    return next?.b ?? this.state.bytes
  }

  position(unswept: boolean): Position {
    const { revision, compacted } = this.state
    return { revision, compacted, sizeBytes: this.#pages() * PAGE_BYTES, unswept }
  }

  close(): void {
    try {
      this.sqlite.close()
    } catch {
      // Closed before, or beyond help.
    }
  }

  #pages(): number {
    return (this.statements.pageCount.get() as { page_count: number }).page_count
  }

  #rollback(): void {
    Object.assign(this.state, this.#committed)
    try {
      this.sqlite.exec('ROLLBACK')
    } catch {
      // A full disk has rolled back by itself.
    }
  }
}

const changed = (a: State, b: State): boolean =>
  a.revision !== b.revision ||
  a.nextRow !== b.nextRow ||
  a.compacted !== b.compacted ||
  a.swept !== b.swept ||
  a.nextLease !== b.nextLease

function prepareFile(path: string): string {
  if (path === ':memory:') return path
  const created = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (created !== undefined) {
    const parent = openSync(dirname(created), 'r')
    fsyncSync(parent)
    closeSync(parent)
  }
  const file = join(path, 'store.db')
  // What is in it is nobody else's to read; SQLite gives its log the same mode.
  closeSync(openSync(file, 'a', 0o600))
  return file
}

function openFile(file: string): DatabaseSync {
  try {
    return new DatabaseSync(file)
  } catch (error) {
    throw storeErrorOf(error, false)
  }
}

function initialize(sqlite: DatabaseSync, file: string, options: WorkerOptions, unfinished: boolean): void {
  try {
    const crashed = walBytes(file) > 0
    // The first access takes the lock for as long as the file is open; a second process is refused at once.
    sqlite.exec(`PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size=${PAGE_BYTES}; PRAGMA journal_mode=WAL;
      PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-32768; PRAGMA temp_store=MEMORY;
      BEGIN EXCLUSIVE; COMMIT`)
    if (options.maxSizeBytes > 0) {
      sqlite.exec(`PRAGMA max_page_count=${Math.ceil(options.maxSizeBytes / PAGE_BYTES)}`)
    }
    if (pragma(sqlite, 'application_id') === 0 && isEmpty(sqlite)) create(sqlite, options)
    assertReadable(sqlite, options.path, unfinished)
    if (crashed && statSync(file).size <= CHECKED_BYTES) assertIntact(sqlite, options.path)
  } catch (error) {
    throw explained(storeErrorOf(error, false), options.path)
  }
}

function walBytes(file: string): number {
  return file === ':memory:' ? 0 : (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0)
}

const pragma = (sqlite: DatabaseSync, name: string): unknown =>
  Object.values(sqlite.prepare(`PRAGMA ${name}`).get() ?? {})[0]

const isEmpty = (sqlite: DatabaseSync): boolean => sqlite.prepare('SELECT 1 FROM sqlite_schema').get() === undefined

function create(sqlite: DatabaseSync, { random }: WorkerOptions): void {
  sqlite.exec(`BEGIN IMMEDIATE; PRAGMA application_id=${APPLICATION_ID}; ${SCHEMA}`)
  setMeta(sqlite, 'storage_version', String(STORAGE_VERSION))
  setMeta(sqlite, 'capabilities', CAPABILITIES.join(','))
  setEpoch(sqlite, { generation: 0, random })
  sqlite.exec('COMMIT')
}

function assertReadable(sqlite: DatabaseSync, path: string, unfinished: boolean): void {
  if (pragma(sqlite, 'application_id') !== APPLICATION_ID) {
    throw new StoreError('corrupt', `${path}: store.db is no store of Atoll; move it away, or choose another directory`)
  }
  const version = Number(meta(sqlite, 'storage_version'))
  if (version !== STORAGE_VERSION) {
    throw new StoreError(
      'version',
      `${path}: written with storage version ${version}, and this Atoll knows up to ${STORAGE_VERSION}; run a newer Atoll`,
    )
  }
  const capabilities = capabilitiesOf(sqlite)
  if (capabilities.includes(UNFINISHED) && !unfinished) {
    throw new StoreError(
      'unfinished',
      `${path}: a migration into this store is under way, or was broken off; run it again: atoll store migrate`,
    )
  }
  const unknown = capabilities.filter((name) => name !== '' && name !== UNFINISHED && !CAPABILITIES.includes(name))
  if (unknown.length > 0) {
    throw new StoreError('version', `${path}: needs ${unknown.join(', ')}, unknown to this Atoll; run a newer Atoll`)
  }
}

function assertIntact(sqlite: DatabaseSync, path: string): void {
  const found = pragma(sqlite, 'quick_check(1)')
  if (found !== 'ok') {
    throw new StoreError('corrupt', `${path}: store.db is damaged (${found}); restore it from a backup`)
  }
}

const capabilitiesOf = (sqlite: DatabaseSync): string[] => meta(sqlite, 'capabilities').split(',')

const epochOf = (sqlite: DatabaseSync): Epoch => ({
  generation: Number(meta(sqlite, 'generation')),
  random: meta(sqlite, 'random'),
})

function setEpoch(sqlite: DatabaseSync, { generation, random }: Epoch): void {
  setMeta(sqlite, 'generation', String(generation))
  setMeta(sqlite, 'random', random)
}

const meta = (sqlite: DatabaseSync, key: string): string =>
  (sqlite.prepare('SELECT value FROM meta WHERE key=?').get(key) as { value: string } | undefined)?.value ?? ''

const setMeta = (sqlite: DatabaseSync, key: string, value: string): void =>
  void sqlite.prepare('INSERT OR REPLACE INTO meta VALUES(?,?)').run(key, value)

function explained(error: StoreError, path: string): StoreError {
  const message = {
    locked: `${path}: another process has this data directory open; stop it, or choose another directory`,
    corrupt: `${path}: store.db cannot be read (${error.message}); restore it from a backup`,
  }[error.code as string]
  return message === undefined || error.message.startsWith(path) ? error : new StoreError(error.code, message, error)
}

export type Statements = ReturnType<typeof prepareStatements>

function prepareStatements(sqlite: DatabaseSync) {
  return {
    pageCount: sqlite.prepare('PRAGMA page_count'),
    readState: sqlite.prepare(
      'SELECT revision, next_row AS nextRow, bytes, compacted, swept, next_lease AS nextLease FROM state',
    ),
    writeState: sqlite.prepare('UPDATE state SET revision=?, next_row=?, bytes=?, compacted=?, swept=?, next_lease=?'),
    find: sqlite.prepare('SELECT h, m, c, n FROM kv WHERE k=?'),
    valueAt: sqlite.prepare('SELECT v FROM history WHERE h=?'),
    put: sqlite.prepare(
      `INSERT INTO kv(k, h, m, c, n, l) VALUES(?1, ?2, ?3, ?3, 1, ?4) ON CONFLICT(k)
       DO UPDATE SET p=h, h=excluded.h, m=excluded.m, n=n+1, l=excluded.l RETURNING c, n, p`,
    ),
    delete: sqlite.prepare('DELETE FROM kv WHERE k=? RETURNING h'),
    append: sqlite.prepare('INSERT INTO history(h, rev, k, v, c, n, l, p, b) VALUES(?,?,?,?,?,?,?,?,?)'),
    keysIn: sqlite.prepare('SELECT k FROM kv WHERE k>=? AND k<? ORDER BY k'),
    keysOfLease: sqlite.prepare('SELECT k FROM kv WHERE l=? AND l<>0 ORDER BY k'),
    addLease: sqlite.prepare('INSERT INTO lease VALUES(?,?)'),
    removeLease: sqlite.prepare('DELETE FROM lease WHERE id=?'),
    range: sqlite.prepare(
      `SELECT kv.k, x.v, kv.c, kv.m, kv.n, kv.l FROM kv CROSS JOIN history x ON x.h=kv.h
       WHERE kv.k>=? AND kv.k<? ORDER BY kv.k LIMIT ?`,
    ),
    // Keys that did not change since, and for those that did the row that their first change superseded.
    rangeAsOf: sqlite.prepare(
      `SELECT x.k, x.v, x.c, x.rev AS m, x.n, x.l FROM (
         SELECT * FROM (SELECT h FROM kv WHERE k>=?1 AND k<?2 AND m<=?3 ORDER BY k LIMIT ?4)
         UNION ALL
         SELECT p FROM (SELECT p, min(h) FROM history WHERE h>?5 AND k>=?1 AND k<?2 GROUP BY k) WHERE p IS NOT NULL
       ) y CROSS JOIN history x ON x.h=y.h ORDER BY x.k LIMIT ?4`,
    ),
    rowUpTo: sqlite.prepare('SELECT h, rev FROM history WHERE h<=? ORDER BY h DESC LIMIT 1'),
    bytesAfter: sqlite.prepare('SELECT b FROM history WHERE h>? ORDER BY h LIMIT 1'),
    changes: sqlite.prepare('SELECT rev, k, v, c, n, l FROM history WHERE h>? AND h<=? AND k>=? AND k<? ORDER BY h'),
    sweepSuperseded: sqlite.prepare(
      'DELETE FROM history WHERE h IN (SELECT p FROM history WHERE h>? AND h<=? AND p IS NOT NULL)',
    ),
    sweepDeletions: sqlite.prepare('DELETE FROM history WHERE h>? AND h<=? AND n=0'),
  }
}
