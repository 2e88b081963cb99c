import type { Clock, Timer } from '../../runtime/ports.ts'
import type { Outcome } from './outcome.ts'

const EXPIRED = 'TTL expired'

/** Critical, with Consul's text, once a TTL check was not updated in time. */
export const ttlExpired = (lastOutput: string): Outcome => ({
  status: 'critical',
  output: lastOutput === '' ? EXPIRED : `${EXPIRED} (last output before timeout follows): ${lastOutput}`,
})

/** Waits for the updates of a TTL check; reports once when they cease, and again after each that came late. */
export class TtlTimer {
  readonly #clock: Clock
  readonly #ttlMs: number
  readonly #report: (outcome: Outcome) => void
  #timer: Timer
  #lastOutput = ''

  /** Begins with a full term. */
  constructor(options: { clock: Clock; ttlMs: number; report: (outcome: Outcome) => void }) {
    this.#clock = options.clock
    this.#ttlMs = options.ttlMs
    this.#report = options.report
    this.#timer = this.#arm()
  }

  updated(output: string): void {
    this.#lastOutput = output
    this.#timer.cancel()
    this.#timer = this.#arm()
  }

  stop(): void {
    this.#timer.cancel()
  }

  #arm(): Timer {
    return this.#clock.after(this.#ttlMs, () => this.#report(ttlExpired(this.#lastOutput)))
  }
}
