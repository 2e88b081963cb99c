import { keys } from '../../model/keys.ts'
import type { Clock, Logger, Timer } from '../../runtime/ports.ts'
import { type Compare, type Store, StoreError } from '../../store/store.ts'
import { encodeLeader, type LeaderRecord } from '../codec.ts'
import type { Tables } from '../tables.ts'

export interface LeadershipOptions {
  readonly store: Store
  readonly tables: Tables
  readonly clock: Clock
  readonly logger: Logger
  readonly self: LeaderRecord
  readonly leaseMs: number
  /** Called with the guard of a term when it begins, and with undefined when it ends. Must not throw. */
  readonly onTerm: (guard: Compare | undefined) => void
}

/** The lease lapses by itself soon enough. */
const GIVE_BACK_MS = 1_000

/**
 * Holds the leader key, bound to a lease, or waits for it. Whoever held it before may still believe to lead: what a leader
 * writes is therefore guarded by the key's create revision, which is another one in each term.
 */
export class Leadership {
  readonly #o: LeadershipOptions
  readonly #ticker: Timer
  #lease = 0
  #leading = false
  /** Revision at which this term began. */
  #since = 0
  #renewedMs = 0
  #work: Promise<void> | undefined
  #closed = false

  constructor(options: LeadershipOptions) {
    this.#o = options
    this.#ticker = options.clock.every(options.leaseMs / 4, () => this.#step())
    this.#step()
  }

  get leading(): boolean {
    return this.#leading
  }

  #step(): void {
    if (this.#work || this.#closed) return
    this.#work = (this.#leading ? this.#renew() : this.#stand())
      .catch((error: unknown) => {
        if (this.#closed) return
        this.#o.logger.warn(
          { error },
          this.#leading ? 'renewing the leader lease failed' : 'standing for leader failed',
        )
      })
      .finally(() => {
        this.#work = undefined
      })
  }

  async #stand(): Promise<void> {
    const { store, tables, self, leaseMs } = this.#o
    const holder = tables.signals.leader
    if (holder) {
      if (!this.#mayReplace(holder)) return
      const still = { key: keys.leader, target: 'mod', op: '=', to: holder.modRevision } as const
      await store.txn({ if: [still], then: [{ delete: keys.leader }] })
    }
    const lease = await store.grantLease(leaseMs)
    const now = this.#o.clock.nowMs()
    const { succeeded, revision } = await store.txn({
      if: [{ key: keys.leader, target: 'create', op: '=', to: 0 }],
      then: [{ put: keys.leader, value: encodeLeader(self), lease: lease.id }],
    })
    if (!succeeded || this.#closed) {
      await store.revokeLease(lease.id)
      return
    }
    this.#lease = lease.id
    this.#renewedMs = now
    this.#leading = true
    this.#since = revision
    this.#o.logger.info({ revision }, 'this server leads its datacenter')
    this.#o.onTerm({ key: keys.leader, target: 'create', op: '=', to: revision })
  }

  /** A former life of this very server, or of any server where only one process can have the store, is over for sure. */
  #mayReplace(holder: LeaderRecord): boolean {
    const { store, self } = this.#o
    if (holder.bootId === self.bootId && holder.serverId === self.serverId) return true
    return store.status().driver === 'embedded' || holder.serverId === self.serverId
  }

  async #renew(): Promise<void> {
    const { store, clock, leaseMs } = this.#o
    const now = clock.nowMs()
    if (this.#isReplaced()) {
      this.#stepDown()
      return
    }
    try {
      await store.renewLease(this.#lease)
      this.#renewedMs = now
    } catch (error) {
      const lapsed = error instanceof StoreError && (error.code === 'no-lease' || error.code === 'closed')
      if (lapsed || clock.nowMs() - this.#renewedMs >= leaseMs) this.#stepDown()
      throw error
    }
  }

  #isReplaced(): boolean {
    const { tables } = this.#o
    return tables.revision >= this.#since && tables.signals.leader?.createRevision !== this.#since
  }

  #stepDown(): void {
    if (!this.#leading) return
    this.#leading = false
    this.#lease = 0
    const { logger } = this.#o
    if (this.#closed) logger.info({}, 'this server stops leading its datacenter')
    else logger.warn({}, 'this server leads its datacenter no longer')
    this.#o.onTerm(undefined)
  }

  /** Gives the lead back, so that another server can take it at once; a store that cannot take that now is not waited for. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#ticker.cancel()
    const late = Promise.withResolvers<void>()
    const timer = this.#o.clock.after(GIVE_BACK_MS, late.resolve)
    await Promise.race([this.#giveBack(), late.promise])
    timer.cancel()
    this.#stepDown()
  }

  /** Never rejects. */
  async #giveBack(): Promise<void> {
    await this.#work
    const lease = this.#lease
    this.#stepDown()
    if (lease !== 0) await this.#o.store.revokeLease(lease).catch(() => {})
  }
}
