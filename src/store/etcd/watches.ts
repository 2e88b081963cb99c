import { messageOf } from '../../model/errors.ts'
import type { Clock, Logger } from '../../runtime/ports.ts'
import { type RevisionEvents, StoreError, type StoreEvent, type Watch, type WatchHandler } from '../store.ts'
import { inRange } from '../validate.ts'
import { type Cluster, GIVE_UP_MS } from './cluster.ts'
import { EventStream, type RawRevision } from './event-stream.ts'
import type { KeySpace } from './key-space.ts'
import { readKeyValue } from './messages.ts'
import { type Event, Event_EventType as EventType } from './proto/etcd_pb.js'

export interface WatchHubOptions {
  readonly cluster: Cluster
  readonly keys: KeySpace
  readonly clock: Clock
  readonly logger: Logger
  /** Everything after this revision is delivered live. */
  readonly since: number
  /** The store's identity was written. True ends all watches: they are to begin anew. */
  readonly onEpoch: (value: Uint8Array, revision: number) => boolean
}

interface Watcher {
  readonly from: string
  readonly to: string
  readonly handler: WatchHandler
  /** All revisions up to here were delivered. */
  position: number
  /** Reads history until it meets the live stream. */
  history: EventStream | undefined
  over: boolean
}

/** A watch that does not reach what a member has said after this time hangs at its own. */
const DOUBT_MS = 1_000

interface Waiter {
  readonly revision: number
  readonly settle: (error?: StoreError) => void
}

/**
 * All live watches of a store share one stream of etcd's events. A watch of the past has a stream of its own until it has
 * caught up with that one: both carry the same revisions, so that is when their positions meet.
 */
export class WatchHub {
  readonly #o: WatchHubOptions
  readonly #watchers = new Set<Watcher>()
  readonly #waiters = new Set<Waiter>()
  #stream: EventStream
  #position: number
  /** The last revision that changed a key of the store's users, of those that came here. */
  #shown: number
  #end: { error: StoreError | undefined } | undefined

  constructor(options: WatchHubOptions) {
    this.#o = options
    this.#position = options.since
    this.#shown = options.since
    this.#stream = this.#follow(options.since)
  }

  /** Everything up to this revision was delivered to all live watches. */
  get position(): number {
    return this.#position
  }

  /** The last of these revisions that they were shown something of. */
  get shown(): number {
    return this.#shown
  }

  #follow(since: number): EventStream {
    const { cluster, keys, clock, logger } = this.#o
    return new EventStream({
      cluster,
      clock,
      logger,
      range: keys.watched,
      since,
      onRevisions: (batch) => this.#onRevisions(batch),
      onCompacted: (oldest) => this.#onCompacted(oldest),
    })
  }

  add(from: string, to: string, sinceRevision: number, handler: WatchHandler): Watch {
    const watcher: Watcher = { from, to, handler, position: sinceRevision, history: undefined, over: false }
    const handle: Watch = {
      get position() {
        return watcher.position
      },
      cancel: () => this.#remove(watcher),
    }
    if (this.#end) {
      const { error } = this.#end
      queueMicrotask(() => this.#finish(watcher, () => handler.onEnd(error)))
      return handle
    }
    this.#watchers.add(watcher)
    if (sinceRevision < this.#position) this.#readHistory(watcher)
    return handle
  }

  /** Resolves once everything up to `revision` was delivered. Rejects with StoreError 'unavailable' after 4.5 s. */
  reach(revision: number): Promise<void> | undefined {
    if (this.#position >= revision) return undefined
    if (this.#end) return Promise.reject(this.#end.error ?? closed())
    const { clock, cluster } = this.#o
    return new Promise((resolve, reject) => {
      const doubt = clock.after(DOUBT_MS, () => this.#stream.doubt())
      const timer = clock.after(GIVE_UP_MS, () => waiter.settle(cluster.unavailable(new Error('no events come'))))
      const waiter: Waiter = {
        revision,
        settle: (error) => {
          doubt.cancel()
          timer.cancel()
          this.#waiters.delete(waiter)
          if (error) reject(error)
          else resolve()
        },
      }
      this.#waiters.add(waiter)
    })
  }

  #onRevisions(raw: readonly RawRevision[]): void {
    let from = 0
    for (const [i, { revision, events }] of raw.entries()) {
      const epoch = events.find((event) => this.#o.keys.isEpoch(event.kv!.key))
      if (!epoch || epoch.type === EventType.DELETE || !this.#o.onEpoch(epoch.kv!.value, revision)) continue
      this.#deliver(raw.slice(from, i + 1))
      from = i + 1
      this.#restartAll(revision + 1)
    }
    this.#deliver(from === 0 ? raw : raw.slice(from))
    for (const waiter of this.#waiters) if (waiter.revision <= this.#position) waiter.settle()
  }

  #deliver(raw: readonly RawRevision[]): void {
    if (raw.length === 0) return
    const batch = shownOf(raw, this.#o.keys)
    this.#position = raw.at(-1)!.revision
    if (batch.length > 0) this.#shown = batch.at(-1)!.revision
    for (const watcher of [...this.#watchers]) {
      if (!watcher.over && !watcher.history) this.#pass(watcher, batch, this.#position)
    }
  }

  /** What live watches have not seen is gone: all begin anew, and so does the stream. */
  #onCompacted(oldest: number): void {
    this.beginAnew(Math.max(this.#position, oldest - 1))
  }

  /** Follows from `position` on, which may be lower than before; all watches are told that they have to begin anew. */
  beginAnew(position: number): void {
    if (this.#end) return
    this.#stream.close()
    this.#position = position
    this.#shown = this.#position
    this.#stream = this.#follow(this.#position)
    this.#restartAll(position + 1)
    for (const waiter of this.#waiters) if (waiter.revision <= this.#position) waiter.settle()
  }

  #restartAll(oldest: number): void {
    for (const watcher of [...this.#watchers]) this.#finish(watcher, () => watcher.handler.onCompacted(oldest))
  }

  #readHistory(watcher: Watcher): void {
    const { cluster, keys, clock, logger } = this.#o
    watcher.history = new EventStream({
      cluster,
      clock,
      logger,
      range: keys.watched,
      since: watcher.position,
      onRevisions: (raw) => {
        if (watcher.over) return
        const at = raw.at(-1)!.revision
        const meets = at >= this.#position
        if (meets) {
          watcher.history?.close()
          watcher.history = undefined
        }
        this.#pass(watcher, shownOf(raw, keys), at)
      },
      onCompacted: (oldest) => this.#finish(watcher, () => watcher.handler.onCompacted(oldest)),
    })
  }

  #pass(watcher: Watcher, batch: readonly RevisionEvents[], position: number): void {
    const wanted = selected(batch, watcher)
    if (position > watcher.position) watcher.position = position
    if (wanted.length === 0) return
    try {
      watcher.handler.onRevisions(wanted)
    } catch (error) {
      // It has lost events now; to go on would hide that.
      this.#o.logger.error({ error, from: watcher.from, to: watcher.to }, 'a watch handler threw; its watch is ended')
      this.#finish(watcher, () => watcher.handler.onEnd(error instanceof Error ? error : new Error(messageOf(error))))
    }
  }

  end(error: StoreError | undefined): void {
    if (this.#end) return
    this.#end = { error }
    this.#stream.close()
    for (const waiter of this.#waiters) waiter.settle(error ?? closed())
    for (const watcher of [...this.#watchers]) this.#finish(watcher, () => watcher.handler.onEnd(error))
  }

  #finish(watcher: Watcher, tell: () => void): void {
    if (watcher.over) return
    this.#remove(watcher)
    try {
      tell()
    } catch (error) {
      this.#o.logger.error({ error, from: watcher.from, to: watcher.to }, 'a watch handler threw at its end')
    }
  }

  #remove(watcher: Watcher): void {
    watcher.over = true
    watcher.history?.close()
    this.#watchers.delete(watcher)
  }
}

const closed = (): StoreError => new StoreError('closed', 'the store is closed')

/** What users of the store see of it. */
function shownOf(raw: readonly RawRevision[], keys: KeySpace): RevisionEvents[] {
  const batch: RevisionEvents[] = []
  for (const { revision, events } of raw) {
    const shown: StoreEvent[] = []
    for (const event of events) if (keys.isData(event.kv!.key)) shown.push(eventOf(event, keys))
    if (shown.length > 0) batch.push({ revision, events: shown })
  }
  return batch
}

function eventOf(event: Event, keys: KeySpace): StoreEvent {
  const kv = event.kv!
  if (event.type === EventType.PUT) return { type: 'put', kv: readKeyValue(kv, keys) }
  return { type: 'delete', key: keys.dataKey(kv.key), modRevision: Number(kv.modRevision) }
}

function selected(batch: readonly RevisionEvents[], { from, to, position }: Watcher): readonly RevisionEvents[] {
  if (batch.length === 0) return batch
  const recent = batch[0]!.revision > position ? batch : batch.filter(({ revision }) => revision > position)
  if (from === '' && to === '') return recent
  const wanted: RevisionEvents[] = []
  for (const { revision, events } of recent) {
    const inside = events.filter((event) => inRange(event.type === 'put' ? event.kv.key : event.key, from, to))
    if (inside.length === events.length) wanted.push({ revision, events })
    else if (inside.length > 0) wanted.push({ revision, events: inside })
  }
  return wanted
}
