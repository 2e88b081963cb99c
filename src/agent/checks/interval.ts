import { messageOf } from '../../model/errors.ts'
import type { Clock, Random, Timer } from '../../runtime/ports.ts'
import { withDeadline } from '../deadline.ts'
import { isTimeout, type Outcome } from './outcome.ts'
import type { Release, Slots } from './slots.ts'
import type { Threshold } from './threshold.ts'

/** Consul's least interval. */
export const MIN_INTERVAL_MS = 1000
/** When none was given. */
export const DEFAULT_TIMEOUT_MS = 10_000
/** A check that was just registered should not stay critical for long; the slots hold back a stampede. */
const MAX_FIRST_DELAY_MS = 1000
/** Share of the interval by which runs drift apart. */
const JITTER = 0.05

export interface IntervalOptions {
  readonly intervalMs: number
  /** 0: the default. */
  readonly timeoutMs: number
  /** Part of many that begin together: the first run comes anywhere within the interval. */
  readonly spread: boolean
  readonly threshold: Threshold
  readonly clock: Clock
  readonly random: Random
  readonly slots: Slots
  /** One run, given its deadline. Anything that it throws makes the check critical. */
  readonly run: (signal: AbortSignal, timeoutMs: number) => Promise<Outcome>
  /** What a run that did not end in time amounts to. */
  readonly timedOut: Outcome
  readonly report: (outcome: Outcome) => void
}

/** Runs a check again and again: one run at a time, the next one an interval after the last has ended. */
export class IntervalLoop {
  readonly #options: IntervalOptions
  readonly #intervalMs: number
  readonly #timeoutMs: number
  readonly #stop = new AbortController()
  #timer: Timer | undefined
  #giveUp: (() => void) | undefined
  #slow = false

  constructor(options: IntervalOptions) {
    this.#options = options
    this.#intervalMs = Math.max(MIN_INTERVAL_MS, options.intervalMs)
    this.#timeoutMs = options.timeoutMs > 0 ? options.timeoutMs : DEFAULT_TIMEOUT_MS
    const within = options.spread ? this.#intervalMs : Math.min(this.#intervalMs, MAX_FIRST_DELAY_MS)
    this.#schedule(options.random.float() * within)
  }

  /** No report comes afterwards. */
  stop(): void {
    this.#timer?.cancel()
    this.#giveUp?.()
    this.#stop.abort(new Error('the check was removed'))
  }

  #schedule(delayMs: number): void {
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#giveUp = this.#options.slots.acquire(this.#slow, (release) => void this.#run(release))
    })
  }

  async #run(release: Release): Promise<void> {
    const { clock, random, threshold, report } = this.#options
    const startedMs = clock.nowMs()
    let outcome: Outcome
    try {
      // A run that does not heed its signal must not keep its slot.
      outcome = await withDeadline(clock, this.#timeoutMs, this.#stop.signal, (signal) =>
        this.#options.run(signal, this.#timeoutMs),
      )
    } catch (error) {
      outcome = isTimeout(error) ? this.#options.timedOut : { status: 'critical', output: messageOf(error) }
    } finally {
      this.#slow = clock.nowMs() - startedMs > this.#timeoutMs / 2
      release()
    }
    if (this.#stop.signal.aborted) return
    this.#schedule(this.#intervalMs * (1 - JITTER + 2 * JITTER * random.float()))
    const counts = threshold.judge(outcome)
    if (counts) report(counts)
  }
}
