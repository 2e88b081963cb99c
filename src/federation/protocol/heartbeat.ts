/**
 * Heartbeats: "what I said last still holds, and I live", in 40 bytes and without a signature. A beacon names the end of a
 * chain of hashes (its anchor); each heartbeat reveals the link before the one that was known (one-time passwords after
 * Lamport, 1981). Nobody can make a link up, everybody can check one, and each proves one beat of that gateway.
 */
import { hash } from 'node:crypto'
import { decode, encode, ProtocolError, Reader } from './codec.ts'
import { isNewer, type Opened, type Stamp } from './head.ts'
import { CAPABILITIES, PROTOCOL_VERSION } from './limits.ts'

export const ANCHOR_BYTES = 16
const REF_BYTES = 8
/** Of one chain, at most; what a receiver hashes for one heartbeat is bounded by it. */
export const MAX_HEARTBEATS = 60
/** Nothing longer is a heartbeat, and no signed message is as short. */
const MAX_HEARTBEAT_BYTES = 64

export interface Heartbeat {
  /** The chain, by `heartbeatRef`: it repeats the last beacon with that anchor. */
  readonly ref: string
  /** From 1; rises by one with each beat. */
  readonly index: number
  /** Hashed `index` times it gives the anchor. */
  readonly link: Uint8Array
}

const sha256 = (bytes: Uint8Array): Uint8Array => hash('sha256', bytes, 'buffer')
const encoder = new TextEncoder()

function nextLink(link: Uint8Array): Uint8Array {
  return sha256(link).slice(0, ANCHOR_BYTES)
}

/** Names a chain by whose it is and its anchor: an anchor that another gateway copies is of another chain. */
export function heartbeatRef(peerId: string, boot: number, anchor: Uint8Array): string {
  const text = `atoll/heartbeat ${peerId} ${boot} ${Buffer.from(anchor).toString('hex')}`
  return Buffer.from(sha256(encoder.encode(text)).subarray(0, REF_BYTES)).toString('hex')
}

/** The seed of the chain that begins with one beacon, out of the gateway's secret. */
export const chainSeed = (secret: Uint8Array, boot: number, sequence: number): Uint8Array =>
  sha256(Buffer.concat([secret, encoder.encode(`${boot} ${sequence}`)]))

/** The publishing side of one chain: its anchor, which beacons name, and the heartbeats that follow them. */
export class HeartbeatChain {
  readonly #links: readonly Uint8Array[]
  #index = 0

  /** `seed` must be secret and of this chain alone. At most MAX_HEARTBEATS long. */
  constructor(seed: Uint8Array, length: number) {
    const links = [nextLink(seed)]
    while (links.length <= length) links.push(nextLink(links.at(-1)!))
    this.#links = links
  }

  get anchor(): Uint8Array {
    return this.#links.at(-1)!
  }
  get left(): number {
    return this.#links.length - 1 - this.#index
  }

  /** The next heartbeat; a chain that is used up has none. */
  next(ref: string): Heartbeat | undefined {
    if (this.left === 0) return undefined
    this.#index++
    return { ref, index: this.#index, link: this.#links[this.#links.length - 1 - this.#index]! }
  }
}

/** Where a receiver stands in a chain. */
export interface ChainPosition {
  readonly ref: string
  readonly index: number
  readonly link: Uint8Array
}

/** `next`: one beat or more beyond `position`, with the new position; `known`: not beyond it; `false`: not of this chain. */
export function followChain(
  position: ChainPosition,
  { index, link }: Heartbeat,
): { readonly type: 'next'; readonly position: ChainPosition } | { readonly type: 'known' | 'false' } {
  if (index > MAX_HEARTBEATS) return { type: 'false' }
  // It may be forged, but then it brings nothing either.
  if (index <= position.index) return { type: 'known' }
  let hashed = link
  for (let i = position.index; i < index; i++) hashed = nextLink(hashed)
  if (Buffer.compare(hashed, position.link) !== 0) return { type: 'false' }
  return { type: 'next', position: { ref: position.ref, index, link } }
}

export const encodeHeartbeat = ({ ref, index, link }: Heartbeat): Uint8Array =>
  encode([PROTOCOL_VERSION, CAPABILITIES, new Uint8Array(Buffer.from(ref, 'hex')), index, link])

/** By its length alone. */
export const isHeartbeat = (bytes: Uint8Array): boolean => bytes.length <= MAX_HEARTBEAT_BYTES

/** Throws ProtocolError. */
export function decodeHeartbeat(bytes: Uint8Array): Heartbeat {
  const reader = new Reader(decode(bytes, { maxBytes: MAX_HEARTBEAT_BYTES, maxItems: 32 }), 'heartbeat')
  if (reader.integer('version') < 1) throw new ProtocolError('heartbeat has no version')
  reader.integer('capabilities')
  const ref = Buffer.from(reader.bytes('ref', REF_BYTES, REF_BYTES)).toString('hex')
  const index = reader.integer('index', MAX_HEARTBEATS)
  return { ref, index, link: reader.bytes('link', ANCHOR_BYTES, ANCHOR_BYTES) }
}

interface Followed {
  position: ChainPosition
  readonly gateway: string
  readonly stamp: Stamp
  readonly anchor: Uint8Array
  readonly beacon: Opened
  readonly sinceMs: number
}

export type HeardHeartbeat =
  /** `beacon`: what the heartbeat repeats. `fresh`: beyond all that were heard of its chain. */
  | { readonly type: 'heard'; readonly fresh: boolean; readonly beacon: Opened }
  /** Of a beacon that is not known, or behind what was heard. */
  | { readonly type: 'ignored' }
  /** Made up. */
  | { readonly type: 'false' }

/** A chain is used up in little more than a minute; none is followed for longer, so that nobody can keep a heartbeat for later. */
const CHAIN_MS = 90_000

/** The chains that are followed: of each gateway that of its last beacon which named one. */
export class Chains {
  readonly #byGateway = new Map<string, Followed>()
  readonly #byRef = new Map<string, Followed>()

  /** Whether the gateway ever named an anchor, and so understands heartbeats. */
  has(gateway: string): boolean {
    return this.#byGateway.has(gateway)
  }

  /** A beacon of `gateway` that may be newer than the last one; one that names the same anchor goes on with its chain. */
  beacon(gateway: string, beacon: Opened, stamp: Stamp, anchor: Uint8Array, nowMs: number): void {
    const before = this.#byGateway.get(gateway)
    if (!isNewer(stamp, before?.stamp)) return
    const goesOn = before?.stamp.boot === stamp.boot && Buffer.compare(before.anchor, anchor) === 0 ? before : undefined
    const ref = goesOn?.position.ref ?? heartbeatRef(beacon.identity.peerId, stamp.boot, anchor)
    this.end(gateway)
    const { position, sinceMs } = goesOn ?? { position: { ref, index: 0, link: anchor }, sinceMs: nowMs }
    const followed = { position, gateway, stamp, anchor, beacon, sinceMs }
    this.#byGateway.set(gateway, followed)
    this.#byRef.set(ref, followed)
  }

  /** The gateway is not known any more. */
  end(gateway: string): void {
    const followed = this.#byGateway.get(gateway)
    if (!followed) return
    this.#byGateway.delete(gateway)
    this.#byRef.delete(followed.position.ref)
  }

  hear(heartbeat: Heartbeat, nowMs: number): HeardHeartbeat {
    const followed = this.#byRef.get(heartbeat.ref)
    if (!followed || nowMs - followed.sinceMs > CHAIN_MS) return { type: 'ignored' }
    const result = followChain(followed.position, heartbeat)
    if (result.type === 'false') return { type: 'false' }
    const fresh = result.type === 'next'
    if (fresh) followed.position = result.position
    // Of what is behind the last one nobody needs to hear; only that one itself is still to be passed on.
    else if (heartbeat.index < followed.position.index) return { type: 'ignored' }
    return { type: 'heard', fresh, beacon: followed.beacon }
  }
}
