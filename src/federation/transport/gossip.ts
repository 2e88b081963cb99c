import { hash } from 'node:crypto'
import { type GossipSub, type GossipSubComponents, gossipsub, type TopicValidatorResult } from '@libp2p/gossipsub'
import type { Connection, Stream, StreamHandler, Topology } from '@libp2p/interface'
import { messageOf } from '../../model/errors.ts'
import { type Rate, TokenBucket } from '../../model/token-bucket.ts'
import type { Clock, Logger } from '../../runtime/ports.ts'
import type { GossipVerdict } from '../host.ts'
import { boundedReader } from './bounded-reader.ts'
import type { HostLimits } from './limits.ts'
import type { Link, Links } from './links.ts'
import { compact } from './packed-list.ts'
import type { PeerBuckets } from './peer-buckets.ts'

export type GossipHandler = (message: Uint8Array, from: string) => GossipVerdict | Promise<GossipVerdict>

export interface GossipOptions {
  readonly mesh: string
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: HostLimits
  readonly links: Links
  readonly buckets: PeerBuckets
}

/** What is used of gossipsub beyond its published interface: its life, whether it holds streams to and from a peer, and what it remembers. */
interface Router extends Omit<GossipSub, 'publish'> {
  start(): Promise<void>
  stop(): Promise<void>
  publish(
    topic: string,
    message: Uint8Array,
    options: { floodPublish: boolean },
  ): Promise<{ readonly recipients: readonly unknown[] }>
  readonly streamsOutbound: Map<string, { readonly rawStream: Stream }>
  readonly streamsInbound: Map<string, unknown>
  readonly mcache: MessageCache
  readonly score: Record<'validateMessage' | 'deliverMessage' | 'duplicateMessage' | 'rejectMessage', () => void>
}
interface MessageCache {
  put(id: unknown, message: { readonly data?: Uint8Array }, validated: boolean): boolean
}

/** What is remembered for seconds keeps no more memory than so many times its bytes, whatever it was cut out of. */
const MAX_KEPT = 1.25
/** Bytes of messages that are remembered; those beyond it are passed on, and not sent again to who asks. */
const REMEMBERED: Rate = { perSecond: 500_000, burst: 1_500_000 }

function rememberLittle(cache: MessageCache, clock: Clock): void {
  const bytes = new TokenBucket(REMEMBERED)
  const put = cache.put.bind(cache)
  cache.put = (id, message, validated) => {
    const { data } = message
    if (data === undefined) return put(id, message, validated)
    return (
      bytes.take(data.byteLength, clock.nowMs()) && put(id, { ...message, data: compact(data, MAX_KEPT) }, validated)
    )
  }
}

/** Its scores are off (see below), and kept all the same: a record of each message for two minutes, 360 bytes. */
function keepNoScores({ score }: Router): void {
  for (const kept of ['validateMessage', 'deliverMessage', 'duplicateMessage', 'rejectMessage'] as const) {
    score[kept] = () => {}
  }
}

/** Messages that are published in a row before others get the thread. */
const BURST = 16
/** A peer that has more than this to read slows the publisher down, for so long and not longer; ... */
const SLOW_BYTES = 256 << 10
const MAX_WAIT_MS = 20
/** ... above this it is hung up on. */
const MAX_BACKLOG_BYTES = 4 << 20
/** Up to so many peers, publishing to all of them costs no more than the mesh does, and saves the hop. */
const FLOOD_PEERS = 8
/** Gossip's streams must stand so long after a peer came up. */
const SETTLE_MS = 3000
const WARN_EVERY_MS = 10_000
const MESSAGE_ID_BYTES = 16
/** What may be on its way to this node from one peer. */
const WINDOW_BYTES = 512 << 10
const SEEN_MS = 30_000

/**
 * One gossipsub topic among servers. Gossipsub sees peers through a registrar of ours: one connection per peer, in order
 * (gone before come back), each with its stream opened beforehand, since gossipsub opens them one after the other and a
 * peer that hangs would hold up the rest.
 */
export class Gossip {
  readonly #options: GossipOptions
  readonly #topic: string
  readonly #links: Links
  readonly #protocols: string[] = []
  readonly #attached = new Map<string, Link>()
  readonly #queue: Uint8Array[] = []
  #router: Router | undefined
  #topology: Topology | undefined
  #publishing = false
  #burst = 0
  #closed = false
  #lastWarnedMs = Number.NEGATIVE_INFINITY
  #suppressed = 0
  handler: GossipHandler | undefined

  constructor(options: GossipOptions) {
    this.#options = options
    this.#links = options.links
    this.#topic = `atoll/1/${options.mesh}`
  }

  async start(components: GossipSubComponents): Promise<void> {
    const { clock, limits } = this.#options
    const { maxGossipBytes } = limits
    const router = gossipsub({
      globalSignaturePolicy: 'StrictNoSign',
      fallbackToFloodsub: false,
      allowPublishToZeroTopicPeers: true,
      ignoreDuplicatePublishError: true,
      allowedTopics: [this.#topic],
      floodPublish: false,
      batchPublish: true,
      awaitRpcHandler: true,
      awaitRpcMessageHandler: true,
      tagMeshPeers: false,
      // Own content hash: an id that could be foretold could be taken by another message, which then silences the true one.
      // As long as it must be, since every heartbeat tells some peers of all that were seen.
      msgIdFn: (message) => hash('sha256', message.data, 'buffer').subarray(0, MESSAGE_ID_BYTES),
      D: 3,
      Dlo: 2,
      Dhi: 4,
      Dscore: 2,
      Dout: 1,
      Dlazy: 1,
      gossipFactor: 0.1,
      // Off: messages are small, and asking not to be sent them costs more than they do.
      // What was seen is remembered for as long as a copy may take, and kept for those that ask for so many seconds.
      seenTTL: SEEN_MS,
      mcacheLength: 3,
      mcacheGossip: 2,
      idontwantMinDataSize: Number.MAX_SAFE_INTEGER,
      maxInboundDataLength: maxGossipBytes + (64 << 10),
      // All peers are authenticated: scores would only silence those behind one address, or after a restart.
      scoreParams: { IPColocationFactorWeight: 0, behaviourPenaltyWeight: 0 },
    })({ ...only(components), registrar: this.#registrar(components) }) as unknown as Router
    this.#router = router
    rememberLittle(router.mcache, clock)
    keepNoScores(router)
    router.topicValidators.set(this.#topic, (from, message) => this.#validate(message.data, from.toString()))
    await router.start()
    router.subscribe(this.#topic)
  }

  /** The peer came up. */
  attach(link: Link): void {
    const { peerId } = link.peer
    this.#attached.set(peerId, link)
    this.#open(link).catch((error: unknown) => {
      if (link.state === 'up') this.#links.drop(link, `gossip could not be opened: ${messageOf(error)}`)
    })
  }

  detach(link: Link): void {
    if (this.#attached.get(link.peer.peerId) !== link) return
    this.#attached.delete(link.peer.peerId)
    void this.#topology?.onDisconnect?.(link.connection.remotePeer)
  }

  publish(message: Uint8Array): void {
    const { maxGossipBytes, maxGossipQueue } = this.#options.limits
    if (this.#closed || this.#router === undefined) return
    if (message.byteLength > maxGossipBytes) {
      this.#warn({ bytes: message.byteLength, max: maxGossipBytes }, 'a gossip message is too large; not published')
      return
    }
    if (this.#queue.length >= maxGossipQueue) {
      this.#queue.shift()
      this.#warn({ max: maxGossipQueue }, 'gossip is published faster than it can be sent; the oldest was dropped')
    }
    this.#queue.push(message)
    if (!this.#publishing) void this.#drain()
  }

  /** Hangs up on peers that gossipsub has lost sight of: it would stay silent for good. */
  watch(): void {
    const nowMs = this.#options.clock.nowMs()
    const router = this.#router
    if (router === undefined) return
    for (const [peerId, link] of [...this.#attached]) {
      if (nowMs - link.upSinceMs < SETTLE_MS) continue
      if (!router.streamsOutbound.has(peerId) || !router.streamsInbound.has(peerId)) {
        this.#links.drop(link, 'gossip with it has fallen silent')
      }
    }
  }

  async stop(): Promise<void> {
    this.#closed = true
    this.#queue.length = 0
    for (const link of [...this.#attached.values()]) this.detach(link)
    await this.#router?.stop()
  }

  /** Opens the stream first; gossipsub is then handed a connection that has it ready. */
  async #open(link: Link): Promise<void> {
    const { clock, limits } = this.#options
    const deadline = clock.deadline(limits.dialMs)
    try {
      const stream = await link.connection.newStream(this.#protocols, { signal: deadline.signal })
      if (link.state !== 'up' || this.#attached.get(link.peer.peerId) !== link) {
        stream.abort(new Error('too late'))
        return
      }
      await clock.sleep(0)
      const connection = withStream(link.connection, stream)
      void this.#topology?.onConnect?.(link.connection.remotePeer, connection)
    } finally {
      deadline.done()
    }
  }

  #registrar(components: GossipSubComponents): GossipSubComponents['registrar'] {
    const { registrar } = components
    const gossip = this
    return {
      getProtocols: () => registrar.getProtocols(),
      getHandler: (protocol) => registrar.getHandler(protocol),
      getTopologies: (protocol) => registrar.getTopologies(protocol),
      use: (protocol, middleware) => registrar.use(protocol, middleware),
      unuse: (protocol) => registrar.unuse(protocol),
      getMiddleware: (protocol) => registrar.getMiddleware(protocol),
      unhandle: (protocol, options) => registrar.unhandle(protocol, options),
      handle(protocol, handler, options) {
        gossip.#protocols.push(protocol)
        return registrar.handle(
          protocol,
          (stream, connection) => gossip.#incoming(handler, stream, connection),
          options,
        )
      },
      async register(_protocol, topology) {
        gossip.#topology = topology
        return 'atoll'
      },
      unregister() {
        gossip.#topology = undefined
      },
    }
  }

  /** From servers, on the connection that was elected, and only then. */
  async #incoming(handler: StreamHandler, stream: Stream, connection: Connection): Promise<void> {
    try {
      const link = await this.#links.of(connection)
      if (this.#attached.get(link.peer.peerId) !== link) throw new Error('gossip is among servers')
      // A stream of the connection before may still be ending, which makes gossipsub forget the peer.
      await this.#options.clock.sleep(0)
      // Twice what a round trip of 250 ms takes at the rate that a DC may have.
      Object.assign(stream, { maxStreamWindowSize: WINDOW_BYTES })
      await handler(boundedReader(stream, this.#options.clock) as unknown as Stream, withStream(connection))
    } catch (error) {
      stream.abort(error as Error)
    }
  }

  async #validate(message: Uint8Array, from: string): Promise<TopicValidatorResult> {
    let verdict: GossipVerdict = 'ignore'
    try {
      // Gossipsub reads on when this resolves, and what is read is bounded: who sends too much waits, others do not.
      await this.#payFor(from)
      verdict = (await this.handler?.(message, from)) ?? 'ignore'
    } catch (error) {
      this.#options.logger.error({ error }, 'the gossip handler failed')
    }
    return verdict as TopicValidatorResult
  }

  async #payFor(from: string): Promise<void> {
    const { buckets, clock, limits } = this.#options
    if (!this.#attached.has(from)) return
    const bucket = buckets.of(from, 'gossip', limits.gossipMessages)
    const waitMs = bucket.waitMs(clock.nowMs())
    bucket.spend(1, clock.nowMs())
    if (waitMs > 0) await clock.sleep(waitMs)
  }

  /** Never rejects. */
  async #drain(): Promise<void> {
    this.#publishing = true
    try {
      for (;;) {
        if (this.#burst >= BURST) await this.#pause()
        const message = this.#queue.shift()
        if (message === undefined) return
        // Counted per turn of the event loop, whoever publishes in it.
        if (this.#burst++ === 0) this.#options.clock.after(0, () => (this.#burst = 0))
        this.#send(message)
      }
    } finally {
      this.#publishing = false
    }
  }

  #send(message: Uint8Array): void {
    const peers = this.#attached.size
    // Those that just came up have their streams opened yet; they are greeted with all that there is.
    const settled = this.#settled()
    this.#router!.publish(this.#topic, message, { floodPublish: peers <= FLOOD_PEERS }).then(
      ({ recipients }) => {
        if (recipients.length === 0 && settled > 0) this.#warn({ peers: settled }, 'a gossip message reached no peer')
      },
      (error: unknown) => this.#warn({ reason: messageOf(error) }, 'a gossip message could not be published'),
    )
  }

  #settled(): number {
    const sinceMs = this.#options.clock.nowMs() - SETTLE_MS
    let count = 0
    for (const { upSinceMs } of this.#attached.values()) if (upSinceMs <= sinceMs) count++
    return count
  }

  async #pause(): Promise<void> {
    const { clock } = this.#options
    const untilMs = clock.nowMs() + MAX_WAIT_MS
    do await clock.sleep(0)
    while (this.#largestBacklog() > SLOW_BYTES && clock.nowMs() < untilMs)
    this.#burst = 0
  }

  #largestBacklog(): number {
    let largest = 0
    for (const [peerId, { rawStream }] of this.#router!.streamsOutbound) {
      const bytes = rawStream.writeBufferLength
      largest = Math.max(largest, bytes)
      const link = this.#attached.get(peerId)
      if (bytes > MAX_BACKLOG_BYTES && link !== undefined) this.#links.drop(link, 'it does not keep up with gossip')
    }
    return largest
  }

  /** At most one line in a while. */
  #warn(fields: Record<string, unknown>, message: string): void {
    const nowMs = this.#options.clock.nowMs()
    if (nowMs - this.#lastWarnedMs < WARN_EVERY_MS) {
      this.#suppressed++
      return
    }
    this.#options.logger.warn({ ...fields, suppressed: this.#suppressed }, message)
    this.#lastWarnedMs = nowMs
    this.#suppressed = 0
  }
}

/** libp2p's components are behind a proxy that cannot be spread. */
const only = (components: GossipSubComponents): GossipSubComponents => ({
  privateKey: components.privateKey,
  peerId: components.peerId,
  peerStore: components.peerStore,
  registrar: components.registrar,
  connectionManager: components.connectionManager,
  logger: components.logger,
})

/** What gossipsub reads of a connection; `newStream` gives the one that is open already, or none. */
const withStream = (connection: Connection, stream?: Stream): Connection =>
  ({
    status: connection.status,
    direction: connection.direction,
    remoteAddr: connection.remoteAddr,
    remotePeer: connection.remotePeer,
    async newStream() {
      if (stream === undefined) throw new Error('its stream is opened when the peer comes up')
      return stream
    },
  }) as unknown as Connection
