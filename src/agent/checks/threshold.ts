import type { Outcome } from './outcome.ts'

export interface ThresholdOptions {
  /** At least 1 each. */
  readonly successBeforePassing: number
  readonly failuresBeforeCritical: number
  /** From so many on it is a warning already; not above `failuresBeforeCritical`, which it is unless given. */
  readonly failuresBeforeWarning?: number | undefined
}

/**
 * Lets a check change its mind only after enough results of one kind in a row. Passing and warning count as successes,
 * as in Consul; whatever holds the status back is dropped.
 */
export class Threshold {
  readonly #successesNeeded: number
  readonly #failuresNeeded: number
  readonly #failuresToWarn: number
  #successes = 0
  #failures = 0

  constructor({ successBeforePassing, failuresBeforeCritical, failuresBeforeWarning }: ThresholdOptions) {
    this.#successesNeeded = Math.max(1, successBeforePassing)
    this.#failuresNeeded = Math.max(1, failuresBeforeCritical)
    this.#failuresToWarn = failuresBeforeWarning ? Math.max(1, failuresBeforeWarning) : this.#failuresNeeded
  }

  /** What this outcome amounts to; undefined while it does not count. */
  judge(outcome: Outcome): Outcome | undefined {
    if (outcome.status !== 'critical') {
      this.#failures = 0
      return ++this.#successes >= this.#successesNeeded ? outcome : undefined
    }
    this.#successes = 0
    this.#failures++
    if (this.#failures >= this.#failuresNeeded) return outcome
    return this.#failures >= this.#failuresToWarn ? { ...outcome, status: 'warning' } : undefined
  }
}
