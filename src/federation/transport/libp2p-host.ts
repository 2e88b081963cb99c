import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { GossipSubComponents } from '@libp2p/gossipsub'
import type { Connection, Libp2p, Stream, Upgrader } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { AtollError, isAtollError, messageOf } from '../../model/errors.ts'
import { whyNotListening } from '../../model/listen.ts'
import type { Timer } from '../../runtime/ports.ts'
import type { CallOptions, FrameStream, Host, Peer, PeerAddress, PeerIdentity, Twin } from '../host.ts'
import { dialAddress, listenAddress, withoutPeer, withPeer } from './addresses.ts'
import type { CallHandler } from './calls.ts'
import { Credentials } from './credentials.ts'
import { Dialler } from './dialler.ts'
import { certifiedNoise, type DialAttempt } from './encrypter.ts'
import { type StreamBounds, StreamFrames } from './frames.ts'
import { Gossip, type GossipHandler } from './gossip.ts'
import type { HostOptions } from './host.ts'
import { DEFAULT_LIMITS, type HostLimits } from './limits.ts'
import { CALL_PROTOCOL, type Link, Links } from './links.ts'
import { Listeners } from './listeners.ts'
import { thriftyYamux } from './muxer.ts'
import { PeerBuckets } from './peer-buckets.ts'
import { quiet } from './quiet.ts'
import { RELAY_PROTOCOL, RELAYED_PROTOCOL, Relay } from './relay.ts'
import { heedingListeners, portableTcp } from './tcp.ts'
import { Toll } from './toll.ts'
import { Twins } from './twins.ts'

type PeerListener = Parameters<Host['onPeer']>[0]

/** libp2p's own, as far as it is used beyond its published interface. */
interface Components extends GossipSubComponents {
  readonly transportManager: { dial(address: unknown, options: unknown): Promise<Connection> }
  readonly upgrader: Upgrader
}

const STREAM_PROTOCOL = '/atoll/stream/1/'
/** Part of every handshake; what a node can do beyond the protocol's version. */
const CAPABILITIES: readonly string[] = []
/** Closing: for bytes on their way, and for all of it. */
const FLUSH_MS = 300
const CLOSE_MS = 1800

export class Libp2pHost implements Host {
  readonly #options: HostOptions
  readonly #limits: HostLimits
  readonly #credentials: Credentials
  readonly #links: Links
  readonly #dialler: Dialler
  readonly #gossip: Gossip
  readonly #toll: Toll
  readonly #handlers = new Map<string, CallHandler>()
  readonly #peerListeners: Listeners<Parameters<PeerListener>[0]>
  readonly #twinListeners: Listeners<Twin>
  #node!: Libp2p
  #components!: Components
  /** Servers pass connections on, and take those that are passed on. */
  #relay: Relay | undefined
  #addresses: readonly string[] = []
  #ticker: Timer | undefined
  #closing: Promise<void> | undefined

  static async open(options: HostOptions): Promise<Libp2pHost> {
    const { identity, authority, self, clock, logger } = options
    const credentials = await Credentials.open({ identity, authority, facts: self, clock, logger })
    const host = new Libp2pHost(options, credentials)
    try {
      await host.#start()
      return host
    } catch (error) {
      await host.close()
      throw error
    }
  }

  private constructor(options: HostOptions, credentials: Credentials) {
    const { clock, random, logger, self, authority } = options
    const limits = { ...DEFAULT_LIMITS, ...options.limits }
    const buckets = new PeerBuckets(clock)
    this.#options = options
    this.#limits = limits
    this.#credentials = credentials
    this.#peerListeners = new Listeners(logger)
    this.#twinListeners = new Listeners(logger)
    this.#links = new Links({
      selfPeerId: credentials.peerId,
      selfDatacenter: self.datacenter,
      selfRole: self.role,
      clock,
      logger,
      limits,
      buckets,
      handler: (method) => this.#handlers.get(method),
      certificateEnd: (certificate, secured) => credentials.renewedUntil(certificate, secured),
      onUp: (link, former) => this.#onUp(link, former),
      onDown: (link) => this.#onDown(link),
      onGone: (peerId) => this.#dialler.onDown(peerId),
    })
    this.#dialler = new Dialler({
      selfPeerId: credentials.peerId,
      selfRole: self.role,
      clock,
      random,
      logger,
      limits,
      connected: (peerId) => this.#links.hasDirect(peerId),
      dial: (address, attempt, signal) => this.#dial(address, attempt, signal),
    })
    this.#gossip = new Gossip({ mesh: authority.mesh, clock, logger, limits, links: this.#links, buckets })
    this.#toll = new Toll({ selfDatacenter: self.datacenter, limits, buckets, clock, logger })
    credentials.onRenewed = (certificate) => this.#links.tellCertificate(certificate)
  }

  get self(): PeerIdentity {
    return this.#credentials.self
  }

  get addresses(): readonly string[] {
    return this.#addresses
  }

  get certificate(): Uint8Array {
    return this.#credentials.certificate
  }

  peers(): readonly Peer[] {
    return [...this.#links.up()].map((link) => link.peer)
  }

  peer(peerId: string): Peer | undefined {
    return this.#links.get(peerId)?.peer
  }

  onPeer(listener: PeerListener): () => void {
    return this.#peerListeners.add(listener)
  }

  onTwin(listener: (twin: Twin) => void): () => void {
    return this.#twinListeners.add(listener)
  }

  want(peers: readonly PeerAddress[]): void {
    if (this.#closing === undefined) this.#dialler.want(peers)
  }

  async join(address: string, options: { deadlineMs: number; signal?: AbortSignal }): Promise<Peer> {
    if (this.#closing !== undefined) throw closed()
    const target = dialAddress(address)
    const deadline = this.#options.clock.deadline(options.deadlineMs, options.signal)
    try {
      const { attempt } = await this.#dialler.reach([target], undefined, deadline.signal)
      return await this.#cameUp(attempt.peerId!, deadline.signal)
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason
      if (isAtollError(error) && error.code !== 'timeout') throw error
      throw new AtollError('unavailable', `${address}: ${messageOf(error)}`, { cause: error })
    } finally {
      deadline.done()
    }
  }

  async dialVia(peerId: string, relayPeerId: string, options: CallOptions): Promise<Peer> {
    if (this.#closing !== undefined) throw closed()
    if (this.#relay === undefined) throw new AtollError('unsupported', 'only servers connect through others')
    const relay = this.#links.get(relayPeerId)
    if (relay === undefined || relay.via !== undefined || peerId === relayPeerId) throw notConnected(relayPeerId)
    const current = this.#links.get(peerId)
    if (current !== undefined && current.via === undefined && !this.#links.isSilent(current)) return current.peer
    const attempt: DialAttempt = { replaces: current?.secured.connectionId ?? '' }
    const deadline = this.#options.clock.deadline(options.deadlineMs, options.signal)
    try {
      const connection = await this.#relay.dial(peerId, relay, attempt, deadline.signal)
      return await this.#cameUp(peerId, deadline.signal, current, connection)
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason
      const reason = attempt.refusal ?? error
      if (isAtollError(reason) && reason.code !== 'timeout') throw reason
      throw new AtollError('unavailable', `through ${relay.peer.node}: ${messageOf(reason)}`, { cause: error })
    } finally {
      deadline.done()
    }
  }

  async disconnect(peerId: string): Promise<void> {
    const link = this.#links.get(peerId)
    if (link !== undefined) await this.#closeGently(link)
  }

  call(peerId: string, method: string, payload: unknown, options: CallOptions): Promise<unknown> {
    const channel = this.#links.get(peerId)?.channel
    if (channel === undefined) return Promise.reject(notConnected(peerId))
    return channel.call(method, payload, options)
  }

  handle(method: string, handler: CallHandler): void {
    this.#handlers.set(method, handler)
  }

  async openStream(
    peerId: string,
    protocol: string,
    options: { signal?: AbortSignal; deadlineMs: number },
  ): Promise<FrameStream> {
    const link = this.#links.get(peerId)
    if (link === undefined) throw notConnected(peerId)
    const deadline = this.#options.clock.deadline(options.deadlineMs, options.signal)
    try {
      const stream = await link.connection.newStream(STREAM_PROTOCOL + protocol, {
        signal: deadline.signal,
        maxOutboundStreams: this.#limits.maxStreamsPerProtocol,
      })
      const { maxFrameBytes, maxWaitingBytes, maxAskBytes } = this.#limits
      return this.#frames(link, stream, maxAskBytes, { maxFrameBytes, maxWaitingBytes })
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason
      if ((error as Error).name === 'UnsupportedProtocolError') {
        throw new AtollError('unsupported', `${link.peer.node} takes no "${protocol}" streams`)
      }
      throw new AtollError('unavailable', `no "${protocol}" stream to ${link.peer.node}: ${messageOf(error)}`)
    } finally {
      deadline.done()
    }
  }

  handleStream(protocol: string, handler: (stream: FrameStream) => void): void {
    const { maxStreamsPerProtocol: streams, maxFrameBytes, maxAskBytes, maxWaitingAskBytes } = this.#limits
    const received = { maxFrameBytes: maxAskBytes, maxWaitingBytes: maxWaitingAskBytes }
    const handled = this.#node.handle(
      STREAM_PROTOCOL + protocol,
      async (stream, connection) => {
        try {
          handler(this.#frames(await this.#links.of(connection), stream, maxFrameBytes, received))
        } catch (error) {
          stream.abort(error as Error)
          this.#options.logger.debug({ protocol, reason: messageOf(error) }, 'a stream was not taken')
        }
      },
      { maxInboundStreams: streams, maxOutboundStreams: streams, force: true },
    )
    handled.catch((error: unknown) => this.#options.logger.error({ error, protocol }, 'no streams are handled'))
  }

  publish(message: Uint8Array): void {
    this.#gossip.publish(message)
  }

  onGossip(handler: GossipHandler): void {
    this.#gossip.handler = handler
  }

  roundTripMs(peerId: string): number | undefined {
    return this.#links.get(peerId)?.roundTrips.smallest(this.#options.clock.nowMs())
  }

  silentMs(peerId: string): number | undefined {
    const link = this.#links.get(peerId)
    return link === undefined ? undefined : this.#options.clock.nowMs() - link.heardMs
  }

  sign(bytes: Uint8Array): Uint8Array {
    return this.#credentials.identity.sign(bytes)
  }

  verify(certificate: Uint8Array, bytes: Uint8Array, signature: Uint8Array): PeerIdentity | undefined {
    return this.#credentials.verify(certificate, bytes, signature)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #start(): Promise<void> {
    const { identity, announce, self, clock, random, listen, logger } = this.#options
    const { peerId } = this.#credentials
    const bootId = random.uuid()
    const startedMs = clock.nowMs()
    const twins = new Twins({
      clock,
      links: this.#links,
      self: () => this.self,
      own: { bootId, startedMs },
      onTwin: (twin) => this.#twinListeners.emit(twin),
    })
    let refusal: unknown
    const transport = heedingListeners(this.#options.wrapTransport?.(portableTcp) ?? portableTcp, (error) => {
      refusal = error
    })
    const node = await createLibp2p({
      start: false,
      privateKey: privateKeyFromRaw(Buffer.concat([identity.seed, identity.publicKey])),
      addresses: { listen: [listenAddress(listen.host, listen.port)] },
      transports: [transport],
      connectionEncrypters: [
        certifiedNoise({
          selfPeerId: peerId,
          bootId,
          capabilities: CAPABILITIES,
          clock,
          random,
          certificate: () => this.#credentials.certificate,
          verify: (certificate) => this.#credentials.check(certificate),
          wanted: (remote, dialled) =>
            this.#closing === undefined && (dialled === undefined || this.#links.welcomes(remote, dialled)),
          lost: (remote) => this.#links.lost(remote),
          uptimeMs: () => clock.nowMs() - startedMs,
          admit: (secured, address) => twins.admit(secured, address),
          refusedAsTwin: (kept) => twins.refused(kept),
          metSelf: (other, address) => twins.met(other, address),
          onSecured: (key, secured, connection) => {
            this.#links.secured(key, secured)
            this.#toll.identified(connection, secured.identity)
          },
          onRefused: (remote, reason) => logger.warn({ peerId: remote, reason }, 'a peer was refused'),
        }),
      ],
      streamMuxers: [thriftyYamux(this.#limits, this.#toll)],
      connectionManager: {
        maxConnections: this.#limits.maxConnections,
        inboundConnectionThreshold: 1_000_000,
        maxIncomingPendingConnections: this.#limits.maxPendingInbound,
        inboundUpgradeTimeout: this.#limits.inboundHandshakeMs,
        inboundStreamProtocolNegotiationTimeout: this.#limits.dialMs,
        outboundStreamProtocolNegotiationTimeout: this.#limits.dialMs,
      },
      // The call stream's pings do that.
      connectionMonitor: { enabled: false },
      logger: quiet,
      services: {
        atoll: (components: unknown) => {
          this.#components = components as Components
          return {}
        },
      },
    })
    this.#node = node
    node.addEventListener('connection:open', (event) => this.#links.opened(event.detail))
    await node.handle(CALL_PROTOCOL, (stream, connection) => this.#links.offered(stream, connection), {
      maxInboundStreams: 2,
    })
    if (self.role === 'server') {
      await this.#startRelay()
      await this.#gossip.start(this.#components)
    }
    try {
      await node.start()
    } catch (error) {
      const reason = whyNotListening(refusal) ?? messageOf(refusal ?? error)
      const message = `cannot listen on ${listen.host}, port ${listen.port}: ${reason}`
      throw new AtollError('unavailable', message, { field: 'federation.port', cause: error })
    }
    this.#addresses = (announce ?? node.getMultiaddrs().map((address) => withoutPeer(address.toString()))).map(
      (address) => withPeer(address, peerId),
    )
    this.#ticker = clock.every(this.#limits.pingEveryMs, () => this.#tick())
  }

  async #startRelay(): Promise<void> {
    const { clock, logger } = this.#options
    const limits = this.#limits
    const links = this.#links
    const { upgrader } = this.#components
    const muxer = thriftyYamux(limits, this.#toll)()
    const relay = new Relay({ selfPeerId: this.#credentials.peerId, clock, logger, limits, links, upgrader, muxer })
    this.#relay = relay
    // A few more than are carried, so that who comes too much is told so.
    const inbound = { maxInboundStreams: limits.maxRelayedPerPeer + 4 }
    await this.#node.handle(RELAY_PROTOCOL, (stream, connection) => relay.serve(stream, connection), inbound)
    await this.#node.handle(RELAYED_PROTOCOL, (stream, connection) => relay.accept(stream, connection), {
      maxInboundStreams: limits.maxRelayed,
    })
  }

  #tick(): void {
    this.#links.tick()
    this.#relay?.tick()
    this.#gossip.watch()
  }

  /** Of an address that names no peer, whoever answers with a certificate is taken. */
  async #dial(address: string, attempt: DialAttempt, signal: AbortSignal): Promise<void> {
    // Past libp2p's dial queue, which tries addresses one after the other and keeps a book of its own.
    await this.#components.transportManager.dial(multiaddr(address), { signal, attempt })
  }

  /**
   * The connection just made may lose to one that crossed it; the peer comes up all the same. `not`: the connection that
   * it is to replace. `made`: no other is waited for when that ends.
   */
  #cameUp(peerId: string, signal: AbortSignal, not?: Link, made?: Connection): Promise<Peer> {
    const link = this.#links.get(peerId)
    if (link !== undefined && link !== not) return Promise.resolve(link.peer)
    return new Promise((resolve, reject) => {
      const done = (): void => {
        off()
        signal.removeEventListener('abort', onAbort)
        made?.removeEventListener('close', onClose)
      }
      const onAbort = (): void => {
        done()
        reject(signal.reason)
      }
      const onClose = (): void => {
        done()
        reject(new AtollError('unavailable', 'the peer did not take the connection'))
      }
      made?.addEventListener('close', onClose)
      const off = this.onPeer((event) => {
        if (event.type !== 'up' || event.peer.peerId !== peerId) return
        done()
        resolve(event.peer)
      })
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
    })
  }

  #onUp(link: Link, former: Link | undefined): void {
    const { node, datacenter, address, direction, via, role } = link.peer
    if (former !== undefined) {
      this.#gossip.detach(former)
      this.#peerListeners.emit({ type: 'down', peer: former.peer })
    }
    if (via === undefined) this.#dialler.onUp(link.peer.peerId)
    // A direct connection is dialled all along.
    else this.#dialler.onDown(link.peer.peerId)
    // Gossip goes through the third peer as it is; a relayed connection would only carry it twice.
    if (role === 'server' && this.self.role === 'server' && via === undefined) this.#gossip.attach(link)
    const { connectionId } = link.secured
    this.#options.logger.info({ node, datacenter, address, direction, via: via?.node, connectionId }, 'peer up')
    this.#peerListeners.emit({ type: 'up', peer: link.peer })
  }

  #onDown(link: Link): void {
    this.#gossip.detach(link)
    const { node, datacenter, address } = link.peer
    const { connectionId } = link.secured
    this.#options.logger.info({ node, datacenter, address, connectionId }, 'peer down')
    this.#peerListeners.emit({ type: 'down', peer: link.peer })
    this.#dialler.onDown(link.peer.peerId)
  }

  #frames(link: Link, stream: Stream, maxSentBytes: number, received: StreamBounds): StreamFrames {
    const { clock } = this.#options
    if (link.state !== 'up') throw notConnected(link.peer.peerId)
    const frames: StreamFrames = new StreamFrames(stream, {
      peer: link.peer,
      maxSentBytes,
      received,
      clock,
      onHeard: () => {
        link.heardMs = clock.nowMs()
      },
      onViolation: (reason) => this.#links.violation(link, reason),
      onClosed: () => link.streams.delete(frames),
    })
    link.streams.add(frames)
    return frames
  }

  async #closeGently(link: Link): Promise<void> {
    const deadline = this.#options.clock.deadline(FLUSH_MS)
    try {
      await this.#links.dropGently(link, 'closed by this node', deadline.signal)
    } finally {
      deadline.done()
    }
  }

  async #close(): Promise<void> {
    const { clock, logger } = this.#options
    this.#ticker?.cancel()
    this.#credentials.close()
    this.#dialler.close()
    this.#links.refuse()
    this.#relay?.close()
    const stopping = (async () => {
      await Promise.all(this.#links.all().map((link) => this.#closeGently(link)))
      await this.#gossip.stop()
      await this.#node?.stop()
    })().catch((error: unknown) => logger.debug({ reason: messageOf(error) }, 'libp2p did not stop in order'))
    const late = Promise.withResolvers<void>()
    const timer = clock.after(CLOSE_MS, () => late.resolve())
    await Promise.race([stopping, late.promise])
    timer.cancel()
    this.#peerListeners.clear()
    this.#twinListeners.clear()
  }
}

const notConnected = (peerId: string): AtollError => new AtollError('unavailable', `not connected to peer ${peerId}`)
const closed = (): AtollError => new AtollError('unavailable', 'this node is shutting down')
