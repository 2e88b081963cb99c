/** Rounds under way at once. More would only divide the same callers among more calls. */
const AT_ONCE = 2

/**
 * One call on behalf of all who ask for it at about the same time. Who comes joins a round that begins after it came, never one under
 * way: that need not cover what was acknowledged since it began. A round takes along all who come within the same turn of the event
 * loop, and those who come while as many rounds are under way as may be.
 */
export class Rounds<T> {
  readonly #run: () => Promise<T>
  #gathering: Promise<T> | undefined
  #underWay = 0
  #onFreed: (() => void) | undefined

  constructor(run: () => Promise<T>) {
    this.#run = run
  }

  /** The same promise for all of a round. */
  join(): Promise<T> {
    this.#gathering ??= this.#gather()
    return this.#gathering
  }

  async #gather(): Promise<T> {
    await turn()
    // A slow one frees its place in the end, as every call has a deadline.
    if (this.#underWay >= AT_ONCE) {
      await new Promise<void>((resolve) => {
        this.#onFreed = resolve
      })
    }
    this.#gathering = undefined
    this.#underWay++
    try {
      return await this.#run()
    } finally {
      this.#underWay--
      this.#onFreed?.()
      this.#onFreed = undefined
    }
  }
}

/** What arrived together is read within one turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
