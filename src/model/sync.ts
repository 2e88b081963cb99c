import type { CheckEntry, NodeEntry, ServiceEntry } from './entries.ts'

/**
 * What an agent knows of its own node, entire or in part: `services` and `checks` are put, `removeServices` and
 * `removeChecks` removed (a service's checks go with it; what is not there is no error), all in one revision. With
 * `complete`, entries of this node that an agent owns and that are neither listed nor kept are removed too. Entries of
 * the catalog API are never touched; a registration over one takes it over. Fails with 'conflict' when the node's name
 * belongs to another id whose lease lives. What equals the stored entry is not written.
 */
export interface AgentSync {
  readonly kind: 'agent-sync'
  readonly node: NodeEntry
  readonly services: readonly ServiceEntry[]
  readonly checks: readonly CheckEntry[]
  readonly removeServices: readonly string[]
  readonly removeChecks: readonly string[]
  readonly complete: boolean
  /**
   * With `complete`: ids that stay although this command does not carry their entries. A large agent sends its entries
   * in several commands; only the last one is complete, and keeps what the others carried.
   */
  readonly keepServices?: readonly string[]
  readonly keepChecks?: readonly string[]
}

/**
 * At most so many services, checks and removals in one AgentSync: each may cost three operations (the entry, a check's
 * output, a service's index), the node and the table indexes a few more, and a transaction takes 127.
 */
export const MAX_SYNC_ITEMS = 32

/** Entries of one AgentSync, as JSON; a store's transaction takes about 1.5 MB. */
export const MAX_SYNC_BYTES = 512 * 1024
