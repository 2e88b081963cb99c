/**
 * Anti-entropy: brings the catalog to what is registered here, change by change at once and entire every so often.
 * One command is in flight at a time, what changes meanwhile is gathered into the next. It retries for as long as it
 * takes; commands carry state, not changes, so that sending one again does no harm.
 */
import { type NodeEntry, SERF_HEALTH } from '../model/entries.ts'
import { type ErrorCode, isAtollError, messageOf } from '../model/errors.ts'
import type { AgentSync } from '../model/sync.ts'
import type { Clock, Logger, Random, Timer } from '../runtime/ports.ts'
import { type Chunk, DEFAULT_BOUNDS, type Item, itemKey, type LocalEntries, nextChunk } from './chunk.ts'
import { withDeadline } from './deadline.ts'
import { serfHealthEntry } from './entries.ts'
import type { ExecuteAgentCommand } from './options.ts'

export interface SyncSource extends LocalEntries {
  node(): NodeEntry
  serviceIds(): readonly string[]
  checkIds(): readonly string[]
}

export interface SyncOptions {
  readonly source: SyncSource
  readonly execute: ExecuteAgentCommand
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly intervalMs: number
  readonly acknowledgeWaitMs: number
  readonly commandTimeoutMs: number
}

export interface SyncStatus {
  /** Everything that is local is known to be in the catalog, by a full sync and since. */
  readonly inSync: boolean
  /** Services and checks that are still to be sent. */
  readonly pending: number
  /** Why the last command failed; undefined when it did not. */
  readonly error: { readonly code: ErrorCode; readonly message: string } | undefined
  /** Entries that the catalog will not take, as `service:<id>` or `check:<id>`. */
  readonly refused: readonly string[]
  /** Monotonic milliseconds of the last full sync. */
  readonly lastFullSyncMs: number | undefined
}

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 10_000
/** While somebody waits for an answer, a conflict is looked at again so soon. */
const CONFLICT_RETRY_MS = 250
const INTERVAL_JITTER = 0.1

/** What is wrong with an entry rather than with the way to the catalog: sending the same again will not help. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['invalid', 'too-large', 'unsupported', 'forbidden', 'internal'])
/** A command with such an outcome may still be applied, later than those sent after it. */
const UNCERTAIN: ReadonlySet<ErrorCode> = new Set(['unknown-outcome', 'timeout'])

interface Dirty extends Item {
  /** Number of the change that made it so; a later one means that a command in flight is already out of date. */
  seq: number
}

interface Waiter {
  readonly keys: Set<string>
  readonly seq: number
  settle(error?: unknown): void
}

export class Sync {
  readonly #options: SyncOptions
  readonly #dirty = new Map<string, Dirty>()
  readonly #waiters = new Set<Waiter>()
  /** Items of a command that was refused: sent one by one to find the culprit. */
  readonly #suspects = new Set<string>()
  readonly #refused = new Set<string>()
  #seq = 0
  /** Number of the full sync that is under way; 0 for none. */
  #full = 0
  #serfHealthSent = false
  #running: Promise<void> | undefined
  #retry: { readonly timer: Timer; readonly dueMs: number } | undefined
  #period: Timer | undefined
  #failures = 0
  #error: SyncStatus['error']
  #lastFullSyncMs: number | undefined
  readonly #stop = new AbortController()
  #started = false
  #paused = false

  constructor(options: SyncOptions) {
    this.#options = options
  }

  /** Begins with a full sync. */
  start(): void {
    this.#started = true
    this.resync()
  }

  /** A full sync, now: the servers were lost, restarted or changed, or may have forgotten. */
  resync(): void {
    if (!this.#started || this.#paused) return
    this.#beginFull()
    this.#failures = 0
    this.#cancelRetry()
    this.#kick()
    this.#schedulePeriod()
  }

  /** These differ from what the catalog has, or are gone. They are sent at once. */
  changed(items: readonly Item[]): void {
    if (items.length === 0) return
    const seq = ++this.#seq
    for (const item of items) {
      const key = itemKey(item)
      this.#suspects.delete(key)
      this.#refused.delete(key)
      this.#mark(item, seq)
    }
    this.#kick()
  }

  /**
   * Resolves when what `changed` was told of these is in the catalog, or after a while when no server answers. Rejects
   * when the catalog refuses one of them ('invalid', 'too-large', ...) or this node ('conflict').
   */
  acknowledged(items: readonly Item[]): Promise<void> {
    const keys = new Set(items.map(itemKey).filter((key) => this.#dirty.has(key)))
    if (keys.size === 0 || this.#stop.signal.aborted) return Promise.resolve()
    // Whoever waits shall hear of a conflict, and not take the time limit for success.
    if (this.#error?.code === 'conflict' && this.#retry) this.#retryWithin(CONFLICT_RETRY_MS)
    return this.#wait(keys, this.#seq)
  }

  status(): SyncStatus {
    return {
      inSync: this.#lastFullSyncMs !== undefined && this.#dirty.size === 0 && this.#refused.size === 0 && !this.#error,
      pending: this.#dirty.size,
      error: this.#error,
      refused: [...this.#refused],
      lastFullSyncMs: this.#lastFullSyncMs,
    }
  }

  /** Begins nothing new; resolves once nothing is in flight. Not to be undone. */
  async pause(): Promise<void> {
    this.#paused = true
    this.#cancelRetry()
    this.#period?.cancel()
    await this.#running
  }

  /** Gives up what is in flight, and lets go of those who wait. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the agent was stopped'))
    await this.pause()
    for (const waiter of [...this.#waiters]) waiter.settle()
  }

  #wait(keys: Set<string>, seq: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#options.clock.after(this.#options.acknowledgeWaitMs, () => waiter.settle())
      const waiter: Waiter = {
        keys,
        seq,
        settle: (error) => {
          timer.cancel()
          this.#waiters.delete(waiter)
          if (error === undefined) resolve()
          else reject(error)
        },
      }
      this.#waiters.add(waiter)
    })
  }

  #beginFull(): void {
    const { source } = this.#options
    // A number above those of commands in flight: what they carry may be lost, and goes again.
    const seq = ++this.#seq
    this.#full = seq
    this.#serfHealthSent = false
    // What was refused before goes alone, so that it does not hold up the rest again.
    for (const key of this.#refused) this.#suspects.add(key)
    this.#refused.clear()
    for (const id of source.serviceIds()) this.#mark({ kind: 'service', id }, seq)
    for (const id of source.checkIds()) this.#mark({ kind: 'check', id }, seq)
  }

  #mark(item: Item, seq: number): void {
    this.#dirty.set(itemKey(item), { ...item, seq })
  }

  #schedulePeriod(): void {
    const { clock, random, intervalMs } = this.#options
    this.#period?.cancel()
    const delayMs = intervalMs * (1 - INTERVAL_JITTER + 2 * INTERVAL_JITTER * random.float())
    this.#period = clock.after(delayMs, () => {
      this.#beginFull()
      this.#kick()
      this.#schedulePeriod()
    })
  }

  #kick(): void {
    if (!this.#started || this.#paused || this.#running || this.#retry || !this.#hasWork()) return
    this.#running = this.#drain().then(
      () => this.#drained(),
      (error) => {
        this.#failed(new Map(), error)
        this.#drained()
      },
    )
  }

  #drained(): void {
    this.#running = undefined
    // A change may have come after the last look.
    this.#kick()
  }

  #hasWork(): boolean {
    return this.#dirty.size > 0 || this.#full > 0
  }

  async #drain(): Promise<void> {
    // What changes in the same breath goes together.
    await Promise.resolve()
    while (this.#hasWork() && !this.#paused) {
      const chunk = this.#nextChunk()
      const seqs = new Map(chunk.keys.map((key) => [key, this.#dirty.get(key)!.seq]))
      const full = this.#full
      const command = this.#command(chunk)
      try {
        const { more } = await this.#send(command)
        this.#applied(seqs, full, command.complete && more !== true)
      } catch (error) {
        if (this.#stop.signal.aborted) return
        this.#failed(seqs, error)
        if (this.#retry) return
      }
    }
  }

  /** What is under suspicion goes alone. */
  #nextChunk(): Chunk {
    const { source } = this.#options
    for (const suspect of this.#suspects) {
      const item = this.#dirty.get(suspect)
      if (!item) {
        this.#suspects.delete(suspect)
        continue
      }
      // A check cannot be judged before its service is there.
      const of = item.kind === 'check' ? itemKey({ kind: 'service', id: source.check(item.id)?.serviceId ?? '' }) : ''
      const key = this.#dirty.has(of) ? of : suspect
      return { ...nextChunk(new Map([[key, this.#dirty.get(key)!]]), source), last: false }
    }
    return nextChunk(this.#dirty, source, DEFAULT_BOUNDS)
  }

  #command(chunk: Chunk): AgentSync {
    const { source } = this.#options
    const node = source.node()
    const complete = this.#full > 0 && chunk.last
    const serfHealth = this.#full > 0 && !this.#serfHealthSent ? [serfHealthEntry(node.node)] : []
    return {
      kind: 'agent-sync',
      node,
      services: chunk.services,
      checks: [...serfHealth, ...chunk.checks],
      removeServices: chunk.removeServices,
      removeChecks: chunk.removeChecks,
      complete,
      ...(complete ? { keepServices: source.serviceIds(), keepChecks: [SERF_HEALTH, ...source.checkIds()] } : {}),
    }
  }

  #send(command: AgentSync): Promise<{ readonly more?: boolean }> {
    const { clock, commandTimeoutMs, execute } = this.#options
    return withDeadline(clock, commandTimeoutMs, this.#stop.signal, (signal) => execute(command, { signal }))
  }

  /** `full`: the full sync that the command was a part of. */
  #applied(seqs: ReadonlyMap<string, number>, full: number, completed: boolean): void {
    const { clock, logger } = this.#options
    for (const [key, seq] of seqs) {
      this.#suspects.delete(key)
      if (this.#dirty.get(key)?.seq === seq) this.#dirty.delete(key)
    }
    if (full > 0 && full === this.#full) {
      this.#serfHealthSent = true
      if (completed) {
        this.#full = 0
        this.#lastFullSyncMs = clock.nowMs()
      }
    }
    this.#release(seqs)
    if (this.#error) logger.info({ pending: this.#dirty.size }, 'the agent is in touch with the catalog again')
    this.#error = undefined
    this.#failures = 0
  }

  #release(seqs: ReadonlyMap<string, number>, error?: unknown): void {
    for (const waiter of [...this.#waiters]) {
      for (const [key, seq] of seqs) {
        if (seq < waiter.seq || !waiter.keys.has(key)) continue
        if (error !== undefined) waiter.settle(error)
        waiter.keys.delete(key)
      }
      if (waiter.keys.size === 0) waiter.settle()
    }
  }

  #failed(seqs: ReadonlyMap<string, number>, error: unknown): void {
    const code: ErrorCode = isAtollError(error) ? error.code : 'unavailable'
    if (REFUSALS.has(code) && seqs.size > 0) {
      this.#refuse(seqs, error)
      return
    }
    if (code === 'conflict') for (const waiter of [...this.#waiters]) waiter.settle(error)
    if (UNCERTAIN.has(code)) this.#beginFull()
    this.#report(code, messageOf(error))
    const ceiling = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 16)
    this.#scheduleRetry(ceiling * (0.5 + 0.5 * this.#options.random.float()))
  }

  /** One entry is to blame: sent one by one, the others get through, and that one is left until the next full sync. */
  #refuse(seqs: ReadonlyMap<string, number>, error: unknown): void {
    if (seqs.size > 1) {
      for (const key of seqs.keys()) this.#suspects.add(key)
      return
    }
    if (this.#full === 0) {
      // The catalog may have lost what the entry stands on: it gets all of it once more, and this one alone.
      for (const key of seqs.keys()) this.#suspects.add(key)
      this.#beginFull()
      return
    }
    for (const [key, seq] of seqs) {
      this.#suspects.delete(key)
      // Changed since: what it is now was not refused.
      if (this.#dirty.get(key)?.seq !== seq) continue
      this.#dirty.delete(key)
      this.#refused.add(key)
      this.#options.logger.error({ entry: key, reason: messageOf(error) }, 'the catalog refuses an entry of this agent')
    }
    this.#release(seqs, error)
  }

  #report(code: ErrorCode, message: string): void {
    const { logger } = this.#options
    const fields = { code, reason: message, pending: this.#dirty.size }
    if (this.#error?.code === code) logger.debug(fields, 'the agent still cannot reach the catalog')
    else if (code === 'conflict')
      logger.error(fields, "this node's name belongs to another node; nothing is registered")
    else logger.warn(fields, 'the agent cannot reach the catalog; it goes on trying')
    this.#error = { code, message }
  }

  #scheduleRetry(delayMs: number): void {
    this.#cancelRetry()
    if (this.#paused) return
    const { clock } = this.#options
    const timer = clock.after(delayMs, () => {
      this.#retry = undefined
      this.#kick()
    })
    this.#retry = { timer, dueMs: clock.nowMs() + delayMs }
  }

  /** Brings the next attempt forward. */
  #retryWithin(delayMs: number): void {
    if (this.#retry && this.#retry.dueMs > this.#options.clock.nowMs() + delayMs) this.#scheduleRetry(delayMs)
  }

  #cancelRetry(): void {
    this.#retry?.timer.cancel()
    this.#retry = undefined
  }
}
