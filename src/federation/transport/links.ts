import type { Connection, Stream } from '@libp2p/interface'
import { Awareness } from '../../model/awareness.ts'
import { AtollError, messageOf } from '../../model/errors.ts'
import type { Clock, Logger, Timer } from '../../runtime/ports.ts'
import type { Peer, RelayPeer, Role } from '../host.ts'
import { CallChannel, type CallHandler, type ForeignCalls } from './calls.ts'
import type { DialAttempt, Secured } from './encrypter.ts'
import type { StreamFrames } from './frames.ts'
import type { HostLimits } from './limits.ts'
import type { PeerBuckets } from './peer-buckets.ts'
import { RoundTrips } from './round-trips.ts'

export const CALL_PROTOCOL = '/atoll/call/1'

/**
 * An authenticated connection. `up` once it is the one of its peer and its call stream is open; `draining` when it has
 * given way to a better one, and waits for the calls on it.
 */
export interface Link {
  readonly connection: Connection
  readonly secured: Secured
  readonly peer: Peer
  /** Who passes its bytes on; undefined when it is direct. */
  readonly via: RelayPeer | undefined
  state: 'candidate' | 'opening' | 'up' | 'draining' | 'closed'
  /** Set while up. */
  channel: CallChannel | undefined
  upSinceMs: number
  drainingSinceMs: number
  heardMs: number
  pingedMs: number
  /** A ping that was sent then was answered. */
  answeredMs: number
  /** Milliseconds since 1970. */
  certificateEndsMs: number
  readonly roundTrips: RoundTrips
  /** Streams that die with it. */
  readonly streams: Set<StreamFrames>
  readonly whenUp: PromiseWithResolvers<Link>
  readonly opening: Timer
}

export interface LinksOptions {
  readonly selfPeerId: string
  readonly selfDatacenter: string
  readonly selfRole: Role
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: HostLimits
  readonly buckets: PeerBuckets
  handler(method: string): CallHandler | undefined
  /** Public key that a renewed certificate must have, and until when it is valid; undefined when it is not. */
  certificateEnd(certificate: Uint8Array, secured: Secured): number | undefined
  /** `former` gave way to it, and drains. */
  onUp(link: Link, former: Link | undefined): void
  onDown(link: Link): void
  /** A connection that never came up, or was not needed. */
  onGone(peerId: string): void
}

/** Peers whose last connection is remembered. */
const MAX_LOST = 4096
/** A node that doubts itself waits at most so many times as long before it hangs up. */
const MAX_PATIENCE = 2
const ANSWER_POLL_MS = 10
/** A connection that gave way is kept so long at least, for what is on its way. */
const DRAIN_MIN_MS = 1000
/** ... and no longer when it says nothing. */
const DRAIN_SILENT_MS = 2500
/** A direct connection whose call stream takes so many times `suspectMs` to open gives way to a relayed one that waits. */
const OPENING_PATIENCE = 2

/**
 * Keeps one connection per peer, whoever dialled and however many came about: of each pair the node with the smaller
 * peer id elects, by opening the call stream on one connection; the other takes what it is given. What is not elected
 * is closed. A second connection replaces the first when the other side is a new process, when it says in its hello
 * that it has given up just that first one, or when it is direct and the first is not; else it came of dials that crossed,
 * and the first stays. Where one of the two goes through a relay the first is kept until the second is up, and drains then;
 * a relayed one that comes while the direct one is being opened waits, in case that does not come up.
 */
export class Links {
  readonly #options: LinksOptions
  /** What the handshake learned, by the `timeline` object that a connection shares with its socket. */
  readonly #secured = new WeakMap<object, Secured>()
  /** Relays of connections that are not direct, likewise. */
  readonly #vias = new WeakMap<object, RelayPeer>()
  readonly #all = new Map<Connection, Link>()
  readonly #elected = new Map<string, Link>()
  /** Being opened to take the place of the elected one. */
  readonly #successors = new Map<string, Link>()
  /** Connection id of the last elected connection of a peer that is gone. */
  readonly #lost = new Map<string, string>()
  readonly #awareness: Awareness
  #closed = false

  constructor(options: LinksOptions) {
    this.#options = options
    this.#awareness = new Awareness({ tickMs: options.limits.pingEveryMs })
  }

  get(peerId: string): Link | undefined {
    const link = this.#elected.get(peerId)
    return link?.state === 'up' ? link : undefined
  }

  *up(): Iterable<Link> {
    for (const link of this.#elected.values()) if (link.state === 'up') yield link
  }

  /** Connected directly, or about to be. */
  hasDirect(peerId: string): boolean {
    for (const link of this.#all.values()) {
      if (link.peer.peerId === peerId && link.via === undefined && link.state !== 'draining') return true
    }
    return false
  }

  /** Whether the other side answers a ping that is sent now. */
  async answers(link: Link, timeoutMs: number): Promise<boolean> {
    const { clock } = this.#options
    const sinceMs = clock.nowMs()
    link.channel?.ping()
    while (link.answeredMs < sinceMs) {
      if (link.state !== 'up' || clock.nowMs() - sinceMs > timeoutMs) return false
      await clock.sleep(ANSWER_POLL_MS)
    }
    return true
  }

  isSilent(link: Link): boolean {
    return this.#options.clock.nowMs() - link.heardMs > this.#options.limits.suspectMs
  }

  /** Whether a connection that this node dialled would be better than the one that there is. */
  welcomes(peerId: string, { replaces }: DialAttempt): boolean {
    const current = this.get(peerId)
    if (current === undefined || current.secured.connectionId === replaces) return true
    return current.via !== undefined && replaces === undefined
  }

  lost(peerId: string): string {
    return this.#lost.get(peerId) ?? ''
  }

  secured(key: object, secured: Secured): void {
    this.#secured.set(key, secured)
  }

  /** To be called before the connection is encrypted; `key` is its `timeline` object. */
  relayed(key: object, via: RelayPeer): void {
    this.#vias.set(key, via)
  }

  /** The link of a connection that a stream came in on: the stream may be ahead of the election. */
  async of(connection: Connection): Promise<Link> {
    const link = this.#all.get(connection)
    if (link === undefined) throw new AtollError('unavailable', 'the connection is closed')
    return link.state === 'up' || link.state === 'draining' ? link : link.whenUp.promise
  }

  /** libp2p has a new connection. */
  opened(connection: Connection): void {
    const secured = this.#secured.get(connection.timeline)
    if (secured === undefined || this.#closed || connection.status !== 'open') {
      connection.abort(new Error('not wanted'))
      return
    }
    const link = this.#link(connection, secured)
    this.#all.set(connection, link)
    connection.addEventListener('close', () => this.drop(link, 'the connection closed'))
    if (this.#elects(link)) this.#consider(link)
  }

  /** The other side elected this connection. */
  offered(stream: Stream, connection: Connection): void {
    const link = this.#all.get(connection)
    if (link === undefined) {
      stream.abort(new Error('the connection is closed'))
      return
    }
    if (this.#elects(link) || link.state !== 'candidate') {
      this.violation(link, 'it opened a call stream that is not its to open')
      return
    }
    const current = this.#elected.get(link.peer.peerId)
    if (current !== undefined && !canHandOver(current, link)) this.drop(current, 'the peer chose another connection')
    this.#come(link, stream)
  }

  violation(link: Link, reason: string): void {
    const { node, datacenter, address } = link.peer
    this.#options.logger.warn({ node, datacenter, address, reason }, 'a peer broke the protocol; hung up')
    this.drop(link, `protocol violation: ${reason}`)
  }

  /** Closes it at once, bytes on their way included. Idempotent. */
  drop(link: Link, reason: string): void {
    if (this.#release(link, reason)) link.connection.abort(new AtollError('unavailable', reason))
  }

  /**
   * Closes it as soon as the other side has taken what was sent, and when `signal` aborts at the latest. It is the other
   * side that hangs up, on the end of the call stream: a socket that is closed with something unread takes back what it
   * has sent.
   */
  async dropGently(link: Link, reason: string, signal: AbortSignal): Promise<void> {
    const { connection, channel } = link
    if (!this.#release(link, reason)) return
    if (channel !== undefined && connection.status === 'open') {
      const late = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => late.resolve(), { once: true })
      await Promise.race([channel.finish(signal), late.promise])
    }
    connection.abort(new AtollError('unavailable', reason))
  }

  /** All of the end of a link but that of its connection. False when that was done before. */
  #release(link: Link, reason: string): boolean {
    if (link.state === 'closed') return false
    const wasUp = link.state === 'up'
    const wasElected = this.#elected.get(link.peer.peerId) === link
    link.state = 'closed'
    link.opening.cancel()
    this.#all.delete(link.connection)
    const { peerId } = link.peer
    const successor = this.#successors.get(peerId)
    if (successor === link) this.#successors.delete(peerId)
    if (wasElected) {
      this.#elected.delete(peerId)
      this.#remember(link)
      if (successor !== undefined) {
        this.#successors.delete(peerId)
        this.#elected.set(peerId, successor)
      }
    }
    const standIn = wasElected && successor === undefined ? this.#standIn(link) : undefined
    const error = new AtollError('unavailable', reason)
    link.whenUp.reject(error)
    link.channel?.end(reason)
    // Cut, so that nobody takes their end for an orderly one.
    for (const stream of [...link.streams]) stream.abort(error)
    this.#options.logger.debug({ ...namesOf(link), reason, wasUp }, 'a connection ended')
    if (wasUp) this.#options.onDown(link)
    else this.#options.onGone(link.peer.peerId)
    if (standIn?.state === 'candidate' && !this.#closed) this.#consider(standIn)
    return true
  }

  /** Hangs up on those that are silent or whose certificate has expired, and pings those that have said nothing just now. */
  tick(): void {
    const { clock, limits } = this.#options
    const nowMs = clock.nowMs()
    // A node that got no CPU has not listened: that is not its peers' silence.
    const deafMs = this.#awareness.tick(nowMs)
    const maxSilenceMs = limits.maxSilenceMs * Math.min(MAX_PATIENCE, this.#awareness.factor)
    const wallMs = clock.wallMs()
    for (const link of [...this.up()]) {
      if (deafMs > 0) link.heardMs = Math.min(nowMs, link.heardMs + deafMs)
      const silentMs = nowMs - link.heardMs
      if (silentMs > maxSilenceMs) this.drop(link, `silent for ${Math.round(silentMs)} ms`)
      else if (wallMs > link.certificateEndsMs) this.violation(link, 'its certificate has expired')
      else if (this.#shouldPing(link, silentMs, nowMs - link.pingedMs)) {
        link.pingedMs = nowMs
        link.channel?.ping()
      }
    }
    for (const link of this.all()) {
      if (link.state === 'draining') this.#tickDraining(link, nowMs, deafMs)
      else if (link.state === 'opening') this.#tickOpening(link, nowMs, deafMs)
    }
  }

  /**
   * A client pings its server, and the server hears it by that: it asks for the distance alone, and rarely, since it may have
   * a thousand clients.
   */
  #shouldPing({ peer }: Link, silentMs: number, sincePingMs: number): boolean {
    const { selfRole, limits } = this.#options
    const { pingEveryMs, pingClientsEveryMs, pingServersEveryMs } = limits
    if (selfRole === 'server' && peer.role === 'client')
      return sincePingMs > pingClientsEveryMs || (silentMs > 3 * pingEveryMs && sincePingMs > 0.75 * pingEveryMs)
    if (selfRole === 'client' && peer.role === 'server')
      return silentMs > pingServersEveryMs || sincePingMs > 0.75 * pingClientsEveryMs
    return silentMs > pingEveryMs / 2 || sincePingMs > 1.5 * pingEveryMs
  }

  /** The side that elects hangs up once nothing waits for an answer; the other does so late, should that never come. */
  #tickDraining(link: Link, nowMs: number, deafMs: number): void {
    const { drainMs } = this.#options.limits
    link.heardMs = Math.min(nowMs, link.heardMs + deafMs)
    const drainedMs = nowMs - link.drainingSinceMs
    const minMs = Math.max(DRAIN_MIN_MS, 2 * (link.roundTrips.smallest(nowMs) ?? 0))
    const done = this.#elects(link) && link.channel?.idle === true && drainedMs > minMs
    if (done || drainedMs > drainMs || nowMs - link.heardMs > DRAIN_SILENT_MS) this.drop(link, 'it gave way to another')
    else link.channel?.ping()
  }

  /** It has its time to come up, unless something else waits for that. */
  #tickOpening(link: Link, nowMs: number, deafMs: number): void {
    link.heardMs = Math.min(nowMs, link.heardMs + deafMs)
    const openingMs = nowMs - link.heardMs
    if (openingMs > OPENING_PATIENCE * this.#options.limits.suspectMs && this.#standIn(link) !== undefined)
      this.drop(link, `its call stream was not open after ${Math.round(openingMs)} ms, and another way is there`)
  }

  /** A relayed connection that waits whether this one comes up. */
  #standIn(link: Link): Link | undefined {
    if (link.via !== undefined || !this.#elects(link)) return undefined
    for (const other of this.#all.values())
      if (other.peer.peerId === link.peer.peerId && other.state === 'candidate') return other
    return undefined
  }

  tellCertificate(certificate: Uint8Array): void {
    for (const link of this.up()) link.channel?.tellCertificate(certificate)
  }

  /** No more connections; those that are there stay until they are dropped. */
  refuse(): void {
    this.#closed = true
  }

  all(): readonly Link[] {
    return [...this.#all.values()]
  }

  #elects(link: Link): boolean {
    return this.#options.selfPeerId < link.peer.peerId
  }

  #consider(link: Link): void {
    const { peerId } = link.peer
    const current = this.#elected.get(peerId)
    const successor = this.#successors.get(peerId)
    for (const other of [current, successor]) {
      if (other === undefined || this.#isBetter(link, other)) continue
      const waits = link.via !== undefined && other.via === undefined && other.state === 'opening'
      if (!waits || this.#standIn(other) !== link) this.drop(link, 'connected already')
      return
    }
    if (successor !== undefined) this.drop(successor, 'replaced by a newer connection')
    link.state = 'opening'
    if (current !== undefined && canHandOver(current, link)) {
      this.#successors.set(peerId, link)
    } else {
      if (current !== undefined) this.drop(current, 'replaced by a newer connection')
      this.#elected.set(peerId, link)
    }
    this.#open(link).catch((error: unknown) =>
      this.drop(link, `the call stream could not be opened: ${messageOf(error)}`),
    )
  }

  #isBetter(link: Link, than: Link): boolean {
    const { bootId, connectionId } = than.secured
    if (bootId !== link.secured.bootId || connectionId === link.secured.lost) return true
    if (link.via === undefined) return than.via !== undefined
    // One that is being opened had no cause to say anything yet.
    return than.state === 'up' && this.isSilent(than)
  }

  async #open(link: Link): Promise<void> {
    const { limits, clock } = this.#options
    const deadline = clock.deadline(limits.dialMs)
    try {
      const stream = await link.connection.newStream(CALL_PROTOCOL, { signal: deadline.signal })
      if (link.state === 'opening') this.#come(link, stream)
      else stream.abort(new Error('too late'))
    } finally {
      deadline.done()
    }
  }

  #come(link: Link, stream: Stream): void {
    const { clock, limits, logger, handler, buckets } = this.#options
    const { peerId } = link.peer
    const former = this.#elected.get(peerId)
    if (this.#successors.get(peerId) === link) this.#successors.delete(peerId)
    this.#elected.set(peerId, link)
    link.state = 'up'
    link.opening.cancel()
    link.upSinceMs = clock.nowMs()
    link.heardMs = link.upSinceMs
    const foreign = link.peer.datacenter !== this.#options.selfDatacenter
    link.channel = new CallChannel(stream, {
      peer: link.peer,
      clock,
      logger,
      limits: foreign ? foreignLimits(limits) : limits,
      foreign: foreign ? foreignCalls(limits, buckets, peerId) : undefined,
      handler,
      onHeard: () => {
        link.heardMs = clock.nowMs()
      },
      onRoundTrip: (roundTripMs, sentMs) => {
        link.roundTrips.add(clock.nowMs(), roundTripMs)
        link.answeredMs = Math.max(link.answeredMs, sentMs)
      },
      onCertificate: (certificate) => this.#onCertificate(link, certificate),
      onViolation: (reason) => this.violation(link, reason),
      onEnded: () => this.drop(link, 'the call stream ended'),
    })
    link.channel.ping()
    link.whenUp.resolve(link)
    const givesWay = former !== undefined && former !== link
    if (givesWay) {
      former.state = 'draining'
      former.drainingSinceMs = link.upSinceMs
    }
    this.#options.onUp(link, givesWay ? former : undefined)
    const standIn = this.#standIn(link)
    if (standIn !== undefined) this.drop(standIn, 'the direct connection is up')
  }

  #onCertificate(link: Link, certificate: Uint8Array): void {
    const endsMs = this.#options.certificateEnd(certificate, link.secured)
    if (endsMs === undefined) this.violation(link, 'its renewed certificate is not valid')
    else link.certificateEndsMs = endsMs
  }

  #link(connection: Connection, secured: Secured): Link {
    const { clock, limits } = this.#options
    const whenUp = Promise.withResolvers<Link>()
    whenUp.promise.catch(() => {})
    const via = this.#vias.get(connection.timeline)
    const link: Link = {
      connection,
      secured,
      via,
      peer: {
        ...secured.identity,
        ...(via === undefined ? {} : { via }),
        direction: connection.direction,
        address: connection.remoteAddr.toString().replace(/\/p2p\/[^/]+$/, ''),
        bootId: secured.bootId,
      },
      state: 'candidate',
      channel: undefined,
      upSinceMs: 0,
      drainingSinceMs: 0,
      heardMs: clock.nowMs(),
      pingedMs: clock.nowMs(),
      answeredMs: Number.NEGATIVE_INFINITY,
      certificateEndsMs: secured.certificate.notAfter,
      roundTrips: new RoundTrips(limits.roundTripWindowMs),
      streams: new Set(),
      whenUp,
      opening: clock.after(limits.dialMs, () => this.drop(link, 'no call stream was opened in time')),
    }
    return link
  }

  #remember(link: Link): void {
    this.#lost.delete(link.peer.peerId)
    if (this.#lost.size >= MAX_LOST) this.#lost.delete(this.#lost.keys().next().value!)
    this.#lost.set(link.peer.peerId, link.secured.connectionId)
  }
}

/** Between a direct connection and a relayed one, or two relayed ones, of one process: no call need be lost. */
const canHandOver = (from: Link, to: Link): boolean =>
  from.state === 'up' && from.secured.bootId === to.secured.bootId && (from.via !== undefined || to.via !== undefined)

const namesOf = ({ peer, secured }: Link): Record<string, string | undefined> => ({
  node: peer.node,
  datacenter: peer.datacenter,
  address: peer.address,
  via: peer.via?.node,
  connectionId: secured.connectionId,
})

const foreignLimits = (limits: HostLimits): HostLimits => ({
  ...limits,
  maxCallsIn: Math.min(limits.maxCallsIn, limits.maxForeignCallsIn),
  maxCallBacklogBytes: Math.min(limits.maxCallBacklogBytes, limits.maxForeignBacklogBytes),
})

const foreignCalls = (limits: HostLimits, buckets: PeerBuckets, peerId: string): ForeignCalls => ({
  frames: buckets.of(peerId, 'calls', limits.foreignCallFrames),
  answerBytes: buckets.of(peerId, 'answer bytes', limits.foreignAnswerBytes),
  maxYoung: limits.maxForeignYoung,
})
