import { yamux } from '@chainsafe/libp2p-yamux'
import type { StreamMuxerFactory } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import { AtollError } from '../../model/errors.ts'
import type { TokenBucket } from '../../model/token-bucket.ts'
import type { Clock } from '../../runtime/ports.ts'
import type { HostLimits } from './limits.ts'
import { PackedList } from './packed-list.ts'
import type { Charged, Handling, Toll } from './toll.ts'

/** The default window of 16 MB is above the read buffer of 4 MB: a reader that pauses would lose its stream. */
const MAX_WINDOW_BYTES = 1 << 20
/** Window that is given back in one piece: an eighth of a stream's first window, so that no sender ever waits for it. */
const GIVE_BACK_BYTES = 32 << 10
const DATA = 0
const WINDOW_UPDATE = 1
const RESET = 8
const HEADER_BYTES = 12
/** Where they stand in a header. */
const TYPE_AT = 1
const LENGTH_AT = 8

export interface FrameHeader {
  readonly type: number
  readonly flag: number
  readonly streamID: number
  readonly length: number
}
export interface Muxer {
  sendFrame(header: FrameHeader, data?: unknown): unknown
  incomingStream(streamID: number): void
  readonly streams: readonly { readonly streamId: number }[]
}

/** How it tells the other side that it ends. */
export interface Leaving {
  readonly maConn: { readonly writeStatus: string }
  sendGoAway(reason: number): void
}

/** What comes in: of a frame that is not whole yet, and of a stream that is not read. */
export interface Incoming {
  readonly decoder: { buffer: Uint8ArrayList; readFrame(): unknown }
  _newStream(...about: unknown[]): { readBuffer: Uint8ArrayList }
}

/**
 * Yamux that gives window back in pieces. As it is, it answers every frame of data with an update of 30 bytes (with its
 * Noise), which is most of what an idle connection carries.
 */
export function thriftyYamux({ maxStreams }: HostLimits, toll: Toll): () => StreamMuxerFactory {
  const create = yamux({ maxInboundStreams: maxStreams, streamOptions: { maxStreamWindowSize: MAX_WINDOW_BYTES } })
  return () => {
    const factory = create() as StreamMuxerFactory
    const createStreamMuxer = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection) => {
      const muxer = createStreamMuxer(connection)
      gather(muxer as unknown as Muxer)
      boundIncoming(muxer as unknown as Incoming)
      leaveQuietly(muxer as unknown as Leaving)
      toll.charge(muxer as unknown as Handling, connection as unknown as Charged)
      return muxer
    }
    return factory
  }
}

/**
 * Has what waits cost no more memory than its bytes, and refuses a frame that no window lets in before it has come: as it is,
 * one that claims to have 4 GB is gathered.
 */
export function boundIncoming(muxer: Incoming): void {
  const { decoder } = muxer
  decoder.buffer = new PackedList()
  const readFrame = decoder.readFrame.bind(decoder)
  decoder.readFrame = () => {
    const frame = readFrame()
    if (frame === undefined) assertFits(decoder.buffer)
    return frame
  }
  const newStream = muxer._newStream.bind(muxer)
  muxer._newStream = (...about) => {
    const stream = newStream(...about)
    stream.readBuffer = new PackedList()
    return stream
  }
}

/**
 * Has it say goodbye only to who can hear it. As it is, a frame that cannot be read ends the process: the end of its streams
 * closes the connection, and writing to that throws where nobody catches it.
 */
export function leaveQuietly(muxer: Leaving): void {
  const goAway = muxer.sendGoAway.bind(muxer)
  muxer.sendGoAway = (reason) => {
    if (muxer.maConn.writeStatus === 'writable') goAway(reason)
  }
}

/** Of a frame that is not whole yet. */
function assertFits(begun: Uint8ArrayList): void {
  if (begun.byteLength < HEADER_BYTES || begun.get(TYPE_AT) !== DATA) return
  const length = begun.getUint32(LENGTH_AT)
  if (length > MAX_WINDOW_BYTES) throw new AtollError('too-large', `a frame of ${length} bytes; no window is as large`)
}

/** Holds window updates of a stream until they are worth a frame. */
export function gather(muxer: Muxer): void {
  /** Bytes to be given back, by stream. */
  const owed = new Map<number, number>()
  const send = muxer.sendFrame.bind(muxer)
  muxer.sendFrame = (header, data) => {
    if (header.type !== WINDOW_UPDATE || header.flag !== 0) return send(header, data)
    const { streamID } = header
    const length = (owed.get(streamID) ?? 0) + header.length
    if (length >= GIVE_BACK_BYTES) {
      owed.delete(streamID)
      return send({ ...header, length })
    }
    if (owed.size > 2 * muxer.streams.length + 8) forgetEnded(owed, muxer)
    owed.set(streamID, length)
    return true
  }
}

function forgetEnded(owed: Map<number, number>, { streams }: Muxer): void {
  const open = new Set(streams.map(({ streamId }) => streamId))
  for (const streamID of owed.keys()) if (!open.has(streamID)) owed.delete(streamID)
}

/** Resets streams that are opened too fast before their protocol is negotiated, which takes milliseconds. */
export function limitStreams(
  muxer: Pick<Muxer, 'sendFrame' | 'incomingStream'>,
  bucket: TokenBucket,
  clock: Clock,
): void {
  const incoming = muxer.incomingStream.bind(muxer)
  muxer.incomingStream = (streamID) => {
    if (bucket.take(1, clock.nowMs())) incoming(streamID)
    else muxer.sendFrame({ type: WINDOW_UPDATE, flag: RESET, streamID, length: 0 })
  }
}
