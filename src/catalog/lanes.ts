/**
 * Turns at named things: who holds a lane keeps all others from it until it is released. All lanes of a request are asked
 * for at once and granted in order of arrival, so nobody waits in a circle. Writers of one process take turns here, and
 * conflict in the store only with those of other processes.
 */
export class Lanes {
  readonly #lanes = new Map<string, Request[]>()

  /** Resolves with the release, to be called once; undefined when the lanes are free now and were granted on the spot. */
  acquire(names: readonly string[]): Turn {
    const request: Request = { names: names.length > 1 ? [...new Set(names)] : names, missing: 0, grant: undefined }
    for (const name of request.names) {
      const queue = this.#lanes.get(name)
      if (queue) {
        queue.push(request)
        request.missing++
      } else this.#lanes.set(name, [request])
    }
    const granted =
      request.missing === 0
        ? undefined
        : new Promise<void>((resolve) => {
            request.grant = resolve
          })
    return { granted, release: () => this.#release(request) }
  }

  /** Names that are held or waited for. */
  get size(): number {
    return this.#lanes.size
  }

  #release(request: Request): void {
    for (const name of request.names) {
      const queue = this.#lanes.get(name)!
      queue.shift()
      const next = queue[0]
      if (!next) this.#lanes.delete(name)
      else if (--next.missing === 0) next.grant?.()
    }
  }
}

interface Request {
  readonly names: readonly string[]
  /** Lanes at whose head it is not yet. */
  missing: number
  grant: (() => void) | undefined
}

export interface Turn {
  /** undefined: it is this one's turn now. */
  readonly granted: Promise<void> | undefined
  release(): void
}
