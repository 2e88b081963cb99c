/**
 * What another DC exports, as the packed entries of its replica, of which only what somebody asked for is decoded and held in
 * tables: so that taking up a hundred thousand instances costs no more than looking at each once, and memory goes to
 * what is used.
 */
import type { CoordinateRow } from '../model/coordinate.ts'
import type { CheckRow, FailoverRecord, Instance, KvRow, NodeRow, ServiceRow, Status } from '../model/entries.ts'
import { compareEpoch, type Epoch } from '../model/epoch.ts'
import type { EventRow } from '../model/event.ts'
import { keyPart } from '../model/keys.ts'
import type { PreparedQueryRow } from '../model/prepared-query.ts'
import type { SessionRow } from '../model/session.ts'
import type { AppliedEntry, PackedContent } from './replica-tables/shown.ts'
import { ShownContent } from './replica-tables/shown.ts'
import type { CatalogView, Registration, ServiceSummary, Topic, TopicRef } from './view.ts'

export type { AppliedEntry, PackedContent } from './replica-tables/shown.ts'

export interface ReplicaTablesOptions {
  readonly datacenter: string
  /** Told of a value that cannot be read; its key is left as it was. Default: nobody. */
  readonly onUnreadable?: (key: string, error: unknown) => void
}

/** A new content on its way. */
export interface ReplicaInstallation {
  /** A millisecond of work or so; false when there is nothing left to do. */
  step(): boolean
  /** Shows it, all at once; who waits looks again. */
  commit(): void
}

const NOTHING: PackedContent = { size: 0, get: () => undefined, under: () => [] }

export class ReplicaTables implements CatalogView {
  readonly datacenter: string
  readonly #options: ReplicaTablesOptions
  #shown: ShownContent
  readonly #listeners = new Set<(services: readonly string[]) => void>()

  constructor(options: ReplicaTablesOptions) {
    this.datacenter = options.datacenter
    this.#options = options
    this.#shown = this.#open({ generation: 0, random: '' }, 0, NOTHING, 0)
  }

  /** Takes the place of what is shown once it is committed; nothing may be applied until then. */
  install(epoch: Epoch, revision: number, content: PackedContent): ReplicaInstallation {
    const former = this.#shown
    const next = this.#open(epoch, revision, content, former.lastVersion)
    const work = next.takeUp(compareEpoch(epoch, former.epoch) === 'same' ? former : undefined, former.warmServices)
    return {
      step: () => !work.next().done,
      commit: () => {
        this.#shown = next
        this.#tell([...new Set([...former.cards.parts(), ...next.cards.parts()])])
        former.replaced()
      },
    }
  }

  /** The content changed as `changes` say, up to `revision`. */
  apply(revision: number, changes: readonly AppliedEntry[]): void {
    this.#shown.apply(revision, changes)
  }

  #open(epoch: Epoch, revision: number, content: PackedContent, firstVersion: number): ShownContent {
    const onServices = (services: readonly string[]): void => this.#tell(services)
    return new ShownContent({ ...this.#options, epoch, revision, content, firstVersion, onServices })
  }

  /** Nodes that are decoded. */
  get warmNodes(): number {
    return this.#shown.warmNodes
  }
  get index(): number {
    return this.#shown.tables.index
  }
  get revision(): number {
    return this.#shown.tables.revision
  }

  nodes(): readonly NodeRow[] {
    return this.#shown.nodes()
  }
  node(name: string): NodeRow | undefined {
    return this.#shown.ofNode(keyPart(name)).node(name)
  }
  nodeById(id: string): NodeRow | undefined {
    return this.#shown.nodeById(id)
  }
  servicesOf(node: string): readonly ServiceRow[] {
    return this.#shown.ofNode(keyPart(node)).servicesOf(node)
  }
  checksOf(node: string): readonly CheckRow[] {
    return this.#shown.ofNode(keyPart(node)).checksOf(node)
  }
  services(): readonly ServiceSummary[] {
    return this.#shown.cards.summaries()
  }
  instances(service: string): readonly Instance[] {
    return this.#shown.ofService(keyPart(service)).instances(service)
  }
  registrations(): readonly Registration[] {
    return this.#shown.registrations()
  }
  hasService(service: string): boolean {
    return this.#shown.cards.has(keyPart(service))
  }
  checksOfService(service: string): readonly CheckRow[] {
    return this.#shown.ofService(keyPart(service)).checksOfService(service)
  }
  checks(status?: Status): readonly CheckRow[] {
    return this.#shown.checks(status)
  }
  failover(service: string): FailoverRecord | undefined {
    return this.#shown.ofService(keyPart(service)).failover(service)
  }

  // Coordinates, sessions, prepared queries, events and KV are not exported.
  coordinates(): readonly CoordinateRow[] {
    return this.#shown.tables.coordinates()
  }
  coordinatesOf(node: string): readonly CoordinateRow[] {
    return this.#shown.tables.coordinatesOf(node)
  }
  session(id: string): SessionRow | undefined {
    return this.#shown.tables.session(id)
  }
  sessions(): readonly SessionRow[] {
    return this.#shown.tables.sessions()
  }
  sessionsOf(node: string): readonly SessionRow[] {
    return this.#shown.tables.sessionsOf(node)
  }
  queries(): readonly PreparedQueryRow[] {
    return this.#shown.tables.queries()
  }
  query(id: string): PreparedQueryRow | undefined {
    return this.#shown.tables.query(id)
  }
  queryFor(name: string): PreparedQueryRow | undefined {
    return this.#shown.tables.queryFor(name)
  }
  events(): readonly EventRow[] {
    return this.#shown.tables.events()
  }
  kv(key: string): KvRow | undefined {
    return this.#shown.tables.kv(key)
  }
  kvUnder(prefix: string): readonly KvRow[] {
    return this.#shown.tables.kvUnder(prefix)
  }
  kvKeys(prefix: string, separator: string): readonly string[] {
    return this.#shown.tables.kvKeys(prefix, separator)
  }

  onServices(listener: (services: readonly string[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  #tell(services: readonly string[]): void {
    if (services.length > 0) for (const listener of this.#listeners) listener(services)
  }

  topic(ref: TopicRef): Topic {
    return new Handle(ref, () => this.#shown)
  }
}

/** Goes on from one content to the next. */
class Handle implements Topic {
  readonly #ref: TopicRef
  readonly #shown: () => ShownContent
  #of: ShownContent | undefined
  #topic: Topic | undefined

  constructor(ref: TopicRef, shown: () => ShownContent) {
    this.#ref = ref
    this.#shown = shown
  }

  get version(): number {
    return this.#now().version
  }
  get index(): number {
    return this.#now().index
  }
  onceChanged(fn: () => void): () => void {
    return this.#now().onceChanged(fn)
  }

  #now(): Topic {
    const shown = this.#shown()
    shown.warm(this.#ref)
    if (this.#of !== shown || !this.#topic) {
      this.#of = shown
      this.#topic = shown.tables.topic(this.#ref)
    }
    return this.#topic
  }
}
