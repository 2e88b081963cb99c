/** A gateway's publisher around the DC's store, as `src/federation/publishing.ts` does it, in virtual time. */
import type { ExportedEntry } from '../../src/federation/federation.ts'
import { Content } from '../../src/federation/protocol/content.ts'
import type { Opened } from '../../src/federation/protocol/head.ts'
import type { KnownMessage } from '../../src/federation/protocol/messages.ts'
import { Publisher, type PublisherEffect } from '../../src/federation/protocol/publisher.ts'
import { compareEpoch, type Epoch } from '../../src/model/epoch.ts'
import { checkHead } from './invariants.ts'
import type { SimNode } from './node.ts'
import type { Revision, SimStore } from './store.ts'

export interface PreparedSnapshot {
  readonly id: string
  readonly revision: number
  readonly entries: readonly ExportedEntry[]
  readonly bucketHashes: Uint8Array
  readonly opened: Opened
}

const NEVER = Number.POSITIVE_INFINITY
/** As in production. */
const SNAPSHOT_KEPT_MS = 15_000
const MAX_SNAPSHOTS = 8

export class SimPublishing {
  readonly publisher: Publisher
  readonly #node: SimNode
  /** What this gateway has seen of its store: the watch lags a moment behind. */
  position = 0
  epoch: Epoch
  #loading: { readonly atMs: number; readonly revision: number; readonly entries: ExportedEntry[] } | undefined
  /** Of the running subscription; 0 for none. What comes by a former one is not taken. */
  #subscription = 0
  #subscriptions = 0
  #suspended = false
  /** By id, so that one that broke off can go on. */
  readonly #snapshots = new Map<string, { readonly prepared: PreparedSnapshot; usedMs: number }>()

  constructor(node: SimNode, boot: number) {
    const { datacenter, datacenterId } = node.identity
    this.#node = node
    this.epoch = node.store.epoch
    const { random, withHeartbeats } = node.world
    const heartbeats = withHeartbeats ? { peerId: node.identity.peerId, seed: random.bytes(32) } : undefined
    this.publisher = new Publisher({ datacenter, datacenterId, boot, heartbeats })
    this.publisher.setAddresses([`/sim/${node.index}`])
  }

  get #store(): SimStore {
    return this.#node.store
  }
  get speaks(): boolean {
    return this.publisher.loaded && this.publisher.started && !this.#suspended
  }

  /** Reads everything now; it is there a moment later, and followed from then on. */
  load(nowMs: number): void {
    const { random } = this.#node.world
    this.publisher.unload()
    this.#subscription = 0
    this.#snapshots.clear()
    this.epoch = this.#store.epoch
    const { revision, entries } = this.#store
    this.#loading = { atMs: nowMs + 1 + 400 * random.float() ** 3, revision, entries: [...entries.values()] }
  }

  #loaded(nowMs: number): void {
    const { revision, entries } = this.#loading!
    this.#loading = undefined
    const content = new Content()
    let lastExported = 0
    for (const entry of entries) {
      content.put(entry)
      lastExported = Math.max(lastExported, entry.modRevision)
    }
    this.publisher.load(this.epoch, revision, lastExported, content)
    this.position = revision
    this.#subscription = ++this.#subscriptions
    this.#node.hit('publisher: loaded anew')
    if (revision < this.#store.compacted) {
      this.#node.hit('publisher: history was compacted under it')
      this.load(nowMs)
      return
    }
    for (const missed of this.#store.history) if (missed.revision > revision) this.#node.watch(missed)
  }

  get subscription(): number {
    return this.#subscription
  }

  /** Something of the store's history came by the watch. */
  received(written: Revision, subscription: number, nowMs: number): void {
    if (subscription !== this.#subscription || written.revision <= this.position) return
    this.position = written.revision
    if (written.changes.length > 0) this.#run(this.publisher.receive([written], nowMs))
  }

  /** The store's generation was raised, by this gateway or another one. */
  epochRose(epoch: Epoch, nowMs: number): void {
    if (this.#suspended || compareEpoch(epoch, this.epoch) === 'same') return
    this.load(nowMs)
  }

  start(nowMs: number): void {
    this.publisher.start(nowMs)
  }
  suspend(): void {
    this.#suspended = true
    this.#subscription = 0
    this.#loading = undefined
    this.publisher.unload()
  }
  resume(nowMs: number): void {
    this.#suspended = false
    this.load(nowMs)
  }

  wakeAtMs(): number {
    return Math.min(this.#loading?.atMs ?? NEVER, this.#suspended ? NEVER : this.publisher.wakeAtMs())
  }
  tick(nowMs: number): void {
    if (this.#loading && nowMs >= this.#loading.atMs) this.#loaded(nowMs)
    if (!this.#suspended && nowMs >= this.publisher.wakeAtMs()) this.#run(this.publisher.tick(nowMs, this.position))
  }

  /** A beacon of this moment, as soon as may be. */
  hasten(nowMs: number): void {
    this.publisher.hasten(nowMs)
  }

  #run(effects: readonly PublisherEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'heartbeat') {
        this.#node.hit('publisher: heartbeat')
        this.#node.beat(effect.heartbeat)
        continue
      }
      const gossip = effect.type === 'beacon' || effect.gossip
      if (effect.type === 'beacon') this.#node.hit('publisher: beacon')
      else this.#node.hit(gossip ? 'publisher: delta by gossip and tails' : 'publisher: delta by tails alone')
      this.#node.tell(this.seal(effect.message), gossip)
    }
  }

  seal(message: KnownMessage): Opened {
    const { world, identity, datacenter } = this.#node
    if ('head' in message) checkHead(message.head, datacenter.truth, world.digests)
    return world.wire.seal(identity, message)
  }

  /** Everything exported after `since` and up to the head; undefined when that history is gone. */
  changes(since: number): { readonly changes: Revision['changes']; readonly opened: Opened } | undefined {
    const message = this.publisher.beacon()
    const { lastExported } = message.head
    const opened = this.seal(message)
    if (since >= lastExported) return { changes: [], opened }
    if (since < this.#store.compacted) return undefined
    const after = this.#store.history.filter(({ revision }) => revision > since && revision <= lastExported)
    return { changes: after.flatMap((written) => written.changes), opened }
  }

  snapshotById(id: string, nowMs: number): PreparedSnapshot | undefined {
    const kept = this.#snapshots.get(id)
    if (!kept || nowMs - kept.usedMs > SNAPSHOT_KEPT_MS) return undefined
    kept.usedMs = nowMs
    return kept.prepared
  }

  /** As of what was published last. */
  snapshot(nowMs: number): PreparedSnapshot {
    const { content, revision } = this.publisher
    const opened = this.seal(this.publisher.beacon())
    const root = content.root()
    const id = `${this.epoch.random}.${revision}.${root[0]}.${root[1]}`
    const prepared = { id, revision, entries: content.entries(), bucketHashes: content.bucketHashes(), opened }
    this.#snapshots.set(id, { prepared, usedMs: nowMs })
    if (this.#snapshots.size > MAX_SNAPSHOTS) this.#snapshots.delete(this.#snapshots.keys().next().value!)
    return prepared
  }
}
