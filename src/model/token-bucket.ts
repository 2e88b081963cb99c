/** A token bucket: so many a second in the long run, so many at once after a pause. No clock: it is told what time it is. */
export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

export class TokenBucket {
  readonly #rate: Rate
  #level: number
  #atMs: number | undefined

  constructor(rate: Rate) {
    this.#rate = rate
    this.#level = rate.burst
  }

  /**
   * Takes `count` and says whether it may be had. Whatever is left suffices, so that what is larger than the burst gets
   * through too; it is paid for afterwards. Nothing is taken when it may not.
   */
  take(count: number, nowMs: number): boolean {
    if (this.waitMs(nowMs) > 0) return false
    this.#level -= count
    return true
  }

  /** Takes what is there already, whether it may be had or not. */
  spend(count: number, nowMs: number): void {
    this.#refill(nowMs)
    this.#level -= count
  }

  /** Milliseconds until something may be had. */
  waitMs(nowMs: number): number {
    this.#refill(nowMs)
    if (this.#level > 0) return 0
    return Math.max(1, Math.ceil((-this.#level / this.#rate.perSecond) * 1000))
  }

  /** Whether nothing was taken that is not paid for: a new one would be the same. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs)
    return this.#level >= this.#rate.burst
  }

  #refill(nowMs: number): void {
    const { perSecond, burst } = this.#rate
    const passedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs))
    this.#level = Math.min(burst, this.#level + (passedMs / 1000) * perSecond)
    this.#atMs = nowMs
  }
}
