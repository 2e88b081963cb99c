/** Runs in the worker: pages of the present and of the past, and forgetting. */
import { StoreError } from '../store.ts'
import type { Database } from './database.ts'
import { Packer } from './packer.ts'
import type { Reply, Request } from './protocol.ts'
import { type Change, keyBounds, packChange, packRow, type Row } from './rows.ts'

const encoder = new TextEncoder()

type Ask<K extends Request['kind']> = Extract<Request, { kind: K }>

/** One page of a range, now or at a revision: ends at `maxRows` keys or after `maxBytes`, whatever comes first. */
export function readRange(database: Database, { from, to, maxRows, maxBytes, revision }: Ask<'range'>): Reply {
  const { state, statements } = database
  const asOf = revision ?? state.revision
  if (asOf > state.revision) {
    throw new StoreError('invalid', `revision: ${asOf} is still to come; the store is at ${state.revision}`)
  }
  if (asOf < state.compacted) return { kind: 'compacted', oldest: state.compacted + 1 }
  const [low, high] = keyBounds(encoder.encode(from), encoder.encode(to))
  const rows =
    asOf === state.revision
      ? statements.range.iterate(low, high, maxRows + 1)
      : statements.rangeAsOf.iterate(low, high, asOf, maxRows + 1, database.lastRowAt(asOf))
  const kvs = new Packer()
  let count = 0
  let more = false
  for (const row of rows) {
    if (count === maxRows || kvs.byteLength >= maxBytes) {
      more = true
      break
    }
    packRow(kvs, row as unknown as Row)
    count++
  }
  return { kind: 'range', revision: asOf, more, count, kvs: kvs.finish() }
}

/** The changes of a range of keys after a revision: whole revisions, about `maxRows` changes of any key or `maxBytes`. */
export function readHistory(database: Database, { from, to, after, maxRows, maxBytes }: Ask<'history'>): Reply {
  const { state, statements } = database
  if (after < state.compacted) return { kind: 'compacted', oldest: state.compacted + 1 }
  const events = new Packer()
  const start = database.lastRowAt(after)
  const [end, through] = pageEnd(database, start, maxRows, maxBytes)
  const [low, high] = keyBounds(encoder.encode(from), encoder.encode(to))
  let count = 0
  for (const change of statements.changes.iterate(start, end, low, high)) {
    packChange(events, change as unknown as Change)
    count++
  }
  return { kind: 'history', through, count, events: events.finish() }
}

/** Last row of the page that begins after `start`, and the revision that is whole with it. */
function pageEnd(database: Database, start: number, maxRows: number, maxBytes: number): [row: number, through: number] {
  const { state, statements } = database
  const last = state.nextRow - 1
  let end = Math.min(last, start + maxRows)
  const limit = database.bytesBefore(start) + maxBytes
  let low = start + 1
  while (low < end) {
    const middle = Math.ceil((low + end) / 2)
    if (database.bytesBefore(middle) <= limit) low = middle
    else end = middle - 1
  }
  if (end >= last) return [last, state.revision]
  const { rev } = statements.rowUpTo.get(end) as { rev: number }
  const whole = database.lastRowAt(rev)
  return [whole, whole >= last ? state.revision : rev]
}

/** Forgets history; within a transaction. What is forgotten is swept away later, piece by piece. */
export class Compaction {
  readonly #database: Database
  readonly #keepRevisions: number
  readonly #keepBytes: number
  /** Rows up to here are to be swept. */
  #sweepTo: number
  /** Bytes before the oldest row that is kept. */
  #floor: number

  constructor(database: Database, keep: { revisions: number; bytes: number }) {
    this.#database = database
    this.#keepRevisions = keep.revisions
    this.#keepBytes = keep.bytes
    this.#sweepTo = database.lastRowAt(database.state.compacted)
    this.#floor = database.bytesBefore(this.#sweepTo)
  }

  get unswept(): boolean {
    return this.#database.state.swept < this.#sweepTo
  }

  compact(revision: number): void {
    const { state } = this.#database
    if (revision > state.revision) {
      throw new StoreError('invalid', `revision: ${revision} is still to come; the store is at ${state.revision}`)
    }
    if (revision <= state.compacted) return
    state.compacted = revision
    this.#sweepTo = this.#database.lastRowAt(revision)
    this.#floor = this.#database.bytesBefore(this.#sweepTo)
  }

  /** Holds the bounds on history, with a tenth of slack so that it is not moved on with every batch. */
  compactIfDue(): void {
    const { state } = this.#database
    const tooOld = state.revision - this.#keepRevisions
    if (tooOld > state.compacted + this.#keepRevisions / 10) this.compact(tooOld)
    if (state.bytes - this.#floor > this.#keepBytes * 1.1) this.compact(this.#revisionAt(state.bytes - this.#keepBytes))
  }

  /** Looks at up to `rows` rows of what was forgotten, and deletes what no present or remembered state needs. */
  sweep(rows: number): void {
    const { state, statements } = this.#database
    if (state.swept >= this.#sweepTo) return
    const end = Math.min(this.#sweepTo, state.swept + rows)
    statements.sweepSuperseded.run(state.swept, end)
    statements.sweepDeletions.run(state.swept, end)
    state.swept = end
  }

  /** The revision of the first row that has at least so many bytes before it. */
  #revisionAt(bytes: number): number {
    const { state, statements } = this.#database
    let low = this.#sweepTo + 1
    let high = state.nextRow - 1
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.#database.bytesBefore(middle - 1) >= bytes) high = middle
      else low = middle + 1
    }
    const row = statements.rowUpTo.get(low) as { rev: number } | undefined
    // The newest revision always stays.
    return Math.min(row?.rev ?? 0, state.revision - 1)
  }
}
