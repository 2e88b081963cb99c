/** Bounds of the HTTP face: nothing that clients send makes a node grow without end. */
export interface HttpLimits {
  /** Path and query, in characters. */
  readonly maxTargetLength: number
  readonly maxHeaders: number
  /** Of any body but a KV value. */
  readonly maxBodyBytes: number
  /** Of an archive that is restored, as it is sent and unpacked. */
  readonly maxSnapshotBytes: number
  /** Requests that wait for a change, at once. */
  readonly maxBlockingQueries: number
  /** Event streams (`/v1/watch/`), at once. */
  readonly maxWatchers: number
  /** Questions whose route and encoded answer are kept, by URL. */
  readonly maxKeptAnswers: number
  /** Encoded bytes of the kept answers together. */
  readonly maxKeptBytes: number
  /** An event stream is quiet for at most so long. */
  readonly heartbeatMs: number
  /** A watcher that takes nothing for so long is disconnected. */
  readonly stalledWatcherMs: number
}

export const defaultLimits: HttpLimits = {
  maxTargetLength: 16_384,
  maxHeaders: 100,
  maxBodyBytes: 1024 * 1024,
  maxSnapshotBytes: 512 * 1024 * 1024,
  maxBlockingQueries: 10_000,
  maxWatchers: 1_000,
  maxKeptAnswers: 4_096,
  maxKeptBytes: 128 * 1024 * 1024,
  heartbeatMs: 15_000,
  stalledWatcherMs: 60_000,
}

export function countHeaders({ headers }: Request): number {
  let count = 0
  for (const _ of headers.keys()) count++
  return count
}

/** Counts what is under way against a bound. */
export class Gate {
  readonly #max: number
  #inside = 0

  constructor(max: number) {
    this.#max = max
  }

  get inside(): number {
    return this.#inside
  }

  /** undefined when full; otherwise leaves once, however often it is called. */
  enter(): (() => void) | undefined {
    if (this.#inside >= this.#max) return undefined
    this.#inside++
    let left = false
    return () => {
      if (!left) this.#inside--
      left = true
    }
  }
}
