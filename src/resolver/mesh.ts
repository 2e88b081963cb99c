/**
 * The one door for questions and commands, whoever asks (HTTP, DNS, CLI through HTTP, another node by RPC). A question
 * is plain data; the door authorizes, routes (tables, replica, RPC), reads, ranks and filters.
 */
import type { Command, CommandResult, KvChanges, KvChangesOptions, Snapshot } from '../catalog/catalog.ts'
import type { Registration, ServiceSummary } from '../catalog/view.ts'
import type { CoordinateRow } from '../model/coordinate.ts'
import type { CheckRow, Instance, KvRow, NodeRow, ServiceRow, Status } from '../model/entries.ts'
import type { EventRow } from '../model/event.ts'
import type { PreparedQueryRow } from '../model/prepared-query.ts'
import type { SessionRow } from '../model/session.ts'
import type { AgentDoor } from './agent-door.ts'
import type { MeshStatus } from './status.ts'

/** Who asks. ACL tokens become principals here; until then everybody may do everything. */
export interface Principal {
  readonly token: string
}
export const anonymous: Principal = { token: '' }

/** In this order by nearness to a node: its name, or `_agent` for the node that was asked. */
export interface Near {
  readonly near?: string
}
export interface NodeMetaFilter {
  /** All must match. */
  readonly nodeMeta?: Readonly<Record<string, string>>
}

/** The least busy first; among equals the order is as it would be otherwise. */
interface ByLoad {
  readonly sort?: 'load'
}

/** Every question there is, by kind: what it asks and what answers it. */
export interface Questions {
  datacenters: { ask: object; answer: readonly string[] }
  nodes: { ask: Near & NodeMetaFilter; answer: readonly NodeRow[] }
  services: { ask: NodeMetaFilter; answer: readonly ServiceSummary[] }
  /** The instances of all services, in the order of their nodes. */
  registrations: { ask: NodeMetaFilter; answer: readonly Registration[] }
  /** catalog/service and health/service alike. `passing` leaves only instances whose checks all pass. */
  service: {
    ask: { service: string; passing: boolean; tags: readonly string[] } & Near & ByLoad & NodeMetaFilter
    answer: readonly RoutedInstance[]
  }
  /** undefined when there is no such node. */
  node: {
    ask: { node: string }
    answer: { node: NodeRow; services: readonly ServiceRow[]; checks: readonly CheckRow[] } | undefined
  }
  /** Who has an IP address (as `canonicalAddress` writes it): a node, else an instance's service. Up to a second old. */
  address: {
    ask: { address: string }
    answer: { readonly node?: string; readonly service?: string } | undefined
  }
  'service-checks': { ask: { service: string } & Near & NodeMetaFilter; answer: readonly CheckRow[] }
  'node-checks': { ask: { node: string }; answer: readonly CheckRow[] }
  /** Checks in a state; `any` for all. */
  state: { ask: { state: Status | 'any' } & Near & NodeMetaFilter; answer: readonly CheckRow[] }
  coordinates: { ask: { node?: string }; answer: readonly CoordinateRow[] }
  /** Servers of every DC with coordinates between DCs. */
  'coordinate-datacenters': {
    ask: object
    answer: readonly { readonly datacenter: string; readonly coordinates: readonly CoordinateRow[] }[]
  }
  kv: { ask: { key: string }; answer: KvRow | undefined }
  'kv-prefix': { ask: { prefix: string }; answer: readonly KvRow[] }
  'kv-keys': { ask: { prefix: string; separator: string }; answer: readonly string[] }
  session: { ask: { session: string }; answer: SessionRow | undefined }
  /** All events of the DC, or those of a name. */
  events: { ask: { name?: string }; answer: readonly EventRow[] }
  sessions: { ask: object; answer: readonly SessionRow[] }
  'node-sessions': { ask: { node: string }; answer: readonly SessionRow[] }
  /** Prepared queries, as they are stored. */
  queries: { ask: object; answer: readonly PreparedQueryRow[] }
  query: { ask: { id: string }; answer: PreparedQueryRow | undefined }
  /** The query of that id or name, as it stands for this name; undefined when there is none. */
  'query-explain': { ask: { query: string }; answer: PreparedQueryRow | undefined }
  /**
   * What it selects, here or where it fails over to. `agent`: the node for which `_agent` stands in the query, the asked
   * one unless given. `connect`: proxies only, of which there are none.
   */
  'query-execute': {
    ask: { query: string; agent?: string; connect?: boolean } & Near & ByLoad
    answer: Execution | undefined
  }
}
export type QuestionKind = keyof Questions
export type Question<K extends QuestionKind = QuestionKind> = {
  [P in K]: { readonly kind: P } & Readonly<Questions[P]['ask']>
}[K]
export type AnswerValue<K extends QuestionKind> = Questions[K]['answer']

export interface Execution {
  /** As it stands for the name that was asked for. */
  readonly query: PreparedQueryRow
  readonly instances: readonly RoutedInstance[]
  /** By nearness or load; otherwise their order means nothing, and who hands them out shuffles them. */
  readonly isOrdered: boolean
  /** Other datacenters that were tried. */
  readonly failovers: number
}

/** `remote` is set when the instance is not of the DC of the node that was asked (failover, nearest, *). */
export interface RoutedInstance extends Instance {
  readonly remote?: {
    readonly datacenter: string
    /** Round-trip time to that DC, undefined while unmeasured. */
    readonly distanceMs: number | undefined
    readonly ageMs: number
    /** The address to use from here: the instance's `wan` address, or its own in a flat network. */
    readonly address: string
    readonly port: number
  }
}

export type Consistency = 'default' | 'consistent' | 'stale'

export interface AskOptions {
  readonly principal: Principal
  /** A datacenter, `nearest`, `*`, or undefined: the asked node's own, with failover where the design allows it. */
  readonly datacenter?: string
  readonly consistency: Consistency
  /** Blocking: answer once the index is above this (or from another history), or after `waitMs`. */
  readonly index?: number
  /** At most 600,000; the door adds the jitter. */
  readonly waitMs?: number
  /** For `filter`: failover is never judged on a filtered question. */
  readonly noFailover?: boolean
  readonly signal?: AbortSignal
}

/** Consul's bounds of a blocking query, and the part of the wait that is added at random so that waiters do not come back together. */
export const DEFAULT_WAIT_MS = 300_000
export const MAX_WAIT_MS = 600_000
export const JITTER_FRACTION = 16

/** How long a question that asks for so much waits, before jitter. */
export const boundedWaitMs = (waitMs: number | undefined): number =>
  Math.min(waitMs !== undefined && waitMs > 0 ? waitMs : DEFAULT_WAIT_MS, MAX_WAIT_MS)
/** ... and with all of it. */
export const longestWaitMs = (waitMs: number | undefined): number => boundedWaitMs(waitMs) * (1 + 1 / JITTER_FRACTION)

/**
 * `catalog`: the DC's own tables; `replica`: a copy of another DC's; `rpc`: the DC itself, over the WAN. On a client node
 * that reaches no server of its DC: `kept`, an answer that it was given before, and `summary`, the best few instances.
 */
export type AnswerSource = 'catalog' | 'replica' | 'rpc' | 'kept' | 'summary'

export interface Answer<T> {
  /** Same object as long as nothing changed, so that faces may keep what they made of it (WeakMap). */
  readonly value: T
  readonly index: number
  /** The DC that answered (of `*`: the asked node's own). */
  readonly datacenter: string
  readonly source: AnswerSource
  /** How old the answer may be; 0 behind a barrier, Infinity where nobody can tell. */
  readonly ageMs: number
  readonly knownLeader: boolean
  readonly consistency: 'leader' | 'consistent' | 'stale'
  /** Set when another DC answered for the asked one: `eu-1 -> us-1`. */
  readonly failover?: { readonly from: string; readonly to: string }
}

/** A question with its options worked out once, to be answered many times (a face keeps it by URL). */
export interface Prepared<T> {
  /** The answer when it can be given at once, from memory; undefined when it takes waiting (RPC, barrier, blocking). */
  now(): Answer<T> | undefined
  /** As `now`, or once a barrier that begins after this call has been passed, where that is all it takes. Rejects as `answer`. */
  soon(): Answer<T> | Promise<Answer<T>> | undefined
  /** The answer, however long it takes within its deadline. */
  answer(options?: { index?: number; waitMs?: number; signal?: AbortSignal }): Promise<Answer<T>>
}

export interface CommandOptions {
  readonly principal: Principal
  readonly datacenter?: string
  readonly signal?: AbortSignal
}

export type FollowOptions = CommandOptions & KvChangesOptions

/** What only the servers of a DC itself can tell or do. All reject with AtollError. */
export interface HomeDoor {
  /** What happened to the keys with a prefix, in their DC; waits for something. */
  kvChanges(prefix: string, options: FollowOptions): Promise<KvChanges>
  /** The whole catalog of this DC; the node must be a server ('unsupported' otherwise). */
  saveSnapshot(options: CommandOptions): Promise<Snapshot>
  restoreSnapshot(archive: Uint8Array, options: CommandOptions): Promise<void>
}

export interface ExplainedInstance {
  readonly node: string
  readonly serviceId: string
  readonly status: Status
  readonly failing: readonly string[]
  readonly address: string
  readonly port: number
}

/** Why a lookup of a service goes where it goes: every candidate DC in the order considered. */
export interface Explanation {
  readonly service: string
  readonly datacenter: string
  /** The DC that a plain `?passing` lookup is answered from now; undefined when nothing passes anywhere. */
  readonly chosen: string | undefined
  readonly candidates: readonly {
    readonly datacenter: string
    readonly own: boolean
    readonly distanceMs: number | undefined
    readonly reachable: boolean
    readonly ageMs: number
    readonly instances: number
    readonly passing: number
    readonly chosen: boolean
    /** In words: "nearest with passing instances", "no instance passes", "less than half is well", "cannot be reached", ... */
    readonly reason: string
    readonly entries: readonly ExplainedInstance[]
  }[]
}

export interface Mesh {
  readonly agent: AgentDoor
  readonly datacenter: string
  readonly nodeName: string

  /** Cheap; validates the datacenter's name only when it answers. */
  prepare<K extends QuestionKind>(question: Question<K>, options: AskOptions): Prepared<AnswerValue<K>>
  /** `prepare` and `answer` in one. Rejects with AtollError. */
  ask<K extends QuestionKind>(question: Question<K>, options: AskOptions): Promise<Answer<AnswerValue<K>>>
  execute(command: Command, options: CommandOptions): Promise<CommandResult>
  explain(service: string, principal: Principal): Promise<Explanation>
  /** Every DC, link and replica, as this node sees them (a client asks its server). */
  status(): Promise<MeshStatus>
  /** host:port of the DC's server that leads, '' when none is known. */
  readonly home: HomeDoor
  leader(): string
  /** host:port of the DC's servers. */
  peers(): readonly string[]
}
