/** Between two heads of a DC that lives, give or take what timers and networks do. */
const USUAL_SILENCE_MS = 1200

/**
 * How new what was heard last is at least. What comes after a silence may be as old as that: its gateway was stopped, or it was
 * held up on its way. So its age is what the silence was longer than it should be, until the next one shows that news flows.
 */
export class Freshness {
  #heardMs: number | undefined
  #asOfMs: number

  constructor(nowMs: number) {
    this.#asOfMs = nowMs
  }

  get asOfMs(): number {
    return this.#asOfMs
  }

  /** Something strictly newer than all before was heard. */
  heard(nowMs: number): void {
    const silentMs = nowMs - (this.#heardMs ?? nowMs)
    this.#asOfMs = nowMs - Math.max(0, silentMs - USUAL_SILENCE_MS)
    this.#heardMs = nowMs
  }
}
