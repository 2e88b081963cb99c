import type { CoordinateRow } from '../model/coordinate.ts'
import type { CheckRow, FailoverRecord, Instance, KvRow, NodeRow, ServiceRow, Status } from '../model/entries.ts'
import { compareEpoch, type Epoch, REVISIONS_PER_GENERATION, toIndex } from '../model/epoch.ts'
import type { EventRow } from '../model/event.ts'
import { keyPart } from '../model/keys.ts'
import type { PreparedQueryRow } from '../model/prepared-query.ts'
import type { SessionRow } from '../model/session.ts'
import type { KeyValue, RevisionEvents } from '../store/store.ts'
import { NumberChains } from './commands/number-chain.ts'
import { EventTable } from './tables/event-table.ts'
import { type Change, Fold, type Sequences } from './tables/fold.ts'
import { KvTable } from './tables/kv-table.ts'
import { QueryTable } from './tables/query-table.ts'
import { Registry } from './tables/registry.ts'
import { SessionTable } from './tables/session-table.ts'
import { Signals } from './tables/signals.ts'
import { topicOf } from './tables/topics.ts'
import { Waiters } from './tables/waiters.ts'
import type { CatalogView, Registration, ServiceSummary, Topic, TopicRef } from './view.ts'

export type { Change } from './tables/fold.ts'

export interface TablesOptions {
  readonly datacenter: string
  readonly epoch: Epoch
  /** Told of a value that cannot be read; its key is left as it was. Default: nobody. */
  readonly onUnreadable?: (key: string, error: unknown) => void
  /** Told of what a waiter threw; all others are called none the less. Default: nobody. */
  readonly onWaiterFailed?: (error: unknown) => void
  /** All versions are above it. Default 0. */
  readonly firstVersion?: number
}

/**
 * One DC's entries in memory, folded from the events of its store, or, for a replica, from what the DC exports. Every
 * method that changes them applies all it is given, then wakes who waits. Rows and lists are new objects when they differ,
 * and the same ones while they do not.
 */
export class Tables implements CatalogView {
  readonly datacenter: string
  readonly #waiters: Waiters
  /** For the catalog's own parts: states of nodes and services. */
  readonly registry: Registry
  readonly kvTable: KvTable
  readonly sessionTable: SessionTable
  readonly eventTable: EventTable
  readonly queryTable: QueryTable
  /** Counters of sequential keys, by prefix. */
  readonly sequences: Sequences = new Map()
  readonly numbers = new NumberChains()
  /** What no reader sees: leases, outcomes, the leader. */
  readonly signals = new Signals()
  readonly #fold: Fold
  #epoch: Epoch
  #revision = 0

  constructor(options: TablesOptions) {
    this.datacenter = options.datacenter
    this.#epoch = options.epoch
    this.#waiters = new Waiters(options.onWaiterFailed)
    this.registry = new Registry(this.#waiters, options.firstVersion)
    this.kvTable = new KvTable(this.#waiters)
    this.sessionTable = new SessionTable(this.#waiters)
    this.eventTable = new EventTable(this.#waiters)
    this.queryTable = new QueryTable(this.#waiters)
    this.#fold = new Fold(
      this.registry,
      this.kvTable,
      this.sessionTable,
      this.eventTable,
      this.queryTable,
      this.sequences,
      this.signals,
      (revision) => this.indexOf(revision),
      options.onUnreadable ?? (() => {}),
    )
  }

  // ---- changes

  /** Entries as of `revision`, when there are none yet; may be called for one page after another. */
  load(revision: number, kvs: readonly KeyValue[]): void {
    for (const kv of kvs) this.#fold.put(kv, true)
    this.#done(revision)
  }

  /** Events of the store, in order. */
  apply(batch: readonly RevisionEvents[]): void {
    let last = this.#revision
    for (const { revision, events } of batch) {
      for (const event of events) {
        if (event.type === 'put') this.#fold.put(event.kv, false)
        else this.#fold.delete(event.key, event.modRevision)
      }
      last = revision
    }
    this.#done(last)
  }

  /** Exported changes up to `revision`, of one or several transactions; without any, the tables just stand at `revision`. */
  applyExported(revision: number, changes: readonly Change[]): void {
    for (const change of changes) this.#change(change, revision)
    this.#done(revision)
  }

  /** Entries that were there all along and are only shown now: see Registry.reveal. */
  reveal(changes: Iterable<Change & { readonly value: Uint8Array }>): void {
    this.registry.reveal(() => {
      for (const change of changes) this.#fold.put(change, true)
    })
  }

  /** Something changed that these tables do not hold, but that somebody may wait for: called by the next change. */
  wake(thing: string): void {
    this.#waiters.wake(thing)
  }

  /** Other tables take the place of these: whoever waits looks again. */
  replaced(): void {
    this.#waiters.wakeAll()
    this.#waiters.fire()
  }

  /**
   * Makes the tables hold just these entries, as of `revision`. Only what differs gets a new version: the same key with the
   * same mod revision does not, as long as the epoch is the same.
   */
  replaceAll(revision: number, entries: readonly Change[], epoch: Epoch = this.#epoch): void {
    const sameLife = compareEpoch(epoch, this.#epoch) === 'same'
    const before = this.#fold.modRevisions()
    const loading = this.#revision === 0 || !sameLife
    this.#epoch = epoch
    // Revisions of another life may be lower: a store that went back begins it.
    if (!sameLife) this.#revision = revision
    for (const entry of entries) {
      const known = before.get(entry.key)
      before.delete(entry.key)
      if (!sameLife || known !== entry.modRevision) this.#change(entry, revision, loading)
    }
    for (const key of before.keys()) this.#fold.delete(key, revision)
    this.#done(revision)
  }

  #change(change: Change, revision: number, loading = false): void {
    const { key, value } = change
    if (value === null) this.#fold.delete(key, change.modRevision || revision)
    else this.#fold.put(change as Change & { readonly value: Uint8Array }, loading)
  }

  #done(revision: number): void {
    this.#revision = Math.max(this.#revision, revision)
    this.registry.flush()
    this.#waiters.fire()
  }

  // ---- positions

  get epoch(): Epoch {
    return this.#epoch
  }

  /** Of the last transaction that the tables hold. */
  get revision(): number {
    return this.#revision
  }

  get index(): number {
    return this.indexOf(this.#revision)
  }

  indexOf(revision: number): number {
    return toIndex(this.#epoch, revision)
  }

  /** The store's revision of an entry's create or modify index. */
  revisionOf(index: number): number {
    return index - this.#epoch.generation * REVISIONS_PER_GENERATION
  }

  /** Things that somebody waits for. */
  get waitedFor(): number {
    return this.#waiters.size
  }

  // ---- the view

  nodes(): readonly NodeRow[] {
    return this.registry.nodes()
  }

  node(name: string): NodeRow | undefined {
    return this.registry.nodeStates.get(keyPart(name))?.row
  }

  nodeById(id: string): NodeRow | undefined {
    return id === '' ? undefined : this.registry.nodeById(id)
  }

  servicesOf(node: string): readonly ServiceRow[] {
    return this.registry.servicesOf(keyPart(node))
  }

  checksOf(node: string): readonly CheckRow[] {
    return this.registry.checksOf(keyPart(node))
  }

  services(): readonly ServiceSummary[] {
    return this.registry.services()
  }

  instances(service: string): readonly Instance[] {
    return this.registry.instances(keyPart(service))
  }

  registrations(): readonly Registration[] {
    return this.registry.nodes().flatMap((node) => {
      const services = this.registry.servicesOf(keyPart(node.node))
      return services.map((service): Registration => ({ node, service }))
    })
  }

  hasService(service: string): boolean {
    return (this.registry.serviceStates.get(keyPart(service))?.entries.length ?? 0) > 0
  }

  checksOfService(service: string): readonly CheckRow[] {
    return this.registry.checksOfService(keyPart(service))
  }

  checks(status?: Status): readonly CheckRow[] {
    return this.registry.checks(status)
  }

  failover(service: string): FailoverRecord | undefined {
    return this.registry.serviceStates.get(keyPart(service))?.failover
  }

  coordinates(): readonly CoordinateRow[] {
    return this.registry.coordinateTable.all()
  }

  coordinatesOf(node: string): readonly CoordinateRow[] {
    return this.registry.coordinateTable.ofNode(keyPart(node))
  }

  kv(key: string): KvRow | undefined {
    return this.kvTable.get(key)
  }

  kvUnder(prefix: string): readonly KvRow[] {
    return this.kvTable.under(prefix)
  }

  kvKeys(prefix: string, separator: string): readonly string[] {
    return this.kvTable.keys(prefix, separator)
  }

  session(id: string): SessionRow | undefined {
    return this.sessionTable.get(id)
  }

  sessions(): readonly SessionRow[] {
    return this.sessionTable.list()
  }

  sessionsOf(node: string): readonly SessionRow[] {
    return this.sessionTable.ofNode(keyPart(node))
  }

  queries(): readonly PreparedQueryRow[] {
    return this.queryTable.list()
  }

  query(id: string): PreparedQueryRow | undefined {
    return this.queryTable.get(id)
  }

  queryFor(name: string): PreparedQueryRow | undefined {
    return this.queryTable.named(name) ?? this.queryTable.templateFor(name)
  }

  events(): readonly EventRow[] {
    return this.eventTable.list()
  }

  onServices(listener: (services: readonly string[]) => void): () => void {
    return this.registry.onServices(listener)
  }

  topic(ref: TopicRef): Topic {
    return topicOf(ref, this, this.#waiters)
  }
}
