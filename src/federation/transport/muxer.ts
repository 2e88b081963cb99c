import { yamux } from '@chainsafe/libp2p-yamux'
import type { StreamMuxerFactory } from '@libp2p/interface'
import { type Rate, TokenBucket } from '../../model/token-bucket.ts'
import type { Clock } from '../../runtime/ports.ts'
import type { HostLimits } from './limits.ts'

/** The default window of 16 MB is above the read buffer of 4 MB: a reader that pauses would lose its stream. */
const MAX_WINDOW_BYTES = 1 << 20
/** Window that is given back in one piece: an eighth of a stream's first window, so that no sender ever waits for it. */
const GIVE_BACK_BYTES = 32 << 10
const WINDOW_UPDATE = 1
const RESET = 8

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

/**
 * Yamux that gives window back in pieces. As it is, it answers every frame of data with an update of 30 bytes (with its
 * Noise), which is most of what an idle connection carries.
 */
export function thriftyYamux({ maxStreams, newStreams }: HostLimits, clock: Clock): () => StreamMuxerFactory {
  const create = yamux({ maxInboundStreams: maxStreams, streamOptions: { maxStreamWindowSize: MAX_WINDOW_BYTES } })
  return () => {
    const factory = create() as StreamMuxerFactory
    const createStreamMuxer = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection) => {
      const muxer = createStreamMuxer(connection)
      gather(muxer as unknown as Muxer)
      limitStreams(muxer as unknown as Muxer, newStreams, clock)
      return muxer
    }
    return factory
  }
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
export function limitStreams(muxer: Pick<Muxer, 'sendFrame' | 'incomingStream'>, rate: Rate, clock: Clock): void {
  const bucket = new TokenBucket(rate)
  const incoming = muxer.incomingStream.bind(muxer)
  muxer.incomingStream = (streamID) => {
    if (bucket.take(1, clock.nowMs())) incoming(streamID)
    else muxer.sendFrame({ type: WINDOW_UPDATE, flag: RESET, streamID, length: 0 })
  }
}
