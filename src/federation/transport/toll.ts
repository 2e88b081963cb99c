import type { Stream } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { TokenBucket } from '../../model/token-bucket.ts'
import type { Clock, Logger, Timer } from '../../runtime/ports.ts'
import type { PeerIdentity } from '../host.ts'
import type { HostLimits } from './limits.ts'
import { type FrameHeader, limitStreams, type Muxer } from './muxer.ts'
import type { PeerBuckets } from './peer-buckets.ts'

/** For what leads nowhere: a frame of a stream that is not open, a ping, a message with no whole frame in it. */
const IDLE = 1
/** For a frame that does. */
const USEFUL = 0.1
/** A message without a whole frame is a part of a large one when it has so much. */
const PART_BYTES = 1 << 10
const WARN_EVERY_MS = 10_000
/** So that a peer that waits is not looked at every millisecond. */
const MIN_WAIT_MS = 20

export interface TollOptions {
  readonly selfDatacenter: string
  readonly limits: Pick<HostLimits, 'ownFrames' | 'foreignFrames' | 'newStreams'>
  readonly buckets: PeerBuckets
  readonly clock: Clock
  readonly logger: Logger
}

/** What is used of a connection under a muxer. */
export interface Charged extends Pick<Stream, 'readStatus' | 'pause' | 'resume' | 'abort'> {
  onData(data: { readonly byteLength: number }): void
  addEventListener(type: 'close', listener: () => void): void
}
export interface Handling extends Pick<Muxer, 'sendFrame' | 'incomingStream' | 'streams'> {
  readonly decoder: { readonly buffer: Uint8ArrayList; readFrame(): Frame | undefined }
  onData(data: Uint8Array | Uint8ArrayList): void
  handleFrame(frame: Frame): void
  abort(error: Error): void
}
interface Frame {
  readonly header: FrameHeader
}

/**
 * What frames cost who sends them. Who has nothing left is not read until it has, on the whole connection: a peer that opens
 * streams faster than it may is sent a reset for each, which cost a third of what a flood cost all together.
 */
export class Toll {
  readonly #options: TollOptions
  /** By connection. */
  readonly #payers = new WeakMap<object, PeerIdentity>()
  /** By bucket, which a peer that comes back finds again. */
  readonly #warnedMs = new WeakMap<TokenBucket, number>()

  constructor(options: TollOptions) {
    this.#options = options
  }

  /** The handshake has shown whose connection it is. */
  identified(connection: object, peer: PeerIdentity): void {
    this.#payers.set(connection, peer)
  }

  /** Charges a connection that was identified; any other is left as it is. */
  charge(muxer: Handling, connection: Charged): void {
    const peer = this.#payers.get(connection)
    if (peer === undefined) return
    const { selfDatacenter, limits, buckets, clock } = this.#options
    const { peerId, datacenter } = peer
    limitStreams(muxer, buckets.of(peerId, 'new streams', limits.newStreams), clock)
    const rate = datacenter === selfDatacenter ? limits.ownFrames : limits.foreignFrames
    const bucket = buckets.of(peerId, 'frames', rate)
    new Gate(muxer, connection, bucket, clock, () => this.#tell(peer, bucket))
  }

  #tell({ node, datacenter }: PeerIdentity, bucket: TokenBucket): void {
    const { clock, logger } = this.#options
    const nowMs = clock.nowMs()
    if (nowMs - (this.#warnedMs.get(bucket) ?? Number.NEGATIVE_INFINITY) < WARN_EVERY_MS) return
    this.#warnedMs.set(bucket, nowMs)
    logger.warn({ node, datacenter }, 'a peer sends frames faster than it may; it waits, unread')
  }
}

class Gate {
  readonly #muxer: Handling
  readonly #connection: Charged
  readonly #bucket: TokenBucket
  readonly #clock: Clock
  readonly #onShut: () => void
  #timer: Timer | undefined
  #shut = false
  /** libp2p undoes a pause() inside the events that its resume() fires. */
  #opening = false
  #closed = false

  constructor(muxer: Handling, connection: Charged, bucket: TokenBucket, clock: Clock, onShut: () => void) {
    this.#muxer = muxer
    this.#connection = connection
    this.#bucket = bucket
    this.#clock = clock
    this.#onShut = onShut
    muxer.onData = (data) => {
      muxer.decoder.buffer.append(data)
      if (this.#shut) return
      if (this.#work() === 0 && data.byteLength < PART_BYTES) this.#take(IDLE)
    }
    const take = connection.onData.bind(connection)
    connection.onData = (data) => {
      // Of these the muxer never hears.
      if (data.byteLength === 0) this.#take(IDLE)
      take(data)
    }
    connection.addEventListener('close', () => this.#close())
  }

  /** Handles frames that are here for as long as they are paid for, and says how many. */
  #work(): number {
    const { decoder } = this.#muxer
    let handled = 0
    while (!this.#shut && !this.#closed) {
      const frame = decoder.readFrame()
      if (frame === undefined) break
      handled++
      const { streamID } = frame.header
      const leads = streamID !== 0 && this.#muxer.streams.some(({ streamId }) => streamId === streamID)
      this.#muxer.handleFrame(frame)
      this.#take(leads ? USEFUL : IDLE)
    }
    return handled
  }

  #take(count: number): void {
    const nowMs = this.#clock.nowMs()
    this.#bucket.spend(count, nowMs)
    if (this.#shut || this.#closed || this.#bucket.waitMs(nowMs) === 0) return
    this.#shut = true
    this.#onShut()
    if (!this.#opening) this.#wait()
  }

  #wait(): void {
    if (this.#connection.readStatus === 'readable') this.#connection.pause()
    const waitMs = Math.max(MIN_WAIT_MS, this.#bucket.waitMs(this.#clock.nowMs()))
    this.#timer = this.#clock.after(waitMs, () => this.#open())
  }

  #open(): void {
    this.#shut = false
    this.#opening = true
    try {
      this.#work()
      if (!this.#shut && this.#connection.readStatus === 'paused') this.#connection.resume()
    } catch (error) {
      // As where frames come from an event.
      this.#muxer.abort(error as Error)
      this.#connection.abort(error as Error)
    } finally {
      this.#opening = false
    }
    if (this.#shut && !this.#closed) this.#wait()
  }

  #close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }
}
