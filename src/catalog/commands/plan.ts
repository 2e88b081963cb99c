import type { Compare, Operation } from '../../store/store.ts'
import type { TxnAnswer } from '../txn.ts'

/** What a command comes to, judged by the tables as they stand: what must still hold, and what is written then. */
export interface Plan {
  /** As in `CommandResult`. */
  readonly applied: boolean
  readonly if: readonly Compare[]
  /** Empty: there is nothing to write. */
  readonly then: readonly Operation[]
  /** The command takes more than one transaction: afterwards it is judged again, and the rest written. */
  readonly partial?: boolean
  /** Services (parts of keys) that lose a passing instance: writers of these take turns. */
  readonly lowered?: readonly string[]
  /** The number that it takes under a prefix. */
  readonly number?: { readonly prefix: string; readonly number: number }
  /** Nothing would be written whatever the catalog held: it may be done again, and no outcome is recorded. */
  readonly reads?: boolean
  /** What a transaction answers, with indexes that are not known yet: answered with these, and remembered with its outcome. */
  readonly txn?: TxnAnswer
  /** The key that it makes: answered, and remembered with its outcome. */
  readonly key?: string
}

export const nothing = (applied = true): Plan => ({ applied, if: [], then: [] })

/** Operations and compares that a plan may hold each; a few of the store's are left for its executor. */
export const MAX_PLAN_OPERATIONS = 118
/** Bytes of keys and values in one plan, below what any driver takes. */
export const MAX_PLAN_BYTES = 1_200_000

export const modIs = (key: string, revision: number): Compare => ({ key, target: 'mod', op: '=', to: revision })
/** Whatever became of it since: the same key, not created anew. */
export const createIs = (key: string, revision: number): Compare => ({ key, target: 'create', op: '=', to: revision })

/** Whether the plan is within the bounds of one transaction. */
export function fits(plan: { readonly if: readonly unknown[]; readonly then: readonly Operation[] }): boolean {
  if (plan.if.length > MAX_PLAN_OPERATIONS || plan.then.length > MAX_PLAN_OPERATIONS) return false
  let bytes = 0
  for (const operation of plan.then) if ('put' in operation) bytes += operation.put.length * 2 + operation.value.length
  return bytes <= MAX_PLAN_BYTES
}
