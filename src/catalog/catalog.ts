/**
 * One DC's state over a store: commands in, tables and indexes, watches out. `openCatalog` (tables.ts, execute.ts) is
 * the one implementation; it runs on servers only.
 */

import type { Coordinate, CoordinateRow } from '../model/coordinate.ts'
import type { CheckEntry, KvRow, NodeEntry, ServiceEntry, Status } from '../model/entries.ts'
import type { EventEntry } from '../model/event.ts'
import type { PreparedQueryEntry } from '../model/prepared-query.ts'
import type { SessionEntry } from '../model/session.ts'
import type { AgentSync } from '../model/sync.ts'
import type { TxnAnswer, TxnOperation } from './txn.ts'
import type { CatalogView } from './view.ts'

export type { AgentSync } from '../model/sync.ts'

/**
 * A change as plain data: it can be sent to a server of another node or DC and means the same there. Deterministic:
 * no clock, no randomness. Each is one transaction and at most one revision.
 */
export type Command =
  | {
      readonly kind: 'register'
      /** With undefined id, meta or tagged addresses the stored ones stay when `keepNode` is set. */
      readonly node: NodeEntry
      /** Do not touch an existing node's entry (Consul's SkipNodeUpdate). */
      readonly keepNode: boolean
      readonly services: readonly ServiceEntry[]
      readonly checks: readonly CheckEntry[]
    }
  | { readonly kind: 'deregister'; readonly node: string; readonly serviceId?: string; readonly checkId?: string }
  | AgentSync
  /** Sets the status of one check that exists; nothing when it does not. Leader duties use it (serfHealth). */
  | {
      readonly kind: 'check-status'
      readonly node: string
      readonly checkId: string
      readonly status: Status
      readonly output: string
      readonly ifNodeId?: string
    }
  | {
      readonly kind: 'coordinate-update'
      readonly node: string
      readonly segment: string
      readonly coordinate: Coordinate
    }
  /** Coordinates of many nodes in one revision, at most MAX_COORDINATES; what is not registered is passed over. Servers gather them. */
  | { readonly kind: 'coordinate-batch'; readonly rows: readonly CoordinateRow[] }
  /** The leader saw the service steady: lookups may return. Nothing when the record is not of `since` any more. */
  | { readonly kind: 'failover-return'; readonly service: string; readonly since: number }
  | {
      readonly kind: 'kv-put'
      readonly key: string
      readonly value: Uint8Array
      /** Unsigned 64 bits. */
      readonly flags: bigint
      /** Modify index that the key must have; 0: must not exist. */
      readonly cas?: number
    }
  | { readonly kind: 'kv-delete'; readonly key: string; readonly recurse: boolean; readonly cas?: number }
  /** Applied when the key is free (and no lock-delay holds it back) or the session's already. */
  | {
      readonly kind: 'kv-lock'
      readonly key: string
      readonly value: Uint8Array
      readonly flags: bigint
      readonly session: string
    }
  /** Applied when the session holds the key. */
  | {
      readonly kind: 'kv-unlock'
      readonly key: string
      readonly value: Uint8Array
      readonly flags: bigint
      readonly session: string
    }
  /** A new key: the prefix and a number above all before it. With a session ('' for none) it is held by that. */
  | {
      readonly kind: 'kv-sequence'
      readonly prefix: string
      readonly value: Uint8Array
      readonly flags: bigint
      readonly session: string
    }
  | { readonly kind: 'session-create'; readonly session: Omit<SessionEntry, 'ending'> }
  /** Nothing when there is none. Leader duties use it too. */
  | { readonly kind: 'session-destroy'; readonly session: string }
  /** Not applied when there is no such session. */
  | { readonly kind: 'session-renew'; readonly session: string }
  /**
   * `create`: 'conflict' when there is one with the id; otherwise 'not-found' when there is none. A name that another query
   * has is a 'conflict', a session that does not stand 'invalid'.
   */
  | { readonly kind: 'query-put'; readonly query: PreparedQueryEntry; readonly create: boolean }
  /** 'not-found' when there is none. */
  | { readonly kind: 'query-delete'; readonly query: string }
  /** Its `time` is given here. */
  | { readonly kind: 'event-fire'; readonly event: EventEntry }
  /** Applied when no operation was refused; the answer tells. */
  | { readonly kind: 'txn'; readonly operations: readonly TxnOperation[] }
  /** The leader's: the lock-delay that was written at revision `since` has passed. */
  | { readonly kind: 'lock-delay-end'; readonly key: string; readonly since: number }

export interface CommandResult {
  /** Index after the command. */
  readonly index: number
  /** false when a compare (cas) did not hold and nothing was changed; commands without one answer true. */
  readonly applied: boolean
  /** A complete agent-sync had more to remove than one transaction takes: some is left, the agent sends it again. */
  readonly more?: boolean
  /** Of a `kv-sequence`: the key that was made. */
  readonly key?: string
  /** Of a `txn`; undefined only when its first answer got lost, and was too large to be kept for who sends it again. */
  readonly txn?: TxnAnswer
}

export interface ExecuteOptions {
  /** Recorded in the same transaction: sent again under the same id, the command is not applied twice and gives the first outcome. */
  readonly requestId?: string
}

export interface Catalog {
  readonly view: CatalogView
  /**
   * The tables hold everything acknowledged before this call; `undefined` when that is so at once (embedded store).
   * Rejects with AtollError 'unavailable' when the store cannot tell.
   */
  barrier(): Promise<void> | undefined
  /** Rejects with AtollError: 'invalid', 'conflict', 'too-large', 'unavailable', 'overloaded', 'unknown-outcome'. */
  execute(command: Command, options?: ExecuteOptions): Promise<CommandResult>
  /** What happened to the keys with a prefix after an index; waits for something. Rejects with AtollError. */
  kvChanges(prefix: string, options: KvChangesOptions): Promise<KvChanges>
  /** Everything as of one revision. Rejects with AtollError. */
  save(): Promise<Snapshot>
  /**
   * Makes the catalog hold what an archive does, under a new generation. Rejects with AtollError 'invalid' when the
   * archive is damaged or of another DC: then nothing was changed.
   */
  restore(archive: Uint8Array): Promise<void>
  close(): Promise<void>
}

export interface KvChange {
  readonly key: string
  readonly index: number
  /** undefined: deleted. */
  readonly row: KvRow | undefined
}

export interface KvChanges {
  /** Everything up to here was told: where to go on. */
  readonly index: number
  /** History after the index that was asked for is gone: read the keys anew, at this index or later. */
  readonly compacted: boolean
  readonly changes: readonly KvChange[]
}

export interface KvChangesOptions {
  /** Now unless given. */
  readonly since?: number
  readonly waitMs: number
  readonly signal?: AbortSignal
}

export interface Snapshot {
  /** Of the state that it holds. */
  readonly index: number
  /** The archive, read from the store as it is taken. */
  readonly bytes: AsyncGenerator<Uint8Array<ArrayBuffer>>
}

/** Of one `coordinate-batch`: each takes a compare and a put of the transaction. */
export const MAX_COORDINATES = 100

/** Consul's limit, and ours: larger values get 'too-large'. */
export const MAX_KV_VALUE_BYTES = 512 * 1024
