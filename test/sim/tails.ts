/** Streams on which replicas are fed, and the side that serves them: as `src/federation/tail-server.ts`, in virtual time. */
import type { ExportedChange, ExportedEntry } from '../../src/federation/federation.ts'
import { answerOwn, answerReplica, bucketsToSend, chunksOf } from '../../src/federation/protocol/answering.ts'
import { bucketOf } from '../../src/federation/protocol/digest.ts'
import { type AskFrame, bucketsToBitmap, type TransferKind } from '../../src/federation/protocol/tail.ts'
import type { SimNode } from './node.ts'
import type { RealFrame } from './wire.ts'

/** Small, so that contents of a few hundred bytes take several frames, and breaks come in between. */
const CHUNK_BYTES = 120
/** Frames that a session may send in one turn of its node. */
const FRAMES_PER_TURN = 1

/** In order and without loss for as long as it stands; each end knows for itself whether it does. */
export class Stream {
  readonly client: SimNode
  readonly server: SimNode
  readonly datacenter: number
  readonly thirdParty: boolean
  clientOpen = true
  serverOpen = true
  /** Frames that wait for a direction that is cut, as TCP holds them. */
  readonly held: { readonly toServer: boolean; readonly frame: RealFrame }[] = []
  #lastToServerMs = 0
  #lastToClientMs = 0

  constructor(client: SimNode, server: SimNode, datacenter: number, thirdParty: boolean) {
    this.client = client
    this.server = server
    this.datacenter = datacenter
    this.thirdParty = thirdParty
  }

  send(toServer: boolean, frame: RealFrame, nowMs: number): void {
    const [from, to] = toServer ? [this.client, this.server] : [this.server, this.client]
    const { network, wire } = from.world
    if (network.isBlocked(from.index, to.index) || this.held.some((one) => one.toServer === toServer)) {
      if (this.held.length === 0) from.world.heldStreams.add(this)
      this.held.push({ toServer, frame })
      return
    }
    const atMs = Math.max(
      nowMs + network.latencyMs(from.index, to.index, true),
      toServer ? this.#lastToServerMs : this.#lastToClientMs,
    )
    if (toServer) this.#lastToServerMs = atMs
    else this.#lastToClientMs = atMs
    to.arrives({ kind: 'frame', atMs, stream: this, frame: wire.frame(frame) })
  }

  /** Sends what was held, where the way is whole again. */
  flush(nowMs: number): void {
    const frames = this.held.splice(0)
    for (const { toServer, frame } of frames)
      if (toServer ? this.serverOpen : this.clientOpen) this.send(toServer, frame, nowMs)
  }

  /** Both ends learn of it, each when it can. */
  breaks(nowMs: number): void {
    for (const node of [this.client, this.server])
      node.arrives({ kind: 'stream-closed', atMs: nowMs + 1, stream: this })
  }
}

/** The serving end of one stream. */
export class Session {
  readonly stream: Stream
  readonly #node: SimNode
  #ask: AskFrame | undefined
  /** Whether it tails the own DC: then it gets what is told live, once it has asked. */
  #follows = false
  #frames: RealFrame[] = []
  #live: RealFrame[] = []

  constructor(stream: Stream, node: SimNode) {
    this.stream = stream
    this.#node = node
  }

  get busy(): boolean {
    return this.#ask !== undefined || this.#frames.length > 0 || this.#live.length > 0
  }

  asked(ask: AskFrame): void {
    this.#ask = ask
    this.#follows = this.stream.datacenter === this.#node.datacenter.index
  }

  live(frame: RealFrame, nowMs: number): void {
    if (!this.#follows) return
    if (this.busy) this.#live.push(frame)
    else this.stream.send(false, frame, nowMs)
  }

  /** An answer first, then what came meanwhile. A newer request ends the answer to the former one. */
  turn(nowMs: number): void {
    const ask = this.#ask
    if (this.#node.isMute) this.#fallSilent()
    else if (ask) {
      this.#ask = undefined
      this.#frames = this.#follows ? this.#answerOwn(ask, nowMs) : this.#answerReplica(ask)
    }
    for (let i = 0; i < FRAMES_PER_TURN && this.#frames.length > 0; i++)
      this.stream.send(false, this.#frames.shift()!, nowMs)
    if (this.#frames.length > 0) return
    for (const frame of this.#live.splice(0)) this.stream.send(false, frame, nowMs)
  }

  /** What was asked, and the rest of an answer, is never dealt with. */
  #fallSilent(): void {
    if (this.#ask) this.#node.hit('answer: none, being mute')
    else if (this.#frames.length > 0) this.#node.hit('answer: stopped in the middle')
    this.#ask = undefined
    this.#frames = []
  }

  #answerOwn(ask: AskFrame, nowMs: number): RealFrame[] {
    const { publishing } = this.#node.life!
    const { publisher, speaks, position } = publishing
    const own = { speaks, epoch: publisher.epoch, publishedRevision: publisher.revision, storeRevision: position }
    const answer = answerOwn(ask, own)
    switch (answer.type) {
      case 'refuse':
        return this.#refuse(ask, answer.reason, 'answer: refuse')
      case 'changes': {
        const found = publishing.changes(ask.since)
        if (!found) {
          this.#node.hit('answer: history is gone')
          return this.#content(ask, answer.notBefore, nowMs)
        }
        this.#node.hit('answer: changes')
        return this.#framesOf(ask, 'changes', found.changes, found.opened.bytes, { from: ask.since })
      }
      case 'buckets':
        return this.#content(ask, answer.notBefore, nowMs, true)
      case 'snapshot':
        return this.#content(ask, answer.notBefore, nowMs)
    }
  }

  #content(ask: AskFrame, notBefore: number, nowMs: number, repairs = false): RealFrame[] {
    const { publishing } = this.#node.life!
    if (notBefore > publishing.publisher.revision)
      return this.#refuse(ask, 'not yet as far as the one who asks', 'answer: refuse')
    const resumed = publishing.snapshotById(ask.resumeId, nowMs)
    const { id, entries, bucketHashes, opened } = resumed ?? publishing.snapshot(nowMs)
    const buckets = repairs ? bucketsToSend(ask, bucketHashes) : undefined
    if (buckets) {
      this.#node.hit('answer: buckets')
      return this.#framesOf(ask, 'buckets', within(entries, buckets), opened.bytes, {
        bitmap: bucketsToBitmap(buckets),
      })
    }
    this.#node.hit(resumed ? 'answer: snapshot resumed' : 'answer: snapshot')
    return this.#framesOf(ask, 'snapshot', entries, opened.bytes, { id, firstFrame: resumed ? ask.resumeFrame : 0 })
  }

  #answerReplica(ask: AskFrame): RealFrame[] {
    const replica = this.#node.life!.followers[this.stream.datacenter]?.replica
    const answer = answerReplica(ask, replica)
    if (answer.type === 'refuse') return this.#refuse(ask, answer.reason, 'answer: third party refuse')
    const { envelope } = replica!.proven!
    const { content } = replica!
    const buckets = answer.type === 'buckets' ? bucketsToSend(ask, content.bucketHashes()) : undefined
    if (!buckets) {
      this.#node.hit('answer: third party snapshot')
      return this.#framesOf(ask, 'snapshot', content.entries(), envelope, {})
    }
    this.#node.hit('answer: third party buckets')
    return this.#framesOf(ask, 'buckets', within(content.entries(), buckets), envelope, {
      bitmap: bucketsToBitmap(buckets),
    })
  }

  #refuse({ attempt }: AskFrame, reason: string, name: 'answer: refuse' | 'answer: third party refuse'): RealFrame[] {
    this.#node.hit(name)
    return [{ type: 'refuse', attempt, reason }]
  }

  #framesOf(
    { attempt }: AskFrame,
    kind: TransferKind,
    changes: readonly ExportedChange[],
    envelope: Uint8Array,
    details: { id?: string; firstFrame?: number; from?: number; bitmap?: Uint8Array },
  ): RealFrame[] {
    const { id = '', firstFrame = 0, from = 0, bitmap = null } = details
    const chunks = this.#node.readsNothing ? [] : [...chunksOf(changes, CHUNK_BYTES)]
    const frames = chunks.map((some, index): RealFrame => ({ type: 'chunk', attempt, index, changes: some }))
    return [
      { type: 'begin', attempt, kind, id, firstFrame: Math.min(firstFrame, chunks.length), from, bitmap },
      ...frames.slice(firstFrame),
      { type: 'end', attempt, frames: chunks.length, envelope },
    ]
  }
}

const within = (entries: readonly ExportedEntry[], buckets: ReadonlySet<number>): readonly ExportedEntry[] =>
  entries.filter(({ key }) => buckets.has(bucketOf(key)))
