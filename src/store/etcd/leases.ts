import { create } from '@bufbuild/protobuf'
import { status as codes } from '@grpc/grpc-js'
import type { Clock, Random, Timer } from '../../runtime/ports.ts'
import { type Lease as ContractLease, StoreError } from '../store.ts'
import { CallError } from './call-error.ts'
import { type Cluster, GIVE_UP_MS, type Stream } from './cluster.ts'
import {
  type LeaseKeepAliveRequestSchema as KeepAliveSchema,
  Lease,
  LeaseGrantRequestSchema,
  LeaseKeepAliveRequestSchema,
  type LeaseKeepAliveResponse,
  LeaseRevokeRequestSchema,
} from './proto/etcd_pb.js'

export interface LeasesOptions {
  readonly cluster: Cluster
  readonly clock: Clock
  readonly random: Random
  /** etcd may be out of room: the error to give, should that be so. */
  readonly onExhausted: () => Promise<StoreError | undefined>
}

export const MIN_LEASE_MS = 2_000
const MAX_LEASE_MS = 9_000_000_000_000
/** Renewals under way; more are refused. */
const MAX_RENEWALS = 100_000
/** A member that leaves renewals without an answer for so long hangs. */
const ANSWER_MS = 1_500
const CHECK_MS = 250
const PAUSE_MS = 50

interface Renewal {
  readonly promise: Promise<void>
  readonly settle: (error?: StoreError) => void
  readonly startedMs: number
  sentMs: number
}

/** Leases of etcd. Renewals of all of them go over one stream, which moves to another member when it hangs. */
export class Leases {
  readonly #o: LeasesOptions
  readonly #renewals = new Map<number, Renewal>()
  #stream: Stream<typeof KeepAliveSchema> | undefined
  #member = 0
  #checker: Timer | undefined
  #reason: Error = new Error('no answer')
  #reopening: Timer | undefined
  #closed = false

  constructor(options: LeasesOptions) {
    this.#o = options
  }

  /** etcd counts in seconds: the term is rounded up to them. */
  async grant(ttlMs: number): Promise<ContractLease> {
    if (!(ttlMs >= MIN_LEASE_MS && ttlMs <= MAX_LEASE_MS)) {
      throw new StoreError('invalid', `ttlMs: ${ttlMs}; a lease takes at least ${MIN_LEASE_MS} ms`)
    }
    const seconds = BigInt(Math.ceil(ttlMs / 1000))
    const { cluster, onExhausted } = this.#o
    // Its own choice of an id would be beyond what a number holds, and a lost answer would leave a lease that nobody knows.
    const id = this.#newId()
    const request = create(LeaseGrantRequestSchema, { TTL: seconds, ID: BigInt(id) })
    try {
      const granted = await cluster.ask(Lease.method.leaseGrant, request, 'a lease')
      return { id, ttlMs: Number(granted.TTL) * 1000 }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      // It is there already: the answer to an earlier attempt got lost.
      if (codeOf(error) === codes.FAILED_PRECONDITION) return { id, ttlMs: Number(seconds) * 1000 }
      throw error.code === 'overloaded' ? ((await onExhausted()) ?? error) : error
    }
  }

  /** 52 random bits, and not 0. */
  #newId(): number {
    const bytes = this.#o.random.bytes(7)
    return 1 + bytes.reduce((value, byte, i) => (i === 6 ? value * 16 + (byte & 15) : value * 256 + byte), 0)
  }

  async revoke(id: number): Promise<void> {
    const request = create(LeaseRevokeRequestSchema, { ID: BigInt(id) })
    try {
      await this.#o.cluster.ask(Lease.method.leaseRevoke, request, 'the end of a lease')
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'no-lease')) throw error
    }
  }

  /** Rejects with 'no-lease' when there is none, and with 'unavailable' after 4.5 s. */
  renew(id: number): Promise<void> {
    if (this.#closed) return Promise.reject(closed())
    const known = this.#renewals.get(id)
    if (known) return known.promise
    if (this.#renewals.size >= MAX_RENEWALS) {
      return Promise.reject(
        new StoreError('overloaded', `${this.#renewals.size} leases are being renewed; try again later`),
      )
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const nowMs = this.#o.clock.nowMs()
    const settle = (error?: StoreError): void => {
      this.#renewals.delete(id)
      if (this.#renewals.size === 0) this.#stopChecking()
      if (error) reject(error)
      else resolve()
    }
    this.#renewals.set(id, { promise, settle, startedMs: nowMs, sentMs: nowMs })
    this.#checker ??= this.#o.clock.every(CHECK_MS, () => this.#check())
    if (this.#stream) this.#stream.send(renewalOf(id))
    else if (!this.#reopening) this.#open()
    return promise
  }

  #open(): void {
    const { cluster, clock } = this.#o
    this.#reopening = undefined
    this.#member = cluster.current
    const stream = cluster.stream(Lease.method.leaseKeepAlive, {
      onMessage: (message) => {
        if (this.#stream === stream) this.#onAnswer(message)
      },
      onEnd: (error) => {
        if (this.#stream === stream) this.#onEnd(error)
      },
    })
    this.#stream = stream
    const nowMs = clock.nowMs()
    for (const [id, renewal] of this.#renewals) {
      renewal.sentMs = nowMs
      stream.send(renewalOf(id))
    }
  }

  #onAnswer({ ID, TTL }: LeaseKeepAliveResponse): void {
    const id = Number(ID)
    const gone =
      TTL <= 0n ? new StoreError('no-lease', `lease ${id} is unknown or has lapsed; grant a new one`) : undefined
    this.#renewals.get(id)?.settle(gone)
  }

  #onEnd(error: Error): void {
    const { cluster, clock } = this.#o
    this.#reason = error
    this.#stream = undefined
    cluster.leave(this.#member)
    if (error instanceof CallError && error.code === codes.UNAUTHENTICATED) void cluster.renewLogin()
    if (this.#closed || this.#renewals.size === 0) return
    this.#reopening ??= clock.after(PAUSE_MS, () => this.#open())
  }

  #check(): void {
    const nowMs = this.#o.clock.nowMs()
    let hangs = false
    for (const renewal of [...this.#renewals.values()]) {
      if (nowMs - renewal.startedMs >= GIVE_UP_MS) renewal.settle(this.#o.cluster.unavailable(this.#reason))
      else hangs ||= nowMs - renewal.sentMs >= ANSWER_MS
    }
    if (!hangs || !this.#stream) return
    this.#stream.cancel()
    this.#onEnd(new Error('a member does not answer'))
  }

  #stopChecking(): void {
    this.#checker?.cancel()
    this.#checker = undefined
  }

  close(): void {
    this.#closed = true
    this.#reopening?.cancel()
    this.#stream?.cancel()
    for (const renewal of [...this.#renewals.values()]) renewal.settle(closed())
    this.#stopChecking()
  }
}

const renewalOf = (id: number) => create(LeaseKeepAliveRequestSchema, { ID: BigInt(id) })

const closed = (): StoreError => new StoreError('closed', 'the store is closed')

const codeOf = (error: StoreError): number | undefined =>
  error.cause instanceof CallError ? error.cause.code : undefined
