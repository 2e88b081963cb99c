/**
 * A WAN between the nodes of this machine: wraps the libp2p transport from outside, and delays or holds what goes over
 * the connections that this node dials, both ways. Connections that it accepted are the dialler's to delay.
 */
import type { MultiaddrConnection, Upgrader } from '@libp2p/interface'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import type { TransportFactory } from '../src/federation/transport/tcp.ts'

export interface WanLink {
  readonly rttMs: number
  /** Nothing gets through, either way, and nobody is told. */
  readonly cut: boolean
  /** Nothing gets through to the other side, or from it. No connection comes about, since that takes both ways. */
  readonly oneWay?: 'to' | 'from'
  /** Each way, of each connection; undefined for no limit. */
  readonly bandwidthMbps?: number
}

/** Asked for every chunk, with the address that was dialled (without its /p2p part): may change at any time. */
export type WanLinkOf = (remoteMultiaddr: string) => WanLink

/** How often a cut link is looked at again. */
const POLL_MS = 10
/** What one direction of a connection holds before its sender is told to wait. */
const HOLD_BYTES = 4 << 20
/** What is due is handed over for so long in one turn of the event loop: a real network comes in pieces too. */
const SLICE_MS = 2
/** A connection that was given up during a cut keeps its socket so long, since its reset cannot get through. */
const LINGER_MS = 10_000

/**
 * While a link is cut, dials hang and bytes are held, bounded, as TCP holds what it has to send again: after the heal
 * a connection that nobody gave up goes on, and one that was given up is reset on the other side.
 */
export const wan =
  (factory: TransportFactory, linkOf: WanLinkOf): TransportFactory =>
  (components) => {
    const transport = factory(components)
    const dial = transport.dial.bind(transport)
    transport.dial = async (address, options) => {
      const remote = address.toString().replace(/\/p2p\/[^/]+$/, '')
      const link = (): WanLink => linkOf(remote)
      // TCP's own round trip; none gets through while the link is cut.
      await waitUntilUp(link, options.signal)
      await sleep(link().rttMs, options.signal)
      await waitUntilUp(link, options.signal)
      return dial(address, { ...options, upgrader: delaying(options.upgrader, link) })
    }
    return transport
  }

function delaying(upgrader: Upgrader, link: () => WanLink): Upgrader {
  return new Proxy(upgrader, {
    get(target, name) {
      if (name === 'upgradeOutbound') {
        const upgrade: Upgrader['upgradeOutbound'] = (connection, options) =>
          target.upgradeOutbound(new WanConnection(connection as InnerConnection, link), options)
        return upgrade
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/**
 * One direction: everything leaves in order, half a round trip after it came and the link had room for it, and not while
 * the link is cut.
 */
class Line {
  readonly #link: () => WanLink
  readonly #way: 'to' | 'from'
  readonly #queue: { dueMs: number; bytes: number; run: () => void }[] = []
  #armed = false
  /** Until then the link is busy with what was given to it before. */
  #busyUntilMs = 0
  bytes = 0

  constructor(link: () => WanLink, way: 'to' | 'from') {
    this.#link = link
    this.#way = way
  }

  push(bytes: number, run: () => void): void {
    const { rttMs, bandwidthMbps } = this.#link()
    const lastMs = this.#queue.at(-1)?.dueMs ?? 0
    const takesMs = bandwidthMbps === undefined ? 0 : (bytes * 8) / (bandwidthMbps * 1000)
    this.#busyUntilMs = Math.max(this.#busyUntilMs, performance.now()) + takesMs
    this.#queue.push({ dueMs: Math.max(lastMs, this.#busyUntilMs + rttMs / 2), bytes, run })
    this.bytes += bytes
    this.#arm()
  }

  clear(): void {
    this.#queue.length = 0
    this.#busyUntilMs = 0
    this.bytes = 0
  }

  #isCut(): boolean {
    const { cut, oneWay } = this.#link()
    return cut || oneWay === this.#way
  }

  #arm(): void {
    const first = this.#queue[0]
    if (first === undefined || this.#armed) return
    this.#armed = true
    const waitMs = this.#isCut() ? POLL_MS : first.dueMs - performance.now()
    // Timers fire up to a millisecond late: the last one is spent in turns of the event loop.
    if (waitMs > 1) setTimeout(this.#fire, Math.floor(waitMs - 0.5))
    else setImmediate(this.#fire)
  }

  readonly #fire = (): void => {
    const untilMs = performance.now() + SLICE_MS
    while (!this.#isCut()) {
      const first = this.#queue[0]
      const nowMs = performance.now()
      if (first === undefined || first.dueMs > nowMs || nowMs > untilMs) break
      this.#queue.shift()
      this.bytes -= first.bytes
      first.run()
    }
    this.#armed = false
    this.#arm()
  }
}

/** All that transports give extends this; the interface alone does not say whether it can be paused. */
type InnerConnection = MultiaddrConnection & AbstractMultiaddrConnection

class WanConnection extends AbstractMultiaddrConnection {
  readonly #inner: InnerConnection
  readonly #out: Line
  readonly #in: Line
  #wantsDrain = false
  #held = false

  constructor(inner: InnerConnection, link: () => WanLink) {
    super({ remoteAddr: inner.remoteAddr, direction: inner.direction, log: inner.log })
    this.#inner = inner
    this.#out = new Line(link, 'to')
    this.#in = new Line(link, 'from')
    inner.addEventListener('message', ({ data }) => {
      this.#in.push(data.byteLength, () => {
        if (this.status === 'open') this.onData(data)
        this.#letIn()
      })
      this.#letIn()
    })
    inner.addEventListener('close', ({ error }) => {
      if (this.status !== 'open') this.#out.clear()
      this.#in.push(0, () => {
        if (this.status === 'open' && error !== undefined) this.onRemoteReset()
        else this.onTransportClosed()
      })
    })
  }

  override sendData(data: Uint8ArrayList): { sentBytes: number; canSendMore: boolean } {
    // A copy: the caller uses the bytes again once they are "sent".
    const copy = new Uint8ArrayList(data.slice())
    this.#out.push(copy.byteLength, () => {
      if (this.#inner.writeStatus === 'writable') this.#inner.send(copy)
      if (this.#wantsDrain && this.#out.bytes < HOLD_BYTES / 2) {
        this.#wantsDrain = false
        this.safeDispatchEvent('drain')
      }
    })
    this.#wantsDrain = this.#out.bytes >= HOLD_BYTES
    return { sentBytes: copy.byteLength, canSendMore: !this.#wantsDrain }
  }

  override async sendClose(options?: { signal?: AbortSignal }): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      options?.signal?.addEventListener('abort', () => reject(options.signal?.reason), { once: true })
      this.#out.push(0, resolve)
    })
    await this.#inner.close(options)
  }

  override sendReset(error: Error): void {
    // A reset overtakes what was to be sent before, but not a cut.
    this.#out.clear()
    this.#in.clear()
    const linger = setTimeout(() => this.#inner.abort(error), LINGER_MS)
    this.#out.push(0, () => {
      clearTimeout(linger)
      this.#inner.abort(error)
    })
  }

  override sendPause(): void {
    if (this.#inner.readStatus === 'readable') this.#inner.pause()
  }

  override sendResume(): void {
    if (!this.#held && this.#inner.readStatus === 'paused') this.#inner.resume()
  }

  /** What is held of the other side's bytes is bounded: beyond that its own TCP waits. */
  #letIn(): void {
    const hold = this.#in.bytes >= HOLD_BYTES
    if (hold === this.#held) return
    this.#held = hold
    // Later, since libp2p undoes a pause() inside the event that its resume() fired.
    queueMicrotask(() => {
      if (this.#held) this.sendPause()
      else if (this.readStatus === 'readable') this.sendResume()
    })
  }
}

async function waitUntilUp(link: () => WanLink, signal: AbortSignal): Promise<void> {
  while (link().cut || link().oneWay !== undefined) await sleep(POLL_MS, signal)
  signal.throwIfAborted()
}

function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs <= 0 && !signal.aborted) return Promise.resolve()
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, delayMs)
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
