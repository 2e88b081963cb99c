/**
 * Answers that are kept until what they show changes. A cell belongs to one question as one route answers it; all who
 * ask the same share it, waiters too.
 */
import type { Topic } from '../catalog/view.ts'
import type { Answer } from './mesh.ts'
import type { Routes } from './routes.ts'

export interface Evaluation {
  readonly value: unknown
  readonly index: number
  readonly datacenter: string
  readonly failover: Answer<unknown>['failover']
  readonly topics: readonly Topic[]
  /** Judged on other DCs' state too. */
  readonly routed: boolean
  /** The answer shows ages: work it out anew after this moment (which wakes nobody). */
  readonly expiresAtMs?: number
}

/**
 * Whether who asked with an index has seen this. One from another history (another generation) is answered at once, and so is any but
 * the newest of an answer that moves between DCs.
 */
export function mustWait(evaluation: Evaluation, moves: boolean, index: number | undefined): boolean {
  if (index === undefined || index <= 0) return false
  if (evaluation.index > index) return false
  if (evaluation.index === index) return true
  if (moves && evaluation.routed) return false
  return Math.floor(index / 2 ** 40) === Math.floor(evaluation.index / 2 ** 40)
}

interface Kept {
  readonly evaluation: Evaluation
  readonly versions: readonly number[]
  readonly routesVersion: number
}

export class Cell {
  readonly #evaluate: (changed: boolean) => Evaluation
  readonly #routes: Routes
  readonly #nowMs: () => number
  #kept: Kept | undefined
  /** Entries in the answer that is kept. */
  entries = 0
  /** Told how many more (or fewer) they became. */
  onResized: ((change: number) => void) | undefined

  /** `evaluate(changed)`: `changed` is false when only the answer's age made it stale. */
  constructor(evaluate: (changed: boolean) => Evaluation, routes: Routes, nowMs: () => number) {
    this.#evaluate = evaluate
    this.#routes = routes
    this.#nowMs = nowMs
  }

  current(): Evaluation {
    const kept = this.#kept
    if (kept !== undefined && this.#stands(kept)) {
      const expiry = kept.evaluation.expiresAtMs
      if (expiry === undefined || this.#nowMs() < expiry) return kept.evaluation
      return this.#keep(this.#evaluate(false))
    }
    return this.#keep(this.#evaluate(true))
  }

  /** Resolves once `evaluation` stands no more, or when the signal aborts. */
  async changed(evaluation: Evaluation, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    if (this.#kept === undefined || this.#kept.evaluation !== evaluation || !this.#stands(this.#kept)) return
    const undo: (() => void)[] = []
    await new Promise<void>((resolve) => {
      const wake = (): void => resolve()
      for (const topic of evaluation.topics) undo.push(topic.onceChanged(wake))
      if (evaluation.routed) undo.push(this.#routes.onceChanged(wake))
      signal.addEventListener('abort', wake, { once: true })
      undo.push(() => signal.removeEventListener('abort', wake))
    })
    for (const take of undo) take()
  }

  #stands(kept: Kept): boolean {
    const { topics, routed } = kept.evaluation
    if (routed && kept.routesVersion !== this.#routes.version) return false
    for (let i = 0; i < topics.length; i++) if (topics[i]!.version !== kept.versions[i]) return false
    return true
  }

  #keep(evaluation: Evaluation): Evaluation {
    this.#kept = {
      evaluation,
      versions: evaluation.topics.map((topic) => topic.version),
      routesVersion: this.#routes.version,
    }
    const entries = Array.isArray(evaluation.value) ? evaluation.value.length : 1
    if (entries !== this.entries) {
      const change = entries - this.entries
      this.entries = entries
      this.onResized?.(change)
    }
    return evaluation
  }
}

/** What a cell costs beside its entries, and a character of its key (which the question holds once more), in entries. */
const CELL_COST = 8
const KEY_COST = 1 / 16

/**
 * The least recently used go first, when there are too many or their answers together are too long: what a client asks
 * for, under however many names, takes a bounded part of the memory. The newest always stays.
 */
export class CellCache {
  readonly #cells = new Map<string, Cell>()
  readonly #max: number
  readonly #maxCost: number
  #cost = 0

  /** `maxCost`: entries of all kept answers together, each at most a few hundred bytes beside what the tables hold. */
  constructor(max: number, maxCost: number) {
    this.#max = max
    this.#maxCost = maxCost
  }

  get size(): number {
    return this.#cells.size
  }

  get(key: string, make: () => Cell): Cell {
    const found = this.#cells.get(key)
    if (found !== undefined) {
      this.#cells.delete(key)
      this.#cells.set(key, found)
      return found
    }
    const cell = make()
    this.#cells.set(key, cell)
    this.#resized(costOf(key, cell))
    cell.onResized = (change) => this.#resized(change)
    return cell
  }

  #resized(change: number): void {
    this.#cost += change
    while (this.#cells.size > this.#max || (this.#cost > this.#maxCost && this.#cells.size > 1)) this.#dropOldest()
  }

  /** Who uses it goes on with it. */
  #dropOldest(): void {
    const [key, cell] = this.#cells.entries().next().value!
    this.#cells.delete(key)
    this.#cost -= costOf(key, cell)
    cell.onResized = undefined
  }
}

const costOf = (key: string, cell: Cell): number => CELL_COST + key.length * KEY_COST + cell.entries
