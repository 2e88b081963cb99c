/**
 * Which datacenters and gateways there are, and which of them live: (signed message, now) in, what changed out. Only a strictly
 * newer (boot, sequence) proves that anything lives; clocks of others are never compared.
 */
import type { PeerIdentity } from '../host.ts'
import { isNewer, type Opened, type Stamp } from './head.ts'
import { MAX_DATACENTERS, MAX_GATEWAYS_PER_DATACENTER } from './limits.ts'

/** How a message came: from its author over a connection of its own, passed on as it was said, or told later from memory. */
export type Via = 'direct' | 'gossip' | 'hearsay'

export interface Gateway {
  readonly peerId: string
  readonly node: string
  readonly datacenter: string
  readonly addresses: readonly string[]
  /** The signed record that `addresses` come from. */
  readonly record: Uint8Array
  /** Latest of all that it said. */
  readonly stamp: Stamp
  /** When it last said something new, on this node's monotonic clock; undefined while it is known from memory alone. */
  readonly heardMs: number | undefined
}

export type Heard =
  /**
   * `fresh`: strictly newer than all that this gateway said before. `latest`: nothing newer of it was heard, though this
   * very message may have been heard already, on another way.
   */
  | {
      readonly type: 'heard'
      readonly fresh: boolean
      readonly latest: boolean
      readonly newGateway: boolean
      readonly newDatacenter: boolean
      readonly moved: boolean
    }
  /** A second DC under a name that is taken. */
  | { readonly type: 'conflict' }
  | { readonly type: 'left'; readonly gone: boolean; readonly datacenterGone: boolean }
  /** Said before it left, beyond the bounds, or not understood. */
  | { readonly type: 'ignored' }

export interface DirectoryOptions {
  /** A DC is lost when nothing new was heard of it for so long. Default 2,600: with the tick, below 3 s. */
  readonly lostAfterMs?: number
  /** Gateways that were not heard for so long are forgotten. Default 72 h. */
  readonly forgetAfterMs?: number
  /** A pause between two ticks beyond this is a stall of this node, not silence of others. Default 1,000. */
  readonly stallMs?: number
}

interface Known {
  readonly datacenter: string
  readonly datacenterId: string
  readonly gateways: Map<string, MutableGateway>
  heardMs: number | undefined
}
type MutableGateway = { -readonly [K in keyof Gateway]: Gateway[K] } & { recordStamp: Stamp; sinceMs: number }

const MAX_LEFT = 4096

export class Directory {
  readonly #options: Required<DirectoryOptions>
  readonly #datacenters = new Map<string, Known>()
  /** Boots that left, by `datacenter peerId`. */
  readonly #left = new Map<string, { boot: number; atMs: number }>()
  #lastTickMs: number | undefined

  constructor(options: DirectoryOptions = {}) {
    this.#options = { lostAfterMs: 2600, forgetAfterMs: 72 * 3_600_000, stallMs: 1000, ...options }
  }

  /** Every DC with a gateway, the own one too. */
  datacenters(): string[] {
    return [...this.#datacenters.keys()]
  }
  datacenterId(datacenter: string): string | undefined {
    return this.#datacenters.get(datacenter)?.datacenterId
  }
  gateways(datacenter: string): Gateway[] {
    return [...(this.#datacenters.get(datacenter)?.gateways.values() ?? [])]
  }
  gateway(datacenter: string, peerId: string): Gateway | undefined {
    return this.#datacenters.get(datacenter)?.gateways.get(peerId)
  }
  /** Signed records of all gateways. */
  records(): Uint8Array[] {
    return [...this.#datacenters.values()].flatMap((known) => [...known.gateways.values()].map(({ record }) => record))
  }

  /** Whether something new was heard of the DC lately. */
  isLive(datacenter: string, nowMs: number): boolean {
    const heardMs = this.#datacenters.get(datacenter)?.heardMs
    return heardMs !== undefined && nowMs - heardMs < this.#options.lostAfterMs
  }

  /** A DC known from a former run: its name belongs to this id. */
  pin(datacenter: string, datacenterId: string): void {
    if (!this.#datacenters.has(datacenter) && this.#datacenters.size < MAX_DATACENTERS)
      this.#datacenters.set(datacenter, { datacenter, datacenterId, gateways: new Map(), heardMs: undefined })
  }

  hear({ message, identity, bytes }: Opened, via: Via, nowMs: number): Heard {
    if (message.type === 'unknown') return { type: 'ignored' }
    const known = this.#datacenters.get(message.datacenter)
    if (known && known.datacenterId !== message.datacenterId) return { type: 'conflict' }
    const stamp = 'head' in message ? message.head : message
    const left = this.#left.get(`${message.datacenter} ${identity.peerId}`)
    if (left && stamp.boot <= left.boot) return { type: 'ignored' }
    if (message.type === 'leave') return this.#leave(known, identity, stamp, nowMs)
    const addresses = 'addresses' in message ? message.addresses : undefined
    return this.#note(known, identity, stamp, addresses, bytes, 'head' in message, via, nowMs)
  }

  #note(
    known: Known | undefined,
    identity: PeerIdentity,
    stamp: Stamp,
    addresses: readonly string[] | undefined,
    bytes: Uint8Array,
    hasHead: boolean,
    via: Via,
    nowMs: number,
  ): Heard {
    const gateway = known?.gateways.get(identity.peerId)
    if (!gateway) {
      // Without a record nobody could be told of it; its next beacon brings one.
      if (!addresses) return { type: 'ignored' }
      return this.#add(known, identity, stamp, addresses, bytes, hasHead, via, nowMs)
    }
    const newer = isNewer(stamp, gateway.stamp)
    if (newer) gateway.stamp = { boot: stamp.boot, sequence: stamp.sequence }
    // What is told from memory may be an hour old: it is where to count from, no sign of life.
    const fresh = newer && via !== 'hearsay'
    if (fresh) {
      gateway.heardMs = nowMs
      if (hasHead) known!.heardMs = nowMs
    }
    let moved = false
    if (addresses && isNewer(stamp, gateway.recordStamp)) {
      moved = addresses.join() !== gateway.addresses.join()
      Object.assign(gateway, { addresses, record: bytes, recordStamp: stamp, node: identity.node })
    }
    const latest = !isNewer(gateway.stamp, stamp)
    return { type: 'heard', fresh, latest, newGateway: false, newDatacenter: false, moved }
  }

  #add(
    known: Known | undefined,
    identity: PeerIdentity,
    stamp: Stamp,
    addresses: readonly string[],
    record: Uint8Array,
    hasHead: boolean,
    via: Via,
    nowMs: number,
  ): Heard {
    const { datacenter, datacenterId, peerId, node } = identity
    const newDatacenter = !known || known.gateways.size === 0
    if (!known) {
      if (this.#datacenters.size >= MAX_DATACENTERS) return { type: 'ignored' }
      known = { datacenter, datacenterId, gateways: new Map(), heardMs: undefined }
      this.#datacenters.set(datacenter, known)
    }
    if (known.gateways.size >= MAX_GATEWAYS_PER_DATACENTER && !this.#evict(known, nowMs)) return { type: 'ignored' }
    const fresh = via !== 'hearsay'
    if (fresh && hasHead) known.heardMs = nowMs
    known.gateways.set(peerId, {
      peerId,
      node,
      datacenter,
      addresses,
      record,
      recordStamp: stamp,
      stamp: { boot: stamp.boot, sequence: stamp.sequence },
      heardMs: fresh ? nowMs : undefined,
      sinceMs: nowMs,
    })
    return { type: 'heard', fresh, latest: true, newGateway: true, newDatacenter, moved: true }
  }

  /** Makes room by the gateway that was silent for longest; false when all were heard in the last minute. */
  #evict(known: Known, nowMs: number): boolean {
    let oldest: MutableGateway | undefined
    for (const gateway of known.gateways.values())
      if (!oldest || heardOrKnown(gateway) < heardOrKnown(oldest)) oldest = gateway
    if (!oldest || nowMs - heardOrKnown(oldest) < 60_000) return false
    known.gateways.delete(oldest.peerId)
    return true
  }

  #leave(known: Known | undefined, identity: PeerIdentity, stamp: Stamp, nowMs: number): Heard {
    const gateway = known?.gateways.get(identity.peerId)
    // The leaving of a former life says nothing of this one.
    if (gateway && stamp.boot < gateway.stamp.boot) return { type: 'ignored' }
    this.#left.set(`${identity.datacenter} ${identity.peerId}`, { boot: stamp.boot, atMs: nowMs })
    if (this.#left.size > MAX_LEFT) this.#left.delete(this.#left.keys().next().value!)
    const gone = known?.gateways.delete(identity.peerId) ?? false
    const datacenterGone = gone && known!.gateways.size === 0
    if (datacenterGone) this.#datacenters.delete(identity.datacenter)
    return { type: 'left', gone, datacenterGone }
  }

  /** Call every few hundred milliseconds. Returns the DCs whose last gateway was forgotten. */
  tick(nowMs: number): string[] {
    const gapMs = nowMs - (this.#lastTickMs ?? nowMs)
    this.#lastTickMs = nowMs
    if (gapMs > this.#options.stallMs) this.#forgive(gapMs, nowMs)
    const forgotten: string[] = []
    for (const known of this.#datacenters.values()) {
      let dropped = false
      for (const gateway of known.gateways.values()) {
        if (nowMs - heardOrKnown(gateway) < this.#options.forgetAfterMs) continue
        known.gateways.delete(gateway.peerId)
        dropped = true
      }
      if (!dropped || known.gateways.size > 0) continue
      this.#datacenters.delete(known.datacenter)
      forgotten.push(known.datacenter)
    }
    for (const [key, { atMs }] of this.#left) if (nowMs - atMs > this.#options.forgetAfterMs) this.#left.delete(key)
    return forgotten
  }

  /** This node heard nobody while it stalled: that time does not count. */
  #forgive(gapMs: number, nowMs: number): void {
    for (const known of this.#datacenters.values()) {
      if (known.heardMs !== undefined) known.heardMs = Math.min(nowMs, known.heardMs + gapMs)
      for (const gateway of known.gateways.values())
        if (gateway.heardMs !== undefined) gateway.heardMs = Math.min(nowMs, gateway.heardMs + gapMs)
    }
  }
}

const heardOrKnown = (gateway: MutableGateway): number => gateway.heardMs ?? gateway.sinceMs
