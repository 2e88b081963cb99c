/** Runs in the worker: applies a batch of commands within one transaction of SQLite, and packs what they gave. */
import type { Database } from './database.ts'
import { type Packed, Packer } from './packer.ts'
import { COMMAND, COMPARE_OP, HEADER_NUMBERS, NO_LIMIT, OPERATION, RECORD_NUMBERS, STATUS, TARGET } from './protocol.ts'
import { keyBounds, packRow, type Row } from './rows.ts'

/** Bytes that a row of history takes besides its key and value, about. */
const ROW_OVERHEAD_BYTES = 40

interface Current {
  readonly h: number
  readonly m: number
  readonly c: number
  readonly n: number
}

const ABSENT: Current = { h: 0, m: 0, c: 0, n: 0 }

export class Batch {
  readonly #database: Database
  readonly #numbers: Float64Array
  readonly #bytes: Uint8Array
  readonly #results = new Packer()
  #at = 0
  #wrote = false

  constructor(database: Database, packed: Packed) {
    this.#database = database
    this.#numbers = packed.numbers
    this.#bytes = packed.bytes
  }

  /** To be called within a transaction; all or nothing of it counts. */
  apply(count: number): Packer {
    for (let i = 0; i < count; i++) {
      const kind = this.#numbers[this.#at]
      if (kind === COMMAND.txn) this.#txn()
      else if (kind === COMMAND.grant) this.#grant()
      else this.#revoke()
    }
    return this.#results
  }

  /** The revision that writes of the running command get. */
  get #next(): number {
    return this.#database.state.revision + 1
  }

  #blob(at: number): Uint8Array {
    const start = this.#numbers[at]!
    return this.#bytes.subarray(start, start + this.#numbers[at + 1]!)
  }

  #txn(): void {
    const compares = this.#numbers[this.#at + 1]!
    const thens = this.#numbers[this.#at + 2]!
    const elses = this.#numbers[this.#at + 3]!
    const first = this.#at + HEADER_NUMBERS
    const then = first + compares * RECORD_NUMBERS
    this.#at = then + (thens + elses) * RECORD_NUMBERS

    const holds = this.#allHold(first, compares)
    const from = holds ? then : then + thens * RECORD_NUMBERS
    const count = holds ? thens : elses
    const missing = this.#missingLease(from, count)
    if (missing !== 0) {
      this.#results.number(STATUS.noLease)
      this.#results.number(missing)
      return
    }
    this.#results.number(holds ? STATUS.succeeded : STATUS.failed)
    this.#writing(() => {
      for (let i = 0; i < count; i++) this.#operation(from + i * RECORD_NUMBERS)
    })
  }

  /** Packs the revision after `work`, in front of what it packs. */
  #writing(work: () => void): void {
    const { state } = this.#database
    const slot = this.#results.count
    this.#results.number(0)
    this.#wrote = false
    work()
    if (this.#wrote) state.revision++
    this.#results.set(slot, state.revision)
  }

  #allHold(first: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (!this.#holds(first + i * RECORD_NUMBERS)) return false
    return true
  }

  #holds(at: number): boolean {
    const target = this.#numbers[at]!
    const op = this.#numbers[at + 1]!
    const current = this.#find(this.#blob(at + 2))
    if (target === TARGET.value) {
      if (current === ABSENT) return false
      const equal = sameBytes(this.#valueAt(current.h), this.#blob(at + 4))
      return op === COMPARE_OP['='] ? equal : !equal
    }
    const actual = target === TARGET.version ? current.n : target === TARGET.create ? current.c : current.m
    const to = this.#numbers[at + 4]!
    if (op === COMPARE_OP['=']) return actual === to
    if (op === COMPARE_OP['!=']) return actual !== to
    return op === COMPARE_OP['<'] ? actual < to : actual > to
  }

  #find(key: Uint8Array): Current {
    return (this.#database.statements.find.get(key) as unknown as Current | undefined) ?? ABSENT
  }

  #valueAt(row: number): Uint8Array {
    return (this.#database.statements.valueAt.get(row) as { v: Uint8Array }).v
  }

  /** The first lease that a put names and that there is not; 0 for none. */
  #missingLease(from: number, count: number): number {
    for (let i = 0; i < count; i++) {
      const at = from + i * RECORD_NUMBERS
      const lease = this.#numbers[at + 5]!
      if (this.#numbers[at] === OPERATION.put && lease !== 0 && !this.#database.leases.has(lease)) return lease
    }
    return 0
  }

  #operation(at: number): void {
    const kind = this.#numbers[at]
    if (kind === OPERATION.put) this.#put(this.#blob(at + 1), this.#blob(at + 3), this.#numbers[at + 5]!)
    else if (kind === OPERATION.delete) this.#results.number(this.#delete(this.#blob(at + 1)) ? 1 : 0)
    else if (kind === OPERATION.deleteRange) this.#deleteRange(this.#blob(at + 1), this.#blob(at + 3))
    else this.#range(this.#blob(at + 1), this.#blob(at + 3), this.#numbers[at + 5]!)
  }

  #put(key: Uint8Array, value: Uint8Array, lease: number): void {
    const { statements, state } = this.#database
    const { c, n, p } = statements.put.get(key, state.nextRow, this.#next, lease) as unknown as {
      c: number
      n: number
      p: number | null
    }
    this.#append(key, value, c, n, lease, p)
    this.#results.number(c)
    this.#results.number(n)
  }

  #delete(key: Uint8Array): boolean {
    const found = this.#database.statements.delete.get(key) as { h: number } | undefined
    if (!found) return false
    this.#append(key, null, 0, 0, 0, found.h)
    return true
  }

  #append(
    key: Uint8Array,
    value: Uint8Array | null,
    c: number,
    n: number,
    lease: number,
    previous: number | null,
  ): void {
    const { statements, state } = this.#database
    statements.append.run(state.nextRow, this.#next, key, value, c, n, lease, previous, state.bytes)
    state.nextRow++
    state.bytes += key.byteLength + (value?.byteLength ?? 0) + ROW_OVERHEAD_BYTES
    this.#wrote = true
  }

  #deleteRange(from: Uint8Array, to: Uint8Array): void {
    this.#deleteAll(this.#database.statements.keysIn.all(...keyBounds(from, to)) as unknown as { k: Uint8Array }[])
  }

  #deleteAll(rows: readonly { k: Uint8Array }[]): void {
    this.#results.number(rows.length)
    for (const { k } of rows) {
      this.#delete(k)
      this.#results.blob(k)
    }
  }

  #range(from: Uint8Array, to: Uint8Array, limit: number): void {
    const [low, high] = keyBounds(from, to)
    const rows = this.#database.statements.range.all(low, high, limit === NO_LIMIT ? -1 : limit + 1) as unknown as Row[]
    const count = limit === NO_LIMIT ? rows.length : Math.min(rows.length, limit)
    this.#results.number(count)
    this.#results.number(rows.length > count ? 1 : 0)
    for (let i = 0; i < count; i++) packRow(this.#results, rows[i]!)
  }

  #grant(): void {
    const { state, leases, statements } = this.#database
    const ttl = this.#numbers[this.#at + 1]!
    this.#at += HEADER_NUMBERS
    const id = state.nextLease++
    statements.addLease.run(id, ttl)
    leases.set(id, ttl)
    this.#results.number(id)
  }

  #revoke(): void {
    const { leases, statements } = this.#database
    const id = this.#numbers[this.#at + 1]!
    this.#at += HEADER_NUMBERS
    if (leases.delete(id)) statements.removeLease.run(id)
    this.#writing(() => this.#deleteAll(statements.keysOfLease.all(id) as unknown as { k: Uint8Array }[]))
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false
  for (let i = 0; i < a.byteLength; i++) if (a[i] !== b[i]) return false
  return true
}
