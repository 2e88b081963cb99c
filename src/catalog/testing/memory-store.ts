import type { Epoch } from '../../model/epoch.ts'
import { compareKeys } from '../../model/keys.ts'
import type { Clock, Timer } from '../../runtime/ports.ts'
import {
  type Compare,
  type KeyValue,
  type Lease,
  type Operation,
  type OperationResult,
  type RangeOptions,
  type RangeResult,
  type RevisionEvents,
  type Store,
  StoreError,
  type StoreEvent,
  type StoreStatus,
  type Txn,
  type TxnResult,
  type Watch,
  type WatchHandler,
} from '../../store/store.ts'
import { assertTxn } from '../../store/validate.ts'

export interface MemoryStoreOptions {
  readonly clock: Clock
  readonly epoch?: Epoch
  /** As a distributed store: the barrier takes a round trip, and watches hear of a transaction after its promise resolved. */
  readonly remote?: boolean
}

interface Watcher {
  readonly from: string
  readonly to: string
  readonly handler: WatchHandler
}

/** The store's contract in memory, for tests: real transactions, leases, watches and history; nothing is durable. */
export class MemoryStore implements Store {
  epoch: Epoch
  readonly #clock: Clock
  readonly #remote: boolean
  readonly #kvs = new Map<string, KeyValue>()
  #history: RevisionEvents[] = []
  #revision = 1
  #compacted = 0
  #watchers = new Set<Watcher>()
  #queue: (() => RevisionEvents | undefined)[] = []
  #leases = new Map<number, { readonly ttlMs: number; timer: Timer }>()
  #nextLease = 1
  #closed = false
  /** Number of transactions asked for: tests count round trips. */
  txns = 0
  /** Set to make the next transactions fail. */
  failWith: StoreError | undefined

  constructor(options: MemoryStoreOptions) {
    this.#clock = options.clock
    this.epoch = options.epoch ?? { generation: 0, random: '0123456789abcdef' }
    this.#remote = options.remote ?? false
  }

  get revision(): number {
    return this.#revision
  }

  txn(txn: Txn): Promise<TxnResult> {
    this.txns++
    if (this.#closed) return Promise.reject(new StoreError('closed', 'closed'))
    if (this.failWith) return Promise.reject(this.failWith)
    try {
      assertTxn(txn)
    } catch (error) {
      return Promise.reject(error)
    }
    return new Promise((resolve, reject) => {
      this.#enqueue(() => {
        try {
          const { result, events } = this.#apply(txn)
          // After the watches heard of it, as an embedded store does.
          queueMicrotask(() => resolve(result))
          return events.length > 0 ? { revision: result.revision, events } : undefined
        } catch (error) {
          reject(error)
          return undefined
        }
      })
    })
  }

  /** One batch per turn of the microtask queue, as a group commit. */
  #enqueue(work: () => RevisionEvents | undefined): void {
    this.#queue.push(work)
    if (this.#queue.length > 1) return
    queueMicrotask(() => {
      const queue = this.#queue
      this.#queue = []
      this.#deliver(queue.flatMap((run) => run() ?? []))
    })
  }

  #deliver(batch: RevisionEvents[]): void {
    if (batch.length === 0) return
    this.#history.push(...batch)
    if (this.#remote) setImmediate(() => this.#notify(batch))
    else this.#notify(batch)
  }

  #notify(batch: readonly RevisionEvents[]): void {
    for (const watcher of [...this.#watchers]) {
      const seen = within(batch, watcher.from, watcher.to)
      if (seen.length > 0 && this.#watchers.has(watcher)) watcher.handler.onRevisions(seen)
    }
  }

  #apply(txn: Txn): { result: TxnResult; events: StoreEvent[] } {
    const succeeded = (txn.if ?? []).every((compare) => this.#holds(compare))
    const operations = succeeded ? txn.then : (txn.else ?? [])
    const revision = this.#revision + 1
    const events: StoreEvent[] = []
    const results = operations.map((operation) => this.#run(operation, revision, events))
    if (events.length > 0) this.#revision = revision
    return { result: { succeeded, revision: this.#revision, results }, events }
  }

  #holds(compare: Compare): boolean {
    const kv = this.#kvs.get(compare.key)
    if (compare.target === 'value') {
      if (!kv) return false
      const same = kv.value.length === compare.to.length && kv.value.every((byte, i) => byte === compare.to[i])
      return same === (compare.op === '=')
    }
    const found = { version: kv?.version ?? 0, create: kv?.createRevision ?? 0, mod: kv?.modRevision ?? 0 }
    const value = found[compare.target]
    if (compare.op === '=') return value === compare.to
    if (compare.op === '!=') return value !== compare.to
    return compare.op === '<' ? value < compare.to : value > compare.to
  }

  #run(operation: Operation, revision: number, events: StoreEvent[]): OperationResult {
    if ('put' in operation) {
      const lease = operation.lease ?? 0
      if (lease !== 0 && !this.#leases.has(lease)) throw new StoreError('no-lease', `no lease ${lease}`)
      const before = this.#kvs.get(operation.put)
      const kv: KeyValue = {
        key: operation.put,
        value: operation.value.slice(),
        createRevision: before?.createRevision ?? revision,
        modRevision: revision,
        version: (before?.version ?? 0) + 1,
        lease,
      }
      this.#kvs.set(kv.key, kv)
      events.push({ type: 'put', kv })
      return { kind: 'put' }
    }
    if ('range' in operation) {
      const kvs = this.#range(...operation.range)
      const limit = operation.limit ?? 0
      const more = limit > 0 && kvs.length > limit
      return { kind: 'range', kvs: more ? kvs.slice(0, limit) : kvs, more }
    }
    const doomed =
      'delete' in operation ? [operation.delete] : this.#range(...operation.deleteRange).map((kv) => kv.key)
    let deleted = 0
    for (const key of doomed) {
      if (!this.#kvs.delete(key)) continue
      events.push({ type: 'delete', key, modRevision: revision })
      deleted++
    }
    return { kind: 'delete', deleted }
  }

  #range(from: string, to: string): KeyValue[] {
    return [...this.#kvs.values()].filter((kv) => inRange(kv.key, from, to)).sort((a, b) => compareKeys(a.key, b.key))
  }

  async range(from: string, to: string, options: RangeOptions = {}): Promise<RangeResult> {
    if (this.#closed) throw new StoreError('closed', 'closed')
    const { limit = 0, revision } = options
    if (revision !== undefined && revision < this.#compacted) throw new StoreError('compacted', 'history is gone')
    const kvs = this.#range(from, to)
    if (revision !== undefined && revision !== this.#revision) throw new StoreError('compacted', 'history is not kept')
    const more = limit > 0 && kvs.length > limit
    return { revision: this.#revision, kvs: more ? kvs.slice(0, limit) : kvs, more }
  }

  watch(from: string, to: string, sinceRevision: number, handler: WatchHandler): Watch {
    const watcher: Watcher = { from, to, handler }
    if (sinceRevision < this.#compacted) {
      queueMicrotask(() => handler.onCompacted(this.#compacted + 1))
      return { position: sinceRevision, cancel: () => {} }
    }
    const missed = within(
      this.#history.filter(({ revision }) => revision > sinceRevision),
      from,
      to,
    )
    if (missed.length > 0) handler.onRevisions(missed)
    this.#watchers.add(watcher)
    const revision = (): number => this.#revision
    return {
      get position() {
        return revision()
      },
      cancel: () => void this.#watchers.delete(watcher),
    }
  }

  /** Ends every watch as if it had fallen behind what is kept. */
  breakWatches(): void {
    const watchers = [...this.#watchers]
    this.#watchers.clear()
    for (const { handler } of watchers) handler.onCompacted(this.#revision)
  }

  barrier(): number | Promise<number> {
    if (this.#closed) throw new StoreError('closed', 'closed')
    if (!this.#remote) return this.#revision
    return new Promise((resolve) => setImmediate(() => resolve(this.#revision)))
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    const id = this.#nextLease++
    this.#leases.set(id, { ttlMs, timer: this.#clock.after(ttlMs, () => this.#lapse(id)) })
    return { id, ttlMs }
  }

  async renewLease(id: number): Promise<void> {
    const lease = this.#leases.get(id)
    if (!lease) throw new StoreError('no-lease', `no lease ${id}`)
    lease.timer.cancel()
    lease.timer = this.#clock.after(lease.ttlMs, () => this.#lapse(id))
  }

  async revokeLease(id: number): Promise<void> {
    this.#lapse(id)
  }

  #lapse(id: number): void {
    const lease = this.#leases.get(id)
    if (!lease) return
    lease.timer.cancel()
    this.#leases.delete(id)
    const bound = [...this.#kvs.values()].filter((kv) => kv.lease === id)
    if (bound.length === 0) return
    const { events, result } = this.#apply({ then: bound.map((kv) => ({ delete: kv.key })) })
    this.#deliver([{ revision: result.revision, events }])
  }

  async raiseGeneration(generation: number): Promise<Epoch> {
    if (generation > this.epoch.generation) this.epoch = { generation, random: `${generation}`.padStart(16, '0') }
    return this.epoch
  }

  async compact(revision: number): Promise<void> {
    this.#compacted = Math.max(this.#compacted, revision)
    this.#history = this.#history.filter((entry) => entry.revision > revision)
  }

  status(): StoreStatus {
    const driver = this.#remote ? 'etcd' : 'embedded'
    return { driver, revision: this.#revision, compactedRevision: this.#compacted, sizeBytes: 0 }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const { timer } of this.#leases.values()) timer.cancel()
    for (const { handler } of this.#watchers) handler.onEnd()
    this.#watchers.clear()
  }
}

const inRange = (key: string, from: string, to: string): boolean =>
  compareKeys(key, from) >= 0 && (to === '' || compareKeys(key, to) < 0)

function within(batch: readonly RevisionEvents[], from: string, to: string): RevisionEvents[] {
  if (from === '' && to === '') return [...batch]
  return batch.flatMap(({ revision, events }) => {
    const seen = events.filter((event) => inRange(event.type === 'put' ? event.kv.key : event.key, from, to))
    return seen.length > 0 ? { revision, events: seen } : []
  })
}
