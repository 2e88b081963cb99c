/** Transactions over KV entries, nodes, services and checks: what is asked and what is answered, as plain data. */
import type { CheckEntry, CheckRow, KvRow, NodeEntry, NodeRow, ServiceEntry, ServiceRow } from '../model/entries.ts'

/** Consul's limit, and ours. */
export const MAX_TXN_COMMANDS = 64

/** Verbs that write, and those that only look; others are answered with an error of the operation. */
export const KV_WRITES: ReadonlySet<string> = new Set([
  'set',
  'cas',
  'lock',
  'unlock',
  'delete',
  'delete-cas',
  'delete-tree',
])

export type TxnOperation =
  | {
      readonly type: 'kv'
      readonly verb: string
      readonly key: string
      readonly value: Uint8Array
      /** Unsigned 64 bits. */
      readonly flags: bigint
      /** Modify index to compare with. */
      readonly index: number
      readonly session: string
    }
  | { readonly type: 'node'; readonly verb: string; readonly node: NodeEntry; readonly index: number }
  | {
      readonly type: 'service'
      readonly verb: string
      readonly node: string
      readonly service: ServiceEntry
      readonly index: number
    }
  | { readonly type: 'check'; readonly verb: string; readonly check: CheckEntry; readonly index: number }

/** What one operation gives: an entry as it is after the transaction. Writes of KV leave its value out. */
export type TxnEntry =
  | { readonly type: 'kv'; readonly row: KvRow }
  | { readonly type: 'node'; readonly row: NodeRow }
  | { readonly type: 'service'; readonly row: ServiceRow }
  | { readonly type: 'check'; readonly row: CheckRow }

export interface TxnError {
  /** Place of the operation in the transaction. */
  readonly operation: number
  readonly what: string
}

export interface TxnAnswer {
  readonly entries: readonly TxnEntry[]
  /** When there is one, nothing was changed. */
  readonly errors: readonly TxnError[]
}

export function isWrite(operation: TxnOperation): boolean {
  return operation.type === 'kv' ? KV_WRITES.has(operation.verb) : operation.verb !== 'get'
}
