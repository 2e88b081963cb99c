/**
 * Circuit breaker of one peer (Nygard, "Release It!"): opens after consecutive failures, lets one probe through after a
 * pause that doubles, closes with the first success.
 */
export interface BreakerOptions {
  /** Consecutive timeouts until it opens. Default 3. */
  readonly failures?: number
  /** First pause and the longest. Default 1,000 and 10,000. */
  readonly openMs?: number
  readonly maxOpenMs?: number
}

export class Breaker {
  readonly #options: Required<BreakerOptions>
  #failures = 0
  #openUntilMs = 0
  #pauseMs = 0
  #probing = false

  constructor(options: BreakerOptions = {}) {
    this.#options = { failures: 3, openMs: 1000, maxOpenMs: 10_000, ...options }
  }

  get isOpen(): boolean {
    return this.#pauseMs > 0
  }

  /** Whether a call may be sent now. */
  allows(nowMs: number): boolean {
    return !this.isOpen || (nowMs >= this.#openUntilMs && !this.#probing)
  }

  /** A call is sent; while the breaker is open it is the probe. */
  begin(): void {
    if (this.isOpen) this.#probing = true
  }

  succeeded(): void {
    this.#failures = 0
    this.#pauseMs = 0
    this.#probing = false
  }

  /** The caller gave up before there was an outcome. */
  withdrawn(): void {
    this.#probing = false
  }

  timedOut(nowMs: number): void {
    this.#failures++
    const probeFailed = this.#probing
    this.#probing = false
    if (!probeFailed && (this.isOpen || this.#failures < this.#options.failures)) return
    this.#pauseMs = Math.min(this.#options.maxOpenMs, this.#pauseMs * 2 || this.#options.openMs)
    this.#openUntilMs = nowMs + this.#pauseMs
  }
}
