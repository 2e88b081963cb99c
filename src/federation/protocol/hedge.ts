/**
 * When to ask a second gateway what the first has not answered yet (hedged requests: Dean and Barroso, "The Tail at Scale",
 * 2013): after the 95th percentile of what its peer took lately, and so rarely that it costs a few percent more calls.
 */

/** Answers that are remembered of each peer, and for how long. */
const WINDOW = 64
const WINDOW_MS = 60_000
/** With fewer than these nothing is known of the slow ones. */
const ENOUGH = 20
/** Whatever was measured, not sooner and not later than this. */
const MIN_AFTER_MS = 5
const MAX_AFTER_MS = 500

/** What the last calls to one peer took. */
export class Latencies {
  readonly #samples: { readonly tookMs: number; readonly atMs: number }[] = []
  /** Sorting is done once for some new samples, not for every call. */
  #afterMs: number | undefined
  #staleAfter = 0

  add(tookMs: number, nowMs: number): void {
    this.#samples.push({ tookMs, atMs: nowMs })
    if (this.#samples.length > WINDOW) this.#samples.shift()
    this.#staleAfter--
  }

  /** Undefined while too little is known. */
  hedgeAfterMs(nowMs: number): number | undefined {
    const newest = this.#samples.at(-1)
    if (newest === undefined || nowMs - newest.atMs > WINDOW_MS) return undefined
    if (this.#staleAfter > 0) return this.#afterMs
    this.#staleAfter = ENOUGH / 4
    const took = this.#samples.filter(({ atMs }) => nowMs - atMs <= WINDOW_MS).map(({ tookMs }) => tookMs)
    took.sort((a, b) => a - b)
    const p95 = took[Math.ceil(0.95 * took.length) - 1]!
    this.#afterMs = took.length < ENOUGH ? undefined : Math.min(MAX_AFTER_MS, Math.max(MIN_AFTER_MS, p95 + 1))
    return this.#afterMs
  }
}

/** Each call that could be hedged earns a part of one that is. */
export class HedgeBudget {
  readonly #share: number
  readonly #most: number
  #earned: number

  /** `share`: of second calls to first ones in the long run; `most`: in a row, after a quiet time. */
  constructor(share = 0.05, most = 10) {
    this.#share = share
    this.#most = most
    this.#earned = most / 2
  }

  earn(): void {
    this.#earned = Math.min(this.#most, this.#earned + this.#share)
  }

  spend(): boolean {
    if (this.#earned < 1) return false
    this.#earned--
    return true
  }
}
