/** Answers tails: of the own DC from its store, of others from the replica held here. */

import { compareEpoch } from '../model/epoch.ts'
import { AtollError, messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { ExportedChange } from './federation.ts'
import type { FrameStream } from './host.ts'
import { pace } from './pace.ts'
import { bucketOf, differingBuckets } from './protocol/digest.ts'
import { MAX_ENTRIES_PER_FRAME, TARGET_FRAME_BYTES } from './protocol/limits.ts'
import { sizeOfChange } from './protocol/messages.ts'
import type { Replica } from './protocol/replica.ts'
import { type AskFrame, bucketsToBitmap, decodeFrame, encodeFrame, type TransferKind } from './protocol/tail.ts'
import type { Publishing } from './publishing.ts'

export interface TailServerOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly datacenter: string
  /** Undefined on a node that has no store. */
  readonly publishing: Publishing | undefined
  readonly replica: (datacenter: string) => Replica | undefined
}

const MAX_SESSIONS = 1024
/** What waits for a slow reader; beyond it the stream is dropped, and the reader catches up anew. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024
const MAX_QUEUED = 4096
/** A reader that takes nothing for so long is gone. */
const SEND_TIMEOUT_MS = 15_000
const FIRST_ASK_MS = 10_000

export class TailServer {
  readonly #options: TailServerOptions
  readonly #sessions = new Set<Session>()

  constructor(options: TailServerOptions) {
    this.#options = options
  }

  accept(stream: FrameStream): void {
    if (this.#sessions.size >= MAX_SESSIONS) {
      stream.abort(new AtollError('overloaded', `this node serves ${MAX_SESSIONS} tails already`))
      return
    }
    const session = new Session(stream, this.#options, () => this.#sessions.delete(session))
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
    for (const session of this.#sessions) session.sweep()
  }

  close(): void {
    for (const session of this.#sessions) session.abort('this node is closing')
  }
}

class Session {
  readonly #stream: FrameStream
  readonly #options: TailServerOptions
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

  constructor(stream: FrameStream, options: TailServerOptions, onClose: () => void) {
    this.#stream = stream
    this.#options = options
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

  sweep(): void {
    const sinceMs = this.#waitingSinceMs
    if (sinceMs !== undefined && this.#options.clock.nowMs() - sinceMs >= SEND_TIMEOUT_MS)
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
      if (frame.type !== 'ask') continue
      this.#ask = frame
      this.#datacenter = frame.datacenter
      this.#waitingSinceMs = undefined
      this.#wake?.()
    }
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
    if (!publishing?.speaks) return this.#refuse(ask, 'not ready to publish')
    const epoch = publishing.publisher.epoch!
    const same = compareEpoch(ask.epoch, epoch) === 'same'
    if (same && ask.since > publishing.publisher.revision && ask.since > publishing.source.revision())
      return this.#refuse(ask, `at revision ${publishing.source.revision()}, behind the one who asks`)
    if (same && ask.mode === 'since' && (await this.#answerChanges(ask, publishing))) return
    if (same && ask.mode === 'repair') return this.#answerBuckets(ask, publishing)
    const resumed = publishing.snapshotById(ask.resumeId)
    const snapshot = resumed ?? (await publishing.snapshot(same ? ask.since : 0))
    await this.#transfer(ask, 'snapshot', snapshot.entries, snapshot.envelope, {
      id: snapshot.id,
      firstFrame: resumed ? ask.resumeFrame : 0,
    })
  }

  /** False when the history that is needed is gone. */
  async #answerChanges(ask: AskFrame, publishing: Publishing): Promise<boolean> {
    const { lastExported, envelope } = publishing.sealedBeacon()
    const changes = ask.since >= lastExported ? [] : await publishing.changes(ask.since, lastExported)
    if (!changes) return false
    await this.#transfer(ask, 'changes', changes, envelope, { from: ask.since })
    return true
  }

  async #answerBuckets(ask: AskFrame, publishing: Publishing): Promise<void> {
    const { entries, bucketHashes, envelope } = await publishing.snapshot(ask.since)
    await this.#transferBuckets(ask, entries, bucketHashes, envelope)
  }

  async #answerReplica(ask: AskFrame): Promise<void> {
    const replica = this.#options.replica(ask.datacenter)
    const proven = replica?.proven
    if (!replica?.loaded || !proven) return this.#refuse(ask, `no replica of ${ask.datacenter}`)
    const order = compareEpoch(proven.head.epoch, ask.epoch)
    const repairs = order === 'same' && ask.mode === 'repair'
    if (order === 'older' || (order === 'same' && proven.head.revision < ask.since))
      return this.#refuse(ask, `the replica here is at revision ${proven.head.revision}`)
    const entries = replica.entries()
    if (repairs) await this.#transferBuckets(ask, entries, replica.bucketHashes(), proven.envelope)
    else await this.#transfer(ask, 'snapshot', entries, proven.envelope, {})
  }

  #transferBuckets(
    ask: AskFrame,
    entries: readonly ExportedChange[],
    bucketHashes: Uint8Array,
    envelope: Uint8Array,
  ): Promise<void> {
    const buckets = differingBuckets(bucketHashes, ask.buckets!)
    const sent = entries.filter((entry) => buckets.has(bucketOf(entry.key)))
    return this.#transfer(ask, 'buckets', sent, envelope, { bitmap: bucketsToBitmap(buckets) })
  }

  /** Gives up in the middle when the reader asks anew. */
  async #transfer(
    ask: AskFrame,
    kind: TransferKind,
    entries: readonly ExportedChange[],
    envelope: Uint8Array,
    details: { id?: string; firstFrame?: number; from?: number; bitmap?: Uint8Array },
  ): Promise<void> {
    const { id = '', firstFrame = 0, from = 0, bitmap = null } = details
    const { attempt } = ask
    const breathe = pace(this.#options.clock)
    await this.#send(encodeFrame({ type: 'begin', attempt, kind, id, firstFrame, from, bitmap }))
    let frames = 0
    for (const changes of chunksOf(entries)) {
      if (this.#ask) return
      const index = frames++
      if (index < firstFrame) continue
      await this.#send(encodeFrame({ type: 'chunk', attempt, index, changes }))
      await breathe()
    }
    await this.#send(encodeFrame({ type: 'end', attempt, frames, envelope }))
  }
}

/** Parts of about the size of a frame; the same for the same list. */
export function* chunksOf(entries: readonly ExportedChange[]): Generator<readonly ExportedChange[]> {
  let start = 0
  let bytes = 0
  for (let i = 0; i < entries.length; i++) {
    const size = sizeOfChange(entries[i]!)
    if (i > start && (bytes + size > TARGET_FRAME_BYTES || i - start >= MAX_ENTRIES_PER_FRAME)) {
      yield entries.slice(start, i)
      start = i
      bytes = 0
    }
    bytes += size
  }
  if (start < entries.length) yield entries.slice(start)
}
