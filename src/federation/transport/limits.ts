/** Bounds of one host. All have defaults; tests narrow them. */
export interface HostLimits {
  /** Connections, of all peers. */
  readonly maxConnections: number
  /** Handshakes in progress that others began. */
  readonly maxPendingInbound: number
  /** An encoded request or answer. A larger one is refused with 'too-large' before it is sent; received, it ends the connection. */
  readonly maxCallBytes: number
  /** Calls of one peer that are being answered, long polls included; further ones get 'overloaded'. */
  readonly maxCallsIn: number
  /** Own calls to one peer that wait for an answer; further ones reject with 'overloaded'. */
  readonly maxCallsOut: number
  /** Bytes that wait to be sent on one peer's call stream; beyond it calls and answers become 'overloaded', at twice that the peer is hung up on. */
  readonly maxCallBacklogBytes: number
  /** One frame of a FrameStream. */
  readonly maxFrameBytes: number
  /** Streams that one peer may hold open; each may fill a window of memory. */
  readonly maxStreams: number
  /** Streams that one peer may hold open per protocol. */
  readonly maxStreamsPerProtocol: number
  /** One gossip message. */
  readonly maxGossipBytes: number
  /** Gossip messages that wait to be published; the oldest give way. */
  readonly maxGossipQueue: number
  /** Dialling, with the handshake and the opening of the call stream. */
  readonly dialMs: number
  /** A handshake that others began. */
  readonly inboundHandshakeMs: number
  /** Longest call: a blocking query lasts up to ten minutes. */
  readonly maxCallMs: number
  /** A peer that said nothing for so long is pinged; each is, every second time, for the round trip. */
  readonly pingEveryMs: number
  /** Round-trip times older than that are forgotten, so that one that rises shows. */
  readonly roundTripWindowMs: number
  /** A peer that says nothing for so long is hung up on. */
  readonly maxSilenceMs: number
  /** The other side of a pair, which is to dial, gets so long before this one dials too: at first, and after a loss. */
  readonly dialGraceFirstMs: number
  readonly dialGraceMs: number
  readonly redialMinMs: number
  readonly redialMaxMs: number
  /** A connection that is silent for so long gives way to one through a third peer, when there is one. */
  readonly suspectMs: number
  /** A connection that gave way is kept so long for the calls on it, unless it is silent. */
  readonly drainMs: number
  /** Connections of others that go through this node, and those of them that one peer began; further ones get 'overloaded'. */
  readonly maxRelayed: number
  readonly maxRelayedPerPeer: number
  /** What one relayed connection may carry, both ways together; its ends are slowed down to that. */
  readonly relayBytesPerSecond: number
  /** A relayed connection ends after so long, and when it carries nothing for so long (pings are carried too). */
  readonly maxRelayedMs: number
  readonly relayIdleMs: number
}

export const DEFAULT_LIMITS: HostLimits = {
  maxConnections: 2000,
  maxPendingInbound: 1000,
  maxCallBytes: 8 << 20,
  maxCallsIn: 4096,
  maxCallsOut: 4096,
  maxCallBacklogBytes: 32 << 20,
  maxFrameBytes: 8 << 20,
  maxStreams: 1024,
  maxStreamsPerProtocol: 1024,
  maxGossipBytes: 1 << 20,
  maxGossipQueue: 1024,
  dialMs: 5000,
  inboundHandshakeMs: 8000,
  maxCallMs: 660_000,
  pingEveryMs: 500,
  roundTripWindowMs: 10_000,
  maxSilenceMs: 5000,
  dialGraceFirstMs: 500,
  dialGraceMs: 2000,
  redialMinMs: 250,
  redialMaxMs: 5000,
  suspectMs: 1200,
  drainMs: 30_000,
  maxRelayed: 64,
  maxRelayedPerPeer: 16,
  relayBytesPerSecond: 8 << 20,
  maxRelayedMs: 24 * 3_600_000,
  relayIdleMs: 30_000,
}
