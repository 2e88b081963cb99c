/**
 * What the federation asks of the network: authenticated peers, small calls, ordered streams, gossip. Implemented over
 * libp2p in `transport/`, and in memory for tests and simulation. A host knows nothing of catalogs.
 */

export type Role = 'server' | 'client'

/** Who a peer is, by its certificate; known before anything else is served to it. */
export interface PeerIdentity {
  readonly peerId: string
  readonly datacenter: string
  /** Identity of the DC beside its name. */
  readonly datacenterId: string
  readonly node: string
  readonly nodeId: string
  readonly role: Role
}

/** Who passes the bytes of a relayed connection on, unread. */
export type RelayPeer = Pick<PeerIdentity, 'peerId' | 'node' | 'datacenter'>

/** A live connection; at most one per peer. */
export interface Peer extends PeerIdentity {
  readonly direction: 'inbound' | 'outbound'
  /** Multiaddr of the other side of the connection. */
  readonly address: string
  /** Tells apart two processes under one key: changes with every start. */
  readonly bootId: string
  /** Set when the connection goes through a third peer; it gives way to a direct one. */
  readonly via?: RelayPeer
}

/** Two processes that use one key at the same time, as a copied disk makes them. The one that started later is refused. */
export interface Twin {
  /** Whose key it is. */
  readonly identity: PeerIdentity
  /** When it is this node's own: which of the two it is. */
  readonly own: 'kept' | 'refused' | undefined
  /** Multiaddrs as they were seen; '' for this node's own. */
  readonly kept: string
  readonly refused: string
}

export interface PeerAddress {
  readonly peerId: string
  /** Multiaddrs without the /p2p part; tried in order of promise, in parallel where slow. */
  readonly addresses: readonly string[]
}

export interface CallOptions {
  /**
   * From now, at most 660,000 (a blocking query waits up to ten minutes). The call rejects with AtollError 'timeout',
   * also when the connection is lost on the way: it may have been done; with 'unavailable' when it was surely not sent.
   */
  readonly deadlineMs: number
  readonly signal?: AbortSignal
}

/** Frames in order, with backpressure both ways. */
export interface FrameStream {
  readonly peer: Peer
  /** Resolves when there is room for the next. Rejects once the stream is closed. */
  send(frame: Uint8Array): Promise<void>
  /** Ends when the other side closed in an orderly way; throws on reset, a truncated or an oversized frame. */
  frames(): AsyncIterable<Uint8Array>
  /** False once nobody hears any more what is sent; what came before may still be there. */
  readonly isOpen: boolean
  close(): Promise<void>
  abort(reason: Error): void
}

export type GossipVerdict = 'accept' | 'ignore' | 'reject'

export interface Host {
  readonly self: PeerIdentity
  /** Multiaddrs that others may dial, with /p2p. */
  readonly addresses: readonly string[]

  peers(): readonly Peer[]
  peer(peerId: string): Peer | undefined
  /**
   * `up` after both sides authenticated each other; the returned function takes the listener back. A connection that gives
   * way to a better one is `down` when that is `up`, at once; calls on it are still answered.
   */
  onPeer(listener: (event: { readonly type: 'up' | 'down'; readonly peer: Peer }) => void): () => void

  /** Each time that a second process with the key of a peer, or with the own one, is met. */
  onTwin(listener: (twin: Twin) => void): () => void

  /**
   * The peers that this node wants to be connected to. Those that are missing are dialled for as long as it takes
   * (250 ms to 5 s apart, with jitter); of two that want each other only the smaller peer id dials, unless it is not
   * known that the other can. Replaces the former list.
   */
  want(peers: readonly PeerAddress[]): void
  /** Dials an address of unknown identity, once. Rejects with AtollError 'unavailable' or 'forbidden'. */
  join(address: string, options: { deadlineMs: number; signal?: AbortSignal }): Promise<Peer>
  /**
   * Connects to a server through another one (servers only), which is connected directly to both and sees ciphertext
   * alone: certificates are checked end to end, as on any connection. Does nothing when the peer is connected directly and
   * answers. Rejects with AtollError 'unavailable', 'overloaded' (the relay's bounds), 'unsupported' (an older relay) or
   * 'forbidden'.
   */
  dialVia(peerId: string, relayPeerId: string, options: { deadlineMs: number; signal?: AbortSignal }): Promise<Peer>
  disconnect(peerId: string): Promise<void>

  /** One request, one answer, msgpack values, over one long-lived stream per peer. A handler's AtollError arrives as one. */
  call(peerId: string, method: string, payload: unknown, options: CallOptions): Promise<unknown>
  /** `signal` aborts when the caller gave up or its connection closed. One handler per method. */
  handle(
    method: string,
    handler: (payload: unknown, context: { readonly peer: Peer; readonly signal: AbortSignal }) => Promise<unknown>,
  ): void

  /** A stream of its own for bulk and tails. */
  openStream(
    peerId: string,
    protocol: string,
    options: { signal?: AbortSignal; deadlineMs: number },
  ): Promise<FrameStream>
  /** Who opened it asks, in frames of at most 64 KB; answers are as large as 8 MB. */
  handleStream(protocol: string, handler: (stream: FrameStream) => void): void

  /** Best effort, to all servers of the mesh (servers only; a client's publish does nothing). */
  publish(message: Uint8Array): void
  /** The verdict decides whether the message is passed on. */
  onGossip(handler: (message: Uint8Array, from: string) => GossipVerdict | Promise<GossipVerdict>): void

  /** Smallest of a window of round-trip times, timed on frames of the call stream; undefined while unmeasured. */
  roundTripMs(peerId: string): number | undefined
  /** Milliseconds since anything was heard from a connected peer (pings go every 500 ms); undefined when not connected. */
  silentMs(peerId: string): number | undefined

  /** Signature of this node's key over `bytes`, and the certificate that others verify it with. */
  sign(bytes: Uint8Array): Uint8Array
  readonly certificate: Uint8Array
  /** Identity that the certificate proves, when it is valid now and signed `bytes`; undefined otherwise. Parsed certificates are cached, bounded. */
  verify(certificate: Uint8Array, bytes: Uint8Array, signature: Uint8Array): PeerIdentity | undefined

  close(): Promise<void>
}
