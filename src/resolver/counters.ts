/**
 * Indexes of answers that may change DC. Revisions of different DCs cannot be compared, so such an answer counts on a
 * number of its own, which only rises on this node: the own DC's index while it rises, one more than before otherwise.
 */
/** Longer keys are names that nothing bears: they share one counter. */
const MAX_KEY = 256
const shortened = (key: string): string => (key.length > MAX_KEY ? '' : key)

export class AnswerCounters {
  readonly #numbers = new Map<string, number>()
  readonly #max: number
  /** Highest number of any counter that was forgotten. */
  #floor = 0

  constructor(max: number) {
    this.#max = max
  }

  /** Whether answers under `key` may have shown numbers that the own DC's index has not passed: one that was forgotten may have. */
  counts(key: string, ownIndex: number): boolean {
    return this.#numbers.has(shortened(key)) || ownIndex <= this.#floor
  }

  /** The number now; starts the counter at `ownIndex`. */
  current(key: string, ownIndex: number): number {
    return this.#numbers.get(shortened(key)) ?? this.#set(key, Math.max(ownIndex, this.#floor + 1))
  }

  /** The number after a change. */
  next(key: string, ownIndex: number): number {
    const former = this.#numbers.get(shortened(key))
    return this.#set(key, former === undefined ? Math.max(ownIndex, this.#floor) + 1 : Math.max(former + 1, ownIndex))
  }

  #set(name: string, value: number): number {
    const key = shortened(name)
    this.#numbers.delete(key)
    this.#numbers.set(key, value)
    if (this.#numbers.size > this.#max) {
      const [oldest, number] = this.#numbers.entries().next().value!
      this.#floor = Math.max(this.#floor, number)
      this.#numbers.delete(oldest)
    }
    return value
  }
}
