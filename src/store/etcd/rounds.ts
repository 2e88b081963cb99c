/** Rounds under way at once. More would only divide the same callers among more calls. */
const AT_ONCE = 2

/**
 * One call on behalf of all who ask for it at about the same time. Who comes joins a round that begins after it came, never one under
 * way: that need not cover what was acknowledged since it began. A round takes along all who come within the same turn of the event
 * loop, and those who come while as many rounds are under way as may be; when one of these fails, so do they: it had asked for as
 * long as may be asked, and nobody shall wait for that twice.
 */
export class Rounds<T> {
  readonly #run: () => Promise<T>
  #gathering: Promise<T> | undefined
  #underWay = 0
  #waiting: PromiseWithResolvers<void> | undefined

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
    try {
      // A slow one frees its place in the end, as every call has a deadline.
      if (this.#underWay >= AT_ONCE) {
        this.#waiting = Promise.withResolvers()
        await this.#waiting.promise
      }
    } finally {
      this.#gathering = undefined
    }
    this.#underWay++
    try {
      const answer = await this.#run()
      this.#free()?.resolve()
      return answer
    } catch (error) {
      this.#free()?.reject(error)
      throw error
    }
  }

  /** Who waits for the place, if anybody does. */
  #free(): PromiseWithResolvers<void> | undefined {
    const waiting = this.#waiting
    this.#waiting = undefined
    this.#underWay--
    return waiting
  }
}

/** What arrived together is read within one turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
