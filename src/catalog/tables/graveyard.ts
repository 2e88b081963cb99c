import { SortedMap } from '../sorted-map.ts'

/**
 * When things that are gone were deleted: of the most recent deletions each by itself, of all older ones only the
 * highest index (`forgotten`), on which everything absent falls back. So an index never goes back, and the memory is bounded.
 */
export class Graveyard {
  readonly #graves = new SortedMap<number>((index) => index)
  /** In order of deletion, the oldest first. */
  readonly #order = new Map<string, number>()
  readonly #limit: number
  #forgotten = 0

  constructor(limit = 8192) {
    this.#limit = limit
  }

  get forgotten(): number {
    return this.#forgotten
  }

  bury(key: string, index: number): void {
    this.#order.delete(key)
    this.#order.set(key, index)
    this.#graves.set(key, index)
    if (this.#order.size <= this.#limit) return
    const [oldest, at] = this.#order.entries().next().value!
    this.#order.delete(oldest)
    this.#graves.delete(oldest)
    this.forget(at)
  }

  revive(key: string): void {
    if (this.#order.delete(key)) this.#graves.delete(key)
  }

  /** Deletions up to `index` happened that are not known one by one. */
  forget(index: number): void {
    if (index > this.#forgotten) this.#forgotten = index
  }

  /** Index of the deletion of `key`, or of the highest one forgotten. */
  at(key: string): number {
    return Math.max(this.#order.get(key) ?? 0, this.#forgotten)
  }

  /** Highest index of a deletion in the range, or forgotten. */
  within(from: string, to: string): number {
    return Math.max(this.#graves.rankIn(from, to), this.#forgotten)
  }
}
