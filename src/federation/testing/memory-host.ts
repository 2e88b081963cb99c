/** One host of a memory network. */
import { createHash } from 'node:crypto'
import { AtollError, isAtollError } from '../../model/errors.ts'
import type { Timer } from '../../runtime/ports.ts'
import type { CallOptions, FrameStream, GossipVerdict, Host, Peer, PeerAddress, PeerIdentity } from '../host.ts'
import type { MemoryNetwork } from './memory-network.ts'

type Handler = Parameters<Host['handle']>[1]
type PeerEvent = { readonly type: 'up' | 'down'; readonly peer: Peer }

const REDIAL_MS = 250
const SEEN = 10_000

export class MemoryHost implements Host {
  readonly self: PeerIdentity
  readonly certificate: Uint8Array
  readonly bootId: string
  readonly #network: MemoryNetwork
  readonly #peers = new Map<string, Peer>()
  readonly #listeners = new Set<(event: PeerEvent) => void>()
  readonly #handlers = new Map<string, Handler>()
  readonly #streams = new Map<string, (stream: FrameStream) => void>()
  #gossip: ((message: Uint8Array, from: string) => GossipVerdict | Promise<GossipVerdict>) | undefined
  readonly #seen = new Set<string>()
  #wanted: readonly PeerAddress[] = []
  readonly #dialling = new Set<string>()
  readonly #redial: Timer
  #stopped = false
  /** Calls are answered by nobody, and nothing is sent: as a process that hangs. */
  hung = false

  constructor(network: MemoryNetwork, identity: PeerIdentity) {
    this.#network = network
    this.self = identity
    this.bootId = network.random.uuid()
    this.certificate = new TextEncoder().encode(JSON.stringify(identity))
    this.#redial = network.clock.every(REDIAL_MS, () => this.#dialWanted())
  }

  get addresses(): readonly string[] {
    return [`/memory/${this.self.peerId}/p2p/${this.self.peerId}`]
  }
  peers(): readonly Peer[] {
    return [...this.#peers.values()]
  }
  peer(peerId: string): Peer | undefined {
    return this.#peers.get(peerId)
  }
  onPeer(listener: (event: PeerEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** One peer id is one host here. */
  onTwin(): () => void {
    return () => {}
  }

  connected(other: MemoryHost, direction: Peer['direction'], relay?: MemoryHost): void {
    const via = relay && { peerId: relay.self.peerId, node: relay.self.node, datacenter: relay.self.datacenter }
    const peer: Peer = {
      ...other.self,
      direction,
      address: `/memory/${other.self.peerId}`,
      bootId: other.bootId,
      ...(via && { via }),
    }
    // As with real connections, whoever hears that one gave way finds its successor already there.
    const former = this.#peers.get(peer.peerId)
    this.#peers.set(peer.peerId, peer)
    if (former) for (const listener of this.#listeners) listener({ type: 'down', peer: former })
    for (const listener of this.#listeners) listener({ type: 'up', peer })
  }
  disconnected(other: MemoryHost): void {
    const peer = this.#peers.get(other.self.peerId)
    if (!peer) return
    this.#peers.delete(peer.peerId)
    for (const listener of this.#listeners) listener({ type: 'down', peer })
  }

  want(peers: readonly PeerAddress[]): void {
    this.#wanted = peers
    this.#dialWanted()
  }

  #dialWanted(): void {
    for (const { peerId, addresses } of this.#wanted) {
      if (this.#stopped || this.#isDirect(peerId) || this.#dialling.has(peerId)) continue
      const target = addresses.map((address) => this.#network.find(address.split('/')[2] ?? '')).find(Boolean)
      if (!target || (target.wants(this.self.peerId) && this.self.peerId > peerId)) continue
      this.#dialling.add(peerId)
      void this.#network
        .connect(this, target)
        .catch(() => {})
        .finally(() => this.#dialling.delete(peerId))
    }
  }
  #isDirect(peerId: string): boolean {
    const peer = this.#peers.get(peerId)
    return peer !== undefined && peer.via === undefined
  }
  wants(peerId: string): boolean {
    return this.#wanted.some((peer) => peer.peerId === peerId)
  }

  async join(address: string): Promise<Peer> {
    const target = this.#network.find(address.split('/')[2] ?? '')
    if (!target) throw new AtollError('unavailable', `${address} does not answer`)
    return this.#network.connect(this, target)
  }
  async dialVia(peerId: string, relayPeerId: string): Promise<Peer> {
    const target = this.#network.find(peerId)
    const relay = this.#network.find(relayPeerId)
    if (!target || !relay) throw new AtollError('unavailable', `${peerId} does not answer through ${relayPeerId}`)
    return this.#network.relay(this, target, relay)
  }
  async disconnect(peerId: string): Promise<void> {
    const other = this.#network.find(peerId)
    if (other) this.#network.disconnect(this, other)
  }

  call(peerId: string, method: string, payload: unknown, options: CallOptions): Promise<unknown> {
    const other = this.#network.find(peerId)
    const connection = other && this.#network.connection(this, other)
    if (!other || !connection) return Promise.reject(new AtollError('unavailable', `${peerId} is not connected`))
    this.#network.counters.calls++
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        timer.cancel()
        options.signal?.removeEventListener('abort', onAbort)
        connection.abort.signal.removeEventListener('abort', onLost)
        end()
      }
      const onAbort = (): void => settle(() => reject(options.signal?.reason))
      const onLost = (): void => settle(() => reject(new AtollError('timeout', 'the connection was lost on the way')))
      const timer = this.#network.clock.after(options.deadlineMs, () =>
        settle(() => reject(new AtollError('timeout', `no answer within ${options.deadlineMs} ms`))),
      )
      if (options.signal?.aborted) return onAbort()
      options.signal?.addEventListener('abort', onAbort)
      connection.abort.signal.addEventListener('abort', onLost)
      const answered = (end: () => void): void => this.#network.deliver(other, this, () => settle(end), connection)
      this.#network.deliver(
        this,
        other,
        () => {
          void other.#serve(this, method, payload).then(
            (answer) => answered(() => resolve(answer)),
            (error) => answered(() => reject(error)),
          )
        },
        connection,
      )
    })
  }

  async #serve(from: MemoryHost, method: string, payload: unknown): Promise<unknown> {
    const handler = this.#handlers.get(method)
    const peer = this.#peers.get(from.self.peerId)
    if (this.hung) return new Promise(() => {})
    if (!handler || !peer) throw new AtollError('unsupported', `no handler for ${method}`)
    try {
      return await handler(payload, { peer, signal: new AbortController().signal })
    } catch (error) {
      if (isAtollError(error)) throw error
      throw new AtollError('internal', String(error))
    }
  }
  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler)
  }

  openStream(peerId: string, protocol: string): Promise<FrameStream> {
    const other = this.#network.find(peerId)
    if (!other) return Promise.reject(new AtollError('unavailable', `${peerId} is not connected`))
    return this.#network.openStream(this, other, protocol)
  }
  handleStream(protocol: string, handler: (stream: FrameStream) => void): void {
    this.#streams.set(protocol, handler)
  }
  streamed(protocol: string, stream: FrameStream): void {
    const handler = this.#streams.get(protocol)
    if (handler) handler(stream)
    else stream.abort(new AtollError('unsupported', protocol))
  }

  publish(message: Uint8Array): void {
    if (this.self.role !== 'server') return
    this.#once(message)
    this.#spread(message, undefined)
  }
  onGossip(handler: (message: Uint8Array, from: string) => GossipVerdict | Promise<GossipVerdict>): void {
    this.#gossip = handler
  }
  gossiped(message: Uint8Array, from: MemoryHost): void {
    if (this.hung || !this.#once(message) || !this.#gossip) return
    void Promise.resolve(this.#gossip(message, from.self.peerId)).then((verdict) => {
      if (verdict === 'accept') this.#spread(message, from)
    })
  }
  #once(message: Uint8Array): boolean {
    const id = createHash('sha256').update(message).digest('base64')
    if (this.#seen.has(id)) return false
    this.#seen.add(id)
    if (this.#seen.size > SEEN) this.#seen.delete(this.#seen.values().next().value!)
    return true
  }
  #spread(message: Uint8Array, except: MemoryHost | undefined): void {
    for (const peer of this.#peers.values()) {
      const other = this.#network.find(peer.peerId)
      if (other && other !== except && peer.role === 'server') this.#network.gossip(this, other, message)
    }
  }

  roundTripMs(peerId: string): number | undefined {
    const other = this.#network.find(peerId)
    return other && this.#network.roundTripMs(this, other)
  }
  silentMs(peerId: string): number | undefined {
    const other = this.#network.find(peerId)
    return other && this.#network.silentMs(this, other)
  }

  sign(bytes: Uint8Array): Uint8Array {
    return signature(this.certificate, bytes)
  }
  verify(certificate: Uint8Array, bytes: Uint8Array, sig: Uint8Array): PeerIdentity | undefined {
    if (Buffer.compare(signature(certificate, bytes), sig) !== 0) return undefined
    try {
      return JSON.parse(new TextDecoder().decode(certificate)) as PeerIdentity
    } catch {
      return undefined
    }
  }

  /** What `close` does, without the goodbye. */
  stop(): void {
    this.#stopped = true
    this.#redial.cancel()
    this.#gossip = undefined
  }
  async close(): Promise<void> {
    this.#network.remove(this)
  }
}

/** Stands for a real one: whoever changes a byte is found out. */
const signature = (certificate: Uint8Array, bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update('test key of ').update(certificate).update(bytes).digest())
