/** A gap between ticks longer than this means that this process stood still, and may have missed signs of life. */
const STALL_MS = 2000
/** Terms for which it doubts itself after a start or a stall. */
const DOUBT_TERMS = 3

export interface DoubtOptions {
  readonly nowMs: number
  /** How long a term is, of which it doubts itself for three. */
  readonly termMs: number
  /** Share of all that may be given up per term meanwhile; at least 3. */
  readonly maxShare: number
}

/** How far a leader trusts its own view of who is alive: not fully after its start, nor after it stood still. */
export class Doubt {
  readonly #termMs: number
  readonly #maxShare: number
  #lastTickMs: number
  #untilMs: number
  #windowMs = 0
  #spent = 0

  constructor({ nowMs, termMs, maxShare }: DoubtOptions) {
    this.#termMs = termMs
    this.#maxShare = maxShare
    this.#lastTickMs = nowMs
    this.#untilMs = nowMs + DOUBT_TERMS * termMs
  }

  tick(nowMs: number): void {
    this.#lastTickMs = nowMs
  }

  /** How long this process stood still, when it did since the last tick: told once. */
  stalledMs(nowMs: number): number | undefined {
    const gapMs = nowMs - this.#lastTickMs
    if (gapMs <= STALL_MS) return undefined
    this.#lastTickMs = nowMs
    this.#untilMs = nowMs + DOUBT_TERMS * this.#termMs
    return gapMs
  }

  /** Whether one more of so many may be given up now; counts it. */
  afford(nowMs: number, countAll: () => number): boolean {
    if (nowMs >= this.#untilMs) return true
    if (nowMs - this.#windowMs >= this.#termMs) {
      this.#windowMs = nowMs
      this.#spent = 0
    }
    if (this.#spent >= Math.max(3, Math.floor(countAll() * this.#maxShare))) return false
    this.#spent++
    return true
  }
}
