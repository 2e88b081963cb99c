/** Between two heads of a DC that lives, give or take what timers and networks do. */
const USUAL_SILENCE_MS = 1200
/** What was held up comes within so long, also where one hold-up follows on another; and less than a second, in which the next head comes. */
const BURST_MS = 900

/**
 * How new what was heard last is at least. What comes after a silence may be as old as that: its gateway was stopped, or it was
 * held up on its way; and what comes right behind it was held up too. So as long as nothing shows that news flows again, it is
 * only known to be of after the time when news flowed last, and of nothing when it never did.
 */
export class Freshness {
  #heardMs = Number.NEGATIVE_INFINITY
  /** When something came that was surely not held up; -Infinity before. */
  #flowedMs = Number.NEGATIVE_INFINITY
  /** What comes until then was held up together with the first. */
  #burstUntilMs = Number.NEGATIVE_INFINITY

  /** What was heard last was said then or later, give or take the usual silence; -Infinity while that is unknown. */
  get asOfMs(): number {
    return Math.min(this.#heardMs, this.#flowedMs + USUAL_SILENCE_MS)
  }

  /** Something strictly newer than all before was heard. */
  heard(nowMs: number): void {
    const silentMs = nowMs - this.#heardMs
    this.#heardMs = nowMs
    if (silentMs > USUAL_SILENCE_MS) this.#burstUntilMs = nowMs + BURST_MS
    if (nowMs >= this.#burstUntilMs) this.#flowedMs = nowMs
  }
}
