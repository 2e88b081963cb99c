import type { Clock, Timer } from '../runtime/ports.ts'

/** One timer that runs `fn` at the time last asked for. */
export class Wakeup {
  readonly #clock: Clock
  readonly #fn: () => void
  #timer: Timer | undefined
  #atMs = Number.POSITIVE_INFINITY
  #closed = false

  constructor(clock: Clock, fn: () => void) {
    this.#clock = clock
    this.#fn = fn
  }

  /** Infinity for never. */
  at(atMs: number): void {
    if (this.#closed || atMs === this.#atMs) return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#atMs = atMs
    if (atMs === Number.POSITIVE_INFINITY) return
    this.#timer = this.#clock.after(Math.max(0, atMs - this.#clock.nowMs()), () => {
      this.#timer = undefined
      this.#atMs = Number.POSITIVE_INFINITY
      this.#fn()
    })
  }

  close(): void {
    this.at(Number.POSITIVE_INFINITY)
    this.#closed = true
  }
}
