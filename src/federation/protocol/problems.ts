/**
 * What is wrong with the identity of a node or DC, as sentences for people: two that are one, or one that is another than before.
 * Bounded; each stays for a while after it was last seen.
 */
export type ProblemKind =
  /** Two processes use one key. */
  | 'key-in-use'
  /** Another DC has the name. */
  | 'name-taken'
  /** Two stores speak for one DC, in the same generation. */
  | 'rival-store'
  /** A second server of a DC whose store belongs to one. */
  | 'second-server'
  /** The own store was found to be older than what it once published. */
  | 'store-behind'
  /** Another DC went on from a restored store, or began anew. */
  | 'restored'

export interface Problem {
  readonly kind: ProblemKind
  readonly datacenter: string
  /** '' where it is about the whole DC. */
  readonly node: string
  /** What is so, and what to do. */
  readonly message: string
}

export interface SeenProblem extends Problem {
  readonly firstMs: number
  readonly lastMs: number
}

export interface ProblemsOptions {
  /** Default ten minutes. */
  readonly keepMs?: number
  /** The one that was seen the longest ago gives way. Default 64. */
  readonly max?: number
}

export class Problems {
  readonly #keepMs: number
  readonly #max: number
  readonly #seen = new Map<string, SeenProblem>()

  constructor({ keepMs = 600_000, max = 64 }: ProblemsOptions = {}) {
    this.#keepMs = keepMs
    this.#max = max
  }

  /** Whether it is new, and so to be told: not seen before, or not for a while. */
  note(problem: Problem, nowMs: number): boolean {
    this.#forget(nowMs)
    const key = [problem.kind, problem.datacenter, problem.node].join(' ')
    const known = this.#seen.get(key)
    this.#seen.delete(key)
    this.#seen.set(key, { ...problem, firstMs: known?.firstMs ?? nowMs, lastMs: nowMs })
    if (this.#seen.size > this.#max) this.#seen.delete(this.#seen.keys().next().value!)
    return known === undefined
  }

  /** Latest first. */
  list(nowMs: number): SeenProblem[] {
    this.#forget(nowMs)
    return [...this.#seen.values()].reverse()
  }

  #forget(nowMs: number): void {
    for (const [key, { lastMs }] of this.#seen) {
      if (nowMs - lastMs < this.#keepMs) return
      this.#seen.delete(key)
    }
  }
}
