import type { KvRow } from '../../model/entries.ts'
import { keys } from '../../model/keys.ts'
import type { Compare, Operation } from '../../store/store.ts'
import * as codec from '../codec.ts'
import type { Tables } from '../tables.ts'
import type { TxnEntry, TxnOperation } from '../txn.ts'
import { isStill, sameBytes } from './kv.ts'
import { acquired, mayHold, requireSession } from './lock.ts'
import { PENDING, Refusal } from './refusal.ts'

type KvOperation = Extract<TxnOperation, { type: 'kv' }>

const EMPTY = new Uint8Array(0)
const quoted = JSON.stringify

/** The KV side of a transaction: the tables, and over them what its operations did so far. */
export class TxnKv {
  readonly #tables: Tables
  readonly #changed = new Map<string, KvRow | null>()
  readonly #compares = new Map<string, Compare>()
  readonly #acquired = new Map<string, Operation>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  compares(): Iterable<Compare> {
    return this.#compares.values()
  }

  operations(): Operation[] {
    const then: Operation[] = [...this.#acquired.values()]
    let deletes = false
    for (const [key, row] of this.#changed) {
      if (row) then.push({ put: keys.kv(key), value: codec.encodeKv(row) })
      else if (this.#tables.kv(key)) {
        then.push({ delete: keys.kv(key) })
        deletes = true
      }
    }
    if (deletes) then.push({ put: keys.kvIndex, value: codec.MARK })
    return then
  }

  /** Throws `Refusal`. */
  run(operation: KvOperation): TxnEntry[] {
    const { verb, key, index } = operation
    const stored = verb === 'get-tree' || verb === 'delete-tree' ? undefined : this.#get(key)
    switch (verb) {
      case 'set':
        return this.#put(operation, stored, stored?.session ?? '', stored?.lockIndex ?? 0)
      case 'cas':
        if (index !== (stored?.modifyIndex ?? 0)) throw new Refusal(`failed to set key ${quoted(key)}, index is stale`)
        return this.#put(operation, stored, stored?.session ?? '', stored?.lockIndex ?? 0)
      case 'lock':
        return this.#lock(operation, stored)
      case 'unlock':
        if (!stored || operation.session === '' || stored.session !== operation.session) {
          throw new Refusal(`failed to unlock key ${quoted(key)}, lock isn't held, or is held by another session`)
        }
        return this.#put(operation, stored, '', stored.lockIndex)
      case 'get':
        if (!stored) throw new Refusal(`key ${quoted(key)} doesn't exist`)
        return [{ type: 'kv', row: stored }]
      case 'get-tree':
        return this.#under(key).map((row) => ({ type: 'kv', row }))
      case 'delete':
        return this.#delete(key)
      case 'delete-cas':
        if (stored && stored.modifyIndex !== index) {
          throw new Refusal(`failed to delete key ${quoted(key)}, index is stale`)
        }
        return this.#delete(key)
      case 'delete-tree':
        for (const row of this.#under(key)) this.#delete(row.key)
        return []
      default:
        return this.#check(operation, stored)
    }
  }

  #check({ verb, key, index, session }: KvOperation, stored: KvRow | undefined): TxnEntry[] {
    switch (verb) {
      case 'check-session':
        if (!stored) throw new Refusal(`failed to check session, key ${quoted(key)} doesn't exist`)
        if (stored.session !== session) {
          const [is, asked] = [quoted(stored.session), quoted(session)]
          throw new Refusal(`failed session check for key ${quoted(key)}, current session ${is} != ${asked}`)
        }
        return written(stored)
      case 'check-index':
        if (!stored) throw new Refusal(`failed to check index, key ${quoted(key)} doesn't exist`)
        if (stored.modifyIndex !== index) {
          const is = stored.modifyIndex
          throw new Refusal(`failed index check for key ${quoted(key)}, current modify index ${is} != ${index}`)
        }
        return written(stored)
      case 'check-not-exists':
        if (stored) throw new Refusal(`key ${quoted(key)} exists`)
        return []
      default:
        throw new Refusal(`unknown KV verb ${quoted(verb)}`)
    }
  }

  #lock(operation: KvOperation, stored: KvRow | undefined): TxnEntry[] {
    const { key } = operation
    const session = requireSession(this.#tables, operation.session)
    const holder = stored?.session ?? ''
    if (holder !== '' && holder !== session.id) {
      throw new Refusal(`failed to lock key ${quoted(key)}, lock is already held`)
    }
    if (holder === '' && this.#tables.sessionTable.delays.has(key)) {
      throw new Refusal(`failed to lock key ${quoted(key)} due to lock delay`)
    }
    for (const compare of mayHold(this.#tables, key, session)) this.#compares.set(compare.key, compare)
    if (holder === '') this.#acquired.set(session.id, acquired(session))
    return this.#put(operation, stored, session.id, (stored?.lockIndex ?? 0) + (holder === '' ? 1 : 0))
  }

  /** As it is by now; that it is so in the store is compared. */
  #get(key: string): KvRow | undefined {
    const changed = this.#changed.get(key)
    if (changed !== undefined) return changed ?? undefined
    const stored = this.#tables.kv(key)
    const compare = isStill(this.#tables, key, stored)
    this.#compares.set(compare.key, compare)
    return stored
  }

  #under(prefix: string): KvRow[] {
    const found = new Map(this.#tables.kvUnder(prefix).map((row) => [row.key, row]))
    for (const [key, row] of this.#changed) {
      if (!key.startsWith(prefix)) continue
      if (row) found.set(key, row)
      else found.delete(key)
    }
    return [...found.keys()].sort().flatMap((key) => this.#get(key) ?? [])
  }

  #put({ key, value, flags }: KvOperation, stored: KvRow | undefined, session: string, lockIndex: number): TxnEntry[] {
    const same =
      stored?.flags === flags &&
      stored.session === session &&
      stored.lockIndex === lockIndex &&
      sameBytes(stored.value, value)
    if (same) return written(stored)
    const createIndex = stored?.createIndex ?? PENDING
    const row: KvRow = { key, value, flags, lockIndex, session, createIndex, modifyIndex: PENDING }
    this.#changed.set(key, row)
    return written(row)
  }

  #delete(key: string): never[] {
    if (this.#get(key)) this.#changed.set(key, null)
    return []
  }
}

const written = (row: KvRow): TxnEntry[] => [{ type: 'kv', row: { ...row, value: EMPTY } }]
