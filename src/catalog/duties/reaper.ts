import { SERF_HEALTH } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { keyPart, keys } from '../../model/keys.ts'
import type { Clock, Logger } from '../../runtime/ports.ts'
import type { Compare, Store } from '../../store/store.ts'
import { decodeAges, encodeAges } from '../codec.ts'
import type { OpenCatalog } from '../open.ts'
import { Ages } from './ages.ts'

export interface ReaperOptions {
  readonly store: Store
  readonly catalog: OpenCatalog
  readonly clock: Clock
  readonly logger: Logger
  readonly guard: Compare
  /** An agent's node whose serfHealth was critical for so long is deregistered. */
  readonly reapNodesAfterMs: number
  /** Outcomes of commands with a request id are kept for so long. */
  readonly keepRequestsMs: number
  /** History is kept for so long where the store has no policy of its own; undefined: it has one. */
  readonly keepHistoryMs: number | undefined
}

const TICK_MS = 60_000
/** Deletions in one transaction. */
const BATCH = 100

/**
 * Removes what has had its time: nodes that are long dead, outcomes of old requests, history. The age of nodes counts over
 * restarts: what the leader knows of it is kept in the store.
 */
export class Reaper {
  readonly #o: ReaperOptions
  readonly #startMs: number
  readonly #stop: () => void
  /** In this term only. */
  readonly #recent: Ages
  /** Over all terms, once it was read. */
  #long: { readonly beforeMs: number; readonly ages: Ages } | undefined
  #work: Promise<void> | undefined
  #closed = false

  constructor(options: ReaperOptions) {
    this.#o = options
    this.#startMs = options.clock.nowMs()
    this.#recent = new Ages(TICK_MS, Math.max(options.keepRequestsMs, options.keepHistoryMs ?? 0))
    const ticker = options.clock.every(TICK_MS, () => this.#tick())
    this.#stop = () => ticker.cancel()
    this.#tick()
  }

  close(): void {
    this.#closed = true
    this.#stop()
  }

  #tick(): void {
    this.#work ??= this.#round()
      .catch((error: unknown) => {
        if (error instanceof AtollError && error.code === 'conflict') return
        this.#o.logger.warn({ error }, 'removing what is old failed; trying again')
      })
      .finally(() => {
        this.#work = undefined
      })
  }

  async #round(): Promise<void> {
    const elapsedMs = this.#o.clock.nowMs() - this.#startMs
    this.#recent.sample(elapsedMs, this.#o.catalog.view.revision)
    await this.#reapRequests(this.#recent.olderThan(this.#o.keepRequestsMs, elapsedMs))
    await this.#compact(elapsedMs)
    await this.#reapNodes(await this.#observe(elapsedMs))
  }

  async #reapRequests(upTo: number): Promise<void> {
    const old = [...this.#o.catalog.view.signals.outcomes].filter(([, outcome]) => outcome.modRevision <= upTo)
    for (let at = 0; at < old.length && !this.#closed; at += BATCH) {
      const then = old.slice(at, at + BATCH).map(([id]) => ({ delete: `r/${id}` }))
      const { succeeded } = await this.#o.store.txn({ if: [this.#o.guard], then })
      if (!succeeded) return
    }
  }

  async #compact(elapsedMs: number): Promise<void> {
    const { store, keepHistoryMs } = this.#o
    if (keepHistoryMs === undefined) return
    const upTo = this.#recent.olderThan(keepHistoryMs, elapsedMs)
    if (upTo > store.status().compactedRevision) await store.compact(upTo)
  }

  /** The highest revision that is old enough for what it left critical to be removed. */
  async #observe(elapsedMs: number): Promise<number> {
    const { store, guard, catalog, reapNodesAfterMs } = this.#o
    const stepMs = Math.max(TICK_MS, reapNodesAfterMs / 144)
    if (!this.#long) {
      const { kvs } = await store.range(keys.ages, `${keys.ages}\0`)
      const known = kvs[0] ? decodeAges(kvs[0].value) : { elapsedMs: 0, samples: [] }
      this.#long = { beforeMs: known.elapsedMs, ages: new Ages(stepMs, reapNodesAfterMs, known.samples) }
    }
    const { beforeMs, ages } = this.#long
    const totalMs = beforeMs + elapsedMs
    if (ages.sample(totalMs, catalog.view.revision)) {
      const value = encodeAges({ elapsedMs: totalMs, samples: ages.samples })
      await store.txn({ if: [guard], then: [{ put: keys.ages, value }] })
    }
    return ages.olderThan(reapNodesAfterMs, totalMs)
  }

  async #reapNodes(upTo: number): Promise<void> {
    const { catalog, guard, logger } = this.#o
    const { view } = catalog
    for (const node of view.nodes()) {
      if (this.#closed) return
      const state = view.registry.nodeStates.get(keyPart(node.node))
      const health = state?.checks.get(keyPart(SERF_HEALTH))
      if (node.owner !== 'agent' || health?.row?.status !== 'critical') continue
      if (view.revisionOf(health.row.modifyIndex) > upTo) continue
      const stillDead: Compare[] = [
        { key: keys.lease(node.id), target: 'create', op: '=', to: 0 },
        { key: keys.check(node.node, SERF_HEALTH), target: 'mod', op: '=', to: view.revisionOf(health.entryIndex) },
      ]
      try {
        await catalog.execute({ kind: 'deregister', node: node.node }, { guard: [guard, ...stillDead] })
        logger.info({ node: node.node }, 'a node that was dead for long is removed')
      } catch (error) {
        if (!(error instanceof AtollError && error.code === 'conflict')) throw error
      }
    }
  }
}
