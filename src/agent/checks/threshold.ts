import type { Outcome } from './outcome.ts'

/**
 * Lets a check change its mind only after enough results of one kind in a row. Passing and warning count as successes,
 * as in Consul; whatever holds the status back is dropped.
 */
export class Threshold {
  readonly #successesNeeded: number
  readonly #failuresNeeded: number
  #successes = 0
  #failures = 0

  constructor(successBeforePassing: number, failuresBeforeCritical: number) {
    this.#successesNeeded = Math.max(1, successBeforePassing)
    this.#failuresNeeded = Math.max(1, failuresBeforeCritical)
  }

  /** Whether this outcome counts. */
  accepts(outcome: Outcome): boolean {
    if (outcome.status === 'critical') {
      this.#successes = 0
      return ++this.#failures >= this.#failuresNeeded
    }
    this.#failures = 0
    return ++this.#successes >= this.#successesNeeded
  }
}
