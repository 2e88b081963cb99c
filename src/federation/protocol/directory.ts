/**
 * Which datacenters and gateways there are, and which of them live: (signed message, now) in, what changed out. Only a strictly
 * newer (boot, sequence) proves that anything lives; clocks of others are never compared.
 */
import { Awareness } from '../../model/awareness.ts'
import type { PeerIdentity } from '../host.ts'
import { isNewer, type Opened, type Stamp } from './head.ts'
import { Chains, type HeardHeartbeat, type Heartbeat } from './heartbeat.ts'
import { MAX_DATACENTERS, MAX_GATEWAYS_PER_DATACENTER } from './limits.ts'
import { FormerLife } from './lives.ts'
import { DEFAULT_PULSE, Pulse, type PulseOptions } from './pulse.ts'
import { decodeReach, type Reach } from './reach.ts'

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
  /** DCs that it suspected to be gone when it last said so, at `suspectsMs`. */
  readonly suspects: readonly string[]
  readonly suspectsMs: number
  /** Whom it was connected to when it last said so (reach.ts), at `reachMs`; undefined when it never did. */
  readonly reach: Reach | undefined
  readonly reachMs: number
  /** The life before the present one, when that was heard too. */
  readonly former: FormerLife | undefined
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
      /** A second process speaks with the key of this gateway. */
      readonly twin: boolean
    }
  /** A second DC under a name that is taken. */
  | { readonly type: 'conflict' }
  | { readonly type: 'left'; readonly gone: boolean; readonly datacenterGone: boolean }
  /** Said before it left, beyond the bounds, or not understood. */
  | { readonly type: 'ignored' }

export interface DirectoryOptions {
  /** The own DC, which is never suspected, and this node's own peer id, which is no witness of itself. */
  readonly own?: string
  readonly self?: string
  /** When a DC is suspected and lost. By default 2,600 ms for an observer alone: with the tick, below 3 s. */
  readonly pulse?: PulseOptions
  /** Gateways that were not heard for so long are forgotten. Default 72 h. */
  readonly forgetAfterMs?: number
  /** How often `tick` is called. Default 200. */
  readonly tickMs?: number
}

interface Known {
  readonly datacenter: string
  readonly datacenterId: string
  readonly gateways: Map<string, MutableGateway>
  readonly pulse: Pulse
}
type MutableGateway = { -readonly [K in keyof Gateway]: Gateway[K] } & {
  recordStamp: Stamp
  sinceMs: number
  /** Latest of what it said before a record of that life was known. */
  unproven: Stamp | undefined
}

const MAX_LEFT = 4096
const MAX_STRANGERS = 4096
/** Gateways that were silent for longer need not understand what is said. */
const LISTENER_MS = 60_000
/** So many other DCs that suspect the same one make certain. */
const ENOUGH = 2
/** What a gateway says of others counts for so long. */
const SAID_FOR_MS = 2600

export class Directory {
  readonly #options: Required<DirectoryOptions>
  readonly #awareness: Awareness
  readonly #datacenters = new Map<string, Known>()
  /** Boots that left, and how they said so, by `datacenter peerId`. */
  readonly #left = new Map<string, { boot: number; atMs: number; bytes: Uint8Array }>()
  /** Of gateways without a record, by `datacenter peerId`: the latest that they said. */
  readonly #strangers = new Map<string, Stamp>()
  readonly #chains = new Chains()

  constructor(options: DirectoryOptions = {}) {
    this.#options = { own: '', self: '', pulse: DEFAULT_PULSE, forgetAfterMs: 72 * 3_600_000, tickMs: 200, ...options }
    this.#awareness = new Awareness({ tickMs: this.#options.tickMs })
  }

  /** This node's doubt in itself, from 0 to `maxScore`. */
  get awareness(): Pick<Awareness, 'score' | 'maxScore'> {
    return this.#awareness
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

  /**
   * How a gateway took its leave. It is to be told when it is back: with a clock that was set back it would begin with a lower
   * boot, and nobody would listen.
   */
  farewell(datacenter: string, peerId: string): Uint8Array | undefined {
    return this.#left.get(idOf({ datacenter, peerId }))?.bytes
  }

  /** Whether a message is of an earlier life of its gateway than was heard of, or left. */
  isOutdated({ message, identity }: Opened): boolean {
    if (message.type === 'unknown' || message.type === 'place') return false
    const { boot } = 'head' in message ? message.head : message
    const known = this.#datacenters.get(identity.datacenter)?.gateways.get(identity.peerId)
    if (known) return boot < known.stamp.boot
    return this.#left.size > 0 && boot < (this.#left.get(idOf(identity))?.boot ?? 0)
  }

  /** Whether something new was heard of the DC lately, as the last tick judged it. */
  isLive(datacenter: string): boolean {
    return this.#datacenters.get(datacenter)?.pulse.alive ?? false
  }

  /** Overdue, and not lost yet. */
  isSuspected(datacenter: string): boolean {
    return this.#datacenters.get(datacenter)?.pulse.suspected ?? false
  }
  /** All that are. */
  suspects(): string[] {
    return [...this.#datacenters.values()].filter(({ pulse }) => pulse.suspected).map(({ datacenter }) => datacenter)
  }

  /** A DC known from a former run: its name belongs to this id. */
  pin(datacenter: string, datacenterId: string): void {
    if (!this.#datacenters.has(datacenter) && this.#datacenters.size < MAX_DATACENTERS)
      this.#datacenters.set(datacenter, this.#known(datacenter, datacenterId))
  }

  #known(datacenter: string, datacenterId: string): Known {
    return { datacenter, datacenterId, gateways: new Map(), pulse: new Pulse(this.#options.pulse) }
  }

  hear({ message, identity, bytes }: Opened, via: Via, nowMs: number): Heard {
    if (message.type === 'unknown' || message.type === 'place') return { type: 'ignored' }
    const known = this.#datacenters.get(message.datacenter)
    if (known && known.datacenterId !== message.datacenterId) return { type: 'conflict' }
    const stamp = 'head' in message ? message.head : message
    const left = this.#left.size === 0 ? undefined : this.#left.get(idOf(identity))
    if (left && stamp.boot <= left.boot) return { type: 'ignored' }
    if (message.type === 'leave') return this.#leave(known, identity, stamp, bytes, nowMs)
    const addresses = 'addresses' in message ? message.addresses : undefined
    const heard = this.#note(known, identity, stamp, addresses, bytes, 'head' in message, via, nowMs)
    const gateway = this.#datacenters.get(message.datacenter)?.gateways.get(identity.peerId)
    if (message.type !== 'beacon' || heard.type !== 'heard' || !gateway) return heard
    if (heard.fresh) Object.assign(gateway, { suspects: message.suspects, suspectsMs: nowMs })
    if (heard.fresh && message.reach) Object.assign(gateway, { reach: decodeReach(message.reach), reachMs: nowMs })
    const { anchor, head } = message
    if (anchor && head.boot === gateway.stamp.boot)
      this.#chains.beacon(idOf(gateway), { message, identity, bytes }, head, anchor, nowMs)
    return heard
  }

  /** A sign of life of a gateway whose last beacon still holds. */
  heartbeat(heartbeat: Heartbeat, nowMs: number): HeardHeartbeat {
    const heard = this.#chains.hear(heartbeat, nowMs)
    if (heard.type !== 'heard' || !heard.fresh) return heard
    const { datacenter, peerId } = heard.beacon.identity
    const known = this.#datacenters.get(datacenter)
    const gateway = known?.gateways.get(peerId)
    if (!known || !gateway) return { type: 'ignored' }
    gateway.heardMs = nowMs
    if (known.pulse.heard(nowMs)) this.#awareness.doubt(nowMs)
    return heard
  }

  /** Whether every gateway that lives, this node's own aside, has shown that it understands heartbeats. */
  heartbeatsUnderstood(nowMs: number): boolean {
    for (const { gateways } of this.#datacenters.values())
      for (const gateway of gateways.values()) {
        const listens = gateway.peerId !== this.#options.self && nowMs - (gateway.heardMs ?? -Infinity) < LISTENER_MS
        if (listens && !this.#chains.has(idOf(gateway))) return false
      }
    return true
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
      if (!addresses) return this.#ignoreStranger(identity, stamp)
      return this.#add(known, identity, stamp, addresses, bytes, hasHead, via, nowMs)
    }
    // A life counts from its first record on: who goes back behind it later can then be shown that record.
    const unproven = !addresses && stamp.boot > gateway.recordStamp.boot
    const newer = !unproven && isNewer(stamp, gateway.stamp)
    const wasIgnored = isSaidBefore(stamp, gateway.unproven)
    if (unproven && isNewer(stamp, gateway.unproven)) gateway.unproven = stampOf(stamp)
    const twin = via !== 'hearsay' && gateway.former?.heard(stamp, nowMs) === true
    if (newer && stamp.boot !== gateway.stamp.boot && gateway.heardMs !== undefined)
      gateway.former = new FormerLife(gateway.stamp, nowMs)
    if (newer) gateway.stamp = stampOf(stamp)
    // What is told from memory may be an hour old: it is where to count from, no sign of life.
    const fresh = newer && via !== 'hearsay' && !wasIgnored
    if (fresh) {
      gateway.heardMs = nowMs
      if (hasHead && known!.pulse.heard(nowMs)) this.#awareness.doubt(nowMs)
    }
    let moved = false
    if (addresses && isNewer(stamp, gateway.recordStamp)) {
      moved = addresses.join() !== gateway.addresses.join()
      Object.assign(gateway, { addresses, record: bytes, recordStamp: stamp, node: identity.node })
    }
    const latest = !isNewer(gateway.stamp, stamp)
    return { type: 'heard', fresh, latest, newGateway: false, newDatacenter: false, moved, twin }
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
      known = this.#known(datacenter, datacenterId)
      this.#datacenters.set(datacenter, known)
    }
    if (known.gateways.size >= MAX_GATEWAYS_PER_DATACENTER && !this.#evict(known, nowMs)) return { type: 'ignored' }
    const unproven = this.#strangers.get(idOf(identity))
    this.#strangers.delete(idOf(identity))
    const fresh = via !== 'hearsay' && !isSaidBefore(stamp, unproven)
    if (fresh && hasHead) known.pulse.heard(nowMs)
    known.gateways.set(peerId, {
      peerId,
      node,
      datacenter,
      addresses,
      record,
      recordStamp: stamp,
      stamp: stampOf(stamp),
      unproven,
      heardMs: fresh ? nowMs : undefined,
      suspects: [],
      suspectsMs: nowMs,
      reach: undefined,
      reachMs: nowMs,
      former: undefined,
      sinceMs: nowMs,
    })
    return { type: 'heard', fresh, latest: true, newGateway: true, newDatacenter, moved: true, twin: false }
  }

  /** It counts for nothing yet; told again once a record is known, it must not pass for news. */
  #ignoreStranger(identity: PeerIdentity, stamp: Stamp): Heard {
    const id = idOf(identity)
    if (isNewer(stamp, this.#strangers.get(id))) this.#strangers.set(id, stampOf(stamp))
    if (this.#strangers.size > MAX_STRANGERS) this.#strangers.delete(this.#strangers.keys().next().value!)
    return { type: 'ignored' }
  }

  /** Makes room by the gateway that was silent for longest; false when all were heard in the last minute. */
  #evict(known: Known, nowMs: number): boolean {
    let oldest: MutableGateway | undefined
    for (const gateway of known.gateways.values())
      if (!oldest || heardOrKnown(gateway) < heardOrKnown(oldest)) oldest = gateway
    if (!oldest || nowMs - heardOrKnown(oldest) < 60_000) return false
    this.#chains.end(idOf(oldest))
    known.gateways.delete(oldest.peerId)
    return true
  }

  #leave(known: Known | undefined, identity: PeerIdentity, stamp: Stamp, bytes: Uint8Array, nowMs: number): Heard {
    const gateway = known?.gateways.get(identity.peerId)
    // The leaving of a former life says nothing of this one.
    if (gateway && stamp.boot < gateway.stamp.boot) return { type: 'ignored' }
    this.#left.set(idOf(identity), { boot: stamp.boot, atMs: nowMs, bytes })
    if (this.#left.size > MAX_LEFT) this.#left.delete(this.#left.keys().next().value!)
    this.#chains.end(idOf(identity))
    const gone = known?.gateways.delete(identity.peerId) ?? false
    const datacenterGone = gone && known!.gateways.size === 0
    if (datacenterGone) this.#datacenters.delete(identity.datacenter)
    return { type: 'left', gone, datacenterGone }
  }

  /** Call every few hundred milliseconds. Returns the DCs whose last gateway was forgotten. */
  tick(nowMs: number): string[] {
    const deafMs = this.#awareness.tick(nowMs)
    if (deafMs > 0) this.#forgive(deafMs, nowMs)
    this.#judge(nowMs)
    const forgotten: string[] = []
    for (const known of this.#datacenters.values()) {
      let dropped = false
      for (const gateway of known.gateways.values()) {
        if (nowMs - heardOrKnown(gateway) < this.#options.forgetAfterMs) continue
        this.#chains.end(idOf(gateway))
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

  #judge(nowMs: number): void {
    const others = [...this.#datacenters.values()].filter(({ datacenter }) => datacenter !== this.#options.own)
    const living = others.filter(({ pulse }) => pulse.alive)
    const overdue = living.filter(({ pulse }) => pulse.isOverdue(nowMs))
    if (overdue.length === 0) return
    // Who hears nobody at all may be deaf itself; and there is no other DC that one could turn to in the meantime.
    const deaf = living.length > 1 && overdue.length === living.length
    const factor = this.#awareness.factor + (deaf ? 1 : 0)
    const speaking = this.#speaking(nowMs)
    for (const { datacenter, pulse } of overdue) {
      const heardMs = nowMs - pulse.silentMs(nowMs)!
      // What was said before this node heard of it is settled.
      const agrees = ({ suspects, suspectsMs }: Gateway): boolean =>
        suspectsMs > heardMs && suspects.includes(datacenter)
      const witnesses = speaking.filter((known) => known.datacenter !== datacenter)
      const confirmations = witnesses.filter(({ gateways }) => gateways.some(agrees)).length
      pulse.judge(nowMs, { factor, confirmations, enough: Math.min(ENOUGH, witnesses.length) })
    }
  }

  /** DCs, this one's own too, with the gateways that were heard lately: what they say of others counts. */
  #speaking(nowMs: number): { readonly datacenter: string; readonly gateways: readonly Gateway[] }[] {
    const isHeard = ({ peerId, heardMs }: Gateway): boolean =>
      peerId !== this.#options.self && nowMs - (heardMs ?? -Infinity) < SAID_FOR_MS
    return [...this.#datacenters.values()]
      .map(({ datacenter, gateways }) => ({ datacenter, gateways: [...gateways.values()].filter(isHeard) }))
      .filter(({ gateways }) => gateways.length > 0)
  }

  /** This node heard nobody while it stalled: that time does not count. */
  #forgive(deafMs: number, nowMs: number): void {
    for (const { pulse, gateways } of this.#datacenters.values()) {
      pulse.forgive(deafMs, nowMs)
      for (const gateway of gateways.values())
        if (gateway.heardMs !== undefined) gateway.heardMs = Math.min(nowMs, gateway.heardMs + deafMs)
    }
  }
}

const stampOf = ({ boot, sequence }: Stamp): Stamp => ({ boot, sequence })
/** In the same life alone: of a lower boot a clock that was set back may be the cause, and nothing would show the gateway that. */
const isSaidBefore = (stamp: Stamp, last: Stamp | undefined): boolean =>
  stamp.boot === last?.boot && stamp.sequence <= last.sequence
const heardOrKnown = (gateway: MutableGateway): number => gateway.heardMs ?? gateway.sinceMs
/** Of one gateway, in one DC: a certificate for another DC makes another one of it. */
const idOf = ({ datacenter, peerId }: { readonly datacenter: string; readonly peerId: string }): string =>
  `${datacenter} ${peerId}`
