import type { Stream } from '@libp2p/interface'
import { AtollError, isAtollError, messageOf } from '../../model/errors.ts'
import type { TokenBucket } from '../../model/token-bucket.ts'
import type { Clock, Logger, Timer } from '../../runtime/ports.ts'
import type { CallOptions, Host, Peer } from '../host.ts'
import { type CallFrame, decodeCallFrame, encodeCallFrame, headOfCallFrame, VERSION_BYTE } from './call-wire.ts'
import { encodeFrame, FrameDecoder } from './frames.ts'
import type { HostLimits } from './limits.ts'

export type CallHandler = Parameters<Host['handle']>[1]

export interface ForeignCalls {
  readonly frames: TokenBucket
  readonly answerBytes: TokenBucket
  /** Calls that were begun just now, and are not answered; further ones are not read yet. Those that wait for long do not count. */
  readonly maxYoung: number
}

export interface CallChannelOptions {
  readonly peer: Peer
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: HostLimits
  /** Bounds of what is read from a peer of another DC; undefined for one of the own. */
  readonly foreign: ForeignCalls | undefined
  handler(method: string): CallHandler | undefined
  /** Anything arrived. */
  onHeard(): void
  /** A ping that was sent at `sentMs` was answered. */
  onRoundTrip(roundTripMs: number, sentMs: number): void
  onCertificate(certificate: Uint8Array): void
  /** The other side broke the protocol or does not read; its connection is to be closed. */
  onViolation(reason: string): void
  onEnded(): void
}

interface Pending {
  resolve(value: unknown): void
  reject(error: unknown): void
  release(): void
}

interface Serving {
  readonly controller: AbortController
  readonly timer: Timer
}

/** Pings that are not answered yet; older ones are forgotten. */
const MAX_PINGS = 32
/** Frames are looked at, and answers encoded, for so long before others get the event loop. */
const SLICE_MS = 4
/** A call that takes longer waits for something. */
const YOUNG_MS = 25
/** When to look again whether calls may be read. */
const FULL_MS = 1

/** Calls in both directions, and pings, over one long-lived stream. */
export class CallChannel {
  readonly #stream: Stream
  readonly #options: CallChannelOptions
  readonly #decoder: FrameDecoder
  readonly #pending = new Map<number, Pending>()
  readonly #serving = new Map<number, Serving>()
  readonly #pings = new Map<number, number>()
  readonly #frames: TokenBucket | undefined
  readonly #answerBytes: TokenBucket | undefined
  /** Until what came is looked at; the stream is paused meanwhile. */
  #waiting: Timer | undefined
  #servingBytes = 0
  #young = 0
  /** Answers may be encoded until then, in this turn of the event loop. */
  #encodeUntilMs: number | undefined
  #nextId = 1
  #nextPing = 1
  #ended = false

  constructor(stream: Stream, options: CallChannelOptions) {
    this.#stream = stream
    this.#options = options
    // The version byte, and room for what frames a payload.
    this.#decoder = new FrameDecoder(options.limits.maxCallBytes + 1024)
    this.#frames = options.foreign?.frames
    this.#answerBytes = options.foreign?.answerBytes
    stream.addEventListener('message', (event) => {
      options.onHeard()
      this.#decoder.push(event.data)
      if (this.#waiting === undefined) this.#takeFrames()
    })
    stream.addEventListener('remoteCloseWrite', () => {
      this.#takeRest()
      this.end('the other side closed the call stream')
    })
    stream.addEventListener('close', () => this.end('the connection closed'))
    if (stream.status !== 'open') queueMicrotask(() => this.end('the connection closed'))
  }

  call(method: string, payload: unknown, options: CallOptions): Promise<unknown> {
    const { limits, peer } = this.#options
    const { signal } = options
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#ended) return Promise.reject(new AtollError('unavailable', `no connection to ${describe(peer)}`))
    if (this.#pending.size >= limits.maxCallsOut || this.#stream.writeBufferLength > limits.maxCallBacklogBytes) {
      return Promise.reject(new AtollError('overloaded', `too many calls to ${describe(peer)} wait for an answer`))
    }
    const deadlineMs = Math.min(options.deadlineMs, limits.maxCallMs)
    if (!(deadlineMs > 0)) return Promise.reject(new AtollError('unavailable', `${method}: no time left to call`))
    const id = this.#nextId++
    let bytes: Uint8Array
    try {
      bytes = encodeCallFrame({ type: 'request', id, method, payload, deadlineMs })
    } catch (error) {
      return Promise.reject(new AtollError('invalid', `${method}: ${messageOf(error)}`, { field: 'payload' }))
    }
    if (bytes.byteLength > limits.maxCallBytes) {
      const message = `${method}: a request of ${bytes.byteLength} bytes; at most ${limits.maxCallBytes} can be sent`
      return Promise.reject(new AtollError('too-large', message, { field: 'payload' }))
    }
    return this.#request(id, method, bytes, deadlineMs, signal)
  }

  #request(id: number, method: string, bytes: Uint8Array, deadlineMs: number, signal?: AbortSignal): Promise<unknown> {
    const { clock, peer } = this.#options
    return new Promise((resolve, reject) => {
      const giveUp = (reason: unknown): void => {
        if (!this.#settle(id)) return
        this.#send({ type: 'cancel', id })
        reject(reason)
      }
      const timer = clock.after(deadlineMs, () =>
        giveUp(
          new AtollError('timeout', `${method}: no answer from ${describe(peer)} within ${Math.round(deadlineMs)} ms`),
        ),
      )
      const onAbort = (): void => giveUp(signal!.reason)
      signal?.addEventListener('abort', onAbort, { once: true })
      const release = (): void => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
      }
      this.#pending.set(id, { resolve, reject, release })
      if (!this.#sendBytes(bytes) && this.#settle(id)) {
        reject(new AtollError('unavailable', `no connection to ${describe(peer)}`))
      }
    })
  }

  /** No call waits for an answer, in either direction. */
  get idle(): boolean {
    return this.#pending.size === 0 && this.#serving.size === 0
  }

  /** Asks for a pong; its time goes to `onRoundTrip`. */
  ping(): void {
    const sequence = this.#nextPing++
    this.#pings.set(sequence, this.#options.clock.nowMs())
    if (this.#pings.size > MAX_PINGS) this.#pings.delete(this.#pings.keys().next().value!)
    this.#send({ type: 'ping', sequence })
  }

  tellCertificate(certificate: Uint8Array): void {
    this.#send({ type: 'certificate', certificate })
  }

  /** Idempotent. What was asked and not answered may or may not have been done. */
  end(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#waiting?.cancel()
    for (const { controller, timer } of this.#serving.values()) {
      timer.cancel()
      controller.abort(new AtollError('unavailable', reason))
    }
    this.#serving.clear()
    for (const [id, { reject }] of [...this.#pending]) {
      this.#settle(id)
      reject(new AtollError('timeout', `${describe(this.#options.peer)} did not answer: ${reason}`))
    }
    this.#options.onEnded()
  }

  /** Says that nothing more will be sent, after all that was. Resolves when the other side says so too. */
  finish(signal: AbortSignal): Promise<void> {
    const stream = this.#stream
    const finished = Promise.withResolvers<void>()
    if (stream.remoteWriteStatus !== 'writable') finished.resolve()
    stream.addEventListener('remoteCloseWrite', () => finished.resolve())
    stream.addEventListener('close', () => finished.resolve())
    stream.close({ signal }).catch(() => finished.resolve())
    return finished.promise
  }

  /** In slices, so that others have the event loop meanwhile, and no faster than is accepted. */
  #takeFrames(): void {
    const { clock, foreign } = this.#options
    const untilMs = clock.nowMs() + SLICE_MS
    while (!this.#ended) {
      const nowMs = clock.nowMs()
      const isFull = foreign !== undefined && this.#young >= foreign.maxYoung
      const owedMs = Math.max(this.#frames?.waitMs(nowMs) ?? 0, this.#answerBytes?.waitMs(nowMs) ?? 0)
      const waitMs = isFull ? Math.max(FULL_MS, owedMs) : owedMs
      if (waitMs > 0 || nowMs > untilMs) {
        this.#wait(waitMs)
        return
      }
      if (!this.#takeNext()) break
      this.#frames?.spend(1, nowMs)
    }
    if (!this.#ended && this.#stream.readStatus === 'paused') this.#stream.resume()
  }

  #wait(ms: number): void {
    this.#waiting = this.#options.clock.after(ms, () => {
      this.#waiting = undefined
      this.#takeFrames()
    })
    // Later, since libp2p undoes a pause() inside the event that its resume() fired.
    queueMicrotask(() => {
      if (this.#waiting !== undefined && this.#stream.readStatus === 'readable') this.#stream.pause()
    })
  }

  /** All that came before the end. */
  #takeRest(): void {
    if (this.#waiting === undefined) return
    this.#waiting.cancel()
    if (this.#stream.readStatus === 'paused') this.#stream.resume()
    while (!this.#ended && this.#takeNext());
  }

  /** False when there is no whole frame. */
  #takeNext(): boolean {
    try {
      const bytes = this.#decoder.next()
      if (bytes === undefined) return false
      const { isRequest, answers } = headOfCallFrame(bytes)
      if (isRequest && bytes.byteLength > this.#options.limits.maxRequestBytes) {
        this.#options.onViolation(`a request of ${bytes.byteLength} bytes`)
        return false
      }
      // Late, or made up: not worth decoding.
      if (answers !== undefined && answers !== -1 && !this.#pending.has(answers)) return true
      this.#take(decodeCallFrame(bytes), bytes.byteLength)
      return true
    } catch (error) {
      this.#options.onViolation(messageOf(error))
      return false
    }
  }

  #take(frame: CallFrame, bytes: number): void {
    switch (frame.type) {
      case 'request':
        this.#serve(frame.id, frame.method, frame.payload, frame.deadlineMs, bytes)
        return
      case 'result':
        this.#settle(frame.id)?.resolve(frame.payload)
        return
      case 'error':
        this.#settle(frame.id)?.reject(frame.error)
        return
      case 'cancel':
        this.#serving.get(frame.id)?.controller.abort(new AtollError('timeout', 'the caller gave up'))
        return
      case 'ping':
        this.#send({ type: 'pong', sequence: frame.sequence })
        return
      case 'pong':
        this.#onPong(frame.sequence)
        return
      case 'certificate':
        this.#options.onCertificate(frame.certificate)
        return
    }
  }

  #onPong(sequence: number): void {
    const sentMs = this.#pings.get(sequence)
    if (sentMs === undefined) return
    this.#pings.delete(sequence)
    this.#options.onRoundTrip(this.#options.clock.nowMs() - sentMs, sentMs)
  }

  #serve(id: number, method: string, payload: unknown, deadlineMs: number, bytes: number): void {
    const { limits, clock, peer } = this.#options
    if (this.#serving.has(id)) {
      this.#options.onViolation(`call id ${id} is in use`)
      return
    }
    const handler = this.#options.handler(method)
    if (handler === undefined) {
      this.#fail(id, new AtollError('unsupported', `this node answers no "${method}"`))
      return
    }
    if (this.#serving.size >= limits.maxCallsIn) {
      this.#fail(id, new AtollError('overloaded', `${limits.maxCallsIn} calls of this peer are being answered`))
      return
    }
    if (this.#servingBytes + bytes > limits.maxServingBytes) {
      this.#fail(id, new AtollError('overloaded', `${this.#servingBytes} bytes of this peer are being answered`))
      return
    }
    if (this.#stream.writeBufferLength > limits.maxCallBacklogBytes) {
      // Not even asked: it would cost the work and the memory of an answer that is then not sent.
      this.#fail(id, waitToBeSent())
      return
    }
    const controller = new AbortController()
    const timer = clock.after(Math.min(deadlineMs, limits.maxCallMs), () =>
      controller.abort(new AtollError('timeout', `${method}: the caller's deadline has passed`)),
    )
    this.#serving.set(id, { controller, timer })
    this.#servingBytes += bytes
    const aged = this.#countYoung()
    void this.#run(id, handler, payload, { peer, signal: controller.signal }).then(() => {
      this.#servingBytes -= bytes
      aged()
    })
  }

  /** Returns what ends it early. */
  #countYoung(): () => void {
    if (this.#options.foreign === undefined) return () => {}
    this.#young++
    let counts = true
    const aged = (): void => {
      if (counts) this.#young--
      counts = false
      timer.cancel()
    }
    const timer = this.#options.clock.after(YOUNG_MS, aged)
    return aged
  }

  /** Never rejects. */
  async #run(id: number, handler: CallHandler, payload: unknown, context: Parameters<CallHandler>[1]): Promise<void> {
    try {
      const answer = await handler(payload, context)
      await this.#mayEncode()
      this.#answer(id, answer)
    } catch (error) {
      if (isAtollError(error)) return this.#fail(id, error)
      if (!context.signal.aborted) {
        this.#options.logger.error({ error, peer: context.peer.node }, 'a call handler failed')
      }
      this.#fail(id, new AtollError('internal', messageOf(error)))
    } finally {
      this.#serving.get(id)?.timer.cancel()
      this.#serving.delete(id)
    }
  }

  /** Answers that come at once take turns with all else. */
  #mayEncode(): Promise<void> | undefined {
    const { clock } = this.#options
    if (this.#encodeUntilMs === undefined) {
      this.#encodeUntilMs = clock.nowMs() + SLICE_MS
      void clock.sleep(0).then(() => {
        this.#encodeUntilMs = undefined
      })
    }
    if (clock.nowMs() <= this.#encodeUntilMs) return undefined
    return clock.sleep(0).then(() => this.#mayEncode())
  }

  #answer(id: number, payload: unknown): void {
    const { limits } = this.#options
    if (this.#stream.writeBufferLength > limits.maxCallBacklogBytes) {
      this.#fail(id, waitToBeSent())
      return
    }
    const bytes = encodeCallFrame({ type: 'result', id, payload })
    this.#answerBytes?.spend(bytes.byteLength, this.#options.clock.nowMs())
    if (bytes.byteLength > limits.maxCallBytes) {
      const message = `an answer of ${bytes.byteLength} bytes; at most ${limits.maxCallBytes} can be sent`
      this.#fail(id, new AtollError('too-large', message))
    } else {
      this.#sendBytes(bytes)
    }
  }

  #fail(id: number, error: AtollError): void {
    this.#send({ type: 'error', id, error })
  }

  #send(frame: CallFrame): void {
    this.#sendBytes(encodeCallFrame(frame))
  }

  /** False when the stream is closed: nothing was sent. */
  #sendBytes(bytes: Uint8Array): boolean {
    if (this.#ended || this.#stream.writeStatus !== 'writable') return false
    const { maxCallBacklogBytes, maxCallBytes } = this.#options.limits
    if (this.#stream.writeBufferLength > maxCallBacklogBytes + maxCallBytes) {
      this.#options.onViolation('it does not read what it is sent')
      return false
    }
    try {
      this.#stream.send(encodeFrame(VERSION_BYTE, bytes))
      return true
    } catch {
      // The stream's close event follows.
      return false
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (pending === undefined) return undefined
    this.#pending.delete(id)
    pending.release()
    return pending
  }
}

const waitToBeSent = (): AtollError => new AtollError('overloaded', 'answers to this peer wait to be sent')

const describe = (peer: Peer): string => `${peer.node} (${peer.datacenter})`
