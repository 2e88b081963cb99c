import { keyPart } from '../../model/keys.ts'
import type { SessionRow } from '../../model/session.ts'
import { SortedMap } from '../sorted-map.ts'
import { Graveyard } from './graveyard.ts'
import { nodeSessionsThing, SESSIONS_THING, sessionThing, type Waiters } from './waiters.ts'

export interface SessionLease {
  /** The store's lease. */
  readonly lease: number
  readonly modRevision: number
}

export interface LockDelay {
  readonly delayMs: number
  readonly modRevision: number
}

/** Told of each change, before the tables are whole: it may only take notes. */
export interface SessionListener {
  onSession(id: string): void
  onLease(id: string): void
  onDelay(key: string): void
}

/** Sessions with their indexes, their leases, and the lock-delays that ended ones left behind. */
export class SessionTable {
  /** Those that stand. */
  readonly #rows = new SortedMap<SessionRow>((row) => row.modifyIndex)
  /** Those that are over, with keys still to be released. */
  readonly ending = new Map<string, SessionRow>()
  readonly #byNode = new Map<string, Set<string>>()
  readonly #graves = new Graveyard()
  readonly #nodeGraves = new Graveyard()
  readonly leases = new Map<string, SessionLease>()
  /** Revision at which the session last acquired a key. */
  readonly holds = new Map<string, number>()
  /** By KV key. */
  readonly delays = new Map<string, LockDelay>()
  readonly #listeners = new Set<SessionListener>()
  readonly #waiters: Waiters
  #index = 0
  #list: readonly SessionRow[] | undefined

  constructor(waiters: Waiters) {
    this.#waiters = waiters
  }

  listen(listener: SessionListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  put(row: SessionRow): void {
    if (row.ending) {
      this.ending.set(row.id, row)
      this.#remove(row.id, row.modifyIndex)
    } else {
      const former = this.#rows.get(row.id)
      if (former) this.#leaveNode(former)
      this.#rows.set(row.id, row)
      this.#graves.revive(row.id)
      const part = keyPart(row.node)
      const ofNode = this.#byNode.get(part)
      if (ofNode) ofNode.add(row.id)
      else this.#byNode.set(part, new Set([row.id]))
      this.#changed(row, row.modifyIndex)
    }
    for (const listener of this.#listeners) listener.onSession(row.id)
  }

  delete(id: string, index: number): void {
    this.ending.delete(id)
    this.#remove(id, index)
    for (const listener of this.#listeners) listener.onSession(id)
  }

  putLease(id: string, lease: number, modRevision: number): void {
    this.leases.set(id, { lease, modRevision })
    for (const listener of this.#listeners) listener.onLease(id)
  }

  deleteLease(id: string): void {
    if (!this.leases.delete(id)) return
    for (const listener of this.#listeners) listener.onLease(id)
  }

  putDelay(key: string, delayMs: number, modRevision: number): void {
    this.delays.set(key, { delayMs, modRevision })
    for (const listener of this.#listeners) listener.onDelay(key)
  }

  deleteDelay(key: string): void {
    if (!this.delays.delete(key)) return
    for (const listener of this.#listeners) listener.onDelay(key)
  }

  /** Deletions up to `index` happened that were not seen. */
  forget(index: number): void {
    this.#graves.forget(index)
    this.#nodeGraves.forget(index)
    this.#index = Math.max(this.#index, index)
  }

  get size(): number {
    return this.#rows.size
  }

  get(id: string): SessionRow | undefined {
    return this.#rows.get(id)
  }

  list(): readonly SessionRow[] {
    this.#list ??= this.#rows.valuesIn('', '')
    return this.#list
  }

  ofNode(part: string): readonly SessionRow[] {
    const ids = this.#byNode.get(part)
    return ids ? [...ids].sort().map((id) => this.#rows.get(id)!) : []
  }

  /** Those that are ending too. */
  *all(): Iterable<SessionRow> {
    yield* this.list()
    yield* this.ending.values()
  }

  /** Of the last change of any. */
  get index(): number {
    return this.#index
  }

  indexOf(id: string): number {
    return this.#rows.get(id)?.modifyIndex ?? this.#graves.at(id)
  }

  indexOfNode(part: string): number {
    let index = this.#nodeGraves.at(part)
    for (const id of this.#byNode.get(part) ?? []) index = Math.max(index, this.#rows.get(id)!.modifyIndex)
    return index
  }

  #remove(id: string, index: number): void {
    const row = this.#rows.get(id)
    if (!row) return
    this.#rows.delete(id)
    this.#leaveNode(row)
    this.#graves.bury(id, index)
    this.#nodeGraves.bury(keyPart(row.node), index)
    this.#changed(row, index)
  }

  #leaveNode(row: SessionRow): void {
    const part = keyPart(row.node)
    const ofNode = this.#byNode.get(part)
    if (ofNode?.delete(row.id) && ofNode.size === 0) this.#byNode.delete(part)
  }

  #changed(row: SessionRow, index: number): void {
    this.#list = undefined
    this.#index = Math.max(this.#index, index)
    this.#waiters.wake(sessionThing(row.id))
    this.#waiters.wake(nodeSessionsThing(keyPart(row.node)))
    this.#waiters.wake(SESSIONS_THING)
  }
}
