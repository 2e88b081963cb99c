import { Awareness } from '../../model/awareness.ts'
import { type NodeRow, SERF_HEALTH } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { keyPart } from '../../model/keys.ts'
import type { Clock, Logger } from '../../runtime/ports.ts'
import type { Compare } from '../../store/store.ts'
import { NOT_LIVE_OUTPUT } from '../commands/register.ts'
import type { OpenCatalog } from '../open.ts'
import { Doubt } from './doubt.ts'

export interface LapsesOptions {
  readonly catalog: OpenCatalog
  readonly clock: Clock
  readonly logger: Logger
  /** Of this term of the leader. */
  readonly guard: Compare
  /** Term of a node's lease: what everyone is given when this leader cannot tell. */
  readonly leaseMs: number
  /** Share of the agents' nodes that are given up per term while this leader has reason to doubt itself; at least 3. */
  readonly maxShare: number
}

const TICK_MS = 250
/** Of a term, for each point of doubt: the period of the nodes' signs of life. */
const DOUBT_SHARE = 0.25
const RETRY_MS = 1000
const AT_ONCE = 64

/**
 * Turns the lapse of a node's lease into a critical serfHealth. Who has no lease when the leader begins, and everyone after
 * the leader itself stood still, first gets a full term; while its timers are late, a part of one.
 */
export class Lapses {
  readonly #o: LapsesOptions
  /** By the part of the node's id: when it is given up. */
  readonly #suspects = new Map<string, number>()
  readonly #stop: () => void
  readonly #awareness = new Awareness({ tickMs: TICK_MS })
  readonly #doubt: Doubt
  #scannedMs: number
  #heldUntilMs = 0
  #working = 0

  constructor(options: LapsesOptions) {
    this.#o = options
    const now = options.clock.nowMs()
    this.#doubt = new Doubt({ nowMs: now, termMs: options.leaseMs, maxShare: options.maxShare })
    this.#scannedMs = now
    this.#scan(now)
    const unlisten = options.catalog.view.signals.onLease((id, lease) => this.#onLease(id, lease !== undefined))
    const ticker = options.clock.every(TICK_MS, () => this.#tick())
    this.#stop = () => {
      unlisten()
      ticker.cancel()
    }
  }

  close(): void {
    this.#stop()
  }

  #onLease(id: string, stands: boolean): void {
    const now = this.#o.clock.nowMs()
    this.#noticeStall(now)
    if (stands) this.#suspects.delete(id)
    else this.#suspects.set(id, now + this.#doubtMs())
    if (!stands) queueMicrotask(() => this.#giveUpDue())
  }

  #tick(): void {
    const now = this.#o.clock.nowMs()
    this.#noticeStall(now)
    this.#doubt.tick(now)
    this.#awareness.tick(now)
    if (now - this.#scannedMs >= this.#o.leaseMs) this.#scan(now)
    this.#giveUpDue()
  }

  /** A server that gets no CPU hears nodes late: it waits for one more sign of life, and longer the worse it is. */
  #doubtMs(): number {
    return this.#awareness.score * DOUBT_SHARE * this.#o.leaseMs
  }

  #noticeStall(now: number): void {
    const stalledMs = this.#doubt.stalledMs(now)
    if (stalledMs === undefined) return
    this.#o.logger.warn({ stalledMs: Math.round(stalledMs) }, 'this server stood still: every node gets a full term')
    this.#heldUntilMs = now + this.#o.leaseMs
  }

  /** Agents' nodes that count as alive and have no lease get a term to take one. */
  #scan(now: number): void {
    this.#scannedMs = now
    const { signals } = this.#o.catalog.view
    for (const node of this.#o.catalog.view.nodes()) {
      if (!this.#isUp(node)) continue
      const id = keyPart(node.id)
      if (!signals.leases.has(id) && !this.#suspects.has(id)) this.#suspects.set(id, now + this.#o.leaseMs)
    }
  }

  #isUp(node: NodeRow): boolean {
    if (node.owner !== 'agent' || node.id === '') return false
    const state = this.#o.catalog.view.registry.nodeStates.get(keyPart(node.node))
    const health = state?.checks.get(keyPart(SERF_HEALTH))?.row
    return health !== undefined && health.status !== 'critical'
  }

  #giveUpDue(): void {
    const now = this.#o.clock.nowMs()
    if (now < this.#heldUntilMs) return
    const { view } = this.#o.catalog
    for (const [id, dueMs] of this.#suspects) {
      if (dueMs > now) continue
      if (this.#working >= AT_ONCE) return
      const node = [view.nodeById(id)].find((row) => row && this.#isUp(row))
      if (!node || view.signals.leases.has(id)) this.#suspects.delete(id)
      else if (this.#doubt.afford(now, () => this.#countAgents())) {
        this.#suspects.delete(id)
        void this.#giveUp(id, node)
      } else return
    }
  }

  #countAgents(): number {
    return this.#o.catalog.view.nodes().filter((node) => node.owner === 'agent').length
  }

  async #giveUp(id: string, node: NodeRow): Promise<void> {
    this.#working++
    try {
      await this.#o.catalog.execute(
        {
          kind: 'check-status',
          node: node.node,
          checkId: SERF_HEALTH,
          status: 'critical',
          output: NOT_LIVE_OUTPUT,
          ifNodeId: node.id,
        },
        { guard: [this.#o.guard, { key: `l/${id}`, target: 'create', op: '=', to: 0 }] },
      )
      this.#o.logger.info({ node: node.node }, 'a node is not alive any more')
    } catch (error) {
      // 'conflict': it lives after all, or this server leads no longer.
      if (error instanceof AtollError && error.code === 'conflict') return
      this.#o.logger.warn({ error, node: node.node }, 'a node that is gone could not be marked; trying again')
      this.#suspects.set(id, this.#o.clock.nowMs() + RETRY_MS)
    } finally {
      this.#working--
    }
  }
}
