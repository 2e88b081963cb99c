/** Tells the holder's slot free; idempotent. */
export type Release = () => void

interface Waiting {
  readonly slow: boolean
  readonly begin: (release: Release) => void
}

/**
 * How many checks run at once. What came near its timeout last time is *slow* and may take at most half of the slots,
 * so that a hundred hanging backends do not hold up the checks of the healthy ones. First come, first served within
 * both kinds; who waits is bounded by the number of checks, for each asks once at a time.
 */
export class Slots {
  readonly #size: number
  #used = 0
  #usedBySlow = 0
  readonly #fast: Waiting[] = []
  readonly #slow: Waiting[] = []

  constructor(size: number) {
    this.#size = Math.max(2, size)
  }

  /** Calls `begin` as soon as there is room, perhaps at once. Returns how to give up waiting. */
  acquire(slow: boolean, begin: (release: Release) => void): () => void {
    const waiting: Waiting = { slow, begin }
    const queue = slow ? this.#slow : this.#fast
    queue.push(waiting)
    this.#serve()
    return () => {
      const at = queue.indexOf(waiting)
      if (at >= 0) queue.splice(at, 1)
    }
  }

  get used(): number {
    return this.#used
  }

  #serve(): void {
    while (this.#used < this.#size) {
      const next = this.#fast.shift() ?? (this.#usedBySlow < this.#size >> 1 ? this.#slow.shift() : undefined)
      if (next === undefined) return
      this.#begin(next)
    }
  }

  #begin(waiting: Waiting): void {
    this.#used++
    if (waiting.slow) this.#usedBySlow++
    let released = false
    waiting.begin(() => {
      if (released) return
      released = true
      this.#used--
      if (waiting.slow) this.#usedBySlow--
      this.#serve()
    })
  }
}
