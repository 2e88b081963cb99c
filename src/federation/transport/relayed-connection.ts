import type { Logger as Libp2pLogger, Stream } from '@libp2p/interface'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { Uint8ArrayList } from 'uint8arraylist'
import type { AtollError } from '../../model/errors.ts'
import { FrameDecoder } from './frames.ts'
import { decodeRelayAnswer, MAX_RELAY_FRAME_BYTES } from './relay-wire.ts'

export interface RelayedConnectionOptions {
  /** To or from the relay. */
  readonly stream: Stream
  readonly remoteAddr: Multiaddr
  readonly direction: 'inbound' | 'outbound'
  readonly log: Libp2pLogger
  /** Outbound: the answer comes before all else; called when it is a refusal, before the connection breaks. */
  onRefused?(refusal: AtollError): void
  /** Inbound: what came behind the request already. */
  readonly first?: Uint8ArrayList
}

/** A stream to a relay as a connection to who is behind it: libp2p encrypts and multiplexes it as it does a socket. */
export class RelayedConnection extends AbstractMultiaddrConnection {
  readonly #stream: Stream
  readonly #onRefused: ((refusal: AtollError) => void) | undefined
  #answer: FrameDecoder | undefined

  constructor(options: RelayedConnectionOptions) {
    super({ remoteAddr: options.remoteAddr, direction: options.direction, log: options.log })
    const { stream } = options
    this.#stream = stream
    this.#onRefused = options.onRefused
    if (options.direction === 'outbound') this.#answer = new FrameDecoder(MAX_RELAY_FRAME_BYTES)
    if (options.first !== undefined) this.onData(options.first)
    stream.addEventListener('message', ({ data }) => this.#onMessage(data))
    stream.addEventListener('drain', () => this.safeDispatchEvent('drain'))
    stream.addEventListener('remoteCloseWrite', () => {
      this.onRemoteCloseWrite()
      this.close().catch((error: Error) => this.abort(error))
    })
    stream.addEventListener('close', ({ error }) => this.onTransportClosed(error))
    if (stream.status !== 'open') queueMicrotask(() => this.onTransportClosed())
  }

  override sendData(data: Uint8ArrayList): { sentBytes: number; canSendMore: boolean } {
    // A copy: the caller uses the bytes again once they are "sent", and the stream may hold them for a while.
    const sentBytes = data.byteLength
    return { sentBytes, canSendMore: this.#stream.send(new Uint8ArrayList(data.slice())) }
  }

  override async sendClose(options?: { signal?: AbortSignal }): Promise<void> {
    await this.#stream.close(options)
  }

  override sendReset(error: Error): void {
    this.#stream.abort(error)
  }

  override sendPause(): void {
    if (this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  override sendResume(): void {
    if (this.#stream.readStatus === 'paused') this.#stream.resume()
  }

  #onMessage(data: Uint8Array | Uint8ArrayList): void {
    const answer = this.#answer
    if (answer === undefined) this.onData(data)
    else this.#readAnswer(answer, data)
  }

  #readAnswer(answer: FrameDecoder, data: Uint8Array | Uint8ArrayList): void {
    try {
      answer.push(data)
      const frame = answer.next()
      if (frame === undefined) return
      const refusal = decodeRelayAnswer(frame)
      if (refusal !== undefined) {
        this.#onRefused?.(refusal)
        throw refusal
      }
      this.#answer = undefined
      const rest = answer.rest()
      if (rest.byteLength > 0) this.onData(rest)
    } catch (error) {
      this.abort(error as Error)
    }
  }
}
