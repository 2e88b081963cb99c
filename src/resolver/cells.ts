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
    return evaluation
  }
}

/** The least recently used go first. */
export class CellCache {
  readonly #cells = new Map<string, Cell>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
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
    if (this.#cells.size > this.#max) this.#cells.delete(this.#cells.keys().next().value!)
    return cell
  }
}
