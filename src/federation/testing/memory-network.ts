/**
 * Hosts in one process, joined by links with delay, loss, duplication and disorder, which can be cut, also one way. Time is
 * the clock's and chance is the random source's, so that a run repeats exactly.
 *
 * Calls and streams are reliable while their link is up, as TCP is: loss only delays them. A cut drops silently what
 * is sent; a connection that stays cut for `deadAfterMs` goes down. A connection through a third host pays both links, and
 * gives way to a direct one.
 */
import { AtollError } from '../../model/errors.ts'
import type { Clock, Random } from '../../runtime/ports.ts'
import type { FrameStream, Peer, PeerIdentity } from '../host.ts'
import { MemoryHost } from './memory-host.ts'

export interface LinkOptions {
  /** One way. */
  delayMs: number
  /** Added to each message at random, up to so much; gossip may then overtake. */
  jitterMs: number
  /** Of gossip messages, from 0 to 1. */
  loss: number
  duplication: number
}

export interface MemoryNetworkOptions {
  readonly clock: Clock
  readonly random: Random
  /** Of every link that is not set otherwise. */
  readonly link?: Partial<LinkOptions>
  /** Default 4,000. */
  readonly deadAfterMs?: number
}

const PING_MS = 500
/** A direct connection that is silent for so long gives way to a relayed one. */
const SUSPECT_MS = 1200
/** A connection that gave way carries on for so long. */
const DRAIN_MS = 1000

/** One connection as each side sees it. */
export interface Connection {
  readonly a: MemoryHost
  readonly b: MemoryHost
  /** Who passes it on. */
  readonly via: MemoryHost | undefined
  readonly heardMs: Map<MemoryHost, number>
  readonly abort: AbortController
  /** What goes one way arrives in order. */
  readonly lastArrivalMs: Map<MemoryHost, number>
}

export class MemoryNetwork {
  readonly clock: Clock
  readonly random: Random
  readonly #hosts = new Map<string, MemoryHost>()
  readonly #links = new Map<string, Partial<LinkOptions>>()
  readonly #defaults: LinkOptions
  readonly #deadAfterMs: number
  /** `from to`, by DC. */
  readonly #cuts = new Set<string>()
  readonly #connections = new Map<string, Connection>()
  /** False: hosts pass no connections on, as an older version. */
  relaying = true
  readonly counters = { gossip: 0, frames: 0, frameBytes: 0, calls: 0 }
  /** Sees every gossip message that is about to arrive; false drops it. */
  gossipFilter: (message: Uint8Array, from: MemoryHost, to: MemoryHost) => boolean = () => true

  constructor({ clock, random, link, deadAfterMs = 4000 }: MemoryNetworkOptions) {
    this.clock = clock
    this.random = random
    this.#defaults = { delayMs: 10, jitterMs: 0, loss: 0, duplication: 0, ...link }
    this.#deadAfterMs = deadAfterMs
    clock.every(PING_MS, () => this.#ping())
  }

  /** A host under an address of its own; one that has the same peer id and still runs is closed first. */
  host(identity: PeerIdentity): MemoryHost {
    const former = this.#hosts.get(identity.peerId)
    if (former) this.remove(former)
    const host = new MemoryHost(this, identity)
    this.#hosts.set(identity.peerId, host)
    return host
  }

  /** As a process that was killed: others see their connections break. */
  remove(host: MemoryHost): void {
    if (this.#hosts.get(host.self.peerId) !== host) return
    this.#hosts.delete(host.self.peerId)
    for (const connection of [...this.#connections.values()])
      if (connection.a === host || connection.b === host) this.disconnect(connection.a, connection.b)
    host.stop()
  }

  find(peerId: string): MemoryHost | undefined {
    return this.#hosts.get(peerId)
  }
  hosts(): MemoryHost[] {
    return [...this.#hosts.values()]
  }

  /** Between two DCs, both ways. */
  setLink(a: string, b: string, link: Partial<LinkOptions>): void {
    this.#links.set(pairOf(a, b), { ...this.#links.get(pairOf(a, b)), ...link })
  }
  link(a: string, b: string): LinkOptions {
    return { ...this.#defaults, ...this.#links.get(pairOf(a, b)) }
  }

  cut(a: string, b: string, oneWay = false): void {
    this.#cuts.add(`${a} ${b}`)
    if (!oneWay) this.#cuts.add(`${b} ${a}`)
  }
  heal(a: string, b: string): void {
    this.#cuts.delete(`${a} ${b}`)
    this.#cuts.delete(`${b} ${a}`)
  }
  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from} ${to}`)
  }

  connection(a: MemoryHost, b: MemoryHost): Connection | undefined {
    return this.#connections.get(pairOf(a.self.peerId, b.self.peerId))
  }

  /** Both ways must be open. */
  async connect(from: MemoryHost, to: MemoryHost): Promise<Peer> {
    await this.clock.sleep(2 * this.#delayMs([from, to]))
    this.#assertOpen([from, to])
    const current = this.connection(from, to)
    if (!current || current.via) this.#join(from, to, undefined)
    return from.peer(to.self.peerId)!
  }

  /** Through a third host that is connected directly to both. */
  async relay(from: MemoryHost, to: MemoryHost, via: MemoryHost): Promise<Peer> {
    if (!this.relaying) throw new AtollError('unsupported', 'it passes nothing on')
    const hops = [from, via, to]
    const legs = (): boolean => [from, to].every((end) => this.#isDirect(this.connection(end, via)))
    if (!legs()) throw new AtollError('unavailable', 'the relay is not connected to that peer')
    // The request, and the handshake inside.
    await this.clock.sleep(6 * this.#delayMs(hops))
    this.#assertOpen(hops)
    if (!legs()) throw new AtollError('unavailable', 'the relay is not connected to that peer')
    const current = this.connection(from, to)
    if (!current || current.via || this.#isSuspect(current)) this.#join(from, to, via)
    return from.peer(to.self.peerId)!
  }

  #isDirect(connection: Connection | undefined): boolean {
    return connection !== undefined && connection.via === undefined
  }

  #isSuspect({ heardMs }: Connection): boolean {
    return this.clock.nowMs() - Math.min(...heardMs.values()) > SUSPECT_MS
  }

  #assertOpen(hops: readonly MemoryHost[]): void {
    for (const host of hops)
      if (this.#hosts.get(host.self.peerId) !== host) throw new AtollError('unavailable', 'the host is gone')
    if (this.#isCutAlong(hops) || this.#isCutAlong([...hops].reverse()))
      throw new AtollError('unavailable', 'the link is cut')
  }

  #isCutAlong(hops: readonly MemoryHost[]): boolean {
    return hops.some((host, i) => i > 0 && this.isCut(hops[i - 1]!.self.datacenter, host.self.datacenter))
  }

  /** One way. */
  #delayMs(hops: readonly MemoryHost[]): number {
    return hops.reduce(
      (sum, host, i) => (i === 0 ? 0 : sum + this.link(hops[i - 1]!.self.datacenter, host.self.datacenter).delayMs),
      0,
    )
  }

  roundTripMs(from: MemoryHost, to: MemoryHost): number | undefined {
    const connection = this.connection(from, to)
    return connection && 2 * this.#delayMs(hopsOf(connection, from, to))
  }

  #join(from: MemoryHost, to: MemoryHost, via: MemoryHost | undefined): void {
    const key = pairOf(from.self.peerId, to.self.peerId)
    const former = this.#connections.get(key)
    const nowMs = this.clock.nowMs()
    this.#connections.set(key, {
      a: from,
      b: to,
      via,
      heardMs: new Map([
        [from, nowMs],
        [to, nowMs],
      ]),
      abort: new AbortController(),
      lastArrivalMs: new Map(),
    })
    if (former)
      this.clock.after(DRAIN_MS, () => former.abort.abort(new AtollError('unavailable', 'it gave way to another')))
    to.connected(from, 'inbound', via)
    from.connected(to, 'outbound', via)
  }

  disconnect(a: MemoryHost, b: MemoryHost): void {
    const key = pairOf(a.self.peerId, b.self.peerId)
    const connection = this.#connections.get(key)
    if (!connection) return
    this.#connections.delete(key)
    connection.abort.abort(new AtollError('unavailable', 'the connection was lost'))
    a.disconnected(b)
    b.disconnected(a)
    if (connection.via) return
    for (const other of [...this.#connections.values()]) {
      const ends = [other.a, other.b]
      if ((other.via === a && ends.includes(b)) || (other.via === b && ends.includes(a)))
        this.disconnect(other.a, other.b)
    }
  }

  silentMs(host: MemoryHost, peer: MemoryHost): number | undefined {
    const heardMs = this.connection(host, peer)?.heardMs.get(host)
    return heardMs === undefined ? undefined : this.clock.nowMs() - heardMs
  }

  #ping(): void {
    for (const connection of [...this.#connections.values()]) {
      const { a, b, heardMs } = connection
      this.deliver(a, b, () => {})
      this.deliver(b, a, () => {})
      const nowMs = this.clock.nowMs()
      if (nowMs - Math.min(heardMs.get(a)!, heardMs.get(b)!) > this.#deadAfterMs) this.disconnect(a, b)
    }
  }

  /** In order, unless the connection breaks or the link is cut on the way. */
  deliver(from: MemoryHost, to: MemoryHost, fn: () => void, connection = this.connection(from, to)): void {
    if (!connection) return
    const hops = hopsOf(connection, from, to)
    const { jitterMs } = this.link(from.self.datacenter, to.self.datacenter)
    const nowMs = this.clock.nowMs()
    const dueMs = Math.max(
      nowMs + this.#delayMs(hops) + jitterMs * this.random.float(),
      connection.lastArrivalMs.get(to) ?? Number.NEGATIVE_INFINITY,
    )
    connection.lastArrivalMs.set(to, dueMs)
    this.clock.after(dueMs - nowMs, () => {
      if (connection.abort.signal.aborted || this.#isCutAlong(hops)) return
      connection.heardMs.set(to, this.clock.nowMs())
      fn()
    })
  }

  /** Lossy, disordered, doubled, as the link says. Not through relays. */
  gossip(from: MemoryHost, to: MemoryHost, message: Uint8Array): void {
    const connection = this.connection(from, to)
    if (!connection || connection.via) return
    const { delayMs, jitterMs, loss, duplication } = this.link(from.self.datacenter, to.self.datacenter)
    const copies = 1 + (this.random.float() < duplication ? 1 : 0)
    for (let i = 0; i < copies; i++) {
      if (this.random.float() < loss) continue
      this.clock.after(delayMs + jitterMs * this.random.float(), () => {
        if (connection.abort.signal.aborted || this.isCut(from.self.datacenter, to.self.datacenter)) return
        if (!this.gossipFilter(message, from, to)) return
        this.counters.gossip++
        to.gossiped(message, from)
      })
    }
  }

  openStream(from: MemoryHost, to: MemoryHost, protocol: string): Promise<FrameStream> {
    const connection = this.connection(from, to)
    if (!connection) return Promise.reject(new AtollError('unavailable', 'not connected'))
    const near = new MemoryStream(this, from, to, connection)
    const far = new MemoryStream(this, to, from, connection)
    near.other = far
    far.other = near
    connection.abort.signal.addEventListener('abort', () => {
      near.broken(connection.abort.signal.reason)
      far.broken(connection.abort.signal.reason)
    })
    this.deliver(from, to, () => to.streamed(protocol, far), connection)
    return Promise.resolve(near)
  }
}

const hopsOf = ({ via }: Connection, from: MemoryHost, to: MemoryHost): MemoryHost[] =>
  via ? [from, via, to] : [from, to]

const pairOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`)

/** Frames on their way that `send` does not wait for. */
const WINDOW_BYTES = 512 * 1024

class MemoryStream implements FrameStream {
  readonly peer: Peer
  other!: MemoryStream
  readonly #network: MemoryNetwork
  readonly #from: MemoryHost
  readonly #to: MemoryHost
  readonly #connection: Connection
  readonly #inbox: Uint8Array[] = []
  #unread = 0
  #ended = false
  #failure: Error | undefined
  #wakeReader: (() => void) | undefined
  readonly #waitingSenders: (() => void)[] = []
  #inFlight = 0

  constructor(network: MemoryNetwork, from: MemoryHost, to: MemoryHost, connection: Connection) {
    this.#network = network
    this.#from = from
    this.#to = to
    this.#connection = connection
    this.peer = from.peer(to.self.peerId)!
  }

  async send(frame: Uint8Array): Promise<void> {
    while (this.#inFlight > WINDOW_BYTES && !this.#failure) {
      await new Promise<void>((resolve) => this.#waitingSenders.push(resolve))
    }
    if (this.#failure || this.#ended) throw this.#failure ?? new AtollError('unavailable', 'the stream is closed')
    this.#inFlight += frame.length
    this.#network.counters.frames++
    this.#network.counters.frameBytes += frame.length
    this.#deliver(() => this.other.#arrived(frame))
  }

  /** On the connection that it was opened on, whatever took its place. */
  #deliver(fn: () => void): void {
    this.#network.deliver(this.#from, this.#to, fn, this.#connection)
  }

  #arrived(frame: Uint8Array): void {
    this.#inbox.push(frame)
    this.#unread += frame.length
    this.#wakeReader?.()
  }

  #taken(frame: Uint8Array): void {
    this.#unread -= frame.length
    this.other.#inFlight -= frame.length
    for (const resolve of this.other.#waitingSenders.splice(0)) resolve()
  }

  async *frames(): AsyncIterable<Uint8Array> {
    for (;;) {
      const frame = this.#inbox.shift()
      if (frame) {
        this.#taken(frame)
        yield frame
      } else if (this.#failure) {
        throw this.#failure
      } else if (this.#ended) {
        return
      } else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve
        })
      }
    }
  }

  get isOpen(): boolean {
    return !this.#failure && !this.#ended
  }

  async close(): Promise<void> {
    if (this.#failure || this.#ended) return
    this.#end()
    this.#deliver(() => this.other.#end())
  }

  #end(): void {
    this.#ended = true
    this.#wake()
  }

  #wake(): void {
    this.#wakeReader?.()
    for (const resolve of this.#waitingSenders.splice(0)) resolve()
  }

  abort(reason: Error): void {
    if (this.#failure) return
    this.broken(reason)
    this.#deliver(() => this.other.broken(new AtollError('unavailable', 'reset')))
  }

  broken(reason: Error): void {
    this.#failure ??= reason
    this.#wake()
  }
}
