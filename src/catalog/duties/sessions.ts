import { AtollError } from '../../model/errors.ts'
import { keyPart, keys } from '../../model/keys.ts'
import { checksOfSession, type SessionRow, sessionTermMs } from '../../model/session.ts'
import type { Clock, Logger, Timer } from '../../runtime/ports.ts'
import type { Compare } from '../../store/store.ts'
import type { OpenCatalog } from '../open.ts'
import { Doubt } from './doubt.ts'

export interface SessionEndsOptions {
  readonly catalog: OpenCatalog
  readonly clock: Clock
  readonly logger: Logger
  /** Of this term of the leader. */
  readonly guard: Compare
  readonly leaseMs: number
  /** Share of the sessions that may lapse per leader's term while this leader has reason to doubt itself; at least 3. */
  readonly maxShare: number
}

const TICK_MS = 250
const RETRY_MS = 1000
const AT_ONCE = 64

/** Why a session ends. */
type Cause = 'lapsed' | 'broken'

/**
 * Ends sessions: whose TTL lapsed, whose check is critical or gone, whose node is gone; and lock-delays when they have
 * passed. Nothing counts that this leader cannot know: who has no lease when it begins, and everyone after it stood still,
 * first gets a full term; a lock-delay runs from the moment at which this leader saw it.
 */
export class SessionEnds {
  readonly #o: SessionEndsOptions
  readonly #doubt: Doubt
  readonly #stop: () => void
  /** Sessions that changed, and are to be looked at once the tables are whole. */
  readonly #changed = new Set<string>()
  readonly #changedDelays = new Set<string>()
  #noted = false
  /** Those that were seen with a lease: once it is gone, their term is over. */
  readonly #leased = new Set<string>()
  /** Sessions without a lease: when they are given up. */
  readonly #suspects = new Map<string, number>()
  /** Sessions that rested on something broken, and those that are ending already: when to try (again). */
  readonly #broken = new Map<string, number>()
  readonly #delays = new Map<string, Timer>()
  /** Nodes with sessions: takes back the wait for their next change. */
  readonly #watched = new Map<string, () => void>()
  readonly #working = new Set<string>()
  #fullTermsFromMs: number
  #closed = false

  constructor(options: SessionEndsOptions) {
    this.#o = options
    const { clock, catalog, leaseMs, maxShare } = options
    const nowMs = clock.nowMs()
    this.#fullTermsFromMs = nowMs
    this.#doubt = new Doubt({ nowMs, termMs: leaseMs, maxShare })
    const table = catalog.view.sessionTable
    const unlisten = table.listen({
      onSession: (id) => this.#note(this.#changed, id),
      onLease: (id) => this.#note(this.#changed, id),
      onDelay: (key) => this.#note(this.#changedDelays, key),
    })
    const ticker = clock.every(TICK_MS, () => this.#tick())
    this.#stop = () => {
      unlisten()
      ticker.cancel()
    }
    for (const { id } of table.all()) this.#note(this.#changed, id)
    for (const key of table.delays.keys()) this.#note(this.#changedDelays, key)
  }

  close(): void {
    this.#closed = true
    this.#stop()
    for (const timer of this.#delays.values()) timer.cancel()
    for (const unwatch of this.#watched.values()) unwatch()
  }

  get #table() {
    return this.#o.catalog.view.sessionTable
  }

  #note(notes: Set<string>, id: string): void {
    notes.add(id)
    if (this.#noted) return
    this.#noted = true
    queueMicrotask(() => this.#lookAtChanges())
  }

  #lookAtChanges(): void {
    this.#noted = false
    if (this.#closed) return
    const now = this.#o.clock.nowMs()
    this.#noticeStall(now)
    for (const id of this.#changed) this.#lookAt(id, now)
    for (const key of this.#changedDelays) this.#lookAtDelay(key)
    this.#changed.clear()
    this.#changedDelays.clear()
    this.#endDue(now)
  }

  #lookAt(id: string, now: number): void {
    const session = this.#table.get(id)
    if (!session) {
      this.#suspects.delete(id)
      this.#leased.delete(id)
      if (this.#table.ending.has(id)) this.#broken.set(id, now)
      else this.#broken.delete(id)
      return
    }
    this.#watch(keyPart(session.node))
    if (session.ttlMs > 0) this.#lookAtLease(session, now)
    this.#judge(session, now)
  }

  /** One that has no lease yet, as its server makes that after it, gets the term that the lease would have had. */
  #lookAtLease(session: SessionRow, now: number): void {
    const { id } = session
    if (this.#table.leases.has(id)) {
      this.#leased.add(id)
      this.#suspects.delete(id)
    } else if (!this.#suspects.has(id)) {
      const fromMs = this.#leased.has(id) ? this.#fullTermsFromMs : now
      this.#suspects.set(id, Math.max(now, fromMs + sessionTermMs(session)))
    }
  }

  /** Called again with the next change of the node or its checks, for as long as it has sessions. */
  #watch(part: string): void {
    if (this.#watched.has(part)) return
    const { view } = this.#o.catalog
    const unwatch = view.topic({ kind: 'node', node: part }).onceChanged(() => {
      this.#watched.delete(part)
      const sessions = this.#table.ofNode(part)
      if (sessions.length === 0 || this.#closed) return
      this.#watch(part)
      const now = this.#o.clock.nowMs()
      for (const session of sessions) this.#judge(session, now)
      this.#endDue(now)
    })
    this.#watched.set(part, unwatch)
  }

  /** What was broken once ends the session, also when it is well again by the time that this is written. */
  #judge(session: SessionRow, now: number): void {
    if (this.#broken.has(session.id)) return
    const node = this.#o.catalog.view.registry.nodeStates.get(keyPart(session.node))
    const stands = (check: string): boolean => {
      const row = node?.checks.get(keyPart(check))?.row
      return row !== undefined && row.status !== 'critical'
    }
    if (!node?.row || !checksOfSession(session).every(stands)) this.#broken.set(session.id, now)
  }

  #tick(): void {
    const now = this.#o.clock.nowMs()
    this.#noticeStall(now)
    this.#doubt.tick(now)
    this.#endDue(now)
  }

  #noticeStall(now: number): void {
    if (this.#doubt.stalledMs(now) === undefined) return
    this.#fullTermsFromMs = now
    for (const id of this.#suspects.keys()) {
      const session = this.#table.get(id)
      if (session) this.#suspects.set(id, now + sessionTermMs(session))
    }
  }

  #endDue(now: number): void {
    for (const [id, dueMs] of this.#broken) {
      if (this.#working.size >= AT_ONCE) return
      if (dueMs <= now && !this.#working.has(id)) void this.#end(id, 'broken')
    }
    for (const [id, dueMs] of this.#suspects) {
      if (this.#working.size >= AT_ONCE) return
      if (dueMs > now || this.#working.has(id)) continue
      if (!this.#doubt.afford(now, () => this.#table.size)) return
      void this.#end(id, 'lapsed')
    }
  }

  async #end(id: string, cause: Cause): Promise<void> {
    const { catalog, guard, logger, clock } = this.#o
    const notRenewed: Compare = { key: keys.sessionLease(id), target: 'create', op: '=', to: 0 }
    const due = cause === 'lapsed' ? this.#suspects : this.#broken
    this.#working.add(id)
    try {
      const command = { kind: 'session-destroy', session: id } as const
      await catalog.execute(command, { guard: cause === 'lapsed' ? [guard, notRenewed] : [guard] })
      logger.info({ session: id, cause }, 'a session ended')
      due.delete(id)
    } catch (error) {
      // 'conflict': it was renewed after all, or this server leads no longer.
      const renewed = error instanceof AtollError && error.code === 'conflict'
      if (renewed && this.#table.leases.has(id)) due.delete(id)
      else due.set(id, clock.nowMs() + RETRY_MS)
      if (!renewed) logger.warn({ error, session: id }, 'a session could not be ended; trying again')
    } finally {
      this.#working.delete(id)
      if (!this.#closed && this.#working.size === AT_ONCE - 1) queueMicrotask(() => this.#endDue(clock.nowMs()))
    }
  }

  #lookAtDelay(key: string): void {
    this.#delays.get(key)?.cancel()
    this.#delays.delete(key)
    const delay = this.#table.delays.get(key)
    if (delay) this.#endDelayIn(delay.delayMs, key, delay.modRevision)
  }

  #endDelayIn(delayMs: number, key: string, since: number): void {
    this.#delays.set(
      key,
      this.#o.clock.after(delayMs, () => void this.#endDelay(key, since)),
    )
  }

  async #endDelay(key: string, since: number): Promise<void> {
    const { catalog, guard, logger } = this.#o
    try {
      await catalog.execute({ kind: 'lock-delay-end', key, since }, { guard: [guard] })
    } catch (error) {
      if (error instanceof AtollError && error.code === 'conflict') return
      logger.warn({ error, key }, 'a lock-delay could not be ended; trying again')
      if (!this.#closed && this.#table.delays.get(key)?.modRevision === since) this.#endDelayIn(RETRY_MS, key, since)
    }
  }
}
