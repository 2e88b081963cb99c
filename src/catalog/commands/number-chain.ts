/**
 * Numbers handed out that are not committed yet. Each transaction compares that the counter holds the number before its own,
 * so several go to the store at once, one behind the other, and one commit takes them all. When one fails, all behind it do, and
 * are judged again as a new chain. Nothing rests on this but speed: the compares alone keep numbers unique and growing.
 */
export class NumberChains {
  readonly #chains = new Map<string, Chain>()

  /** The last number on its way to the store under the prefix; undefined when none is. */
  last(prefix: string): number | undefined {
    return this.#chains.get(prefix)?.last
  }

  /** To be ended, once, when the outcome is known. */
  take(prefix: string, number: number): Taken {
    const chain = this.#chains.get(prefix) ?? { last: number, underWay: 0 }
    this.#chains.set(prefix, chain)
    chain.last = number
    chain.underWay++
    return {
      end: (succeeded) => {
        chain.underWay--
        const isOver = chain.underWay === 0 || !succeeded
        if (isOver && this.#chains.get(prefix) === chain) this.#chains.delete(prefix)
      },
    }
  }
}

export interface Taken {
  end(succeeded: boolean): void
}

interface Chain {
  last: number
  underWay: number
}
