/**
 * What a reader sees of one DC: its own catalog's tables, or a replica of another DC's. Everything is in memory and
 * synchronous; what is returned must not be changed and is a new object whenever it differs.
 *
 * Names match in any case. Lists are in the order of their keys in the store, which is the same on every node.
 */
import type { CoordinateRow } from '../model/coordinate.ts'
import type { CheckRow, FailoverRecord, Instance, KvRow, NodeRow, ServiceRow, Status } from '../model/entries.ts'
import type { EventRow } from '../model/event.ts'
import type { PreparedQueryRow } from '../model/prepared-query.ts'
import type { SessionRow } from '../model/session.ts'

/** The narrowest thing that a question reads; what a blocking query waits on. */
export type TopicRef =
  | { readonly kind: 'nodes' }
  | { readonly kind: 'node'; readonly node: string }
  /** Names and tags of all services. */
  | { readonly kind: 'services' }
  /** One service: its instances, their checks and nodes, its failover record. */
  | { readonly kind: 'service'; readonly service: string }
  /** All checks (health/state). */
  | { readonly kind: 'checks' }
  | { readonly kind: 'coordinates' }
  | { readonly kind: 'kv'; readonly key: string }
  | { readonly kind: 'kv-prefix'; readonly prefix: string }
  /** All events, or those of a name. */
  | { readonly kind: 'events'; readonly name?: string }
  | { readonly kind: 'sessions' }
  | { readonly kind: 'session'; readonly session: string }
  | { readonly kind: 'node-sessions'; readonly node: string }
  /** All prepared queries. */
  | { readonly kind: 'queries' }
  | { readonly kind: 'query'; readonly id: string }

/**
 * A live handle on one thing. Cheap to hold; `version` changes on this node whenever an answer about the thing may
 * differ (also when the thing does not exist yet), so that an answer with its versions is good while they stand.
 */
export interface Topic {
  /** Changes with every change; compare for equality only. */
  readonly version: number
  /** Index to show: of the last change of this very thing; for what is absent, of the highest deletion forgotten; >= 1. */
  readonly index: number
  /** `fn` runs once, after the batch that changed the thing was applied; the returned function takes it back. */
  onceChanged(fn: () => void): () => void
}

export interface ServiceSummary {
  readonly service: string
  /** Distinct tags of all its instances. */
  readonly tags: readonly string[]
}

/** An instance without its checks. */
export type Registration = Pick<Instance, 'node' | 'service'>

export interface CatalogView {
  readonly datacenter: string
  /** Index of the last transaction that the tables hold. */
  readonly index: number

  nodes(): readonly NodeRow[]
  node(name: string): NodeRow | undefined
  nodeById(id: string): NodeRow | undefined
  servicesOf(node: string): readonly ServiceRow[]
  /** Checks of the node itself and of all its services. */
  checksOf(node: string): readonly CheckRow[]

  services(): readonly ServiceSummary[]
  instances(service: string): readonly Instance[]
  /** Of all services, in the order of their nodes. */
  registrations(): readonly Registration[]
  /** Whether the service has any instance. */
  hasService(service: string): boolean
  /** Checks that belong to instances of the service (not their nodes'). */
  checksOfService(service: string): readonly CheckRow[]
  checks(status?: Status): readonly CheckRow[]
  failover(service: string): FailoverRecord | undefined

  /** In the order of node, then segment. */
  coordinates(): readonly CoordinateRow[]
  coordinatesOf(node: string): readonly CoordinateRow[]

  kv(key: string): KvRow | undefined
  kvUnder(prefix: string): readonly KvRow[]
  /** Keys under `prefix`; with a separator, up to and including its first occurrence after the prefix, each once. */
  kvKeys(prefix: string, separator: string): readonly string[]

  session(id: string): SessionRow | undefined
  /** In the order of their ids. */
  sessions(): readonly SessionRow[]
  sessionsOf(node: string): readonly SessionRow[]

  /** In the order of their ids. */
  queries(): readonly PreparedQueryRow[]
  query(id: string): PreparedQueryRow | undefined
  /** The prepared query of that name, else the template with the longest name that this one begins with. */
  queryFor(name: string): PreparedQueryRow | undefined

  /** The oldest first. */
  events(): readonly EventRow[]

  topic(ref: TopicRef): Topic
  /**
   * Told with every batch which services (as parts of keys) an answer about may differ of, before those who wait for a
   * topic are woken. It must not throw, and only takes notes. The returned function takes it back.
   */
  onServices(listener: (services: readonly string[]) => void): () => void
}
