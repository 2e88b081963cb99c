/** Prepared queries: a look-up of a service with its conditions, stored under a name that clients and DNS ask for. */
import type { Indexed } from './entries.ts'

/** How one query stands for many names. */
export interface QueryTemplate {
  /** '' for none: the query answers its own name only. Otherwise every name that begins with its own. */
  readonly type: '' | 'name_prefix_match'
  /** What `${match(n)}` takes its parts from; '' for none. */
  readonly regexp: string
  /** Drop conditions on tags that come to nothing. */
  readonly removeEmptyTags: boolean
}

/** Where to look when nothing is left here. */
export interface QueryFailover {
  /** So many of the other datacenters, nearest first, before those that are named. */
  readonly nearestN: number
  readonly datacenters: readonly string[] | null
  /** Datacenters again, in the form of newer clients: alone, without the two others. */
  readonly targets: readonly string[] | null
}

export interface QueryService {
  readonly service: string
  readonly failover: QueryFailover
  /** Leave out instances in the state warning too. */
  readonly onlyPassing: boolean
  /** Checks that do not count. */
  readonly ignoreCheckIds: readonly string[] | null
  /** A node, or `_agent` for the one that is asked: order by nearness to it. */
  readonly near: string
  /** All must be there; those that begin with `!` must not. */
  readonly tags: readonly string[] | null
  readonly nodeMeta: Readonly<Record<string, string>> | null
  readonly serviceMeta: Readonly<Record<string, string>> | null
  /** Look for proxies of the service, of which Atoll has none. */
  readonly connect: boolean
  /** The least busy first, those near among equals. Servers of earlier versions drop it. */
  readonly sort?: 'load'
}

export interface PreparedQueryEntry {
  /** UUID, in lower case. */
  readonly id: string
  /** Unique in any case of its letters, unless ''. */
  readonly name: string
  /** The session that it goes with, or ''. */
  readonly session: string
  readonly token: string
  readonly template: QueryTemplate
  readonly service: QueryService
  /** A duration as Go writes it: how long DNS answers may be kept; '' as the settings say for the service. */
  readonly dnsTtl: string
}
export type PreparedQueryRow = PreparedQueryEntry & Indexed

/** Elements of each list or map of a query. */
export const MAX_QUERY_ELEMENTS = 256
/** Characters of a name that is asked for: no longer one is looked for. */
export const MAX_QUERY_NAME = 1_024

export const isTemplate = (query: Pick<PreparedQueryEntry, 'template'>): boolean => query.template.type !== ''
