import { create } from '@bufbuild/protobuf'
import { messageOf } from '../../model/errors.ts'
import type { Clock, Logger, Random, Timer } from '../../runtime/ports.ts'
import { StoreError } from '../store.ts'
import type { Cluster } from './cluster.ts'
import type { Slot } from './commit.ts'
import type { KeySpace } from './key-space.ts'
import type { Leases } from './leases.ts'
import { putOp, rangeOp, unchanged } from './messages.ts'
import { KV, TxnRequestSchema } from './proto/etcd_pb.js'

export interface SlotsOptions {
  readonly cluster: Cluster
  readonly keys: KeySpace
  readonly leases: Leases
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** Commits that one process may have under way; a barrier looks at all slots there are. */
export const SLOTS = 64
/** Slots of a process that was not heard for so long are removed by others. */
const PRESENCE_MS = 60_000
const RENEW_MS = 15_000
const RETRY_MS = 1_000
/** At the end a lease is given back, and not for longer than this. */
const REVOKE_MS = 1_000

interface Waiter {
  readonly resolve: (slot: Slot) => void
  readonly reject: (error: StoreError) => void
  readonly timer: Timer
}

const empty = new Uint8Array(0)

/**
 * The slots of this process (see `commit.ts`), and the sign that it lives. They are not bound to its lease themselves: a slot
 * that vanishes while a commit is under way would take the commit's outcome with it.
 */
export class Slots {
  readonly #o: SlotsOptions
  readonly #waiting: Waiter[] = []
  #process = ''
  #free: Slot[] = []
  #own = new Set<Slot>()
  #lease = 0
  #making: Promise<bigint> | undefined
  #renewal: Timer | undefined
  #closed = false

  constructor(options: SlotsOptions) {
    this.#o = options
  }

  /** The name of this process in the store. */
  get process(): string {
    return this.#process
  }

  /** Makes the slots; resolves with the revision at which they were. */
  async open(): Promise<bigint> {
    const revision = await this.#make()
    this.#renewal = this.#o.clock.every(RENEW_MS, () => void this.#renew())
    return revision
  }

  /** One that nobody else has now. Rejects with 'overloaded' after `timeoutMs`. */
  take(timeoutMs: number): Slot | Promise<Slot> {
    const slot = this.#free.pop()
    if (slot) return slot
    return new Promise((resolve, reject) => {
      const timer = this.#o.clock.after(timeoutMs, () => {
        const at = this.#waiting.indexOf(waiter)
        if (at >= 0) this.#waiting.splice(at, 1)
        reject(
          new StoreError('overloaded', `no transaction came through for ${Math.round(timeoutMs)} ms; try again later`),
        )
      })
      const waiter: Waiter = { resolve, reject, timer }
      this.#waiting.push(waiter)
    })
  }

  give(slot: Slot): void {
    if (!this.#own.has(slot)) return
    const waiter = this.#waiting.shift()
    if (waiter) {
      waiter.timer.cancel()
      waiter.resolve(slot)
    } else this.#free.push(slot)
  }

  /** A slot is not there any more: this process was taken for dead. All of them are made anew, under another name. */
  async lost(slot: Slot): Promise<void> {
    if (!this.#own.has(slot)) return
    this.#o.logger.warn({ process: this.#process }, 'this process was taken for dead by others on the same store')
    await this.#make()
  }

  /** Other slots, under another name: what is known of these is not so any more. */
  async renew(): Promise<void> {
    await this.#make()
  }

  #make(): Promise<bigint> {
    this.#making ??= this.#makeOnce().finally(() => {
      this.#making = undefined
    })
    return this.#making
  }

  async #makeOnce(): Promise<bigint> {
    const { cluster, keys, leases, random } = this.#o
    const process = Buffer.from(random.bytes(8)).toString('hex')
    const lease = await leases.grant(PRESENCE_MS)
    const slotKeys = Array.from({ length: SLOTS }, (_, n) => keys.slot(process, n))
    // Asked again when the answer is lost: then it may find that it was done.
    const request = create(TxnRequestSchema, {
      compare: [unchanged(slotKeys[0]!, 0n)],
      success: [
        putOp(keys.process(process), empty, BigInt(lease.id)),
        putOp(keys.head, empty),
        ...slotKeys.map((key) => putOp(key, empty)),
      ],
      failure: [rangeOp({ key: slotKeys[0]! })],
    })
    const response = await cluster.ask(KV.method.txn, request, 'slots for transactions')
    const found = response.responses[0]?.response
    const mod = !response.succeeded && found?.case === 'responseRange' ? found.value.kvs[0]?.modRevision : undefined
    const revision = mod ?? response.header!.revision
    this.#process = process
    this.#lease = lease.id
    const slots = slotKeys.map((key): Slot => ({ key, mod: revision }))
    this.#own = new Set(slots)
    this.#free = []
    for (const slot of slots) this.give(slot)
    return revision
  }

  async #renew(): Promise<void> {
    try {
      await this.#o.leases.renew(this.#lease)
    } catch (error) {
      if (this.#closed) return
      if (error instanceof StoreError && error.code === 'no-lease') {
        await this.#make().catch((again: unknown) => {
          this.#o.logger.warn({ reason: messageOf(again) }, 'no new slots could be made; trying again')
          this.#o.clock.after(RETRY_MS, () => {
            if (!this.#closed) void this.#renew()
          })
        })
        return
      }
      this.#o.logger.warn({ reason: messageOf(error) }, 'the sign that this process lives could not be renewed')
    }
  }

  /** Others may remove the slots of this process from now on; where etcd cannot take that, once its lease has lapsed. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#renewal?.cancel()
    for (const { reject, timer } of this.#waiting.splice(0)) {
      timer.cancel()
      reject(new StoreError('closed', 'the store is closed'))
    }
    const { clock, leases } = this.#o
    const late = Promise.withResolvers<void>()
    const timer = clock.after(REVOKE_MS, late.resolve)
    await Promise.race([leases.revoke(this.#lease).catch(() => {}), late.promise])
    timer.cancel()
  }
}
