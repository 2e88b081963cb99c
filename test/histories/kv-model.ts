/**
 * One key of the KV store, as a single copy would behave. Every write has a value of its own, so that a value that is read says
 * which write made it. Its ModifyIndex says when that came: writes that were seen take effect in the order of their indexes,
 * which leaves the search little to try.
 */
import type { Model, Operation } from './checker.ts'

export type KvOp =
  | { readonly kind: 'get'; readonly value: string | null; readonly index: number }
  /** `cas`: only at this ModifyIndex, 0 for only where there is none. `applied` is undefined where nobody knows. */
  | {
      readonly kind: 'put'
      readonly value: string
      readonly cas?: number
      readonly applied?: boolean
      /** Another key, to which the same transaction wrote the same value. */
      readonly with?: string
    }
  | { readonly kind: 'delete'; readonly cas?: number; readonly applied?: boolean }

export interface KvState {
  /** `UNSEEN` for any that was never read. */
  readonly value: string | null
  /** Of the writes that were seen, so many have happened. */
  readonly seen: number
}

const UNSEEN = '\0'

/** What is wrong with a history whatever the order of its operations. */
export interface Contradiction {
  readonly what: 'a value with two indexes' | 'an index with two values' | 'a value that nobody wrote'
  readonly operation: Operation<KvOp>
}

/**
 * The model for this history, what is wrong with it whatever the order, and the history itself with the times between which each
 * operation can have taken effect: not before what must come before it was called, nor after what must come later has returned.
 */
export function kvModel(operations: readonly Operation<KvOp>[]): {
  readonly model: Model<KvState, KvOp>
  readonly narrowed: readonly Operation<KvOp>[]
  readonly contradictions: readonly Contradiction[]
} {
  const seen = new Seen()
  const written = new Set(operations.flatMap(({ op }) => (op.kind === 'put' ? [op.value] : [])))
  const contradictions = operations.flatMap((operation): Contradiction[] => {
    const { op } = operation
    if (op.kind !== 'get' || op.value === null) return []
    const what = written.has(op.value) ? seen.add(op.value, op.index) : 'a value that nobody wrote'
    return what ? [{ what, operation }] : []
  })
  const ranks = seen.ranks()
  const model: Model<KvState, KvOp> = {
    initial: { value: null, seen: 0 },
    keyOf: (state) => `${state.value === null ? 'none' : state.value === UNSEEN ? 'unseen' : 'seen'} ${state.seen}`,
    isRead: (op) => op.kind === 'get' || op.applied === false,
    classOf: (op) =>
      op.kind === 'get' || (op.kind === 'put' && ranks.has(op.value)) ? undefined : `${op.kind} ${op.cas}`,
    step: (state, op) => step(state, op, ranks, seen.valueAt),
  }
  return { model, contradictions, narrowed: narrow(operations, ranks) }
}

/** Seen writes come in the order of their ranks, and reads of each between it and the next. Reads with times that cross are kept as they are. */
function narrow(operations: readonly Operation<KvOp>[], ranks: ReadonlyMap<string, number>): Operation<KvOp>[] {
  const placeOf = ({ op }: Operation<KvOp>): number | undefined => {
    const rank = op.kind === 'delete' || op.value === null ? undefined : ranks.get(op.value)
    return rank === undefined ? undefined : 2 * rank + (op.kind === 'get' ? 1 : 0)
  }
  const size = 2 * ranks.size + 3
  const earliestMs = new Array<number>(size).fill(Number.NEGATIVE_INFINITY)
  const latestMs = new Array<number>(size).fill(Number.POSITIVE_INFINITY)
  for (const each of operations) {
    const place = placeOf(each)
    if (place === undefined) continue
    earliestMs[place] = Math.max(earliestMs[place]!, each.callMs)
    latestMs[place] = Math.min(latestMs[place]!, each.returnMs)
  }
  for (let i = 1; i < size; i++) earliestMs[i] = Math.max(earliestMs[i]!, earliestMs[i - 1]!)
  for (let i = size - 2; i >= 0; i--) latestMs[i] = Math.min(latestMs[i]!, latestMs[i + 1]!)
  return operations.map((each) => {
    const place = placeOf(each)
    if (place === undefined) return each
    const callMs = Math.max(each.callMs, earliestMs[place - 1]!)
    const returnMs = Math.min(each.returnMs, latestMs[place + 1]!)
    return callMs <= returnMs ? { op: each.op, callMs, returnMs } : each
  })
}

/** Which value was seen at which index. */
class Seen {
  readonly valueAt = new Map<number, string>()
  readonly #indexOf = new Map<string, number>()

  add(value: string, index: number): Contradiction['what'] | undefined {
    const known = this.#indexOf.get(value)
    if (known !== undefined && known !== index) return 'a value with two indexes'
    const other = this.valueAt.get(index)
    if (other !== undefined && other !== value) return 'an index with two values'
    this.valueAt.set(index, value)
    this.#indexOf.set(value, index)
    return undefined
  }

  /** Values in the order of their indexes, from 1. */
  ranks(): ReadonlyMap<string, number> {
    const ordered = [...this.valueAt].sort(([a], [b]) => a - b)
    return new Map(ordered.map(([, value], i) => [value, i + 1]))
  }
}

function step(
  state: KvState,
  op: KvOp,
  ranks: ReadonlyMap<string, number>,
  valueAt: ReadonlyMap<number, string>,
): KvState | undefined {
  if (op.kind === 'get') return op.value === state.value ? state : undefined
  // An index that nobody read is that of no value here.
  const isAt = (cas: number): boolean => state.value !== null && state.value === valueAt.get(cas)
  if (op.kind === 'delete') {
    // As in Consul: what is not there is deleted whatever `cas` says.
    const holds = state.value === null || op.cas === undefined || isAt(op.cas)
    if (op.applied !== undefined && op.applied !== holds) return undefined
    return !holds || state.value === null ? state : { value: null, seen: state.seen }
  }
  const holds = op.cas === undefined || (op.cas === 0 ? state.value === null : isAt(op.cas))
  if (op.applied !== undefined && op.applied !== holds) return undefined
  if (!holds) return state
  const rank = ranks.get(op.value)
  if (rank === undefined) return { value: UNSEEN, seen: state.seen }
  return rank === state.seen + 1 ? { value: op.value, seen: rank } : undefined
}
