import { keys } from '../model/keys.ts'
import { type SessionRow, sessionTermMs } from '../model/session.ts'
import type { Logger } from '../runtime/ports.ts'
import { type Store, StoreError } from '../store/store.ts'
import type { CommandResult } from './catalog.ts'
import { MARK } from './codec.ts'
import { modIs } from './commands/plan.ts'
import { validate } from './commands/validate.ts'
import { toAtollError } from './errors.ts'
import type { SessionLease } from './tables/session-table.ts'
import type { Tables } from './tables.ts'

export interface SessionLeasesOptions {
  readonly store: Store
  readonly tables: Tables
  readonly logger: Logger
  /** The tables hold everything acknowledged before the call; undefined when they do now. */
  readonly current: () => Promise<void> | undefined
  /** Resolves when the tables hold that revision. */
  readonly reach: (revision: number) => Promise<void> | undefined
}

/** Of one session. */
interface Round {
  readonly running: Promise<boolean>
  /** Begins once that has ended: who asks meanwhile shares it. */
  next: Promise<boolean> | undefined
}

/**
 * The terms of sessions with a TTL, as leases of the store: a renewal is no transaction. A lease that lapses is a sign to
 * the leader, who ends the session unless it was renewed meanwhile (see duties/sessions.ts).
 */
export class SessionLeases {
  readonly #o: SessionLeasesOptions
  readonly #renewing = new Map<string, Round>()

  constructor(options: SessionLeasesOptions) {
    this.#o = options
  }

  /** Not applied when there is no such session. Rejects with AtollError. */
  async renew(command: { readonly kind: 'session-renew'; readonly session: string }): Promise<CommandResult> {
    validate(command)
    try {
      return { applied: await this.#share(command.session), index: this.#o.tables.index }
    } catch (error) {
      throw toAtollError(error)
    }
  }

  /** After the session was made. Never rejects: without a lease the leader gives it a full term. */
  async begin(created: { readonly id: string; readonly ttlMs: number }): Promise<void> {
    const session = this.#o.tables.session(created.id)
    if (!session || session.ttlMs === 0 || this.#o.tables.sessionTable.leases.has(session.id)) return
    try {
      await this.#grant(session)
    } catch (error) {
      this.#o.logger.warn({ error, session: created.id }, 'a new session got no lease; the leader counts its term')
    }
  }

  /** Its session is gone. */
  drop({ lease }: SessionLease): void {
    this.#o.store.revokeLease(lease).catch(() => {})
  }

  /** Not the one under way: it may have found the session before that was ended. */
  #share(session: string): Promise<boolean> {
    const round = this.#renewing.get(session)
    if (!round) return this.#begin(session)
    const begin = (): Promise<boolean> => this.#begin(session)
    round.next ??= round.running.then(begin, begin)
    return round.next
  }

  #begin(session: string): Promise<boolean> {
    const running = this.#renew(session).finally(() => {
      if (!round.next) this.#renewing.delete(session)
    })
    const round: Round = { running, next: undefined }
    this.#renewing.set(session, round)
    return running
  }

  async #renew(id: string): Promise<boolean> {
    await this.#o.current()
    const session = this.#o.tables.session(id)
    if (!session) return false
    if (session.ttlMs === 0) return true
    const known = this.#o.tables.sessionTable.leases.get(id)
    if (known && (await this.#stands(known))) return true
    return this.#grant(session)
  }

  async #stands({ lease }: SessionLease): Promise<boolean> {
    try {
      await this.#o.store.renewLease(lease)
      return true
    } catch (error) {
      if (error instanceof StoreError && error.code === 'no-lease') return false
      throw error
    }
  }

  /** Whether the session stood when it got the lease. */
  async #grant(session: SessionRow): Promise<boolean> {
    const { store, tables, reach } = this.#o
    const lease = await store.grantLease(sessionTermMs(session))
    const stands = modIs(keys.session(session.id), tables.revisionOf(session.modifyIndex))
    const put = { put: keys.sessionLease(session.id), value: MARK, lease: lease.id }
    const { succeeded, revision } = await store.txn({ if: [stands], then: [put] })
    if (!succeeded) await store.revokeLease(lease.id).catch(() => {})
    await reach(revision)
    return succeeded
  }
}
