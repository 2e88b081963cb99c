/** Random orders, cheaply: a generator of a few instructions, seeded once. */
import type { Random } from '../runtime/ports.ts'

/** xorshift32 (Marsaglia, 2003). Not for secrets. */
export class QuickRandom {
  #state: number

  constructor(random: Random) {
    const seed = random.bytes(4)
    this.#state = (seed[0]! | (seed[1]! << 8) | (seed[2]! << 16) | (seed[3]! << 24)) >>> 0 || 1
  }

  /** In [0, 1). */
  float(): number {
    let x = this.#state
    x ^= x << 13
    x >>>= 0
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x >>> 0
    return this.#state / 2 ** 32
  }

  /** In [0, n). */
  below(n: number): number {
    return Math.floor(this.float() * n)
  }
}

/** The numbers as they are. */
export function inOrder(): Draw {
  let at = 0
  return { next: () => at++ }
}

/** Gives the numbers below `n` one by one, each once, in a random order that is worked out only as far as it is asked for. */
export interface Draw {
  next(): number
}

/** Every order is as likely (Fisher and Yates). */
export class UniformDraw implements Draw {
  readonly #random: QuickRandom
  #order = new Uint16Array(64)
  #n = 0
  #at = 0

  constructor(random: QuickRandom) {
    this.#random = random
  }

  start(n: number): this {
    if (this.#order.length < n) this.#order = new Uint16Array(Math.min(65_535, n * 2))
    for (let i = 0; i < n; i++) this.#order[i] = i
    this.#n = n
    this.#at = 0
    return this
  }

  next(): number {
    const order = this.#order
    const at = this.#at++
    const j = at + this.#random.below(this.#n - at)
    const drawn = order[j]!
    order[j] = order[at]!
    order[at] = drawn
    return drawn
  }
}

/**
 * Each next one by its weight among those that are left: the least of exponential variables with the weights as rates
 * (Efraimidis and Spirakis, 2006). A weight of 0 counts as a hundredth.
 */
export function weightedDraw(random: QuickRandom, weights: readonly number[]): Draw {
  const keys = weights.map((weight) => -Math.log(1 - random.float()) / Math.max(weight, 0.01))
  const order = keys.map((_, i) => i).sort((a, b) => keys[a]! - keys[b]!)
  let at = 0
  return { next: () => order[at++]! }
}
