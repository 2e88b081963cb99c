import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Clock } from '../../runtime/ports.ts'
import { pace } from '../pace.ts'
import { compact } from './packed-list.ts'

/** Above this the other side is told to wait. */
const HIGH_BYTES = 64 << 10
const LOW_BYTES = HIGH_BYTES / 2
/** What is handed over at once, so that whoever reads gives up the event loop now and then. */
const SLICE_BYTES = 4 << 10
const SLICE_MS = 2
/** What a chunk that waits costs beside its bytes. */
const CHUNK_BYTES = 256

/** The part of a stream that gossipsub reads by. */
export type Readable = AsyncIterable<Uint8ArrayList> & Pick<Stream, 'protocol' | 'close' | 'abort'>

/**
 * A stream to be read with backpressure. libp2p's own iteration queues whatever comes, however slowly it is taken. Reads
 * from now on; to be iterated once.
 */
export function boundedReader(stream: Stream, clock: Clock): Readable {
  const reader = new BoundedReader(stream, clock)
  return {
    protocol: stream.protocol,
    close: (options) => stream.close(options),
    abort: (error) => stream.abort(error),
    [Symbol.asyncIterator]: () => reader.read(),
  }
}

class BoundedReader {
  readonly #stream: Stream
  readonly #clock: Clock
  readonly #queue: Uint8ArrayList[] = []
  #queuedBytes = 0
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(stream: Stream, clock: Clock) {
    this.#stream = stream
    this.#clock = clock
    stream.addEventListener('message', (event) => this.#take(new Uint8ArrayList(event.data)))
    stream.addEventListener('remoteCloseWrite', () => this.#end())
    stream.addEventListener('close', (event) => this.#end(event.error))
    if (stream.status !== 'open') queueMicrotask(() => this.#end())
  }

  async *read(): AsyncGenerator<Uint8ArrayList> {
    const breathe = pace(this.#clock, SLICE_MS)
    for (;;) {
      const chunk = this.#queue.shift()
      if (chunk !== undefined) {
        this.#queuedBytes -= CHUNK_BYTES + chunk.byteLength
        if (this.#queuedBytes <= LOW_BYTES) this.#resume()
        yield chunk
        await breathe()
        continue
      }
      if (this.#error !== undefined) throw this.#error
      if (this.#ended) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #take(data: Uint8ArrayList): void {
    for (let from = 0; from < data.byteLength; from += SLICE_BYTES) {
      // Waits here, and gossipsub takes messages out of it: without the buffer that it came in.
      const chunk = new Uint8ArrayList(compact(data.subarray(from, Math.min(data.byteLength, from + SLICE_BYTES))))
      this.#queue.push(chunk)
      this.#queuedBytes += CHUNK_BYTES + chunk.byteLength
    }
    // Later, since libp2p undoes a pause() inside the event that its resume() fired.
    if (this.#queuedBytes > HIGH_BYTES) queueMicrotask(() => this.#pause())
    this.#notify()
  }

  #pause(): void {
    if (this.#queuedBytes > HIGH_BYTES && this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  #resume(): void {
    if (this.#stream.readStatus !== 'paused') return
    try {
      this.#stream.resume()
    } catch {
      // The connection is gone; its close event says so.
    }
  }

  #end(error?: Error): void {
    this.#ended = true
    this.#error ??= error
    this.#notify()
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}
