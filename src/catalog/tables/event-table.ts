import type { EventRow } from '../../model/event.ts'
import { EVENTS_THING, eventsThing, type Waiters } from './waiters.ts'

/** The ring of the last events, by slot. */
export class EventTable {
  readonly #slots = new Map<string, EventRow>()
  readonly #waiters: Waiters
  #list: readonly EventRow[] | undefined
  /** Highest index of one that was overwritten. */
  #forgotten = 0
  #last: EventRow | undefined

  constructor(waiters: Waiters) {
    this.#waiters = waiters
  }

  put(slot: string, row: EventRow): void {
    const former = this.#slots.get(slot)
    if (former && former.id !== row.id) this.#forgotten = Math.max(this.#forgotten, former.modifyIndex)
    this.#slots.set(slot, row)
    this.#list = undefined
    if (!this.#last || row.time >= this.#last.time) this.#last = row
    this.#waiters.wake(EVENTS_THING)
    this.#waiters.wake(eventsThing(row.name))
  }

  delete(slot: string): void {
    this.#slots.delete(slot)
    this.#list = undefined
    this.#last = this.list().at(-1)
  }

  slot(slot: string): EventRow | undefined {
    return this.#slots.get(slot)
  }

  get slots(): ReadonlyMap<string, EventRow> {
    return this.#slots
  }

  /** Of the newest one; 1 when there is none. */
  get time(): number {
    return this.#last?.time ?? 1
  }

  /** The oldest first. */
  list(): readonly EventRow[] {
    this.#list ??= [...this.#slots.values()].sort((a, b) => a.time - b.time)
    return this.#list
  }

  /** Of the newest event (with that name). */
  indexOf(name: string | undefined): number {
    const newest = name === undefined ? this.#last : this.list().findLast((row) => row.name === name)
    return newest?.modifyIndex ?? this.#forgotten
  }
}
