import { create } from '@bufbuild/protobuf'
import type { Epoch } from '../../model/epoch.ts'
import { messageOf } from '../../model/errors.ts'
import type { Clock, Logger, Random, Timer } from '../../runtime/ports.ts'
import {
  type Lease,
  type RangeOptions,
  type RangeResult,
  type Store,
  StoreError,
  type StoreStatus,
  type Txn,
  type TxnResult,
  type Watch,
  type WatchHandler,
} from '../store.ts'
import { assertRange, assertTxn } from '../validate.ts'
import { Barrier } from './barrier.ts'
import type { Cluster } from './cluster.ts'
import { Committer } from './committer.ts'
import { connect, type EtcdOptions, silent } from './connect.ts'
import {
  decodeIdentity,
  encodeIdentity,
  newEpoch,
  openIdentity,
  raiseIdentity,
  type StoredIdentity,
} from './identity.ts'
import { KeySpace } from './key-space.ts'
import { Leases } from './leases.ts'
import { type MappedTxn, putOp, unchanged } from './messages.ts'
import { orphansOf } from './orphans.ts'
import { CompactionRequestSchema, KV, Maintenance, PutRequestSchema, StatusRequestSchema } from './proto/etcd_pb.js'
import { readRange } from './range.ts'
import { Slots } from './slots.ts'
import { Space } from './space.ts'
import { WatchHub } from './watches.ts'

export type { EtcdOptions, EtcdTls } from './connect.ts'

/** Without events for so long, one is made: a compaction would otherwise overtake a watch that has nothing to hear. */
const IDLE_MS = 60_000
const UPKEEP_MS = 15_000
/** Every so many rounds of upkeep, slots of processes that are gone are looked for. */
const ORPHANS_EVERY = 4
const MAX_TOUCHES = 5

/**
 * A store in an etcd cluster of version 3.4 or later, which any number of servers may share. Throws StoreError: 'unavailable' when
 * no majority can be reached, 'invalid' when the prefix is another datacenter's, 'version' when a newer Atoll wrote it.
 */
export async function openEtcd(options: EtcdOptions): Promise<Store> {
  const cluster = connect(options)
  options.connected?.(cluster)
  try {
    return await EtcdStore.open(cluster, options, options.logger ?? silent)
  } catch (error) {
    cluster.close()
    throw error
  }
}

class EtcdStore implements Store {
  readonly #cluster: Cluster
  readonly #keys: KeySpace
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #leases: Leases
  readonly #slots: Slots
  readonly #space: Space
  readonly #hub: WatchHub
  readonly #committer: Committer
  readonly #barrier: Barrier
  readonly #upkeep: Timer
  #identity: StoredIdentity
  /** Epoch that this process is about to write: its own watches need not be told. */
  #raising: Epoch | undefined
  #beginningAnew: Promise<void> | undefined
  #compacted = 0
  #sizeBytes = 1
  #rounds = 0
  #eventAtMs: number
  #closing: Promise<void> | undefined

  static async open(cluster: Cluster, options: EtcdOptions, logger: Logger): Promise<EtcdStore> {
    const { clock, random, owner } = options
    const keys = new KeySpace(options.prefix)
    const identity = await openIdentity(cluster, keys, owner, random)
    let store: EtcdStore | undefined
    const forgettable = (): number => store?.status().revision ?? 0
    const space = new Space({ cluster, clock, random, logger, forgettable })
    const leases = new Leases({ cluster, clock, random, onExhausted: () => space.onExhausted() })
    const slots = new Slots({ cluster, keys, leases, clock, random, logger })
    try {
      const revision = Number(await slots.open())
      store = new EtcdStore({ cluster, keys, space, leases, slots, options, logger }, identity, revision)
      await store.#measure()
      await store.#removeOrphans()
      return store
    } catch (error) {
      await store?.close()
      await slots.close()
      leases.close()
      throw error
    }
  }

  private constructor(
    parts: {
      cluster: Cluster
      keys: KeySpace
      space: Space
      leases: Leases
      slots: Slots
      options: EtcdOptions
      logger: Logger
    },
    identity: StoredIdentity,
    since: number,
  ) {
    const { cluster, keys, space, leases, slots, options, logger } = parts
    const { clock } = options
    this.#cluster = cluster
    this.#keys = keys
    this.#clock = clock
    this.#random = options.random
    this.#logger = logger
    this.#leases = leases
    this.#slots = slots
    this.#space = space
    this.#identity = identity
    this.#eventAtMs = clock.nowMs()
    this.#hub = new WatchHub({
      cluster,
      keys,
      clock,
      logger,
      since,
      onEpoch: (value, revision) => this.#onEpoch(value, revision),
    })
    this.#barrier = new Barrier({
      cluster,
      keys,
      hub: this.#hub,
      known: () => this.status().revision,
      onWentBack: (revision) => this.#onWentBack(revision),
    })
    this.#committer = new Committer({
      cluster,
      keys,
      slots,
      clock,
      barrier: () => this.#barrier.join(),
      shown: async (revision) => {
        await this.#hub.reach(revision)
        return this.#hub.shown
      },
      rangeAt: async (from, to, revision) => (await this.#readAt(from, to, { revision })).kvs,
      onExhausted: () => space.onExhausted(),
    })
    this.#upkeep = clock.every(UPKEEP_MS, () => void this.#keepUp())
  }

  get epoch(): Epoch {
    return this.#identity.epoch
  }

  async raiseGeneration(generation: number): Promise<Epoch> {
    this.#assertOpen()
    if (!Number.isSafeInteger(generation) || generation < 0) {
      throw new StoreError('invalid', `generation: ${generation} is no generation`)
    }
    while (this.epoch.generation < generation) {
      const { owner } = this.#identity
      const epoch = newEpoch(generation, this.#random)
      const value = encodeIdentity({ epoch, owner })
      const compares = [unchanged(this.#keys.epoch, BigInt(this.#identity.modRevision))]
      this.#raising = epoch
      const { succeeded, revision } = await this.#committer.run(internal(compares, [putOp(this.#keys.epoch, value)]))
      // Either way the watch has brought what stands there now, see `#onEpoch`.
      if (!succeeded) await this.#hub.reach(revision)
    }
    return this.epoch
  }

  /** Whether watches have to begin anew: another process began another life of the store. */
  #onEpoch(value: Uint8Array, revision: number): boolean {
    if (revision <= this.#identity.modRevision) return false
    try {
      const { epoch, owner } = decodeIdentity(value, this.#keys.prefix)
      this.#identity = { epoch, owner, modRevision: revision }
      return epoch.random !== this.#raising?.random
    } catch (error) {
      this.#logger.error({ error }, 'the identity of the store was overwritten')
      return false
    }
  }

  /**
   * What this process knows of the store is of a history that is no more. Another life begins, unless another server began it: what
   * was published of the former one would contradict it.
   */
  #onWentBack(revision: number): Promise<void> {
    this.#beginningAnew ??= this.#beginAnew(revision).finally(() => {
      this.#beginningAnew = undefined
    })
    return this.#beginningAnew
  }

  async #beginAnew(revision: number): Promise<void> {
    const { epoch, owner } = this.#identity
    const fields = { revision, before: this.#hub.position, generation: epoch.generation }
    this.#logger.error(fields, 'etcd went back to an earlier state: its generation rises, and everything is read anew')
    const found = await openIdentity(this.#cluster, this.#keys, owner, this.#random)
    // Before anybody reads anew: what they read is of the new life.
    this.#identity = await raiseIdentity(this.#cluster, this.#keys, found, epoch.generation + 1, this.#random)
    await this.#slots.renew()
    this.#committer.forget()
    this.#compacted = 0
    this.#hub.beginAnew(Math.max(revision, this.#identity.modRevision))
  }

  async txn(txn: Txn): Promise<TxnResult> {
    this.#assertOpen()
    assertTxn(txn)
    return this.#committer.submit(txn)
  }

  async range(from: string, to: string, options: RangeOptions = {}): Promise<RangeResult> {
    this.#assertOpen()
    assertRange(from, to, options.limit, 'range')
    if (options.revision !== undefined) return this.#readAt(from, to, { ...options, revision: options.revision })
    for (let touches = 0; ; touches++) {
      await this.#barrier.join()
      try {
        // At a revision that all servers come to, rather than at etcd's own, which others who use it raise.
        return await this.#readAt(from, to, { ...options, revision: this.#hub.position })
      } catch (error) {
        const forgotten = error instanceof StoreError && error.code === 'compacted'
        if (!forgotten || touches === MAX_TOUCHES) throw error
        await this.#touch()
      }
    }
  }

  async #readAt(from: string, to: string, options: RangeOptions & { readonly revision: number }): Promise<RangeResult> {
    return readRange(this.#cluster, this.#keys, from, to, options)
  }

  watch(from: string, to: string, sinceRevision: number, handler: WatchHandler): Watch {
    assertRange(from, to, undefined, 'watch')
    return this.#hub.add(from, to, sinceRevision, handler)
  }

  barrier(): Promise<number> {
    if (this.#closing) return Promise.reject(closed())
    return this.#barrier.join()
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    this.#assertOpen()
    return this.#leases.grant(ttlMs)
  }

  async renewLease(id: number): Promise<void> {
    this.#assertOpen()
    await this.#leases.renew(id)
  }

  async revokeLease(id: number): Promise<void> {
    this.#assertOpen()
    await this.#leases.revoke(id)
  }

  async compact(revision: number): Promise<void> {
    this.#assertOpen()
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw new StoreError('invalid', `revision: ${revision} is no revision`)
    }
    if (revision <= this.#compacted) return
    if (revision > this.status().revision) {
      const at = await this.#barrier.join()
      if (revision > Math.max(at, this.#hub.position)) {
        throw new StoreError('invalid', `revision: ${revision} is still to come; the store is at ${at}`)
      }
    }
    const request = create(CompactionRequestSchema, { revision: BigInt(revision) })
    try {
      await this.#cluster.ask(KV.method.compact, request, 'a compaction')
    } catch (error) {
      // So much is forgotten already.
      if (!(error instanceof StoreError && error.code === 'compacted')) throw error
    }
    this.#compacted = Math.max(this.#compacted, revision)
  }

  status(): StoreStatus {
    return {
      driver: 'etcd',
      revision: Math.max(this.#hub.position, this.#committer.acknowledged),
      compactedRevision: this.#compacted,
      sizeBytes: this.#sizeBytes,
      failure: this.#space.full?.message,
    }
  }

  async #keepUp(): Promise<void> {
    try {
      if (++this.#rounds % ORPHANS_EVERY === 0) await this.#removeOrphans()
      await this.#measure()
      await this.#barrier.join()
      await this.#touchWhenIdle()
    } catch (error) {
      if (!this.#closing) this.#logger.debug({ reason: messageOf(error) }, 'the upkeep of etcd failed; trying again')
    }
  }

  #lastPosition = 0

  async #touchWhenIdle(): Promise<void> {
    const nowMs = this.#clock.nowMs()
    if (this.#hub.position !== this.#lastPosition) this.#eventAtMs = nowMs
    this.#lastPosition = this.#hub.position
    // Not all servers at the same time: the others hear of it.
    if (nowMs - this.#eventAtMs >= IDLE_MS * (1 + this.#random.float())) await this.#touch()
  }

  /** An event that only this driver sees. It may be written twice. */
  async #touch(): Promise<void> {
    const request = create(PutRequestSchema, { key: this.#keys.head })
    const { header } = await this.#cluster.ask(KV.method.put, request, 'a sign of life')
    await this.#hub.reach(Number(header!.revision))
  }

  async #measure(): Promise<void> {
    const status = await this.#cluster.ask(Maintenance.method.status, create(StatusRequestSchema), 'its status')
    this.#sizeBytes = Number(status.dbSize)
  }

  async #removeOrphans(): Promise<void> {
    for (const orphan of await orphansOf(this.#cluster, this.#keys)) {
      await this.#committer.run(internal([unchanged(this.#keys.process(orphan.process), 0n)], [orphan.removal]))
    }
  }

  #assertOpen(): void {
    if (this.#closing) throw closed()
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  async #shutDown(): Promise<void> {
    this.#upkeep.cancel()
    await this.#committer.drained()
    this.#hub.end(undefined)
    await this.#slots.close()
    this.#leases.close()
    await this.#space.close()
    this.#cluster.close()
  }
}

const closed = (): StoreError => new StoreError('closed', 'the store is closed')

/** A transaction on keys that users of the store do not see. */
const internal = (compares: MappedTxn['compares'], operations: MappedTxn['then']['operations']): MappedTxn => ({
  compares,
  then: { operations, asked: [], writes: true, shows: false },
  else: { operations: [], asked: [], writes: false, shows: false },
})
