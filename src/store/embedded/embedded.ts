import type { Epoch } from '../../model/epoch.ts'
import type { Clock, Logger, Random } from '../../runtime/ports.ts'
import {
  type Lease,
  MAX_VALUE_BYTES,
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
import { Committer } from './committer.ts'
import { LeaseTerms } from './leases.ts'
import { WorkerLink } from './link.ts'
import type { Opened, Position, Reply, Request } from './protocol.ts'
import { newRandom } from './random-part.ts'
import { errorOf, readWholeRange } from './range.ts'
import { ReadQueue } from './reads.ts'
import { WatchHub } from './watches.ts'

export interface EmbeddedLimits {
  /** Transactions that may wait for the disk; more are refused as 'overloaded'. Default 16,384. */
  readonly queuedTxns?: number
  /** Bytes of their keys and values. Default 64 MiB. */
  readonly queuedBytes?: number
  /** Revisions that are remembered for watches and reads of the past (a tenth more may be). Default 100,000. */
  readonly historyRevisions?: number
  /** Bytes of keys and values that are remembered. Default 256 MiB. */
  readonly historyBytes?: number
  /** Largest size of the database file; the transaction that would exceed it fails as 'disk-full'. 0, the default, is no bound. */
  readonly maxSizeBytes?: number
}

export interface EmbeddedOptions {
  /** The data directory, made when it is missing; ':memory:' keeps nothing. */
  readonly path: string
  readonly clock: Clock
  readonly random: Random
  readonly logger?: Logger
  readonly limits?: EmbeddedLimits
}

export const DEFAULT_LIMITS: Required<EmbeddedLimits> = {
  queuedTxns: 16_384,
  queuedBytes: 64 * MAX_VALUE_BYTES,
  historyRevisions: 100_000,
  historyBytes: 256 * 1024 * 1024,
  maxSizeBytes: 0,
}

export const MIN_LEASE_MS = 2000

/**
 * A store in one SQLite file, for a datacenter with one server. Throws a StoreError: 'locked' when another process has the
 * directory, 'version' when a newer Atoll wrote it, 'corrupt', 'disk-full' or 'failed' when it cannot be read.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<Store> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const { path, random } = options
  const { historyRevisions, historyBytes, maxSizeBytes } = limits
  let store: EmbeddedStore | undefined
  const { link, opened } = await WorkerLink.open(
    { path, random: newRandom(random), historyRevisions, historyBytes, maxSizeBytes },
    (error) => store?.fail(error),
  )
  store = new EmbeddedStore(link, opened, options, limits)
  return store
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

class EmbeddedStore implements Store {
  #epoch: Epoch
  readonly #random: Random
  readonly #path: string
  readonly #logger: Logger
  readonly #link: WorkerLink
  readonly #committer: Committer
  readonly #reads: ReadQueue
  readonly #watches: WatchHub
  readonly #leases: LeaseTerms
  #position: Position
  #sweeping = false
  #failure: StoreError | undefined
  #closing: Promise<void> | undefined
  #onDrained: (() => void) | undefined

  constructor(link: WorkerLink, opened: Opened, options: EmbeddedOptions, limits: Required<EmbeddedLimits>) {
    this.#epoch = opened.epoch
    this.#random = options.random
    this.#path = options.path
    this.#position = opened.position
    this.#logger = options.logger ?? silent
    this.#link = link
    this.#reads = new ReadQueue((request, onReply) => link.send(request, [], (reply) => this.#checked(reply, onReply)))
    this.#watches = new WatchHub(opened.position.revision, this.#reads, this.#logger)
    this.#leases = new LeaseTerms(options.clock, (id) => void this.#dropLease(id).catch(() => {}))
    for (const [id, ttlMs] of opened.leases) this.#leases.begin(id, ttlMs)
    this.#committer = new Committer(limits, {
      send: (request, transfer, onReply) => link.send(request, transfer, onReply),
      wantsEvents: () => this.#watches.hasLive,
      onCommitted: (position, events) => {
        this.#position = position
        this.#watches.deliver(position.revision, events)
      },
      onFailure: (error) => this.fail(error),
      onIdle: () => this.#idle(),
    })
    this.#sweep()
  }

  get epoch(): Epoch {
    return this.#epoch
  }

  async raiseGeneration(generation: number): Promise<Epoch> {
    this.#assertOpen()
    if (!Number.isSafeInteger(generation) || generation < 0) {
      throw new StoreError('invalid', `generation: ${generation} is no generation`)
    }
    const reply = await this.#reads.ask({ kind: 'raise', epoch: { generation, random: newRandom(this.#random) } })
    if (reply.kind !== 'raised') throw errorOf(reply)
    this.#epoch = reply.epoch
    return reply.epoch
  }

  async txn(txn: Txn): Promise<TxnResult> {
    this.#assertOpen()
    assertTxn(txn)
    return this.#committer.submit({ kind: 'txn', txn }) as Promise<TxnResult>
  }

  async range(from: string, to: string, options: RangeOptions = {}): Promise<RangeResult> {
    this.#assertOpen()
    assertRange(from, to, options.limit, 'range')
    return readWholeRange((request) => this.#reads.ask(request), from, to, options)
  }

  watch(from: string, to: string, sinceRevision: number, handler: WatchHandler): Watch {
    assertRange(from, to, undefined, 'watch')
    return this.#watches.add(from, to, sinceRevision, handler)
  }

  barrier(): number {
    return this.#watches.revision
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    this.#assertOpen()
    if (!(ttlMs >= MIN_LEASE_MS && ttlMs <= Number.MAX_SAFE_INTEGER)) {
      throw new StoreError('invalid', `ttlMs: ${ttlMs}; a lease takes at least ${MIN_LEASE_MS} ms`)
    }
    const granted = await this.#committer.submit({ kind: 'grant', ttlMs: Math.ceil(ttlMs) })
    const { leaseId: id } = granted as { leaseId: number }
    if (!this.#failure && !this.#closing) this.#leases.begin(id, ttlMs)
    return { id, ttlMs }
  }

  async renewLease(id: number): Promise<void> {
    this.#assertOpen()
    if (!this.#leases.renew(id)) {
      throw new StoreError('no-lease', `lease ${id} is unknown or has lapsed; grant a new one`)
    }
  }

  async revokeLease(id: number): Promise<void> {
    this.#assertOpen()
    if (this.#leases.end(id)) await this.#dropLease(id)
  }

  async compact(revision: number): Promise<void> {
    this.#assertOpen()
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw new StoreError('invalid', `revision: ${revision} is no revision`)
    }
    const reply = await this.#reads.ask({ kind: 'compact', revision })
    if (reply.kind !== 'done') throw errorOf(reply)
    this.#idle()
  }

  status(): StoreStatus {
    const { compacted, sizeBytes } = this.#position
    return {
      driver: 'embedded',
      revision: this.#watches.revision,
      compactedRevision: compacted,
      sizeBytes,
      failure: this.#failure?.message,
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  /** Refuses everything from now on; only opening the store anew helps. */
  fail(error: StoreError): void {
    if (this.#failure) return
    this.#failure = new StoreError('failed', `the store in ${this.#path} takes no more writes: ${error.message}`, error)
    this.#logger.error({ error, path: this.#path, code: error.code }, this.#failure.message)
    this.#leases.stop()
    this.#committer.fail(this.#failure, new StoreError('unknown-outcome', error.message, error))
    this.#reads.fail(this.#failure)
    this.#watches.end(this.#failure)
    this.#onDrained?.()
    void this.#link.terminate().catch(() => {})
  }

  #assertOpen(): void {
    if (this.#failure) throw this.#failure
    if (this.#closing) throw this.#closed()
  }

  #closed(): StoreError {
    return new StoreError('closed', `the store in ${this.#path} is closed`)
  }

  async #dropLease(id: number): Promise<void> {
    await this.#committer.submit({ kind: 'revoke', id }, false)
  }

  /** Every reply that is not of a batch passes here. */
  #checked(reply: Reply, next: (reply: Reply) => void): void {
    if (reply.kind === 'done') this.#position = reply.position
    if (reply.kind === 'error' && reply.fatal) this.fail(new StoreError(reply.code, reply.message))
    else next(reply)
    if (this.#closing) this.#idle()
  }

  #idle(): void {
    if (this.#closing) {
      if (this.#committer.idle && this.#reads.idle) this.#onDrained?.()
    } else this.#sweep()
  }

  /** While nothing is to be committed, takes away what compaction has left, piece by piece. */
  #sweep(): void {
    if (!this.#position.unswept || this.#sweeping || this.#failure || this.#closing || !this.#committer.idle) return
    this.#sweeping = true
    const request: Request = { kind: 'sweep' }
    this.#reads.add({
      request: () => request,
      onReply: () => {
        this.#sweeping = false
        this.#sweep()
      },
      onRefused() {},
    })
  }

  async #shutDown(): Promise<void> {
    this.#leases.stop()
    if (!this.#failure && !(this.#committer.idle && this.#reads.idle)) {
      await new Promise<void>((resolve) => {
        this.#onDrained = resolve
      })
    }
    this.#reads.fail(this.#closed())
    this.#watches.end(undefined)
    if (!this.#failure) await new Promise<void>((resolve) => this.#sendClose(resolve))
    await this.#link.terminate()
  }

  /** The last message; a worker that dies of it has nothing to lose. */
  #sendClose(onClosed: () => void): void {
    this.#onDrained = onClosed
    this.#link.send({ kind: 'close' }, [], onClosed)
  }
}
