/** What goes between the store and its worker. Every request gets one reply, in order. */
import type { Epoch } from '../../model/epoch.ts'
import type { StoreErrorCode } from '../store.ts'
import type { Packed } from './packer.ts'

export interface WorkerOptions {
  /** The folder, or ':memory:'. */
  readonly path: string
  /** For the epoch of a store that does not exist yet: 16 hex digits. */
  readonly random: string
  readonly historyRevisions: number
  readonly historyBytes: number
  readonly maxSizeBytes: number
}

/** What the worker says once the store is open. */
export interface Opened {
  readonly epoch: Epoch
  readonly position: Position
  readonly leases: readonly (readonly [id: number, ttlMs: number])[]
}

export interface Position {
  readonly revision: number
  readonly compacted: number
  readonly sizeBytes: number
  /** Whether compacted history still takes room: `sweep` is worthwhile. */
  readonly unswept: boolean
}

export type Request =
  | { readonly kind: 'batch'; readonly count: number; readonly packed: Packed }
  | {
      readonly kind: 'range'
      readonly from: string
      readonly to: string
      readonly maxRows: number
      readonly maxBytes: number
      readonly revision: number | undefined
    }
  | {
      readonly kind: 'history'
      readonly from: string
      readonly to: string
      readonly after: number
      readonly maxRows: number
      readonly maxBytes: number
    }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'sweep' }
  | { readonly kind: 'raise'; readonly epoch: Epoch }
  | { readonly kind: 'close' }

export type Reply =
  /** `request` comes back, so that the values of events need no second copy on the way. */
  | { readonly kind: 'batch'; readonly position: Position; readonly request: Packed; readonly results: Packed }
  | {
      readonly kind: 'range'
      readonly revision: number
      readonly more: boolean
      readonly count: number
      readonly kvs: Packed
    }
  | { readonly kind: 'history'; readonly through: number; readonly count: number; readonly events: Packed }
  | { readonly kind: 'compacted'; readonly oldest: number }
  | { readonly kind: 'done'; readonly position: Position }
  | { readonly kind: 'raised'; readonly epoch: Epoch }
  /** `fatal`: the worker has closed the database and answers nothing any more. */
  | { readonly kind: 'error'; readonly code: StoreErrorCode; readonly message: string; readonly fatal: boolean }

export type FromWorker =
  | { readonly kind: 'opened'; readonly opened: Opened }
  | { readonly kind: 'not-opened'; readonly code: StoreErrorCode; readonly message: string }
  | { readonly kind: 'reply'; readonly reply: Reply }

/**
 * Layout of a batch's numbers. A command is a header (kind, then three numbers) and its records.
 *   transaction: number of compares, of `then`, of `else`; then so many records
 *   grant: ttl · revoke: lease id
 *   compare: target, op, key (2), to (1, and an empty one; or a value: 2)
 *   operation: kind, key or from (2), value or to (2), lease or limit
 * A result is: status, revision, and what each operation that ran has to say (`results.ts`).
 */
export const COMMAND = { txn: 0, grant: 1, revoke: 2 } as const
export const OPERATION = { put: 0, delete: 1, deleteRange: 2, range: 3 } as const
export const TARGET = { version: 0, create: 1, mod: 2, value: 3 } as const
export const COMPARE_OP = { '=': 0, '!=': 1, '<': 2, '>': 3 } as const
export const STATUS = { failed: 0, succeeded: 1, noLease: 2 } as const
export const HEADER_NUMBERS = 4
export const RECORD_NUMBERS = 6

/** Limit of a range without one. */
export const NO_LIMIT = 0
