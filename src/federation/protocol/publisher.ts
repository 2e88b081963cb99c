/**
 * The publishing side of one gateway: (exported changes, now) in, signed messages to be sent out. The first change after
 * a pause is told at once, those that follow are gathered for 5 to 20 ms; a head is cut at the end of each batch. What it tells is a
 * pure function of the store, so any gateway of the DC may speak for it.
 */
import type { Coordinate } from '../../model/coordinate.ts'
import type { Epoch } from '../../model/epoch.ts'
import type { ExportedChange } from '../federation.ts'
import { Content, isEntry } from './content.ts'
import { isNewer, type Stamp } from './head.ts'
import { chainSeed, type Heartbeat, HeartbeatChain, heartbeatRef, MAX_HEARTBEATS } from './heartbeat.ts'
import { MAX_CHANGES_PER_DELTA, MAX_GOSSIP_DELTA_BYTES, MAX_LIVE_DELTA_BYTES, MAX_SUSPECTS } from './limits.ts'
import {
  type BeaconMessage,
  type DeltaMessage,
  type GatewayMessage,
  type Head,
  type LeaveMessage,
  type PlaceMessage,
  sizeOfChange,
} from './messages.ts'

export interface ExportedRevision {
  readonly revision: number
  readonly changes: readonly ExportedChange[]
}

export type PublisherEffect =
  /** `gossip` is false when it is too large for it, and while another gateway of this DC speaks; streams carry it always. */
  | { readonly type: 'delta'; readonly message: DeltaMessage; readonly gossip: boolean }
  | { readonly type: 'beacon'; readonly message: BeaconMessage }
  /** In place of `message`, which would say the same as the last beacon. */
  | { readonly type: 'heartbeat'; readonly message: BeaconMessage; readonly heartbeat: Heartbeat }

export interface PublisherOptions {
  readonly datacenter: string
  readonly datacenterId: string
  /** Later starts of this gateway must have a higher one. */
  readonly boot: number
  /** Default 1,000. */
  readonly beaconMs?: number
  /** Bounds of the pause between two deltas; default 5 and 20. */
  readonly gatherMinMs?: number
  readonly gatherMaxMs?: number
  /** Sends heartbeats where it may (`setHeartbeats`). `seed`: 32 secret random bytes; `peerId`: of this gateway. */
  readonly heartbeats?: { readonly peerId: string; readonly seed: Uint8Array }
}

/** Changes folded in one go: a few milliseconds. */
const CHANGES_PER_FLUSH = 500
/** Whom a gateway reaches seldom changes: told again for those who are new. A little less than idle beacons are apart. */
const REACH_EVERY_MS = 9500
/** A pause of this length makes the next change a first one again, with the shortest gathering after it. */
const IDLE_MS = 100
/** Two beacons are at least so far apart. */
const HASTE_MS = 200
/** A head is told in full so often before heartbeats follow, since gossip may lose some; and again each time after so many. */
const FULL_BEACONS = 2
const HEARTBEATS_PER_BEACON = 19

export class Publisher {
  readonly #options: Required<Omit<PublisherOptions, 'heartbeats'>> & Pick<PublisherOptions, 'heartbeats'>
  #boot: number
  #sequence = 0
  #places = 0
  #addresses: readonly string[] = []
  #suspects: readonly string[] = []
  #reach: Uint8Array | undefined
  #reachToldMs = Number.NEGATIVE_INFINITY
  #epoch: Epoch | undefined
  #content = new Content()
  #revision = 0
  #lastExported = 0
  #pending: ExportedRevision[] = []
  #gatherMs: number
  #lastFlushMs = Number.NEGATIVE_INFINITY
  #nextFlushMs = Number.NEGATIVE_INFINITY
  #nextBeaconMs = Number.POSITIVE_INFINITY
  #lastBeaconMs = Number.NEGATIVE_INFINITY
  #speaking = true
  #heartbeats = false
  /** With the last beacon, while that says what is so; how often it was said in full, and the heartbeats since. */
  #chain: { readonly links: HeartbeatChain; readonly ref: string; readonly message: BeaconMessage } | undefined
  #told = 0
  #heartbeatsSince = 0

  constructor(options: PublisherOptions) {
    this.#options = { beaconMs: 1000, gatherMinMs: 5, gatherMaxMs: 20, heartbeats: undefined, ...options }
    this.#boot = options.boot
    this.#gatherMs = this.#options.gatherMinMs
  }

  get epoch(): Epoch | undefined {
    return this.#epoch
  }
  /** Everything exported up to here is in what was told. */
  get revision(): number {
    return this.#revision
  }
  get lastExported(): number {
    return this.#lastExported
  }
  /** Whether a content was loaded that heads can speak of. */
  get loaded(): boolean {
    return this.#epoch !== undefined
  }
  get started(): boolean {
    return this.#nextBeaconMs !== Number.POSITIVE_INFINITY
  }
  /** Everything exported, at `revision`. To be read only. */
  get content(): Content {
    return this.#content
  }

  setAddresses(addresses: readonly string[]): void {
    if (addresses.join() !== this.#addresses.join()) this.#news()
    this.#addresses = addresses
  }
  /** Whether all gateways that this one knows understand heartbeats. */
  setHeartbeats(allowed: boolean): void {
    this.#heartbeats = allowed
  }
  /** The last beacon does not hold any more. */
  #news(): void {
    this.#chain = undefined
    this.#told = 0
  }
  /**
   * Whom this gateway is connected to, encoded (reach.ts): told with the next beacon when it differs, and now and then. Who
   * came or went is news; a time that changed can wait for a beacon.
   */
  setReach(reach: Uint8Array): void {
    if (this.#reach !== undefined && Buffer.compare(this.#reach, reach) === 0) return
    if (this.#reach?.byteLength !== reach.byteLength) this.#news()
    this.#reach = reach
    this.#reachToldMs = Number.NEGATIVE_INFINITY
  }
  /** DCs that every beacon from now on says are suspected. */
  setSuspects(suspects: readonly string[]): void {
    if (suspects.join() !== this.#suspects.join()) this.#news()
    this.#suspects = suspects.slice(0, MAX_SUSPECTS)
  }
  /** The next beacon matters to somebody now: it comes before its time, though not right after another one. */
  hasten(nowMs: number): void {
    if (!this.started) return
    // Whoever waits for it may have missed the last one.
    this.#news()
    this.#nextBeaconMs = Math.min(this.#nextBeaconMs, Math.max(nowMs, this.#lastBeaconMs + HASTE_MS))
  }
  /** Whether this gateway, of those of its DC, puts deltas into gossip. */
  setSpeaking(speaking: boolean): void {
    this.#speaking = speaking
  }
  get stamp(): Stamp {
    return { boot: this.#boot, sequence: this.#sequence }
  }
  /** Goes on above a message in this gateway's name that it never said: of a former life, since when the clock went back. */
  seen(stamp: Stamp): void {
    if (!isNewer(stamp, { boot: this.#boot, sequence: this.#sequence })) return
    this.#boot = stamp.boot + 1
    this.#sequence = 0
    this.#news()
  }

  /**
   * Starts over with the whole content at `revision`; `lastExported` is the highest modify revision in it. (Should a
   * deletion have come after that, replicas see it by the digest, and repair.) Nothing is told before `start`.
   */
  load(epoch: Epoch, revision: number, lastExported: number, content: Content): void {
    this.#epoch = epoch
    this.#content = content
    this.#revision = revision
    this.#lastExported = lastExported
    this.#pending = []
    this.#news()
    if (this.started) this.#nextBeaconMs = Number.NEGATIVE_INFINITY
  }

  /** Forgets the content: nothing is told until the next `load`. */
  unload(): void {
    this.#epoch = undefined
    this.#pending = []
  }

  /** From now on this gateway may publish. */
  start(nowMs: number): void {
    if (!this.started) this.#nextBeaconMs = nowMs
  }

  /** Changes in order, whole revisions; those at or below what is known are left out. */
  receive(batch: readonly ExportedRevision[], nowMs: number): PublisherEffect[] {
    if (!this.loaded) return []
    const idle = this.#pending.length === 0
    let last = this.#pending.at(-1)?.revision ?? this.#revision
    for (const entry of batch) {
      if (entry.revision <= last) continue
      this.#pending.push(entry)
      last = entry.revision
    }
    return idle && nowMs >= this.#nextFlushMs ? this.#flush(nowMs) : []
  }

  /** When `tick` is next due; Infinity for never. */
  wakeAtMs(): number {
    return Math.min(this.#pending.length > 0 ? this.#nextFlushMs : Number.POSITIVE_INFINITY, this.#loadedBeaconMs())
  }
  #loadedBeaconMs(): number {
    return this.loaded ? this.#nextBeaconMs : Number.POSITIVE_INFINITY
  }

  /** `sourceRevision`: the store's, up to which every exported change was received. */
  tick(nowMs: number, sourceRevision: number): PublisherEffect[] {
    if (!this.loaded) return []
    const effects = this.#pending.length > 0 && nowMs >= this.#nextFlushMs ? this.#flush(nowMs) : []
    if (nowMs >= this.#nextBeaconMs) {
      this.#nextBeaconMs = nowMs + this.#options.beaconMs
      this.#lastBeaconMs = nowMs
      if (this.#pending.length === 0) this.#revision = Math.max(this.#revision, sourceRevision)
      effects.push(this.#beat())
    }
    return effects
  }

  /** The sign of life that is due: a heartbeat where the last beacon says it all. */
  #beat(): PublisherEffect {
    if (this.#chain?.message.head.revision !== this.#revision) this.#news()
    const chain = this.#chain
    const steady = this.#told >= FULL_BEACONS && this.#suspects.length === 0
    if (chain && this.#heartbeats && steady && this.#heartbeatsSince < HEARTBEATS_PER_BEACON) {
      const heartbeat = chain.links.next(chain.ref)
      if (heartbeat) {
        this.#heartbeatsSince++
        return { type: 'heartbeat', message: chain.message, heartbeat }
      }
    }
    const message = this.#anchored(this.#toldToAll())
    this.#told++
    this.#heartbeatsSince = 0
    return { type: 'beacon', message }
  }

  /** With the anchor of the chain that goes on, or of a new one. */
  #anchored(message: BeaconMessage): BeaconMessage {
    const { heartbeats } = this.#options
    if (!heartbeats) return message
    if (!this.#chain || this.#chain.links.left === 0) {
      const { boot, sequence } = message.head
      const links = new HeartbeatChain(chainSeed(heartbeats.seed, boot, sequence), MAX_HEARTBEATS)
      this.#chain = { links, ref: heartbeatRef(heartbeats.peerId, boot, links.anchor), message }
      this.#told = 0
    }
    const anchored = { ...message, anchor: this.#chain.links.anchor }
    this.#chain = { ...this.#chain, message: anchored }
    return anchored
  }

  /** A beacon with a head of this moment. Throws when nothing is loaded. */
  beacon(): BeaconMessage {
    const { datacenter, datacenterId } = this.#options
    const [addresses, suspects] = [this.#addresses, this.#suspects]
    return { type: 'beacon', datacenter, datacenterId, head: this.#cut(), addresses, suspects }
  }

  /** With whom this gateway reaches, when that is due: in what is told to everybody alone. */
  #toldToAll(): BeaconMessage {
    return { ...this.beacon(), ...this.#dueReach() }
  }

  /** Where this gateway can be dialled, for when there is no head yet. */
  gateway(): GatewayMessage {
    const { datacenter, datacenterId } = this.#options
    return { type: 'gateway', datacenter, datacenterId, ...this.#stamp(), addresses: this.#addresses }
  }

  place(coordinate: Coordinate): PlaceMessage {
    const { datacenter, datacenterId } = this.#options
    return { type: 'place', datacenter, datacenterId, boot: this.#boot, sequence: ++this.#places, coordinate }
  }

  leave(): LeaveMessage {
    const { datacenter, datacenterId } = this.#options
    return { type: 'leave', datacenter, datacenterId, ...this.#stamp() }
  }

  #dueReach(): { readonly reach?: Uint8Array } {
    if (this.#reach === undefined || this.#lastBeaconMs - this.#reachToldMs < REACH_EVERY_MS) return {}
    this.#reachToldMs = this.#lastBeaconMs
    return { reach: this.#reach }
  }

  #stamp(): { boot: number; sequence: number } {
    return { boot: this.#boot, sequence: ++this.#sequence }
  }

  #cut(): Head {
    if (!this.#epoch) throw new Error('a head was asked for before anything was loaded')
    const { datacenter, datacenterId } = this.#options
    return {
      datacenter,
      datacenterId,
      epoch: this.#epoch,
      revision: this.#revision,
      lastExported: this.#lastExported,
      digest: this.#content.root(),
      ...this.#stamp(),
    }
  }

  #flush(nowMs: number): PublisherEffect[] {
    const effects: PublisherEffect[] = []
    let next = 0
    let folded = 0
    while (next < this.#pending.length && folded < CHANGES_PER_FLUSH) {
      const { changes, bytes, end } = this.#group(next)
      next = end
      folded += changes.length
      const from = this.#lastExported
      this.#fold(changes, this.#pending[end - 1]!.revision)
      if (this.started) this.#tell(from, changes, bytes, effects)
    }
    this.#pending = next === this.#pending.length ? [] : this.#pending.slice(next)
    this.#pace(nowMs)
    return effects
  }

  /** Whole revisions from `start` that fit into one delta; one at least. */
  #group(start: number): { changes: readonly ExportedChange[]; bytes: number; end: number } {
    const changes: ExportedChange[] = []
    let bytes = 0
    let end = start
    while (end < this.#pending.length) {
      const next = this.#pending[end]!.changes
      const size = next.reduce((sum, change) => sum + sizeOfChange(change), 0)
      const full = bytes + size > MAX_GOSSIP_DELTA_BYTES || changes.length + next.length > MAX_CHANGES_PER_DELTA
      if (end > start && full) break
      for (const change of next) changes.push(change)
      bytes += size
      end++
    }
    return { changes, bytes, end }
  }

  #fold(changes: readonly ExportedChange[], revision: number): void {
    for (const change of changes) {
      if (isEntry(change)) this.#content.put(change)
      else this.#content.delete(change.key)
    }
    this.#revision = Math.max(this.#revision, revision)
    this.#lastExported = revision
  }

  #tell(from: number, changes: readonly ExportedChange[], bytes: number, effects: PublisherEffect[]): void {
    const { datacenter, datacenterId } = this.#options
    if (bytes <= MAX_LIVE_DELTA_BYTES && changes.length <= MAX_CHANGES_PER_DELTA) {
      const gossip = this.#speaking && bytes <= MAX_GOSSIP_DELTA_BYTES
      const message: DeltaMessage = { type: 'delta', datacenter, datacenterId, head: this.#cut(), from, changes }
      effects.push({ type: 'delta', message, gossip })
    }
    if (bytes > MAX_GOSSIP_DELTA_BYTES || changes.length > MAX_CHANGES_PER_DELTA)
      effects.push({ type: 'beacon', message: this.#toldToAll() })
  }

  #pace(nowMs: number): void {
    const { gatherMinMs, gatherMaxMs } = this.#options
    const idle = nowMs - this.#lastFlushMs > IDLE_MS
    this.#gatherMs = idle ? gatherMinMs : Math.min(gatherMaxMs, this.#gatherMs * 2)
    this.#lastFlushMs = nowMs
    this.#nextFlushMs = this.#pending.length > 0 ? nowMs : nowMs + this.#gatherMs
  }
}
