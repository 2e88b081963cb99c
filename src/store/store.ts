/**
 * The ordered, transactional, durable key space under a catalog: etcd v3's semantics, made small. Every driver passes
 * `test/compliance/store.ts`.
 *
 * Keys are well-formed strings of at most 4,096 UTF-8 bytes, ordered by these bytes (`compareKeys`); values are bytes,
 * at most `MAX_VALUE_BYTES`. Ranges are half open; `to` = '' means: to the end.
 */
import type { Epoch } from '../model/epoch.ts'

export const MAX_KEY_BYTES = 4096
export const MAX_VALUE_BYTES = 1024 * 1024
/** Per list of a transaction: compares, then, else. etcd's limit of 128, less three that the driver needs. */
export const MAX_TXN_OPERATIONS = 125

export interface KeyValue {
  readonly key: string
  readonly value: Uint8Array
  readonly createRevision: number
  readonly modRevision: number
  /** Number of puts since the key was created, from 1. */
  readonly version: number
  /** Lease that the key is bound to; 0 for none. */
  readonly lease: number
}

/** An absent key has version, create and mod revision 0; a compare of its value with anything fails. */
export type Compare =
  | {
      readonly key: string
      readonly target: 'version' | 'create' | 'mod'
      readonly op: '=' | '!=' | '<' | '>'
      readonly to: number
    }
  | { readonly key: string; readonly target: 'value'; readonly op: '=' | '!='; readonly to: Uint8Array }

/** A key may be written at most once per list. */
export type Operation =
  | { readonly put: string; readonly value: Uint8Array; readonly lease?: number }
  | { readonly delete: string }
  | { readonly deleteRange: readonly [from: string, to: string] }
  | { readonly range: readonly [from: string, to: string]; readonly limit?: number }

export interface Txn {
  /** All must hold for `then`; empty holds. */
  readonly if?: readonly Compare[]
  readonly then: readonly Operation[]
  readonly else?: readonly Operation[]
}

export type OperationResult =
  | { readonly kind: 'put' }
  /** `deleted`: how many keys. */
  | { readonly kind: 'delete'; readonly deleted: number }
  | { readonly kind: 'range'; readonly kvs: readonly KeyValue[]; readonly more: boolean }

export interface TxnResult {
  /** Whether `then` ran. */
  readonly succeeded: boolean
  /** The store's revision after the transaction; a new one only when it wrote or deleted something. */
  readonly revision: number
  readonly results: readonly OperationResult[]
}

export interface RangeOptions {
  readonly limit?: number
  /** Read as of this revision; `compacted` when its history is gone. */
  readonly revision?: number
}

export interface RangeResult {
  readonly revision: number
  readonly kvs: readonly KeyValue[]
  /** Whether `limit` cut the answer. */
  readonly more: boolean
}

export type StoreEvent =
  | { readonly type: 'put'; readonly kv: KeyValue }
  | { readonly type: 'delete'; readonly key: string; readonly modRevision: number }

/**
 * All that one transaction changed within the watched range, never empty. On a distributed store, transactions of the same moment that
 * have nothing to do with each other may share a revision.
 */
export interface RevisionEvents {
  readonly revision: number
  readonly events: readonly StoreEvent[]
}

export interface WatchHandler {
  /**
   * Whole revisions in order, none lost, none twice. An embedded store calls it before it resolves the promise of any
   * transaction in `batch`. Must not throw.
   */
  onRevisions(batch: readonly RevisionEvents[]): void
  /** History since the asked revision is gone (`oldest` is the first that is left); the watch is over: range, then watch anew. */
  onCompacted(oldest: number): void
  /** The watch ended for good: the store was closed or has failed. */
  onEnd(error?: Error): void
}

export interface Watch {
  /**
   * Everything up to this revision was handed to the handler. Behind the store's revision while history is read; never
   * below the revision that the watch began after.
   */
  readonly position: number
  cancel(): void
}

export interface Lease {
  readonly id: number
  readonly ttlMs: number
}

export type StoreErrorCode =
  | 'closed'
  | 'locked' // another process has the data directory
  | 'compacted'
  | 'invalid' // a key, value or transaction is beyond the limits
  | 'no-lease' // no such lease, or it has lapsed
  | 'disk-full'
  | 'failed' // the disk failed; reads and writes stop until the store is reopened
  | 'corrupt'
  | 'version' // written by a newer storage version
  | 'unfinished' // a migration into it is under way, or was broken off
  | 'unavailable' // a distributed store without a majority; nothing was changed
  | 'overloaded'
  | 'unknown-outcome'

export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

export interface StoreStatus {
  readonly driver: 'embedded' | 'etcd'
  readonly revision: number
  readonly compactedRevision: number
  readonly sizeBytes: number
  /** Set when writes are refused, with the reason. */
  readonly failure?: string
}

export interface Store {
  /** Identity of this store's life; changes only by `raiseGeneration`. */
  readonly epoch: Epoch

  /**
   * Begins another life of this store: generation `generation` (above the present one, or nothing happens) with a new
   * random part, durable when it resolves. For a store that was restored or recreated while peers remember more.
   */
  raiseGeneration(generation: number): Promise<Epoch>

  /** Atomic; at most one new revision; resolves only when durable; applied at most once. */
  txn(txn: Txn): Promise<TxnResult>
  range(from: string, to: string, options?: RangeOptions): Promise<RangeResult>
  /** Every event with a revision above `sinceRevision`. Registration is synchronous: nothing falls between. */
  watch(from: string, to: string, sinceRevision: number, handler: WatchHandler): Watch

  /**
   * Linearizable: a revision at or above that of every transaction acknowledged anywhere before the call, and which
   * a watch of the whole key space is certain to deliver. A number where it is free (embedded). Where it is not, callers that
   * share one get the same promise.
   */
  barrier(): number | Promise<number>

  /** `ttlMs` at least 2,000. */
  grantLease(ttlMs: number): Promise<Lease>
  /** Full term from now; 'no-lease' when it has lapsed. */
  renewLease(id: number): Promise<void>
  /** Deletes its keys now. No error when it is gone. */
  revokeLease(id: number): Promise<void>

  /** Forgets history up to `revision`; current values stay. */
  compact(revision: number): Promise<void>
  status(): StoreStatus
  /** Finishes what was accepted, then closes. Idempotent. */
  close(): Promise<void>
}
