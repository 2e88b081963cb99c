/** One key that is held by sessions, with the sessions that ask for it, as a single copy would behave. */
import type { Model, Operation } from './checker.ts'

export type LockOp =
  /** `ttlMs` 0: it does not lapse. `fragile`: it rests on a node that may be taken for dead at any time. */
  | {
      readonly kind: 'create'
      readonly session: string
      readonly ttlMs: number
      readonly fragile: boolean
      readonly behavior: 'release' | 'delete'
    }
  /** `refused`: the session does not stand. Undefined where nobody knows. */
  | {
      readonly kind: 'acquire'
      readonly session: string
      readonly value: string
      readonly outcome?: 'held' | 'not-free' | 'refused'
    }
  | { readonly kind: 'release'; readonly session: string; readonly value: string; readonly applied?: boolean }
  | { readonly kind: 'destroy'; readonly session: string; readonly applied?: boolean }
  /** Renewed, or asked for. */
  | { readonly kind: 'renew' | 'info'; readonly session: string; readonly stands: boolean }
  | { readonly kind: 'get'; readonly holder: string; readonly lockIndex: number; readonly value: string | null }
  /** The session ends by itself; never an operation of a client, see `withLapses`. */
  | { readonly kind: 'lapse'; readonly session: string }

export interface LockState {
  /** Of the sessions that stand: what becomes of the key at their end. */
  readonly sessions: Readonly<Record<string, 'release' | 'delete'>>
  /** '' for nobody. */
  readonly holder: string
  readonly lockIndex: number
  readonly value: string | null
}

export const lockModel: Model<LockState, LockOp> = {
  initial: { sessions: {}, holder: '', lockIndex: 0, value: null },
  step,
  keyOf: ({ sessions, holder, lockIndex, value }) =>
    `${Object.keys(sessions).sort().join()} ${holder} ${lockIndex} ${value}`,
  isRead: (op) =>
    op.kind === 'get' ||
    op.kind === 'renew' ||
    op.kind === 'info' ||
    (op.kind === 'acquire' && (op.outcome === 'not-free' || op.outcome === 'refused')) ||
    (op.kind === 'release' && op.applied === false),
}

function step(state: LockState, op: LockOp): LockState | undefined {
  const { sessions, holder, lockIndex, value } = state
  if (op.kind === 'get') {
    return op.holder === holder && op.lockIndex === lockIndex && op.value === value ? state : undefined
  }
  const stands = sessions[op.session] !== undefined
  switch (op.kind) {
    case 'create':
      return stands ? undefined : { ...state, sessions: { ...sessions, [op.session]: op.behavior } }
    case 'renew':
    case 'info':
      return op.stands === stands ? state : undefined
    case 'destroy':
    case 'lapse':
      return stands ? ended(state, op.session) : state
    case 'acquire': {
      const outcome = !stands ? 'refused' : holder === '' || holder === op.session ? 'held' : 'not-free'
      if (op.outcome !== undefined && op.outcome !== outcome) return undefined
      if (outcome !== 'held') return state
      return { sessions, holder: op.session, lockIndex: lockIndex + (holder === '' ? 1 : 0), value: op.value }
    }
    case 'release': {
      const applied = holder === op.session && value !== null
      if (op.applied !== undefined && op.applied !== applied) return undefined
      return applied ? { sessions, holder: '', lockIndex, value: op.value } : state
    }
  }
}

function ended({ sessions, holder, lockIndex, value }: LockState, session: string): LockState {
  const { [session]: behavior, ...rest } = sessions
  if (holder !== session) return { sessions: rest, holder, lockIndex, value }
  if (behavior === 'delete') return { sessions: rest, holder: '', lockIndex: 0, value: null }
  return { sessions: rest, holder: '', lockIndex, value }
}

/**
 * With what no client sees: a session with a TTL may end once that has passed since it was last renewed for sure (counted from
 * when that was sent, so never too early), a fragile one at any time.
 */
export function withLapses(operations: readonly Operation<LockOp>[]): Operation<LockOp>[] {
  const from = new Map<string, { sinceMs: number; ttlMs: number }>()
  for (const { op, callMs } of operations) {
    if (op.kind === 'create' && (op.ttlMs > 0 || op.fragile)) {
      from.set(op.session, { sinceMs: callMs, ttlMs: op.fragile ? 0 : op.ttlMs })
    }
  }
  for (const { op, callMs } of operations) {
    const term = op.kind === 'renew' && op.stands ? from.get(op.session) : undefined
    if (term && term.ttlMs > 0) term.sinceMs = Math.max(term.sinceMs, callMs)
  }
  const lapses = [...from].map(([session, { sinceMs, ttlMs }]) => ({
    op: { kind: 'lapse', session } as const,
    callMs: sinceMs + ttlMs,
    returnMs: Number.POSITIVE_INFINITY,
  }))
  return [...operations, ...lapses]
}
