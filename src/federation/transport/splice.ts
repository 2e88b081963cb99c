import type { Stream } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import { AtollError } from '../../model/errors.ts'
import type { Clock, Timer } from '../../runtime/ports.ts'

export interface SpliceOptions {
  readonly clock: Clock
  /** Both ways together, over a second. */
  readonly bytesPerSecond: number
  onEnded(): void
}

/** What waits to be sent on, each way, before its sender is told to wait; libp2p holds at most a window (1 MB) beside it. */
const HIGH_BYTES = 256 << 10
const LOW_BYTES = HIGH_BYTES / 2

/**
 * Passes bytes on between two streams, both ways, with backpressure, at a bounded rate. A stream that ends in order ends
 * the other so; one that breaks breaks the other.
 */
export class Splice {
  readonly #a: Stream
  readonly #b: Stream
  readonly #options: SpliceOptions
  readonly #beganMs: number
  /** What may be carried now; below 0 both ways wait. */
  #budget: number
  #budgetMs: number
  #wait: Timer | undefined
  #ended = false
  lastMs: number
  bytes = 0

  constructor(a: Stream, b: Stream, options: SpliceOptions) {
    this.#a = a
    this.#b = b
    this.#options = options
    this.#budget = options.bytesPerSecond
    this.#beganMs = options.clock.nowMs()
    this.#budgetMs = this.#beganMs
    this.lastMs = this.#beganMs
  }

  /** Since it began. */
  ageMs(): number {
    return this.#options.clock.nowMs() - this.#beganMs
  }

  /** `fromA`: what came behind the request of `a` already. */
  start(fromA: Uint8ArrayList): void {
    this.#join(this.#a, this.#b)
    this.#join(this.#b, this.#a)
    if (fromA.byteLength > 0) this.#carry(this.#a, this.#b, fromA)
    this.#resume(this.#a)
    this.#resume(this.#b)
  }

  /** Idempotent. */
  end(reason: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#wait?.cancel()
    this.#a.abort(reason)
    this.#b.abort(reason)
    this.#options.onEnded()
  }

  #join(from: Stream, to: Stream): void {
    from.addEventListener('message', ({ data }) => this.#carry(from, to, data))
    // Later, since what is sent inside of these events stays where it is: libp2p is still sending then.
    const resumeLater = (): void => queueMicrotask(() => this.#resume(from))
    to.addEventListener('drain', resumeLater)
    to.addEventListener('idle', resumeLater)
    from.addEventListener('remoteCloseWrite', () => this.#closeAfter(from, to))
    from.addEventListener('close', ({ error }) => {
      if (error !== undefined || to.status !== 'open') this.end(error ?? new AtollError('unavailable', 'closed'))
      else this.#closeAfter(from, to)
    })
    if (from.status !== 'open') queueMicrotask(() => this.end(new AtollError('unavailable', 'a side is gone')))
  }

  #carry(from: Stream, to: Stream, data: Uint8Array | Uint8ArrayList): void {
    if (this.#ended) return
    const nowMs = this.#options.clock.nowMs()
    const { bytesPerSecond } = this.#options
    this.lastMs = nowMs
    this.bytes += data.byteLength
    this.#budget = Math.min(bytesPerSecond, this.#budget + ((nowMs - this.#budgetMs) * bytesPerSecond) / 1000)
    this.#budgetMs = nowMs
    this.#budget -= data.byteLength
    try {
      to.send(data)
    } catch (error) {
      this.end(error as Error)
      return
    }
    if (this.#budget < 0 && this.#wait === undefined) {
      this.#wait = this.#options.clock.after((-this.#budget * 1000) / bytesPerSecond, () => {
        this.#wait = undefined
        this.#resume(this.#a)
        this.#resume(this.#b)
      })
    }
    // Later, since libp2p undoes a pause() inside the event that its resume() fired.
    if (this.#mustWait(to)) queueMicrotask(() => this.#pause(from, to))
  }

  #mustWait(to: Stream): boolean {
    return this.#wait !== undefined || to.writeBufferLength > HIGH_BYTES
  }

  #pause(from: Stream, to: Stream): void {
    if (!this.#ended && this.#mustWait(to) && from.readStatus === 'readable') from.pause()
  }

  #resume(from: Stream): void {
    const to = from === this.#a ? this.#b : this.#a
    if (this.#ended || this.#wait !== undefined || to.writeBufferLength > LOW_BYTES) return
    if (from.readStatus === 'paused') from.resume()
  }

  /** libp2p hands over all that `from` has before its orderly end shows. */
  #closeAfter(from: Stream, to: Stream): void {
    if (this.#ended) return
    if (from.readStatus === 'paused') from.resume()
    to.close().then(
      () => {
        if (from.status !== 'open' && to.status !== 'open') this.end(new AtollError('unavailable', 'both sides closed'))
      },
      (error: Error) => this.end(error),
    )
  }
}
