import type { ObservedAges } from '../codec.ts'

/**
 * How old revisions are, in time that a leader has observed: samples of (time, revision), a step apart, over a span. No
 * wall clock: a jump of it cannot make anything look old.
 */
export class Ages {
  readonly #stepMs: number
  readonly #spanMs: number
  #samples: (readonly [elapsedMs: number, revision: number])[]

  constructor(stepMs: number, spanMs: number, samples: ObservedAges['samples'] = []) {
    this.#stepMs = stepMs
    this.#spanMs = spanMs
    this.#samples = [...samples]
  }

  get samples(): ObservedAges['samples'] {
    return this.#samples
  }

  /** Whether a sample was due, and was taken. */
  sample(elapsedMs: number, revision: number): boolean {
    const last = this.#samples.at(-1)
    if (last && elapsedMs - last[0] < this.#stepMs) return false
    this.#samples.push([elapsedMs, revision])
    // One that is older than the span is kept, to know what is at least that old.
    while (this.#samples.length > 1 && elapsedMs - this.#samples[1]![0] >= this.#spanMs) this.#samples.shift()
    return true
  }

  /** The highest revision known to be at least so old; 0 when none is. */
  olderThan(ageMs: number, elapsedMs: number): number {
    let found = 0
    for (const [at, revision] of this.#samples) if (elapsedMs - at >= ageMs) found = revision
    return found
  }
}
