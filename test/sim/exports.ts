/** What a DC had exported when: the truth that a stated age is held against. */
import type { Epoch } from '../../src/model/epoch.ts'

interface Export {
  readonly atMs: number
  readonly epoch: Epoch
  readonly revision: number
}

/** Older ones are forgotten: of what is that old nothing is demanded. */
const MAX_EXPORTS = 4096

export class Exports {
  #list: Export[] = []

  note(atMs: number, epoch: Epoch, revision: number): void {
    this.#list.push({ atMs, epoch, revision })
    if (this.#list.length > 2 * MAX_EXPORTS) this.#list = this.#list.slice(-MAX_EXPORTS)
  }

  /** The store went back, or another one took its place: what was exported before need not be held any more. */
  forget(): void {
    this.#list = []
  }

  /** The last one up to that moment; undefined when there is none, or none that is remembered. */
  at(ms: number): Export | undefined {
    let low = 0
    let high = this.#list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#list[middle]!.atMs <= ms) low = middle + 1
      else high = middle
    }
    return this.#list[low - 1]
  }
}
