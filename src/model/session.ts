/** Sessions: what a lock is held by, and what ends it. */
import type { Indexed } from './entries.ts'

/** What becomes of the keys that a session holds when it ends: they are released, or deleted (ephemeral keys). */
export type SessionBehavior = 'release' | 'delete'

export interface SessionEntry {
  /** UUID, in lower case. */
  readonly id: string
  readonly name: string
  /** The session ends when this node is deregistered. */
  readonly node: string
  /** How long a lock that the session loses by ending cannot be acquired by anybody; 0 for not at all. */
  readonly lockDelayMs: number
  readonly behavior: SessionBehavior
  /** As it was given ("30s"); '' for none. */
  readonly ttl: string
  /** Without a renewal for so long the session may end; 0 for never. A lower bound: see `sessionTermMs`. */
  readonly ttlMs: number
  /** Checks of the node; the session ends when one of them is critical or gone. */
  readonly nodeChecks: readonly string[]
  /** Checks of services on the node, likewise. */
  readonly serviceChecks: readonly string[] | null
  /** Checks given in the old form, likewise. */
  readonly checks: readonly string[] | null
  /** Over for everybody, while the last of its many keys are being released. */
  readonly ending: boolean
}
export type SessionRow = SessionEntry & Indexed

export const MIN_SESSION_TTL_MS = 10_000
export const MAX_SESSION_TTL_MS = 86_400_000
/** Checks that one session may name: all are compared in the transaction that creates it. */
export const MAX_SESSION_CHECKS = 64

/** How long after its last renewal a session ends: Consul's clients count on more than the TTL, and less than twice as much. */
export const sessionTermMs = (session: { readonly ttlMs: number }): number => session.ttlMs * 1.5

export const checksOfSession = (session: Omit<SessionEntry, 'ending'>): readonly string[] => [
  ...session.nodeChecks,
  ...(session.serviceChecks ?? []),
  ...(session.checks ?? []),
]
