/** Answers tails: of the own DC from its store, of others from the replica held here. */

import { AtollError, messageOf } from '../model/errors.ts'
import { type Rate, TokenBucket } from '../model/token-bucket.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { FrameStream } from './host.ts'
import { type Outgoing, Outgoings } from './outgoing.ts'
import { pace } from './pace.ts'
import { Places } from './places.ts'
import { answerOwn, answerReplica, bucketsToSend, chunksOf } from './protocol/answering.ts'
import { CAPABILITY } from './protocol/limits.ts'
import type { Replica } from './protocol/replica.ts'
import { type AskFrame, decodeFrame, encodeFrame } from './protocol/tail.ts'
import type { Publishing, SealedContent } from './publishing.ts'

export interface TailServerOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly datacenter: string
  /** Of this life of this node. */
  readonly name: string
  /** Undefined on a node that has no store. */
  readonly publishing: Publishing | undefined
  readonly replica: (datacenter: string) => Replica | undefined
}

const MAX_SESSIONS = 1024
/** A reader has one for each DC that it cannot reach itself. */
const MAX_SESSIONS_PER_PEER = 8
/** Requests of one reader; further ones wait. Each may cost a whole snapshot. */
const ASKS: Rate = { perSecond: 2, burst: 10 }
/** A session that ended meanwhile is let go of after so long. */
const MAX_WAIT_MS = 500
/** What waits for a slow reader; beyond it the stream is dropped, and the reader catches up anew. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024
const MAX_QUEUED = 4096
/** A reader that takes nothing for so long is gone. */
const SEND_TIMEOUT_MS = 15_000
const FIRST_ASK_MS = 10_000
/** Large transfers at once; who asks for another goes elsewhere, or comes again. */
const MAX_TRANSFERS = 8
/** What is larger takes one of their places. */
const SMALL_BYTES = 1024 * 1024
/** A reader that is slower than this gives up its place. */
const TRANSFER_MS = 15_000
const MIN_BYTES_PER_SECOND = 256 * 1024
/** Longer than changes are gathered. */
const CATCH_UP_MS = 30

export class TailServer {
  readonly #options: TailServerOptions
  readonly #sessions = new Set<Session>()
  /** By peer id; what it has asked for is remembered when it has gone. */
  readonly #readers = new Map<string, { sessions: number; readonly asks: TokenBucket }>()
  readonly #outgoings: Outgoings
  readonly #places = new Places(MAX_TRANSFERS)

  constructor(options: TailServerOptions) {
    this.#options = options
    this.#outgoings = new Outgoings(options.clock, options.name)
  }

  accept(stream: FrameStream): void {
    const { peerId } = stream.peer
    const reader = this.#readers.get(peerId) ?? { sessions: 0, asks: new TokenBucket(ASKS) }
    if (this.#sessions.size >= MAX_SESSIONS || reader.sessions >= MAX_SESSIONS_PER_PEER) {
      const text = `this node serves ${this.#sessions.size} tails already, ${reader.sessions} of them to this peer`
      stream.abort(new AtollError('overloaded', text))
      return
    }
    reader.sessions++
    this.#readers.set(peerId, reader)
    const session = new Session(stream, this.#options, this.#outgoings, this.#places, reader.asks, () => {
      this.#sessions.delete(session)
      reader.sessions--
    })
    this.#sessions.add(session)
    session.run()
  }

  /** A signed message of the own DC, to all who tail it. */
  live(envelope: Uint8Array): void {
    if (this.#sessions.size === 0) return
    const frame = encodeFrame({ type: 'live', envelope })
    for (const session of this.#sessions) session.live(frame)
  }

  /** Call every second or so. */
  sweep(): void {
    this.#outgoings.sweep()
    for (const session of this.#sessions) session.sweep()
    const nowMs = this.#options.clock.nowMs()
    for (const [peerId, { sessions, asks }] of this.#readers)
      if (sessions === 0 && asks.isFull(nowMs)) this.#readers.delete(peerId)
  }

  close(): void {
    for (const session of this.#sessions) session.abort('this node is closing')
  }
}

class Session {
  readonly #stream: FrameStream
  readonly #options: TailServerOptions
  readonly #asks: TokenBucket
  readonly #outgoings: Outgoings
  readonly #places: Places
  readonly #onClose: () => void
  /** The newest request that was not answered yet. */
  #ask: AskFrame | undefined
  /** What is tailed; live messages count from the first request on. */
  #datacenter: string | undefined
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #wake: (() => void) | undefined
  #waitingSinceMs: number | undefined
  #over = false

  constructor(
    stream: FrameStream,
    options: TailServerOptions,
    outgoings: Outgoings,
    places: Places,
    asks: TokenBucket,
    onClose: () => void,
  ) {
    this.#stream = stream
    this.#asks = asks
    this.#options = options
    this.#outgoings = outgoings
    this.#places = places
    this.#onClose = onClose
    this.#waitingSinceMs = options.clock.nowMs() + FIRST_ASK_MS - SEND_TIMEOUT_MS
  }

  run(): void {
    void this.#read().then(
      () => this.abort('the reader closed'),
      (error) => this.abort(messageOf(error)),
    )
    void this.#write().catch((error) => this.abort(messageOf(error)))
  }

  live(frame: Uint8Array): void {
    if (this.#over || this.#datacenter !== this.#options.datacenter) return
    this.#queue.push(frame)
    this.#queuedBytes += frame.length
    if (this.#queuedBytes > MAX_QUEUED_BYTES || this.#queue.length > MAX_QUEUED) this.abort('the reader is too slow')
    else this.#wake?.()
  }

  /** What a reader asked that is gone is not looked at: it would wait for its turn, in a place that others want. */
  sweep(): void {
    const sinceMs = this.#waitingSinceMs
    if (!this.#stream.isOpen) this.abort('the reader is gone')
    else if (sinceMs !== undefined && this.#options.clock.nowMs() - sinceMs >= SEND_TIMEOUT_MS)
      this.abort('the reader takes nothing')
  }

  abort(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.#queue = []
    this.#onClose()
    this.#wake?.()
    this.#stream.abort(new AtollError('unavailable', `tail: ${reason}`))
    this.#options.logger.debug({ peer: this.#stream.peer.node, reason }, 'tail ended')
  }

  async #read(): Promise<void> {
    for await (const bytes of this.#stream.frames()) {
      const frame = decodeFrame(bytes)
      await this.#payFor()
      if (frame.type !== 'ask') continue
      this.#ask = frame
      this.#datacenter = frame.datacenter
      this.#waitingSinceMs = undefined
      this.#wake?.()
    }
  }

  /** What a reader asks beyond its share is not read before its time. */
  async #payFor(): Promise<void> {
    const { clock } = this.#options
    while (!this.#over && !this.#asks.take(1, clock.nowMs()))
      await clock.sleep(Math.min(MAX_WAIT_MS, this.#asks.waitMs(clock.nowMs())))
  }

  async #write(): Promise<void> {
    while (!this.#over) {
      const ask = this.#ask
      if (ask) {
        this.#ask = undefined
        await this.#answer(ask)
      } else if (this.#queue.length > 0) {
        const frames = this.#queue
        this.#queue = []
        this.#queuedBytes = 0
        for (const frame of frames) await this.#send(frame)
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        this.#wake = undefined
      }
    }
  }

  async #send(frame: Uint8Array): Promise<void> {
    if (this.#over) throw new AtollError('unavailable', 'tail: over')
    this.#waitingSinceMs = this.#options.clock.nowMs()
    await this.#stream.send(frame)
    this.#waitingSinceMs = undefined
  }

  async #answer(ask: AskFrame): Promise<void> {
    try {
      if (ask.datacenter === this.#options.datacenter) await this.#answerOwn(ask)
      else await this.#answerReplica(ask)
    } catch (error) {
      if (this.#over) throw error
      await this.#refuse(ask, messageOf(error))
    }
  }

  #refuse(ask: AskFrame, reason: string): Promise<void> {
    return this.#send(encodeFrame({ type: 'refuse', attempt: ask.attempt, reason: reason.slice(0, 500) }))
  }

  async #answerOwn(ask: AskFrame): Promise<void> {
    const { publishing } = this.#options
    if (!publishing) return this.#refuse(ask, 'no store here')
    const { publisher, source, speaks } = publishing
    const own = { speaks, publishedRevision: publisher.revision, storeRevision: source.revision() }
    const answer = answerOwn(ask, { ...own, epoch: publisher.epoch })
    if (answer.type === 'refuse') return this.#refuse(ask, answer.reason)
    const kept = this.#outgoings.byId(ask.resumeId)
    if (kept) return this.#transfer(ask, kept)
    if (answer.type === 'changes') {
      const { lastExported, envelope } = publishing.sealedBeacon()
      const changes = ask.since >= lastExported ? [] : await publishing.changes(ask.since, lastExported)
      if (changes) {
        const chunks = [...chunksOf(changes)]
        return this.#transfer(ask, this.#outgoings.keep({ kind: 'changes', envelope, from: ask.since, chunks }))
      }
    }
    if (answer.notBefore > publisher.revision) {
      // Another gateway of this DC was quicker.
      await this.#options.clock.sleep(CATCH_UP_MS)
      if (!publishing.speaks || answer.notBefore > publisher.revision)
        return this.#refuse(ask, 'not yet as far as the one who asks')
    }
    await this.#answerContent(ask, answer.type === 'buckets', publishing.sealedContent())
  }

  async #answerReplica(ask: AskFrame): Promise<void> {
    const replica = this.#options.replica(ask.datacenter)
    const answer = answerReplica(ask, replica)
    if (answer.type === 'refuse') return this.#refuse(ask, answer.reason)
    const kept = this.#outgoings.byId(ask.resumeId)
    if (kept) return this.#transfer(ask, kept)
    const { content, proven } = replica!
    const sealed = { pages: content.pages(), bucketHashes: content.bucketHashes(), envelope: proven!.envelope }
    await this.#answerContent(ask, answer.type === 'buckets', sealed)
  }

  /** The buckets that differ; everything where that would be most of it, or was asked for. */
  async #answerContent(ask: AskFrame, repairs: boolean, sealed: SealedContent): Promise<void> {
    const { pages, bucketHashes, envelope } = sealed
    const buckets = repairs ? bucketsToSend(ask, bucketHashes) : undefined
    const outgoing = buckets
      ? await this.#outgoings.buckets(pages, buckets, envelope)
      : this.#outgoings.keep({ kind: 'snapshot', envelope, pages })
    await this.#transfer(ask, outgoing)
  }

  async #transfer(ask: AskFrame, outgoing: Outgoing): Promise<void> {
    const release = outgoing.bytes <= SMALL_BYTES ? () => {} : this.#places.take()
    if (!release) return this.#refuse(ask, 'busy with other transfers')
    try {
      await this.#sendAll(ask, outgoing)
    } finally {
      release()
    }
  }

  /** Gives up in the middle when the reader asks anew. */
  async #sendAll(ask: AskFrame, outgoing: Outgoing): Promise<void> {
    const { attempt } = ask
    const { id, kind, from, bitmap, envelope, pages, chunks } = outgoing
    const packed = ((ask.capabilities ?? 0) & CAPABILITY.pages) !== 0
    const frames = pages.length + chunks.length
    const firstFrame = ask.resumeId === id ? Math.min(ask.resumeFrame, frames) : 0
    const breathe = pace(this.#options.clock)
    const endMs = this.#options.clock.nowMs() + TRANSFER_MS + (outgoing.bytes / MIN_BYTES_PER_SECOND) * 1000
    await this.#send(encodeFrame({ type: 'begin', attempt, kind, id, firstFrame, from, bitmap }))
    for (let index = firstFrame; index < frames; index++) {
      if (this.#ask) return
      if (this.#options.clock.nowMs() > endMs) throw new AtollError('timeout', 'the reader takes too long')
      const page = pages[index]
      await this.#send(
        page
          ? this.#outgoings.pageFrame(attempt, index, page, packed)
          : encodeFrame({ type: 'chunk', attempt, index, changes: chunks[index]! }),
      )
      await breathe()
    }
    await this.#send(encodeFrame({ type: 'end', attempt, frames, envelope }))
  }
}
