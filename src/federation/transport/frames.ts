import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { AtollError } from '../../model/errors.ts'
import type { Clock } from '../../runtime/ports.ts'
import type { FrameStream, Peer } from '../host.ts'
import { compact, PackedList } from './packed-list.ts'

/** Above this the sender waits. */
const HIGH_BYTES = 128 << 10
const LOW_BYTES = HIGH_BYTES / 2
/** What a frame that waits costs beside its bytes: many small ones are no cheaper than few large ones. */
const FRAME_BYTES = 256
/** What is still to be sent when a stream is closed gets so long. */
const CLOSE_MS = 10_000

/** A frame as it goes over the wire: its length in four bytes (big endian), then its bytes. */
export function encodeFrame(...parts: Uint8Array[]): Uint8ArrayList {
  const head = new Uint8Array(4)
  let length = 0
  for (const part of parts) length += part.byteLength
  new DataView(head.buffer).setUint32(0, length)
  return new Uint8ArrayList(head, ...parts)
}

/** Cuts frames out of what arrives. Holds at most one frame and one read. */
export class FrameDecoder {
  readonly #maxBytes: number
  readonly #buffer = new PackedList()

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  push(data: Uint8Array | Uint8ArrayList): void {
    this.#buffer.append(data)
  }

  /** The next whole frame; AtollError 'too-large' as soon as a length says so. */
  next(): Uint8Array | undefined {
    const buffer = this.#buffer
    if (buffer.byteLength < 4) return undefined
    const length = buffer.getUint32(0)
    if (length > this.#maxBytes) {
      throw new AtollError('too-large', `a frame of ${length} bytes; at most ${this.#maxBytes} are taken`)
    }
    if (buffer.byteLength < 4 + length) return undefined
    const frame = buffer.subarray(4, 4 + length)
    buffer.consume(4 + length)
    return frame
  }

  /** Takes what is behind the last frame, where something else follows the frames. */
  rest(): Uint8ArrayList {
    const rest = this.#buffer.sublist()
    this.#buffer.consume(this.#buffer.byteLength)
    return rest
  }

  /** Bytes of a frame that is not whole yet. */
  get pendingBytes(): number {
    return this.#buffer.byteLength
  }
}

/** Of what comes. */
export interface StreamBounds {
  readonly maxFrameBytes: number
  /** Above this the other side is told to stop, until half of it was taken. */
  readonly maxWaitingBytes: number
}

export interface StreamFramesOptions {
  readonly peer: Peer
  /** One frame that is sent. */
  readonly maxSentBytes: number
  readonly received: StreamBounds
  readonly clock: Clock
  /** Anything arrived. */
  onHeard(): void
  /** The other side broke the protocol; its connection is to be closed. */
  onViolation(reason: string): void
  onClosed(): void
}

/** A libp2p stream as frames, with backpressure both ways. */
export class StreamFrames implements FrameStream {
  readonly peer: Peer
  readonly #stream: Stream
  readonly #options: StreamFramesOptions
  readonly #decoder: FrameDecoder
  readonly #queue: Uint8Array[] = []
  #queuedBytes = 0
  #error: Error | undefined
  /** What comes is no frame. */
  #broken = false
  /** The other side said that it was done; without it the end of the connection is an error. */
  #orderlyEnd: boolean
  #closed = false
  #taken = false
  #wakeReader: (() => void) | undefined
  #writers: (() => void)[] = []

  constructor(stream: Stream, options: StreamFramesOptions) {
    this.#stream = stream
    this.#options = options
    this.#decoder = new FrameDecoder(options.received.maxFrameBytes)
    this.peer = options.peer
    this.#orderlyEnd = stream.remoteWriteStatus === 'closed'
    stream.addEventListener('message', (event) => this.#onData(event.data))
    stream.addEventListener('remoteCloseWrite', () => {
      this.#orderlyEnd = true
      this.#wake()
    })
    stream.addEventListener('drain', () => this.#wakeWriters())
    stream.addEventListener('idle', () => this.#wakeWriters())
    stream.addEventListener('close', (event) => this.#onClose(event.error))
    if (stream.status !== 'open' && stream.status !== 'closing') queueMicrotask(() => this.#onClose())
  }

  async send(frame: Uint8Array): Promise<void> {
    const { maxSentBytes } = this.#options
    if (frame.byteLength > maxSentBytes) {
      throw new AtollError('too-large', `a frame of ${frame.byteLength} bytes; at most ${maxSentBytes} can be sent`)
    }
    this.#assertWritable()
    this.#stream.send(encodeFrame(frame))
    if (this.#stream.writeBufferLength <= HIGH_BYTES) return
    // Not stream.onDrain(), which resolves once in a stream's life.
    while (this.#stream.writeBufferLength > LOW_BYTES) {
      await new Promise<void>((resolve) => this.#writers.push(resolve))
      this.#assertWritable()
    }
  }

  frames(): AsyncIterable<Uint8Array> {
    if (this.#taken) throw new AtollError('internal', 'the frames of a stream can be read once')
    this.#taken = true
    return this.#read()
  }

  get isOpen(): boolean {
    return !this.#closed
  }

  async close(): Promise<void> {
    if (this.#closed || this.#stream.writeStatus !== 'writable') return
    const deadline = this.#options.clock.deadline(CLOSE_MS)
    try {
      await this.#stream.close({ signal: deadline.signal })
    } catch (error) {
      this.abort(error as Error)
    } finally {
      deadline.done()
    }
  }

  abort(reason: Error): void {
    this.#error ??= reason
    this.#stream.abort(reason)
    this.#onClose(reason)
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const frame = this.#queue.shift()
      if (frame !== undefined) {
        this.#queuedBytes -= FRAME_BYTES + frame.byteLength
        if (this.#mayGoOn()) this.#cut()
        if (this.#mayGoOn()) this.#resume()
        yield frame
        continue
      }
      if (this.#error !== undefined) throw this.#error
      // What arrived before the end, while reading was paused, is still to be taken.
      if (this.#resume()) continue
      if (this.#orderlyEnd && this.#stream.readBufferLength === 0) {
        if (this.#decoder.pendingBytes === 0) return
        throw new AtollError('unavailable', 'the stream ended within a frame')
      }
      if (this.#closed) throw new AtollError('unavailable', 'the connection ended before the stream did')
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve
      })
    }
  }

  #onData(data: Uint8Array | Uint8ArrayList): void {
    this.#options.onHeard()
    this.#decoder.push(data)
    this.#cut()
    // Later, since libp2p undoes a pause() inside the event that its resume() fired.
    if (this.#mustStop()) queueMicrotask(() => this.#pause())
    this.#wake()
  }

  /** Frames of what is here, as many as may wait: small ones take several times the memory of their bytes. */
  #cut(): void {
    if (this.#broken) return
    try {
      while (!this.#mustStop()) {
        const frame = this.#decoder.next()
        if (frame === undefined) return
        // The first is taken at once, by who waits for it.
        this.#queue.push(this.#queue.length === 0 ? frame : compact(frame))
        this.#queuedBytes += FRAME_BYTES + frame.byteLength
      }
    } catch (error) {
      this.#broken = true
      this.abort(error as Error)
      this.#options.onViolation(`stream "${this.#stream.protocol}": ${(error as Error).message}`)
    }
  }

  #mustStop(): boolean {
    return this.#queuedBytes > this.#options.received.maxWaitingBytes
  }

  #mayGoOn(): boolean {
    return this.#queuedBytes <= this.#options.received.maxWaitingBytes / 2
  }

  #pause(): void {
    if (this.#mustStop() && this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  /** True when that brought frames. */
  #resume(): boolean {
    if (this.#stream.readStatus !== 'paused') return false
    try {
      this.#stream.resume()
    } catch {
      // The connection is gone; what it had brought was handed over before that showed.
    }
    return this.#queue.length > 0
  }

  #onClose(error?: Error): void {
    if (error !== undefined) this.#error ??= error
    if (!this.#closed) {
      this.#closed = true
      this.#options.onClosed()
    }
    this.#wake()
    this.#wakeWriters()
  }

  #assertWritable(): void {
    if (this.#error !== undefined) throw this.#error
    if (this.#stream.writeStatus === 'writable') return
    throw new AtollError('unavailable', 'the stream is closed')
  }

  #wake(): void {
    const wake = this.#wakeReader
    this.#wakeReader = undefined
    wake?.()
  }

  #wakeWriters(): void {
    const writers = this.#writers
    if (writers.length === 0) return
    this.#writers = []
    for (const wake of writers) wake()
  }
}
