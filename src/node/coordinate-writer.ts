/**
 * Writes the coordinates of a DC's nodes into its catalog: gathered for seconds, many in one transaction, and only those
 * that moved by so much that an order by distance may come out otherwise. A DC whose network is steady writes nothing.
 */
import { MAX_COORDINATES } from '../catalog/catalog.ts'
import type { CatalogView } from '../catalog/view.ts'
import type { Coordinate, CoordinateRow } from '../model/coordinate.ts'
import { messageOf } from '../model/errors.ts'
import { coordinateShiftMs } from '../model/vivaldi.ts'
import type { Clock, Logger } from '../runtime/ports.ts'

export interface CoordinateWriterOptions {
  readonly view: Pick<CatalogView, 'node' | 'coordinatesOf'>
  /** At most MAX_COORDINATES rows. */
  readonly write: (rows: readonly CoordinateRow[]) => Promise<unknown>
  readonly clock: Clock
  readonly logger: Logger
  /** Default 5,000. */
  readonly periodMs?: number
}

/** Transactions of one period; what is left waits for the next. */
const MAX_BATCHES = 5
/** Nodes whose coordinates wait; those that wait longest give way. */
const MAX_PENDING = 10_000
/** A place has moved when it is off by both: by less no order changes that anybody would notice. */
const MOVED_MS = 0.2
const MOVED_SHARE = 0.05
/** ... or when it is much surer (or less) of itself. */
const MOVED_ERROR = 0.3

export class CoordinateWriter {
  readonly #options: CoordinateWriterOptions
  readonly #pending = new Map<string, { readonly nodeId: string; readonly coordinate: Coordinate }>()
  readonly #timer: { cancel(): void }
  #writing = false

  constructor(options: CoordinateWriterOptions) {
    this.#options = options
    this.#timer = options.clock.every(options.periodMs ?? 5_000, () => void this.#flush())
  }

  /** The newest of a node counts. It is written when the catalog has that node under this id. */
  put(node: string, nodeId: string, coordinate: Coordinate): void {
    this.#pending.delete(node)
    this.#pending.set(node, { nodeId, coordinate })
    if (this.#pending.size > MAX_PENDING) this.#pending.delete(this.#pending.keys().next().value!)
  }

  close(): void {
    this.#timer.cancel()
    this.#pending.clear()
  }

  /** Never rejects: what could not be written is told again by its node. */
  async #flush(): Promise<void> {
    if (this.#writing) return
    this.#writing = true
    try {
      for (let batch = 0; batch < MAX_BATCHES; batch++) {
        const rows = this.#take(MAX_COORDINATES)
        if (rows.length === 0) return
        await this.#options.write(rows)
      }
    } catch (error) {
      this.#options.logger.debug({ reason: messageOf(error) }, 'coordinates could not be written')
    } finally {
      this.#writing = false
    }
  }

  #take(max: number): CoordinateRow[] {
    const rows: CoordinateRow[] = []
    for (const [node, { nodeId, coordinate }] of this.#pending) {
      if (rows.length >= max) break
      this.#pending.delete(node)
      const { view } = this.#options
      if (view.node(node)?.id !== nodeId) continue
      const stored = view.coordinatesOf(node).find(({ segment }) => segment === '')
      if (stored === undefined || hasMoved(stored.coordinate, coordinate)) rows.push({ node, segment: '', coordinate })
    }
    return rows
  }
}

function hasMoved(from: Coordinate, to: Coordinate): boolean {
  if (Math.abs(from.error - to.error) > MOVED_ERROR) return true
  const extentMs = (Math.hypot(...to.vec) + to.height) * 1000
  return coordinateShiftMs(from, to) > MOVED_MS + MOVED_SHARE * extentMs
}
