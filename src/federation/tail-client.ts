/** Keeps one replica fed: a tail to the nearest gateway of its DC, and to others who know more while that is out of reach. */
import { messageOf } from '../model/errors.ts'
import { type Rate, TokenBucket } from '../model/token-bucket.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { FrameStream, Host, Peer } from './host.ts'
import { byNearness } from './nearness.ts'
import { pace } from './pace.ts'
import type { Places } from './places.ts'
import { Asking, type Target } from './protocol/asking.ts'
import { isProtocolError } from './protocol/codec.ts'
import type { Opened } from './protocol/head.ts'
import type { Replica, ReplicaEffect } from './protocol/replica.ts'
import { decodeFrame, type EndFrame, encodeFrame, TAIL_PROTOCOL, type TailFrame } from './protocol/tail.ts'
import type { Remote } from './remotes.ts'

export interface TailClientOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly host: Host
  readonly remote: Remote
  readonly replica: Replica
  readonly silentMs: number
  /** Of this node: how many whole contents it fetches at once. */
  readonly fetches: Places
  /** A signed message that came on the tail, as if by gossip. */
  readonly onLive: (envelope: Uint8Array) => void
  /** Verifies; `fresh` as the directory has it. Throws ProtocolError. */
  readonly open: (envelope: Uint8Array, hearsay: boolean) => { opened: Opened; fresh: boolean }
  readonly run: (effects: readonly ReplicaEffect[]) => void
}

const OPEN_TIMEOUT_MS = 5000
/** A fetch that takes longer goes on, and others begin beside it. */
const MAX_HOLD_MS = 30_000
/** What is taken of one tail; a large snapshot passes in one burst. */
const FRAMES: Rate = { perSecond: 1000, burst: 5000 }
const BYTES: Rate = { perSecond: 25_000_000, burst: 200_000_000 }

export class TailClient {
  readonly #options: TailClientOptions
  #stream: { readonly stream: FrameStream; readonly thirdParty: boolean } | undefined
  /** To a server of the own DC, for one transfer, while the tail stands. */
  #beside: FrameStream | undefined
  /** Its turn to fetch is awaited, or it fetches beside the tail. */
  #isAsking = false
  /** Gives the place back that it fetches in. */
  #release: (() => void) | undefined
  readonly #closing = new AbortController()
  #wake: (() => void) | undefined
  #closed = false
  readonly #asking = new Asking<Peer>()
  readonly #frames = new TokenBucket(FRAMES)
  readonly #bytes = new TokenBucket(BYTES)

  constructor(options: TailClientOptions) {
    this.#options = options
  }

  start(): void {
    void this.#loop()
  }

  /** Something is missing: asks on the open stream, or finds one to ask. */
  ask(): void {
    const { host, silentMs } = this.#options
    const current = this.#stream
    this.#asking.ask()
    if (!current) {
      this.#wake?.()
    } else if ((host.silentMs(current.stream.peer.peerId) ?? Number.POSITIVE_INFINITY) > silentMs) {
      abort(current.stream, 'its peer fell silent')
    } else if (!current.thirdParty && !this.#isAsking) {
      void this.#askOn(current.stream)
    }
  }

  /** Of a tail that stands, or of the own DC's servers beside it. */
  async #askOn(stream: FrameStream): Promise<void> {
    this.#isAsking = true
    try {
      await this.#turn()
      if (this.#closed || this.#stream?.stream !== stream) return
      const near = this.#asking.nearer(this.#near())
      if (near) await this.#askBeside(near)
      else await this.#send(stream, false)
    } catch (error) {
      abort(stream, messageOf(error))
    } finally {
      this.#isAsking = false
    }
  }

  /** Waits for a place where a whole content is missing; it is given back when an answer came or the stream is over. */
  async #turn(): Promise<void> {
    const { clock, fetches } = this.#options
    if (!this.#lacksMuch() || this.#release) return
    const release = await fetches.wait(this.#closing.signal)
    if (!release || this.#release) return release?.()
    const timer = clock.after(MAX_HOLD_MS, release)
    this.#release = () => {
      timer.cancel()
      release()
    }
  }

  #letGo(): void {
    this.#release?.()
    this.#release = undefined
  }

  /** More than what changed lately. */
  #lacksMuch(): boolean {
    const { replica } = this.#options
    const need = replica.need()
    return !replica.loaded || need === 'snapshot' || need === 'repair'
  }

  /** The stream of the running attempt is of no use any more. */
  abandon(reason: string): void {
    const stream = this.#beside ?? this.#stream?.stream
    if (stream) abort(stream, reason)
  }

  /** A gateway of the DC connected: what failed before says nothing of it. */
  look(): void {
    this.#asking.look()
    this.#wake?.()
  }

  close(): void {
    this.#closed = true
    this.#closing.abort()
    this.#letGo()
    for (const stream of [this.#beside, this.#stream?.stream]) if (stream) abort(stream, 'closing')
    this.#wake?.()
  }

  async #loop(): Promise<void> {
    while (!this.#closed) {
      await this.#turn()
      const target = this.#closed ? undefined : this.#pick()
      if (target) this.#asking.ended(await this.#follow(target.peer, target.thirdParty))
      this.#letGo()
      if (this.#closed) return
      await this.#pause(this.#asking.pauseMs())
    }
  }

  /** Ends early when there is somebody new to ask, unless that is what just failed. */
  async #pause(ms: number): Promise<void> {
    const { clock } = this.#options
    await new Promise<void>((resolve) => {
      const timer = clock.after(ms, resolve)
      this.#wake = () => {
        if (!this.#asking.mayWake && !this.#closed) return
        timer.cancel()
        resolve()
      }
    })
    this.#wake = undefined
  }

  #pick(): Target<Peer> | undefined {
    const { host, remote, replica, silentMs } = this.#options
    const others = (): Peer[] =>
      host
        .peers()
        .filter((peer) => peer.role === 'server' && peer.datacenter !== remote.datacenter)
        .filter((peer) => (host.silentMs(peer.peerId) ?? Number.POSITIVE_INFINITY) <= silentMs)
        .sort(byNearness(host))
    return this.#asking.pick(remote.reachableGateways(), replica.need() !== undefined, others, this.#near())
  }

  /**
   * Servers of the own DC, when what is missing is more than what changed lately: of that they have no history, and would
   * send whole buckets for what the origin tells in a few bytes.
   */
  #near(): Peer[] {
    const { host, silentMs } = this.#options
    if (!this.#lacksMuch()) return []
    return host
      .peers()
      .filter(({ role, datacenter }) => role === 'server' && datacenter === host.self.datacenter)
      .filter(({ peerId }) => (host.silentMs(peerId) ?? Number.POSITIVE_INFINITY) <= silentMs)
  }

  /** Whether anything complete came. */
  async #follow(peer: Peer, thirdParty: boolean): Promise<boolean> {
    const { host, clock, replica, logger, remote } = this.#options
    let complete = false
    try {
      const stream = await host.openStream(peer.peerId, TAIL_PROTOCOL, { deadlineMs: OPEN_TIMEOUT_MS })
      if (this.#closed) {
        stream.abort(new Error('closing'))
        return false
      }
      this.#stream = { stream, thirdParty }
      if (this.#beside) abort(this.#beside, 'a new tail asks for all that is missing')
      await this.#send(stream, thirdParty)
      await this.#read(stream, thirdParty, () => {
        complete = true
      })
    } catch (error) {
      logger.debug({ datacenter: remote.datacenter, peer: peer.node, reason: messageOf(error) }, 'tail ended')
      if (isProtocolError(error) && this.#stream) abort(this.#stream.stream, error.message)
    } finally {
      if (!this.#beside) replica.streamLost(clock.nowMs())
      const current = this.#stream
      this.#stream = undefined
      if (current) await current.stream.close().catch(() => {})
      this.#options.run([])
    }
    return complete
  }

  /** One transfer from one who has only a replica itself, while the tail goes on. */
  async #askBeside(peer: Peer): Promise<void> {
    const { host, clock, replica, logger, remote } = this.#options
    let attempt: number | undefined
    try {
      const stream = await host.openStream(peer.peerId, TAIL_PROTOCOL, { deadlineMs: OPEN_TIMEOUT_MS })
      this.#beside = stream
      if (this.#closed) throw new Error('closing')
      attempt = await this.#send(stream, true)
      await this.#read(stream, true, () => {})
    } catch (error) {
      logger.debug({ datacenter: remote.datacenter, peer: peer.node, reason: messageOf(error) }, 'asked in vain')
      if (this.#beside) abort(this.#beside, messageOf(error))
    } finally {
      const stream = this.#beside
      this.#beside = undefined
      this.#letGo()
      // The tail may have begun an attempt of its own meanwhile.
      if (attempt !== undefined && replica.awaits(attempt)) replica.streamLost(clock.nowMs())
      if (stream) await stream.close().catch(() => {})
      this.#options.run([])
    }
  }

  /** Until the stream ends, or what a third party was asked for is there. */
  async #read(stream: FrameStream, thirdParty: boolean, onComplete: () => void): Promise<void> {
    const { clock, replica } = this.#options
    const breathe = pace(clock)
    for await (const bytes of stream.frames()) {
      await this.#payFor(bytes.length)
      const type = this.#frame(decodeFrame(bytes), thirdParty)
      if (type === 'end') {
        onComplete()
        this.#asking.completed()
      }
      if (type === 'end' || type === 'refuse') this.#letGo()
      if (replica.need() === undefined) this.#asking.satisfied()
      if (thirdParty && (type === 'end' || type === 'refuse')) return
      await breathe()
    }
  }

  /** The other side waits when it sends more than is accepted: the stream has backpressure. */
  async #payFor(bytes: number): Promise<void> {
    const { clock } = this.#options
    const nowMs = clock.nowMs()
    this.#frames.spend(1, nowMs)
    this.#bytes.spend(bytes, nowMs)
    const waitMs = Math.max(this.#frames.waitMs(nowMs), this.#bytes.waitMs(nowMs))
    if (waitMs > 0 && !this.#closed) await clock.sleep(waitMs)
  }

  /** The number of the attempt that begins with it. */
  async #send(stream: FrameStream, thirdParty: boolean): Promise<number> {
    const ask = this.#options.replica.beginAttempt(this.#options.clock.nowMs(), thirdParty)
    await stream.send(encodeFrame(ask))
    return ask.attempt
  }

  #frame(frame: TailFrame, thirdParty: boolean): TailFrame['type'] {
    const { clock, replica, run, onLive } = this.#options
    const nowMs = clock.nowMs()
    switch (frame.type) {
      case 'live':
        onLive(frame.envelope)
        break
      case 'begin':
        run(replica.begin(frame, nowMs))
        break
      case 'chunk':
      case 'page':
        run(replica.chunk(frame, nowMs))
        break
      case 'end':
        this.#end(frame, thirdParty)
        break
      case 'refuse':
        replica.refused(frame.attempt, nowMs)
        run([])
    }
    return frame.type
  }

  #end(frame: EndFrame, thirdParty: boolean): void {
    const { clock, replica, run, open, remote } = this.#options
    if (!replica.awaits(frame.attempt)) return
    const { opened, fresh } = open(frame.envelope, thirdParty)
    const { message } = opened
    if (message.datacenter !== remote.datacenter || (message.type !== 'beacon' && message.type !== 'delta')) return
    run(replica.end(frame, message, fresh, clock.nowMs()))
  }
}

const abort = (stream: FrameStream, reason: string): void => stream.abort(new Error(`tail abandoned: ${reason}`))
