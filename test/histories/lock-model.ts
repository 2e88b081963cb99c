/** One key that is held by sessions, with the sessions that ask for it, as a single copy would behave. */
import type { Model, Operation } from './checker.ts'

export type LockOp =
  /**
   * `ttlMs` 0: it does not lapse. `fragile`: it rests on a node that may be taken for dead at any time. `delayMs`: its lock-delay, none
   * unless given.
   */
  | {
      readonly kind: 'create'
      readonly session: string
      readonly ttlMs: number
      readonly fragile: boolean
      readonly behavior: 'release' | 'delete'
      readonly delayMs?: number
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
  /** The lock-delay that its end began is over; neither. */
  | { readonly kind: 'undelay'; readonly session: string }

interface Standing {
  /** What becomes of the key at its end. */
  readonly behavior: 'release' | 'delete'
  readonly delays: boolean
}

export interface LockState {
  /** Those that stand. */
  readonly sessions: Readonly<Record<string, Standing>>
  /** '' for nobody. */
  readonly holder: string
  readonly lockIndex: number
  readonly value: string | null
  /** The session whose lock-delay keeps everybody from acquiring it; '' for none. */
  readonly delayedBy: string
}

export const lockModel: Model<LockState, LockOp> = {
  initial: { sessions: {}, holder: '', lockIndex: 0, value: null, delayedBy: '' },
  step,
  keyOf: ({ sessions, holder, lockIndex, value, delayedBy }) =>
    `${Object.keys(sessions).sort().join()} ${holder} ${lockIndex} ${value} ${delayedBy}`,
  isRead: (op) =>
    op.kind === 'get' ||
    op.kind === 'renew' ||
    op.kind === 'info' ||
    (op.kind === 'acquire' && (op.outcome === 'not-free' || op.outcome === 'refused')) ||
    (op.kind === 'release' && op.applied === false),
}

function step(state: LockState, op: LockOp): LockState | undefined {
  const { sessions, holder, lockIndex, value, delayedBy } = state
  if (op.kind === 'get') {
    return op.holder === holder && op.lockIndex === lockIndex && op.value === value ? state : undefined
  }
  const stands = sessions[op.session] !== undefined
  switch (op.kind) {
    case 'create': {
      const standing: Standing = { behavior: op.behavior, delays: (op.delayMs ?? 0) > 0 }
      return stands ? undefined : { ...state, sessions: { ...sessions, [op.session]: standing } }
    }
    case 'undelay':
      return delayedBy === op.session ? { ...state, delayedBy: '' } : state
    case 'renew':
    case 'info':
      return op.stands === stands ? state : undefined
    case 'destroy':
    case 'lapse':
      return stands ? ended(state, op.session) : state
    case 'acquire': {
      const isFree = holder === op.session || (holder === '' && delayedBy === '')
      const outcome = !stands ? 'refused' : isFree ? 'held' : 'not-free'
      if (op.outcome !== undefined && op.outcome !== outcome) return undefined
      if (outcome !== 'held') return state
      return { ...state, holder: op.session, lockIndex: lockIndex + (holder === '' ? 1 : 0), value: op.value }
    }
    case 'release': {
      const applied = holder === op.session && value !== null
      if (op.applied !== undefined && op.applied !== applied) return undefined
      return applied ? { ...state, holder: '', value: op.value } : state
    }
  }
}

function ended(state: LockState, session: string): LockState {
  const { [session]: standing, ...sessions } = state.sessions
  if (state.holder !== session) return { ...state, sessions }
  const free = { ...state, sessions, holder: '', delayedBy: standing!.delays ? session : state.delayedBy }
  return standing!.behavior === 'delete' ? { ...free, lockIndex: 0, value: null } : free
}

/**
 * With what no client sees: a session with a TTL may end once that has passed since it was last renewed for sure (counted from
 * when that was sent, so never too early), a fragile one at any time. A lock-delay may be over once its time has passed since the
 * session's end was first possible.
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
  return [...operations, ...lapses, ...undelays([...operations, ...lapses])]
}

function undelays(operations: readonly Operation<LockOp>[]): Operation<LockOp>[] {
  const endsMs = new Map<string, number>()
  for (const { op, callMs } of operations) {
    if (op.kind !== 'destroy' && op.kind !== 'lapse') continue
    endsMs.set(op.session, Math.min(callMs, endsMs.get(op.session) ?? Number.POSITIVE_INFINITY))
  }
  return operations.flatMap(({ op }): Operation<LockOp>[] => {
    const endMs = op.kind === 'create' && op.delayMs ? endsMs.get(op.session) : undefined
    if (endMs === undefined || op.kind !== 'create') return []
    const undelay = { kind: 'undelay', session: op.session } as const
    return [{ op: undelay, callMs: endMs + op.delayMs!, returnMs: Number.POSITIVE_INFINITY }]
  })
}
