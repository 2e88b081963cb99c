import type { Epoch } from '../model/epoch.ts'
import { AtollError } from '../model/errors.ts'
import type { Clock, Logger, Random } from '../runtime/ports.ts'
import { type KeyValue, type Store, StoreError, type Watch } from '../store/store.ts'
import { type ArchiveOptions, restoreSnapshot, saveSnapshot } from './archive.ts'
import type { Catalog, Command, CommandResult, KvChanges, KvChangesOptions, Snapshot } from './catalog.ts'
import { kvChanges } from './changes.ts'
import { toAtollError } from './errors.ts'
import { Executor, type GuardedOptions } from './execute.ts'
import { pagesOf } from './pages.ts'
import { SessionLeases } from './session-leases.ts'
import { Tables } from './tables.ts'

export interface CatalogOptions {
  /** Stays the caller's to close, after the catalog. */
  readonly store: Store
  readonly datacenter: string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** How long a read or a command waits for the tables to catch up with the store, in ms. Default 10,000. */
  readonly catchUpTimeoutMs?: number
}

/** What `openCatalog` gives: the contract, and what the leader's duties and the composition root need beside it. */
export interface OpenCatalog extends Catalog {
  readonly view: Tables
  /** As `Catalog.execute`; with a guard for duties. */
  execute(command: Command, options?: GuardedOptions): Promise<CommandResult>
  /** Begins another life of the store with at least this generation; the tables' indexes rise with it. */
  raiseGeneration(generation: number): Promise<Epoch>
}

/** Reads the whole store, then follows it. Rejects with AtollError when the store cannot be read. */
export async function openCatalog(options: CatalogOptions): Promise<OpenCatalog> {
  const catalog = new StoreCatalog(options)
  try {
    await catalog.start()
  } catch (error) {
    await catalog.close()
    throw toAtollError(error)
  }
  return catalog
}

interface Waiter {
  readonly revision: number
  readonly resolve: () => void
  readonly reject: (error: AtollError) => void
}

const RELOAD_PAUSE_MS = 250

class StoreCatalog implements OpenCatalog {
  readonly view: Tables
  readonly #o: CatalogOptions
  readonly #executor: Executor
  readonly #sessionLeases: SessionLeases
  readonly #waiters = new Set<Waiter>()
  #watch: Watch | undefined
  #failure: AtollError | undefined
  /** The store failed, rather than was closed. */
  #frozen = false
  #closed = false
  #idlers: (() => void)[] = []
  /** The last one that was asked of the store, and when the tables have reached it. */
  #barrier: { readonly asked: Promise<number>; readonly reached: Promise<void> } | undefined

  constructor(options: CatalogOptions) {
    this.#o = options
    const { store, datacenter, clock, random, logger } = options
    this.view = new Tables({
      datacenter,
      epoch: store.epoch,
      onUnreadable: (key, error) =>
        logger.error({ key, error }, 'an entry in the store cannot be read; it is left out'),
      onWaiterFailed: (error) => logger.error({ error }, 'a waiter of the catalog failed'),
    })
    this.#executor = new Executor({
      store,
      tables: this.view,
      clock,
      random,
      logger,
      current: () => this.barrier(),
      reach: (revision) => this.#reach(revision),
    })
    this.#sessionLeases = new SessionLeases({
      store,
      tables: this.view,
      logger,
      current: () => this.barrier(),
      reach: (revision) => this.#reach(revision),
    })
  }

  /** The first load: nobody reads the tables yet, so that pages go in as they come. */
  async start(): Promise<void> {
    try {
      this.#follow(await this.#readAll((at, kvs) => this.view.load(at, kvs)))
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'compacted')) throw error
      // So much was written between two pages: what is loaded is brought up to a later revision.
      await this.#replace()
    }
  }

  /** Every key as of one revision. 'compacted' when that is forgotten between two pages. */
  async #readAll(take: (revision: number, kvs: readonly KeyValue[]) => void): Promise<number> {
    let read = 0
    for await (const { revision, kvs } of pagesOf(this.#o.store)) {
      take(revision, kvs)
      read = revision
    }
    return read
  }

  #follow(since: number): void {
    this.#watch = this.#o.store.watch('', '', since, {
      onRevisions: (batch) => {
        this.view.apply(batch)
        this.#settleWaiters()
      },
      onCompacted: (oldest) => {
        this.#o.logger.warn({ oldest, revision: this.view.revision }, 'the store forgot history; reading it anew')
        void this.#reload()
      },
      onEnd: (error) => this.#fail(error),
    })
  }

  async #reload(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#replace()
        return
      } catch (error) {
        if (error instanceof StoreError && (error.code === 'closed' || error.code === 'failed')) {
          this.#fail(error)
          return
        }
        this.#o.logger.warn({ error }, 'reading the store failed; trying again')
        await this.#o.clock.sleep(RELOAD_PAUSE_MS * (0.5 + this.#o.random.float()))
      }
    }
  }

  async #replace(): Promise<void> {
    const kvs: KeyValue[] = []
    const revision = await this.#readAll((_, page) => {
      for (const kv of page) kvs.push(kv)
    })
    if (this.#closed) return
    this.#watch?.cancel()
    this.view.replaceAll(revision, kvs, this.#o.store.epoch)
    this.#settleWaiters()
    this.#follow(Math.max(revision, this.view.revision))
  }

  async raiseGeneration(generation: number): Promise<Epoch> {
    try {
      const epoch = await this.#o.store.raiseGeneration(generation)
      if (epoch.generation !== this.view.epoch.generation) await this.#replace()
      return epoch
    } catch (error) {
      throw toAtollError(error)
    }
  }

  barrier(): Promise<void> | undefined {
    // A store that failed takes no writes, so tables that hold all that it acknowledged go on to answer.
    if (this.#failure && !this.#frozen) return Promise.reject(this.#failure)
    let asked: number | Promise<number>
    try {
      asked = this.#o.store.barrier()
    } catch (error) {
      return Promise.reject(toAtollError(error))
    }
    if (typeof asked === 'number') return this.#reach(asked)
    // The store gives all who come at the same moment the same one.
    if (this.#barrier?.asked !== asked) {
      const reached = asked.then(
        (revision) => this.#reach(revision),
        (error) => Promise.reject(toAtollError(error)),
      )
      // Whoever asked may have gone by the time that it fails.
      reached.catch(() => {})
      this.#barrier = { asked, reached }
    }
    return this.#barrier.reached
  }

  /** Resolves when the tables hold the revision; undefined when they do. */
  #reach(revision: number): Promise<void> | undefined {
    if (this.view.revision >= revision) return undefined
    if (this.#failure) return Promise.reject(this.#failure)
    const timeoutMs = this.#o.catchUpTimeoutMs ?? 10_000
    return new Promise((resolve, reject) => {
      const timer = this.#o.clock.after(timeoutMs, () => {
        this.#waiters.delete(waiter)
        reject(new AtollError('unavailable', `the catalog did not catch up with its store within ${timeoutMs} ms`))
      })
      const waiter: Waiter = {
        revision,
        resolve: () => {
          timer.cancel()
          resolve()
        },
        reject: (error) => {
          timer.cancel()
          reject(error)
        },
      }
      this.#waiters.add(waiter)
    })
  }

  #settleWaiters(): void {
    for (const waiter of this.#waiters) {
      if (waiter.revision > this.view.revision) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  async execute(command: Command, options?: GuardedOptions): Promise<CommandResult> {
    if (this.#closed) throw new AtollError('unavailable', 'the catalog is closed')
    if (this.#failure) throw this.#failure
    try {
      if (command.kind === 'session-renew') return await this.#sessionLeases.renew(command)
      const lease = command.kind === 'session-destroy' ? this.view.sessionTable.leases.get(command.session) : undefined
      const result = await this.#executor.execute(command, options)
      if (command.kind === 'session-create') await this.#sessionLeases.begin(command.session)
      if (lease) this.#sessionLeases.drop(lease)
      return result
    } finally {
      if (this.#executor.inFlight === 0) for (const wake of this.#idlers.splice(0)) wake()
    }
  }

  async kvChanges(prefix: string, options: KvChangesOptions): Promise<KvChanges> {
    if (this.#failure) throw this.#failure
    const { store, clock } = this.#o
    try {
      return await kvChanges(prefix, options, { store, tables: this.view, clock })
    } catch (error) {
      throw toAtollError(error)
    }
  }

  async save(): Promise<Snapshot> {
    if (this.#failure) throw this.#failure
    try {
      return await saveSnapshot(this.#archive)
    } catch (error) {
      throw toAtollError(error)
    }
  }

  async restore(archive: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure
    try {
      await restoreSnapshot(archive, this.#archive)
      this.#o.logger.info({ index: this.view.index }, 'a snapshot was restored')
    } catch (error) {
      throw toAtollError(error)
    }
  }

  get #archive(): ArchiveOptions {
    const { store, datacenter } = this.#o
    return {
      store,
      datacenter,
      tables: this.view,
      idle: () => this.#idle(),
      raiseGeneration: (generation) => this.raiseGeneration(generation),
    }
  }

  #fail(error: Error | undefined): void {
    if (this.#failure) return
    this.#frozen = error !== undefined
    this.#failure = error ? toAtollError(error) : new AtollError('unavailable', 'the store is closed')
    if (error && !this.#closed)
      this.#o.logger.error({ error }, 'the store failed: the catalog can only be read as it was')
    for (const waiter of this.#waiters) waiter.reject(this.#failure)
    this.#waiters.clear()
  }

  /** Resolves once no command is under way. */
  async #idle(): Promise<void> {
    if (this.#executor.inFlight > 0) await new Promise<void>((resolve) => this.#idlers.push(resolve))
  }

  /** Waits for the commands under way. Idempotent. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      await this.#idle()
      this.#watch?.cancel()
      this.#fail(undefined)
    }
  }
}
