import type { Connection, Stream, StreamMuxerFactory, Upgrader, UpgraderOptions } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Uint8ArrayList } from 'uint8arraylist'
import { AtollError, isAtollError, messageOf } from '../../model/errors.ts'
import type { Clock, Logger } from '../../runtime/ports.ts'
import type { RelayPeer } from '../host.ts'
import type { DialAttempt } from './encrypter.ts'
import { encodeFrame, FrameDecoder } from './frames.ts'
import type { HostLimits } from './limits.ts'
import type { Link, Links } from './links.ts'
import {
  decodeRelayRequest,
  encodeRelayRefusal,
  encodeRelayRequest,
  encodeRelayTaken,
  MAX_RELAY_FRAME_BYTES,
} from './relay-wire.ts'
import { RelayedConnection } from './relayed-connection.ts'
import { Splice } from './splice.ts'

/** From who dials to the relay, and from the relay to who is dialled. */
export const RELAY_PROTOCOL = '/atoll/relay/1'
export const RELAYED_PROTOCOL = '/atoll/relayed/1'

export interface RelayOptions {
  readonly selfPeerId: string
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: HostLimits
  readonly links: Links
  readonly upgrader: Upgrader
  /** Of every connection inside: who speaks this protocol has it, and settling on it would cost a round trip of two links. */
  readonly muxer: StreamMuxerFactory
}

interface Carried {
  readonly from: string
  readonly splice: Splice
}

/**
 * Connections through a third peer: begun here, passed on here, and taken here. One relay at most: all three look at it
 * that the connections to both ends are direct, and the encrypted connection inside is libp2p's own, with the same check of
 * certificates as any. libp2p's circuit relay v2 was tried and holds whatever one side sends and the other does not
 * read (573 MB in 4 s), bounded only by a total that would end a long-lived stream.
 */
export class Relay {
  readonly #options: RelayOptions
  readonly #carried = new Set<Carried>()
  #opening = 0
  #closed = false

  constructor(options: RelayOptions) {
    this.#options = options
  }

  /** Connections of others that go through this node. */
  get carrying(): number {
    return this.#carried.size
  }

  /** Resolves when the handshake with the peer behind the relay is done; whether it is elected shows later. */
  async dial(peerId: string, relay: Link, attempt: DialAttempt, signal: AbortSignal): Promise<Connection> {
    const { links, upgrader, muxer } = this.#options
    const stream = await relay.connection.newStream(RELAY_PROTOCOL, { signal, maxOutboundStreams: 4096 })
    try {
      stream.send(encodeFrame(encodeRelayRequest(peerId)))
      const connection = new RelayedConnection({
        stream,
        direction: 'outbound',
        remoteAddr: addressThrough(relay, peerId),
        log: stream.log,
        onRefused: (refusal) => {
          attempt.refusal = refusal
        },
      })
      links.relayed(connection.timeline, relayPeerOf(relay))
      // libp2p hands its options on to the encrypter; its types do not know of ours.
      const options: UpgraderOptions & { attempt: DialAttempt } = { signal, attempt, muxerFactory: muxer }
      return await upgrader.upgradeOutbound(connection, options)
    } catch (error) {
      stream.abort(error as Error)
      throw error
    }
  }

  /** Somebody asks to be passed on. Never rejects. */
  async serve(stream: Stream, connection: Connection): Promise<void> {
    const { clock, limits, links } = this.#options
    const deadline = clock.deadline(limits.dialMs)
    try {
      const source = await links.of(connection)
      const { peerId, rest } = await readRequest(stream, deadline.signal)
      const target = this.#target(source, peerId)
      await this.#carry(source, stream, target, rest, deadline.signal)
    } catch (error) {
      this.#refuse(stream, error)
    } finally {
      deadline.done()
    }
  }

  /** Somebody reaches this node through a relay. Never rejects. */
  async accept(stream: Stream, connection: Connection): Promise<void> {
    const { clock, limits, links, upgrader, muxer } = this.#options
    const deadline = clock.deadline(limits.inboundHandshakeMs)
    let taken = false
    try {
      const relay = await links.of(connection)
      const { peerId, rest } = await readRequest(stream, deadline.signal)
      if (this.#closed) throw new AtollError('unavailable', 'this node is shutting down')
      if (relay.via !== undefined || relay.peer.role !== 'server' || peerId === relay.peer.peerId) {
        throw new AtollError('forbidden', 'only servers that are connected directly may pass others on')
      }
      stream.send(encodeFrame(encodeRelayTaken()))
      taken = true
      const remoteAddr = addressThrough(relay, peerId)
      const inner = new RelayedConnection({ stream, direction: 'inbound', remoteAddr, log: stream.log, first: rest })
      links.relayed(inner.timeline, relayPeerOf(relay))
      await upgrader.upgradeInbound(inner, { signal: deadline.signal, muxerFactory: muxer })
    } catch (error) {
      if (taken) stream.abort(error as Error)
      else this.#refuse(stream, error)
    } finally {
      deadline.done()
    }
  }

  /** Ends what carried nothing for long, or has lasted its time. */
  tick(): void {
    const { clock, limits } = this.#options
    for (const { splice } of this.#carried) {
      if (clock.nowMs() - splice.lastMs > limits.relayIdleMs)
        splice.end(new AtollError('unavailable', 'nothing was sent'))
      else if (splice.ageMs() > limits.maxRelayedMs)
        splice.end(new AtollError('unavailable', 'it has lasted long enough'))
    }
  }

  close(): void {
    this.#closed = true
    for (const { splice } of this.#carried) splice.end(new AtollError('unavailable', 'the relay is shutting down'))
  }

  #target(source: Link, peerId: string): Link {
    const { links, limits, selfPeerId } = this.#options
    if (this.#closed) throw new AtollError('unavailable', 'this node is shutting down')
    if (source.peer.role !== 'server') throw new AtollError('forbidden', 'connections are passed on for servers only')
    if (source.via !== undefined) throw new AtollError('forbidden', 'one relay at most')
    const target = links.get(peerId)
    if (target === undefined || target.via !== undefined || links.isSilent(target)) {
      throw new AtollError('unavailable', 'the relay is not connected to that peer')
    }
    if (target.peer.role !== 'server' || peerId === selfPeerId || peerId === source.peer.peerId) {
      throw new AtollError('forbidden', 'connections are passed on to other servers only')
    }
    const ofSource = [...this.#carried].filter(({ from }) => from === source.peer.peerId).length
    if (this.#carried.size + this.#opening >= limits.maxRelayed || ofSource >= limits.maxRelayedPerPeer) {
      throw new AtollError('overloaded', 'the relay passes on as many connections as it may')
    }
    return target
  }

  async #carry(source: Link, stream: Stream, target: Link, rest: Uint8ArrayList, signal: AbortSignal): Promise<void> {
    const { clock, limits, logger } = this.#options
    stream.pause()
    this.#opening++
    let onward: Stream
    try {
      onward = await target.connection.newStream(RELAYED_PROTOCOL, { signal, maxOutboundStreams: limits.maxRelayed })
    } finally {
      this.#opening--
    }
    onward.send(encodeFrame(encodeRelayRequest(source.peer.peerId)))
    const names = { from: source.peer.node, to: target.peer.node }
    const splice = new Splice(stream, onward, {
      clock,
      bytesPerSecond: limits.relayBytesPerSecond,
      onEnded: () => {
        this.#carried.delete(carried)
        logger.debug({ ...names, bytes: splice.bytes, ageMs: Math.round(splice.ageMs()) }, 'passed on no more')
      },
    })
    const carried = { from: source.peer.peerId, splice }
    this.#carried.add(carried)
    logger.info(names, 'passing a connection on')
    splice.start(rest)
  }

  #refuse(stream: Stream, error: unknown): void {
    const refusal = isAtollError(error) ? error : new AtollError('unavailable', messageOf(error))
    this.#options.logger.debug({ reason: refusal.message }, 'a relayed connection was refused')
    try {
      stream.send(encodeFrame(encodeRelayRefusal(refusal)))
      if (stream.readStatus === 'paused') stream.resume()
      stream.close().catch((failure: Error) => stream.abort(failure))
    } catch {
      // Closed, or broken: nobody is there to be told.
      stream.abort(refusal)
    }
  }
}

const relayPeerOf = ({ peer }: Link): RelayPeer => ({
  peerId: peer.peerId,
  node: peer.node,
  datacenter: peer.datacenter,
})

const addressThrough = (relay: Link, peerId: string) =>
  multiaddr(`${relay.peer.address}/p2p/${relay.peer.peerId}/p2p-circuit/p2p/${peerId}`)

/** The first frame, and what came behind it. Rejects when the signal aborts or the stream ends before. */
function readRequest(stream: Stream, signal: AbortSignal): Promise<{ peerId: string; rest: Uint8ArrayList }> {
  const decoder = new FrameDecoder(MAX_RELAY_FRAME_BYTES)
  return new Promise((resolve, reject) => {
    const done = (): void => {
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('close', onClose)
      signal.removeEventListener('abort', onAbort)
    }
    const fail = (error: unknown): void => {
      done()
      reject(error)
    }
    const onAbort = (): void => fail(signal.reason)
    const onClose = (): void => fail(new AtollError('unavailable', 'the stream ended before it said whom to reach'))
    const onMessage = ({ data }: { data: Uint8Array | Uint8ArrayList }): void => {
      try {
        decoder.push(data)
        const frame = decoder.next()
        if (frame === undefined) return
        done()
        resolve({ peerId: decodeRelayRequest(frame), rest: decoder.rest() })
      } catch (error) {
        fail(error)
      }
    }
    stream.addEventListener('message', onMessage)
    stream.addEventListener('close', onClose)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    else if (stream.status !== 'open') onClose()
  })
}
