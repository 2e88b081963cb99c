/**
 * The nouns of a catalog. Names are camelCase here; `http/` alone knows how Consul spells them in JSON.
 * A *row* is an entry with the indexes at which it was created and last modified, as the API shows them.
 */

/** What a check, an instance or a node is in. Ordered from best to worst by `model/health.ts`. */
export type Status = 'passing' | 'warning' | 'critical'

/** Who registered an entry: a node's agent, which alone may then sync or remove it, or the catalog API. */
export type Owner = 'agent' | 'catalog'

export interface Indexed {
  /** Index at which the entry came to be; 0 before it is stored. */
  readonly createIndex: number
  /** Index of its last change. */
  readonly modifyIndex: number
}

/** Where something stands, in a provider's words; kept and given back. */
export interface Locality {
  readonly region: string
  readonly zone: string
}

export interface NodeEntry {
  /** UUID of the node, or '' for a node registered through the catalog API without one. */
  readonly id: string
  readonly node: string
  readonly address: string
  readonly taggedAddresses: Readonly<Record<string, string>> | null
  readonly meta: Readonly<Record<string, string>> | null
  readonly locality?: Locality
  readonly owner: Owner
}

export interface ServiceAddress {
  readonly address: string
  readonly port: number
}

export interface Weights {
  readonly passing: number
  readonly warning: number
}

/** One instance of a service, on one node. */
export interface ServiceEntry {
  readonly node: string
  /** Unique on its node. */
  readonly id: string
  readonly service: string
  readonly kind: string
  readonly tags: readonly string[]
  readonly address: string
  readonly taggedAddresses: Readonly<Record<string, ServiceAddress>> | null
  readonly meta: Readonly<Record<string, string>> | null
  readonly port: number
  readonly socketPath: string
  readonly weights: Weights
  readonly enableTagOverride: boolean
  /** Kept and given back as they came; Atoll has no service mesh of its own. */
  readonly proxy: Readonly<Record<string, unknown>> | null
  readonly connect: Readonly<Record<string, unknown>> | null
  /** Whether a lookup of this service may be answered by another DC when none passes here; undefined: as the mesh says. */
  readonly failover?: boolean
  readonly locality?: Locality
  /** How busy it says that it is, from 0 (idle) to 1; undefined when it does not say. */
  readonly load?: number
  readonly owner: Owner
}

/** How a check is run, as it was registered; durations as given ("10s"). Kept so that it comes back the same. */
export type CheckDefinition = Readonly<Record<string, unknown>>

export interface CheckEntry {
  readonly node: string
  /** Unique on its node. */
  readonly checkId: string
  readonly name: string
  readonly status: Status
  readonly notes: string
  readonly output: string
  /** '' for a check of the whole node. */
  readonly serviceId: string
  readonly serviceName: string
  readonly serviceTags: readonly string[]
  /** http, tcp, ttl, ...; '' when the catalog API registered it. */
  readonly type: string
  readonly interval: string
  readonly timeout: string
  readonly exposedPort: number
  readonly definition: CheckDefinition
  readonly owner: Owner
}

export interface KvEntry {
  readonly key: string
  readonly value: Uint8Array
  /** Unsigned 64 bits, opaque to Atoll. */
  readonly flags: bigint
  readonly lockIndex: number
  /** Id of the session that holds the key, or ''. */
  readonly session: string
}

/**
 * That lookups of a service left this DC (nothing passed), and that they may return only when the leader has seen
 * it steady for a while: then the leader removes the record, so that all nodes turn back together.
 */
export interface FailoverRecord {
  readonly service: string
  /** Index at which the last passing instance went. */
  readonly since: number
}

export type NodeRow = NodeEntry & Indexed
export type ServiceRow = ServiceEntry & Indexed
export type CheckRow = CheckEntry & Indexed
export type KvRow = KvEntry & Indexed

/** A registered instance with its node and every check that counts for it (the node's own and its service's). */
export interface Instance {
  readonly node: NodeRow
  readonly service: ServiceRow
  readonly checks: readonly CheckRow[]
  /** Worst status among `checks`. */
  readonly status: Status
}

export const SERF_HEALTH = 'serfHealth'
export const NODE_MAINTENANCE = '_node_maintenance'
export const serviceMaintenance = (serviceId: string): string => `_service_maintenance:${serviceId}`
