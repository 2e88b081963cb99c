import { SERF_HEALTH } from '../../model/entries.ts'
import { keyPart, keys } from '../../model/keys.ts'
import type { Clock, Logger, Timer } from '../../runtime/ports.ts'
import { type Store, StoreError } from '../../store/store.ts'
import { encodeNodeLease } from '../codec.ts'
import { ALIVE_OUTPUT } from '../commands/register.ts'
import type { OpenCatalog } from '../open.ts'
import type { NodeLeaseState } from '../tables/signals.ts'

export interface LivenessOptions {
  readonly store: Store
  readonly catalog: OpenCatalog
  readonly clock: Clock
  readonly logger: Logger
  /** Id of this server: tells apart those that share the store. Default ''. */
  readonly server?: string
  /** How long a node counts as alive without being heard, in ms. Default 8,000. */
  readonly leaseMs?: number
  /** Signs of life within so many ms cost the store one renewal. Default 2,000. */
  readonly renewEveryMs?: number
  /** How long a node may take to come back after its connection closed, in ms. Default 1,000. */
  readonly goneGraceMs?: number
}

/** Which nodes live, as this server hears it of those that are connected to it. */
export interface Liveness {
  /**
   * A sign of life of a node; `bootId` changes with each start of its process. Resolves with whether its lease stands now;
   * never rejects: when the store fails, the next sign tries again.
   */
  alive(nodeId: string, node: string, bootId: string): Promise<boolean>
  /** Its connection closed: without a new sign of life it is given up soon. Of another boot than the last heard: ignored. */
  gone(nodeId: string, bootId?: string): void
  /** Leaves the leases to lapse: the nodes may be alive and find another server. */
  close(): void
}

interface Living {
  readonly id: string
  node: string
  bootId: string
  /** The store's lease; 0 for none. */
  lease: number
  renewedMs: number
  work: Promise<boolean> | undefined
  farewell: Timer | undefined
}

const SWEEP_MS = 60_000

export function createLiveness(options: LivenessOptions): Liveness {
  return new StoreLiveness(options)
}

class StoreLiveness implements Liveness {
  readonly #o: LivenessOptions
  readonly #leaseMs: number
  readonly #renewEveryMs: number
  readonly #goneGraceMs: number
  readonly #server: string
  readonly #living = new Map<string, Living>()
  readonly #sweeper: Timer
  #closed = false

  constructor(options: LivenessOptions) {
    this.#o = options
    this.#leaseMs = options.leaseMs ?? 8000
    this.#renewEveryMs = options.renewEveryMs ?? 2000
    this.#goneGraceMs = options.goneGraceMs ?? 1000
    this.#server = options.server ?? ''
    this.#sweeper = options.clock.every(SWEEP_MS, () => this.#sweep())
  }

  alive(nodeId: string, node: string, bootId: string): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false)
    const id = keyPart(nodeId)
    let living = this.#living.get(id)
    if (!living) {
      living = { id, node, bootId, lease: 0, renewedMs: 0, work: undefined, farewell: undefined }
      this.#living.set(id, living)
    }
    living.farewell?.cancel()
    living.farewell = undefined
    living.node = node
    if (living.bootId !== bootId) {
      living.bootId = bootId
      living.lease = 0
    }
    living.work ??= this.#attend(living)
    return living.work
  }

  gone(nodeId: string, bootId?: string): void {
    const living = this.#living.get(keyPart(nodeId))
    if (!living || this.#closed || (bootId !== undefined && bootId !== living.bootId)) return
    living.farewell ??= this.#o.clock.after(this.#goneGraceMs, () => {
      void this.#giveUp(living)
    })
  }

  close(): void {
    this.#closed = true
    this.#sweeper.cancel()
    for (const living of this.#living.values()) living.farewell?.cancel()
    this.#living.clear()
  }

  async #attend(living: Living): Promise<boolean> {
    try {
      const due = this.#o.clock.nowMs() - living.renewedMs >= this.#renewEveryMs
      if (living.lease === 0 || due) await this.#extend(living)
      await this.#heal(living)
      return true
    } catch (error) {
      this.#o.logger.warn({ error, node: living.node }, 'the lease of a node could not be renewed')
      return false
    } finally {
      living.work = undefined
    }
  }

  async #extend(living: Living): Promise<void> {
    const { store, catalog, clock } = this.#o
    const now = clock.nowMs()
    const { bootId } = living
    const known = catalog.view.signals.leases.get(living.id)
    // The lease may be known from before a restart of this server, or from another that heard the node; not of another boot.
    const standing = living.lease !== 0 ? living.lease : known?.bootId === bootId ? known.lease : 0
    if (standing !== 0 && (await this.#renewed(standing))) {
      if (!known || (await this.#takeOver(living, known, standing))) {
        living.lease = standing
        living.renewedMs = now
        return
      }
    }
    const lease = await store.grantLease(this.#leaseMs)
    await store.txn({ then: [this.#put(living, bootId, lease.id)] })
    // Another boot was heard meanwhile: this lease is not its.
    living.lease = living.bootId === bootId ? lease.id : 0
    living.renewedMs = now
    if (known && known.bootId !== bootId) await store.revokeLease(known.lease)
  }

  #put({ id, node }: Living, bootId: string, lease: number) {
    return { put: keys.lease(id), value: encodeNodeLease({ node, bootId, server: this.#server }), lease }
  }

  /** So that no other server gives the node up for having lost its own connection to it. Whether the key is this server's now. */
  async #takeOver(living: Living, known: NodeLeaseState, lease: number): Promise<boolean> {
    if (known.server === this.#server && known.lease === lease) return true
    const { bootId, id } = living
    const unchanged = { key: keys.lease(id), target: 'mod', op: '=', to: known.modRevision } as const
    const { succeeded } = await this.#o.store.txn({ if: [unchanged], then: [this.#put(living, bootId, lease)] })
    return succeeded
  }

  async #renewed(lease: number): Promise<boolean> {
    try {
      await this.#o.store.renewLease(lease)
      return true
    } catch (error) {
      if (error instanceof StoreError && error.code === 'no-lease') return false
      throw error
    }
  }

  async #heal({ id, node }: Living): Promise<void> {
    const { catalog } = this.#o
    const state = catalog.view.registry.nodeStates.get(keyPart(node))
    const health = state?.checks.get(keyPart(SERF_HEALTH))?.row
    if (health?.status !== 'critical' || keyPart(state!.row?.id ?? '') !== id) return
    await catalog.execute(
      {
        kind: 'check-status',
        node,
        checkId: SERF_HEALTH,
        status: 'passing',
        output: ALIVE_OUTPUT,
        ifNodeId: state!.row!.id,
      },
      { guard: [{ key: keys.lease(id), target: 'create', op: '>', to: 0 }] },
    )
  }

  async #giveUp(living: Living): Promise<void> {
    await living.work
    if (living.farewell === undefined || this.#living.get(living.id) !== living) return
    this.#living.delete(living.id)
    const known = this.#o.catalog.view.signals.leases.get(living.id)
    if (!known || known.lease !== living.lease || known.server !== this.#server) return
    const { store, logger } = this.#o
    try {
      // Unless another server hears it by now.
      const unchanged = { key: keys.lease(living.id), target: 'mod', op: '=', to: known.modRevision } as const
      const { succeeded } = await store.txn({ if: [unchanged], then: [{ delete: keys.lease(living.id) }] })
      if (succeeded) await store.revokeLease(living.lease)
    } catch (error) {
      logger.warn({ error, node: living.node }, 'the lease of a node that is gone could not be ended; it will lapse')
    }
  }

  /** Forgets those that were silent for so long that their leases have lapsed. */
  #sweep(): void {
    const oldest = this.#o.clock.nowMs() - Math.max(SWEEP_MS, 2 * this.#leaseMs)
    for (const [id, living] of this.#living) {
      if (!living.work && !living.farewell && living.renewedMs < oldest) this.#living.delete(id)
    }
  }
}
