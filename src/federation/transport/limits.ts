import type { Rate } from '../../model/token-bucket.ts'

/** Bounds of one host. All have defaults; tests narrow them. */
export interface HostLimits {
  /** Connections, of all peers. */
  readonly maxConnections: number
  /** Handshakes in progress that others began. */
  readonly maxPendingInbound: number
  /** An encoded request or answer. A larger one is refused with 'too-large' before it is sent; received, it ends the connection. */
  readonly maxCallBytes: number
  /** An encoded request, received. */
  readonly maxRequestBytes: number
  /** Calls of one peer that are being answered, long polls included; further ones get 'overloaded'. */
  readonly maxCallsIn: number
  /** The same of a peer of another DC: there it is servers that call. */
  readonly maxForeignCallsIn: number
  /** Bytes of one peer's requests that are being answered; further ones get 'overloaded'. */
  readonly maxServingBytes: number
  /** Frames of calls that are read from one peer of another DC; the others wait, unread. */
  readonly foreignCallFrames: Rate
  /** Bytes of answers to one peer of another DC; beyond it its calls wait, unread. */
  readonly foreignAnswerBytes: Rate
  /** Calls of one peer of another DC that are begun and not answered within 25 ms; the others wait, unread. */
  readonly maxForeignYoung: number
  /** Own calls to one peer that wait for an answer; further ones reject with 'overloaded'. */
  readonly maxCallsOut: number
  /** Bytes that wait to be sent on one peer's call stream; beyond it calls and answers become 'overloaded', one answer above that the peer is hung up on. */
  readonly maxCallBacklogBytes: number
  /** The same for a peer of another DC. */
  readonly maxForeignBacklogBytes: number
  /** One frame of a FrameStream. */
  readonly maxFrameBytes: number
  /** The same, from who opened it: there it is questions. */
  readonly maxAskBytes: number
  /** Frames of a FrameStream that wait to be taken; above it the other side is told to wait. From who opened it, and from who answers. */
  readonly maxWaitingAskBytes: number
  readonly maxWaitingBytes: number
  /** Streams that one peer may hold open; each may fill a window of memory. */
  readonly maxStreams: number
  /** Streams that one peer may open; further ones are reset unseen. */
  readonly newStreams: Rate
  /** Frames of one peer that lead nowhere, of the own DC and of another; all others count a tenth. Beyond it its connections wait, unread. */
  readonly ownFrames: Rate
  readonly foreignFrames: Rate
  /** Streams that one peer may hold open per protocol. */
  readonly maxStreamsPerProtocol: number
  /** One gossip message. */
  readonly maxGossipBytes: number
  /** New messages that are read from one peer; the others wait, unread. */
  readonly gossipMessages: Rate
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
  /** A server pings a client that is heard so often only; less than the window of the distance. */
  readonly pingClientsEveryMs: number
  /** A client that heard nothing of a server for so long pings it: a thousand of them do. Well below the silence that fails calls. */
  readonly pingServersEveryMs: number
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
  maxPendingInbound: 256,
  maxCallBytes: 8 << 20,
  maxRequestBytes: 2 << 20,
  maxCallsIn: 4096,
  maxForeignCallsIn: 1024,
  maxServingBytes: 16 << 20,
  foreignCallFrames: { perSecond: 5000, burst: 10_000 },
  maxForeignYoung: 8,
  foreignAnswerBytes: { perSecond: 4_000_000, burst: 2_000_000 },
  maxCallsOut: 4096,
  maxCallBacklogBytes: 32 << 20,
  maxForeignBacklogBytes: 2 << 20,
  maxFrameBytes: 8 << 20,
  maxAskBytes: 64 << 10,
  maxWaitingAskBytes: 32 << 10,
  maxWaitingBytes: 256 << 10,
  maxStreams: 256,
  newStreams: { perSecond: 20, burst: 100 },
  ownFrames: { perSecond: 20_000, burst: 100_000 },
  foreignFrames: { perSecond: 1000, burst: 5000 },
  maxStreamsPerProtocol: 64,
  maxGossipBytes: 1 << 20,
  gossipMessages: { perSecond: 500, burst: 1000 },
  maxGossipQueue: 1024,
  dialMs: 5000,
  inboundHandshakeMs: 8000,
  maxCallMs: 660_000,
  pingEveryMs: 500,
  pingClientsEveryMs: 8_000,
  pingServersEveryMs: 800,
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
