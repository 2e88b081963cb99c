/**
 * The server's side of summaries: follows the services of its own catalog and of its replicas, and tells the client
 * nodes of its DC. Nothing is followed while no client asks.
 */
import type { CatalogView } from '../../catalog/view.ts'
import type { Federation } from '../../federation/federation.ts'
import type { Instance, ServiceAddress } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { keyPart } from '../../model/keys.ts'
import type { Clock, Random, Timer } from '../../runtime/ports.ts'
import { type FeedAnswer, SummaryFeed } from './feed.ts'
import { encodeSummary, MAX_SUMMARY_BYTES, type Summary, summarize } from './summary.ts'
import * as wire from './wire.ts'

export interface SummaryServerOptions {
  readonly federation: Pick<Federation, 'handle' | 'onChange' | 'remotes'>
  readonly own: CatalogView
  readonly replica: (datacenter: string) => CatalogView | undefined
  /** The address at which an instance is used from other DCs. */
  readonly afarOf: (instance: Instance) => ServiceAddress | undefined
  readonly clock: Clock
  readonly random: Random
  /** Default 20,000, of all DCs together. */
  readonly maxEntries?: number
}

const MAX_ENTRIES = 20_000
/** Changes are gathered for so long. */
const GATHER_MS = 100
/** Services summed up in one go: a few milliseconds. */
const SLICE = 250
const SLICE_MS = 5
/** Clients answered in one go. */
const WAKE_SLICE = 50
/** Of a service with more instances the whole is summed up only so often: a millisecond for each. */
const LARGE = 1_000
const MAX_LARGE_MS = 10_000
const MAX_WAIT_MS = 30_000
/** A client that was not heard for so long does not count any more. */
const FORGET_MS = 60_000
/** Milliseconds of pace for each client, and its bounds: in the long run 1,000 clients are told 500 changes a second at most. */
const PACE_PER_CLIENT_MS = 2
const MIN_PACE_MS = 50
const MAX_PACE_MS = 5_000
/** Changes that a client is told without a pause, after a time in which it was told of none. */
const BURST = 3

interface Client {
  askedMs: number
  /** What it was told is paid for by then, at one pace each. */
  paidMs: number
}

interface Followed {
  readonly view: CatalogView
  readonly dirty: Set<string>
  readonly off: () => void
}

export class SummaryServer {
  readonly #options: SummaryServerOptions
  readonly #stopListening: () => void
  readonly #sweeper: Timer
  readonly #waiters = new Set<() => void>()
  /** By peer id. */
  readonly #clients = new Map<string, Client>()
  readonly #followed = new Map<string, Followed>()
  /** What was last told of large services, and when they may be summed up anew. */
  readonly #large = new Map<string, { readonly summary: Summary; readonly againMs: number }>()
  readonly #again = new Map<string, Timer>()
  /** DCs of which something was left out: there what is absent may exist. */
  readonly #cutShort = new Set<string>()
  /** Take back who waits for the own DC's tables. */
  #tableWaits: readonly (() => void)[] = []
  #tablesChanged = false
  #closed = false
  #feed: SummaryFeed | undefined
  #id = ''
  #cutting: Timer | undefined

  constructor(options: SummaryServerOptions) {
    const { federation, clock, own } = options
    this.#options = options
    federation.handle(wire.SUMMARIES, async (payload, { peer, signal }) => {
      if (peer.datacenter !== own.datacenter) {
        throw new AtollError('forbidden', `datacenter: ${own.datacenter} tells summaries to its own nodes only`, {
          field: 'datacenter',
        })
      }
      return this.#answer(wire.requestOf(payload), peer.peerId, signal)
    })
    this.#stopListening = federation.onChange(() => this.#reconcile())
    this.#sweeper = clock.every(FORGET_MS / 2, () => this.#sweep())
  }

  close(): void {
    this.#closed = true
    this.#stopListening()
    this.#sweeper.cancel()
    this.#stop()
  }

  async #answer(request: wire.SummariesRequest, peerId: string, signal: AbortSignal): Promise<wire.SummariesAnswer> {
    const { clock } = this.#options
    const askedMs = clock.nowMs()
    const client = this.#clients.get(peerId) ?? { askedMs, paidMs: 0 }
    client.askedMs = askedMs
    this.#clients.set(peerId, client)
    const feed = this.#feed ?? this.#start()
    const known = request.feed === this.#id
    if (known && request.since < 0 && request.from > 0) return this.#tell(client, feed.page(request.from), false, 0)
    if (!known || request.since < 0) return this.#all(client, feed)
    if (request.since === feed.version) await this.#changed(Math.min(request.waitMs, MAX_WAIT_MS), signal)
    if (this.#closed) throw new AtollError('unavailable', 'this server is closing')
    if (feed !== this.#feed) return this.#all(client, this.#feed ?? this.#start())
    this.#cut()
    const answer = feed.since(request.since)
    return answer === undefined ? this.#all(client, feed) : this.#tell(client, answer, false, clock.nowMs() - askedMs)
  }

  #all(client: Client, feed: SummaryFeed): wire.SummariesAnswer {
    this.#cut()
    return this.#tell(client, feed.page(0), true, 0)
  }

  #tell(client: Client, answer: FeedAnswer, restart: boolean, heldMs: number): wire.SummariesAnswer {
    const { version, next, runs } = answer
    const paceMs = this.#paceMs(client, runs.length > 0)
    const settled = version === this.#feed?.version && !this.#isDirty()
    return { feed: this.#id, restart, version, ...(next !== undefined && { next }), runs, settled, heldMs, paceMs }
  }

  /** Until the client shall ask again: only where changes come one after the other it has to wait for the next. */
  #paceMs(client: Client, tells: boolean): number {
    const nowMs = this.#options.clock.nowMs()
    const eachMs = Math.min(MAX_PACE_MS, PACE_PER_CLIENT_MS * this.#clients.size)
    if (tells) client.paidMs = Math.max(nowMs, client.paidMs) + eachMs
    return Math.max(MIN_PACE_MS, Math.min(MAX_PACE_MS, client.paidMs - nowMs - (BURST - 1) * eachMs))
  }

  async #changed(waitMs: number, signal: AbortSignal): Promise<void> {
    if (waitMs <= 0 || this.#isDirty()) return
    const woken = Promise.withResolvers<void>()
    const wake = (): void => woken.resolve()
    const timer = this.#options.clock.after(waitMs, wake)
    this.#waiters.add(wake)
    signal.addEventListener('abort', wake, { once: true })
    if (signal.aborted) wake()
    await woken.promise
    timer.cancel()
    this.#waiters.delete(wake)
    signal.removeEventListener('abort', wake)
  }

  // ---- what is followed

  #start(): SummaryFeed {
    const { own, random } = this.#options
    this.#feed = new SummaryFeed()
    this.#id = random.uuid()
    this.#follow(own)
    this.#reconcile()
    // Whoever asks first shall not get nothing: all that fits into one slice is there at once.
    this.#cut()
    return this.#feed
  }

  #stop(): void {
    for (const { off } of this.#followed.values()) off()
    for (const timer of this.#again.values()) timer.cancel()
    for (const off of this.#tableWaits) off()
    this.#tableWaits = []
    this.#followed.clear()
    this.#again.clear()
    this.#cutShort.clear()
    this.#large.clear()
    this.#cutting?.cancel()
    this.#cutting = undefined
    this.#feed = undefined
    this.#wake()
  }

  #follow(view: CatalogView): void {
    const dirty = new Set<string>()
    const off = view.onServices((parts) => {
      for (const part of parts) dirty.add(part)
      this.#soon(GATHER_MS)
    })
    for (const { service } of view.services()) dirty.add(keyPart(service))
    this.#followed.set(view.datacenter, { view, dirty, off })
    if (view === this.#options.own) this.#tablesChanged = true
    this.#soon(0)
  }

  /** Replicas come and go. */
  #reconcile(): void {
    if (this.#feed === undefined) return
    const { federation, replica, own } = this.#options
    const there = new Set([own.datacenter])
    for (const { datacenter, loaded } of federation.remotes()) {
      const view = replica(datacenter)
      if (!loaded || view === undefined) continue
      there.add(datacenter)
      if (!this.#followed.has(datacenter)) this.#follow(view)
    }
    for (const datacenter of [...this.#followed.keys()]) if (!there.has(datacenter)) this.#forget(datacenter)
  }

  #forget(datacenter: string): void {
    this.#followed.get(datacenter)!.off()
    this.#followed.delete(datacenter)
    this.#cutShort.delete(datacenter)
    const prefix = wire.servicesPrefix(datacenter)
    const gone = [wire.datacenterKey(datacenter), ...[...this.#feed!.keys()].filter((key) => key.startsWith(prefix))]
    this.#feed!.change(gone.map((key) => [key, undefined] as const))
    for (const key of gone) this.#large.delete(key)
    this.#wake()
  }

  // ---- changes

  #isDirty(): boolean {
    if (this.#tablesChanged) return true
    for (const { dirty } of this.#followed.values()) if (dirty.size > 0) return true
    return false
  }

  #soon(afterMs: number): void {
    this.#cutting ??= this.#options.clock.after(afterMs, () => {
      this.#cutting = undefined
      this.#cut()
    })
  }

  /** Sums up what changed, a slice of it; the rest follows. */
  #cut(): void {
    const feed = this.#feed
    if (feed === undefined) return
    const before = feed.version
    let left = SLICE
    for (const followed of this.#followed.values()) {
      if (left <= 0) break
      left -= this.#cutOne(feed, followed, left)
    }
    if (this.#tablesChanged && left > 0) feed.change(this.#tables())
    if (this.#isDirty()) this.#soon(0)
    if (feed.version !== before) this.#wake()
  }

  #cutOne(feed: SummaryFeed, { view, dirty }: Followed, max: number): number {
    const parts = [...dirty].slice(0, max)
    const { clock } = this.#options
    const beganMs = clock.nowMs()
    let done = 0
    let fresh = 0
    const { datacenter } = view
    const changes: [string, Uint8Array | undefined][] = []
    for (const part of parts) {
      // Of a replica, instances that nobody asked for are decoded only now.
      if (clock.nowMs() - beganMs > SLICE_MS) break
      done++
      dirty.delete(part)
      const key = wire.serviceKey(datacenter, part)
      const encoded = this.#encoded(view, part)
      const isNew = encoded !== undefined && !feed.has(key)
      if (isNew && feed.size + fresh >= this.#room(view)) this.#cutShort.add(datacenter)
      else changes.push([key, encoded])
      if (isNew) fresh++
    }
    const toldKey = wire.datacenterKey(datacenter)
    if (this.#cutShort.has(datacenter)) changes.push([toldKey, undefined])
    else if (dirty.size === 0 && !feed.has(toldKey)) changes.push([toldKey, new Uint8Array()])
    feed.change(changes)
    return done < parts.length ? max : done
  }

  /** What is too large is told by its numbers alone. */
  #encoded(view: CatalogView, part: string): Uint8Array | undefined {
    const summary = this.#summaryOf(view, part)
    if (summary === undefined) return undefined
    const whole = encodeSummary(summary)
    return whole.length <= MAX_SUMMARY_BYTES ? whole : encodeSummary({ ...summary, tags: [], endpoints: [] })
  }

  /** Entries beyond which nothing new is taken: other DCs leave half to the own one. */
  #room(view: CatalogView): number {
    const { own, maxEntries = MAX_ENTRIES } = this.#options
    return view === own ? maxEntries : maxEntries / 2
  }

  /** Only of the own DC: what clients ask of others they hold from replicas. */
  #tables(): [string, Uint8Array][] {
    const { own } = this.#options
    for (const off of this.#tableWaits) off()
    this.#tablesChanged = false
    const topics = wire.TABLES.map((kind) => own.topic({ kind }))
    const changed = (): void => {
      this.#tablesChanged = true
      this.#soon(GATHER_MS)
    }
    this.#tableWaits = topics.map((topic) => topic.onceChanged(changed))
    return wire.TABLES.map((kind, i) => [wire.tableKey(own.datacenter, kind), wire.encodeIndex(topics[i]!.index)])
  }

  #summaryOf(view: CatalogView, part: string): Summary | undefined {
    const { clock, afarOf } = this.#options
    const key = wire.serviceKey(view.datacenter, part)
    const nowMs = clock.nowMs()
    const large = this.#large.get(key)
    if (large && nowMs < large.againMs) {
      this.#later(view.datacenter, part, large.againMs - nowMs)
      return { ...large.summary, index: view.topic({ kind: 'service', service: part }).index }
    }
    const summary = summarize(view, part, afarOf)
    if (summary && summary.instances > LARGE)
      this.#large.set(key, { summary, againMs: nowMs + Math.min(MAX_LARGE_MS, summary.instances) })
    else this.#large.delete(key)
    return summary
  }

  #later(datacenter: string, part: string, afterMs: number): void {
    const key = wire.serviceKey(datacenter, part)
    if (this.#again.has(key)) return
    const timer = this.#options.clock.after(afterMs, () => {
      this.#again.delete(key)
      this.#followed.get(datacenter)?.dirty.add(part)
      this.#soon(0)
    })
    this.#again.set(key, timer)
  }

  /** A thousand answers are not written in one go. */
  #wake(): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    const slice = (from: number): void => {
      for (const wake of waiters.slice(from, from + WAKE_SLICE)) wake()
      if (from + WAKE_SLICE < waiters.length) this.#options.clock.after(1, () => slice(from + WAKE_SLICE))
    }
    slice(0)
  }

  #sweep(): void {
    const oldestMs = this.#options.clock.nowMs() - FORGET_MS
    for (const [peerId, { askedMs }] of this.#clients) if (askedMs < oldestMs) this.#clients.delete(peerId)
    if (this.#clients.size === 0 && this.#feed !== undefined) this.#stop()
  }
}
