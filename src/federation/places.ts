/** A bound on what goes on at once. */
export class Places {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(places: number) {
    this.#free = places
  }

  /** The release of a place, to be called once; undefined when none is free now. */
  take(): (() => void) | undefined {
    if (this.#free === 0) return undefined
    this.#free--
    return once(() => this.#release())
  }

  /** Resolves with the release of a place, in order of arrival; with undefined when the signal aborts first. */
  async wait(signal: AbortSignal): Promise<(() => void) | undefined> {
    if (signal.aborted) return undefined
    if (this.#free === 0) {
      const granted = await new Promise<boolean>((resolve) => {
        const grant = (): void => {
          signal.removeEventListener('abort', giveUp)
          resolve(true)
        }
        const giveUp = (): void => {
          this.#waiting.splice(this.#waiting.indexOf(grant), 1)
          resolve(false)
        }
        this.#waiting.push(grant)
        signal.addEventListener('abort', giveUp, { once: true })
      })
      if (!granted) return undefined
    } else this.#free--
    return once(() => this.#release())
  }

  /** Hands the place to the next who waits. */
  #release(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}

function once(fn: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    fn()
  }
}
