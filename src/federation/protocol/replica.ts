/**
 * The replica of one other DC: (signed message or frame, now) in, what to apply and what to ask for out. It commits only what gives
 * a signed head's digest, so at every moment it holds a prefix of that DC's history, whatever was lost, doubled or
 * disordered on the way.
 */
import { compareEpoch, type Epoch } from '../../model/epoch.ts'
import type { ExportedChange, ExportedEntry } from '../federation.ts'
import { isProtocolError } from './codec.ts'
import { Content } from './content.ts'
import { EMPTY_DIGEST, equalBytes } from './digest.ts'
import { HeldDeltas } from './held.ts'
import type { BeaconMessage, DeltaMessage, Head } from './messages.ts'
import type { AskFrame, AskMode, BeginFrame, ChunkFrame, EndFrame } from './tail.ts'
import { Transfer } from './transfer.ts'

export type ReplicaEffect =
  | { readonly type: 'apply'; readonly revision: number; readonly changes: readonly ExportedChange[] }
  | {
      readonly type: 'reset'
      readonly epoch: Epoch
      readonly revision: number
      readonly entries: readonly ExportedEntry[]
    }
  /** Something is missing: send `beginAttempt()`'s frame to one who has it. */
  | { readonly type: 'ask' }
  /** The stream of the running attempt is of no use any more: drop it. */
  | { readonly type: 'abandon'; readonly reason: string }
  /** Something was not taken; for logs. */
  | { readonly type: 'rejected'; readonly reason: string }

export interface ReplicaOptions {
  readonly datacenter: string
  /** A gap may be mere disorder: how long to wait before asking. Default 150. */
  readonly gapHoldMs?: number
  /** An attempt that brings nothing for so long has failed. Default 5,000. */
  readonly attemptTimeoutMs?: number
  /** How long a rival claim to the DC's name or epoch stays visible after it was last heard. Default 60,000. */
  readonly quarantineMs?: number
}

/** Between two heads of a DC that lives, give or take what timers and networks do. */
const USUAL_SILENCE_MS = 1200
const FIRST_BACKOFF_MS = 200
const MAX_BACKOFF_MS = 5000

/** The last signed head whose content the replica holds exactly, and the message it came in. */
export interface Proven {
  readonly head: Head
  readonly envelope: Uint8Array
}

export interface SavedState {
  readonly epoch: Epoch
  readonly revision: number
  readonly content: Content
  readonly proven: Proven | undefined
  readonly ageMs: number
}

export class Replica {
  readonly datacenter: string
  readonly counters = { deltas: 0, snapshots: 0, repairs: 0, rejected: 0 }
  readonly #options: Required<ReplicaOptions>
  #content = new Content()
  /** Of the content; undefined until something complete was received. */
  #epoch: Epoch | undefined
  #revision = 0
  /** The highest head heard, of the newest epoch heard. */
  #top: Head | undefined
  #topEnvelope: Uint8Array | undefined
  #proven: Proven | undefined
  /** When the replica last stood at a head that was fresh; before that, when it began (less a restored age). */
  #stoodMs: number
  /** When something fresh was heard last, and what it is at least as new as. */
  #freshMs: number | undefined
  #freshAsOfMs: number
  #conflictMs = Number.NEGATIVE_INFINITY
  #epochConflict = false
  readonly #held = new HeldDeltas()
  /** Where a former replica of this DC stood here, before the DC was forgotten. */
  #floor: Head | undefined
  /** What the content needs beyond being behind: set when a digest disagreed. */
  #suspect: 'repair' | 'snapshot' | undefined
  #behindMs: number | undefined
  #attempt = 0
  #running: { mode: AskMode; progressMs: number; transfer: Transfer | undefined } | undefined
  /** A snapshot that was cut off, to be gone on with. */
  #partial: Transfer | undefined
  #notBeforeMs = Number.NEGATIVE_INFINITY
  #backoffMs = 0

  constructor(options: ReplicaOptions, nowMs: number) {
    this.datacenter = options.datacenter
    this.#options = { gapHoldMs: 150, attemptTimeoutMs: 5000, quarantineMs: 60_000, ...options }
    this.#stoodMs = nowMs
    this.#freshAsOfMs = nowMs
  }

  get loaded(): boolean {
    return this.#epoch !== undefined
  }
  get epoch(): Epoch | undefined {
    return this.#epoch
  }
  get revision(): number {
    return this.#revision
  }
  get headRevision(): number {
    return this.#top?.revision ?? this.#revision
  }
  /** Highest signed head heard, with the message it came in. */
  get top(): Proven | undefined {
    return this.#top && { head: this.#top, envelope: this.#topEnvelope! }
  }
  get proven(): Proven | undefined {
    return this.#proven
  }
  get size(): number {
    return this.#content.size
  }
  digest(): Uint8Array {
    return this.#content.root()
  }
  bucketHashes(): Uint8Array {
    return this.#content.bucketHashes()
  }
  entries(): ExportedEntry[] {
    return this.#content.entries()
  }
  ageMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#stoodMs)
  }
  /** Another store speaks in the epoch that counts, with another random part; until a newer epoch settles it. */
  get hasRival(): boolean {
    return this.#epochConflict
  }
  isQuarantined(nowMs: number): boolean {
    return nowMs - this.#conflictMs < this.#options.quarantineMs
  }

  /** Takes up what a former run saved. */
  restore(saved: SavedState, nowMs: number): ReplicaEffect[] {
    this.#content = saved.content
    this.#epoch = saved.epoch
    this.#revision = saved.revision
    this.#proven = saved.proven
    this.#top = saved.proven?.head
    this.#topEnvelope = saved.proven?.envelope
    this.#stoodMs = nowMs - saved.ageMs
    return [{ type: 'reset', epoch: saved.epoch, revision: saved.revision, entries: this.entries() }]
  }

  /** The DC was forgotten here, and is back: of the same epoch nothing is taken that is older than what was answered before. */
  succeed(former: Proven): void {
    this.#floor = former.head
    this.#top = former.head
    this.#topEnvelope = former.envelope
  }

  #isBelowFloor(head: Head): boolean {
    const floor = this.#floor
    return floor !== undefined && head.revision < floor.revision && compareEpoch(head.epoch, floor.epoch) === 'same'
  }

  /** Another DC claims this name. */
  conflict(nowMs: number): void {
    this.#conflictMs = nowMs
  }

  /** `fresh`: strictly newer than all that its gateway said before (the directory knows). */
  hear(message: BeaconMessage | DeltaMessage, envelope: Uint8Array, fresh: boolean, nowMs: number): ReplicaEffect[] {
    if (!this.#accepts(message.head, envelope, nowMs)) return []
    if (fresh) this.#heardFresh(nowMs)
    const effects: ReplicaEffect[] = []
    if (this.#follows(message.head.epoch)) {
      if (message.type === 'delta') this.#delta(message, envelope, effects)
      this.#releaseHeld(effects)
      this.#stand(message.head, envelope, fresh, effects)
    } else if (!this.loaded && !this.#isBelowFloor(message.head) && equalBytes(message.head.digest, EMPTY_DIGEST)) {
      this.#commitEmpty(message.head, envelope, fresh, effects)
    } else if (message.type === 'delta') {
      this.#held.hold(message, envelope)
    }
    effects.push(...this.#demand(nowMs))
    return effects
  }

  /**
   * What comes after a silence may be as old as that: its gateway was stopped, or it was held up on its way. So its age is what the
   * silence was longer than it should be, until the next one shows that news flows.
   */
  #heardFresh(nowMs: number): void {
    const silentMs = nowMs - (this.#freshMs ?? nowMs)
    this.#freshAsOfMs = nowMs - Math.max(0, silentMs - USUAL_SILENCE_MS)
    this.#freshMs = nowMs
  }

  /** Whether the head is of the epoch that counts, or a newer one, which then counts. */
  #accepts(head: Head, envelope: Uint8Array, nowMs: number): boolean {
    const current = this.#top?.epoch ?? this.#epoch
    const order = current ? compareEpoch(head.epoch, current) : 'newer'
    if (order === 'older') return false
    if (order === 'conflict') {
      this.#conflictMs = nowMs
      this.#epochConflict = true
      return false
    }
    if (order === 'newer' && this.#epochConflict) {
      this.#epochConflict = false
      this.#conflictMs = Number.NEGATIVE_INFINITY
    }
    if (order === 'newer' || !this.#top || head.revision > this.#top.revision) {
      this.#top = head
      this.#topEnvelope = envelope
    }
    return true
  }

  #follows(epoch: Epoch): boolean {
    return this.#epoch !== undefined && compareEpoch(epoch, this.#epoch) === 'same'
  }

  /** Nothing exported yet is a content like any other: verified by its digest. */
  #commitEmpty(head: Head, envelope: Uint8Array, fresh: boolean, effects: ReplicaEffect[]): void {
    this.#content = new Content()
    this.#committed(head, envelope, fresh)
    effects.push({ type: 'reset', epoch: head.epoch, revision: this.#revision, entries: [] })
    this.#releaseHeld(effects)
  }

  #delta(message: DeltaMessage, envelope: Uint8Array, effects: ReplicaEffect[]): void {
    const { head, from } = message
    if (head.revision <= this.#revision) return
    if (from > this.#revision) this.#held.hold(message, envelope)
    if (from > this.#revision || this.#suspect) return
    const changes = above(message.changes, this.#revision)
    if (!this.#content.tryChanges(changes, head.digest)) {
      this.counters.rejected++
      this.#suspect = 'repair'
      effects.push({ type: 'rejected', reason: `the delta ${from}..${head.revision} does not give its digest` })
      return
    }
    this.counters.deltas++
    this.#revision = head.revision
    this.#proven = { head, envelope }
    effects.push({ type: 'apply', revision: head.revision, changes })
  }

  /** Applies what was held and now fits; forgets what is behind. */
  #releaseHeld(effects: ReplicaEffect[]): void {
    while (!this.#suspect && this.#epoch) {
      const next = this.#held.next(this.#epoch, this.#revision)
      if (!next) break
      this.#delta(next.message, next.envelope, effects)
    }
    this.#held.forget(this.#top?.epoch ?? this.#epoch, this.#epoch, this.#revision)
  }

  /** The rule for a head without its delta: stand at it, advance to it, or find that something is wrong. */
  #stand(head: Head, envelope: Uint8Array, fresh: boolean, effects: ReplicaEffect[]): void {
    if (this.#revision < head.lastExported || this.#revision > head.revision) return
    if (!equalBytes(this.#content.root(), head.digest)) {
      if (this.#suspect) return
      this.counters.rejected++
      this.#suspect = 'repair'
      effects.push({ type: 'rejected', reason: `the content at ${this.#revision} does not give the head's digest` })
      return
    }
    this.#proven = { head, envelope }
    this.#suspect = undefined
    if (head.revision > this.#revision) {
      this.#revision = head.revision
      effects.push({ type: 'apply', revision: head.revision, changes: [] })
    }
    if (fresh && head.revision >= this.headRevision) this.#stoodMs = Math.max(this.#stoodMs, this.#freshAsOfMs)
  }

  /** What is missing now, if anything. */
  need(): AskMode | undefined {
    if (!this.#top) return this.#suspect
    if (!this.#epoch || compareEpoch(this.#top.epoch, this.#epoch) !== 'same') return 'snapshot'
    if (this.#suspect) return this.#suspect
    return this.#top.lastExported > this.#revision ? 'since' : undefined
  }

  /** Call at `wakeAtMs` and after silence of a stream. */
  tick(nowMs: number): ReplicaEffect[] {
    const running = this.#running
    if (running && nowMs - running.progressMs >= this.#options.attemptTimeoutMs) {
      this.#fail(nowMs)
      return [{ type: 'abandon', reason: 'no answer in time' }]
    }
    return this.#demand(nowMs)
  }

  wakeAtMs(): number {
    if (this.#running) return this.#running.progressMs + this.#options.attemptTimeoutMs
    if (!this.need()) return Number.POSITIVE_INFINITY
    return this.#dueMs()
  }

  #dueMs(): number {
    // Only a plain gap may close by itself.
    const hold = this.need() === 'since' ? this.#options.gapHoldMs : 0
    return Math.max(this.#notBeforeMs, (this.#behindMs ?? Number.NEGATIVE_INFINITY) + hold)
  }

  #demand(nowMs: number): ReplicaEffect[] {
    if (!this.need()) {
      this.#behindMs = undefined
      return []
    }
    this.#behindMs ??= nowMs
    if (this.#running || nowMs < this.#dueMs()) return []
    // Whoever should ask may have nobody to ask: remind again later.
    this.#notBeforeMs = nowMs + 1000
    return [{ type: 'ask' }]
  }

  /** The request to send now; an attempt that was running is over. `thirdParty`: to one who only has a replica itself. */
  beginAttempt(nowMs: number, thirdParty = false): AskFrame {
    let mode = this.need() ?? 'since'
    if (thirdParty && mode === 'since') mode = 'repair'
    if (!this.#epoch) mode = 'snapshot'
    this.#keepPartial()
    this.#attempt++
    this.#running = { mode, progressMs: nowMs, transfer: undefined }
    return {
      type: 'ask',
      attempt: this.#attempt,
      datacenter: this.datacenter,
      epoch: this.#epoch ?? { generation: 0, random: '' },
      since: this.#revision,
      mode,
      buckets: mode === 'repair' ? this.#content.bucketHashes() : null,
      resumeId: mode === 'snapshot' ? (this.#partial?.id ?? '') : '',
      resumeFrame: mode === 'snapshot' ? (this.#partial?.frames ?? 0) : 0,
    }
  }

  /** Whether frames of this attempt are awaited. */
  awaits(attempt: number): boolean {
    return this.#running !== undefined && attempt === this.#attempt
  }

  begin(frame: BeginFrame, nowMs: number): ReplicaEffect[] {
    const running = this.#running
    if (!running || frame.attempt !== this.#attempt) return []
    running.progressMs = nowMs
    const partial = this.#partial
    if (frame.firstFrame === 0) running.transfer = new Transfer(frame)
    else if (partial && partial.id === frame.id && partial.frames === frame.firstFrame) running.transfer = partial
    else return this.#refuse(`a transfer that begins at frame ${frame.firstFrame}`, nowMs)
    this.#partial = undefined
    return []
  }

  chunk(frame: ChunkFrame, nowMs: number): ReplicaEffect[] {
    const running = this.#running
    if (!running || frame.attempt !== this.#attempt) return []
    running.progressMs = nowMs
    if (!running.transfer) return this.#refuse('a chunk without a beginning', nowMs)
    try {
      running.transfer.add(frame)
    } catch (error) {
      if (!isProtocolError(error)) throw error
      running.transfer = undefined
      return this.#refuse(error.message, nowMs)
    }
    return []
  }

  /** `message` is what `frame.envelope` holds, verified, and about this DC. */
  end(frame: EndFrame, message: BeaconMessage | DeltaMessage, fresh: boolean, nowMs: number): ReplicaEffect[] {
    const running = this.#running
    if (!running || frame.attempt !== this.#attempt) return []
    const { transfer } = running
    if (!transfer || transfer.frames !== frame.frames) {
      running.transfer = undefined
      return this.#refuse('an end before all chunks', nowMs)
    }
    const { head } = message
    if (!this.#accepts(head, frame.envelope, nowMs)) {
      running.transfer = undefined
      return this.#refuse('a head of an epoch that does not count', nowMs)
    }
    if (fresh) this.#heardFresh(nowMs)
    const effects = this.#commit(transfer, head, frame.envelope, fresh)
    if (!effects) return this.#mismatch(running.mode, transfer, nowMs)
    this.#running = undefined
    this.#releaseHeld(effects)
    effects.push(...this.#demand(nowMs))
    return effects
  }

  /** The other side has nothing to give. */
  refused(attempt: number, nowMs: number): void {
    if (this.awaits(attempt)) this.#fail(nowMs)
  }

  /** The stream of the running attempt broke; what came of a snapshot is kept. */
  streamLost(nowMs: number): void {
    if (!this.#running) return
    this.#keepPartial()
    this.#fail(nowMs)
  }

  #keepPartial(): void {
    const transfer = this.#running?.transfer
    if (transfer?.kind === 'snapshot' && transfer.frames > 0) this.#partial = transfer
    if (this.#running) this.#running.transfer = undefined
  }

  #commit(transfer: Transfer, head: Head, envelope: Uint8Array, fresh: boolean): ReplicaEffect[] | undefined {
    const same = this.#follows(head.epoch)
    // What is older than the content, of the same history, has nothing to say.
    if ((same && head.revision < this.#revision) || this.#isBelowFloor(head)) return []
    switch (transfer.kind) {
      case 'changes':
        return same ? this.#commitChanges(transfer, head, envelope, fresh) : undefined
      case 'buckets':
        if (!same || !this.#content.tryBuckets(transfer.buckets, transfer.content, head.digest)) return undefined
        this.counters.repairs++
        break
      case 'snapshot':
        if (!equalBytes(transfer.content.root(), head.digest)) return undefined
        this.#content = transfer.content
        this.counters.snapshots++
    }
    this.#committed(head, envelope, fresh)
    return [{ type: 'reset', epoch: head.epoch, revision: this.#revision, entries: this.entries() }]
  }

  #commitChanges(transfer: Transfer, head: Head, envelope: Uint8Array, fresh: boolean): ReplicaEffect[] | undefined {
    if (transfer.from > this.#revision || (transfer.changes.at(-1)?.modRevision ?? 0) > head.revision) return undefined
    const changes = above(transfer.changes, this.#revision)
    const hashes = transfer.hashes.slice(transfer.changes.length - changes.length)
    if (!this.#content.tryChanges(changes, head.digest, hashes)) return undefined
    if (changes.length > 0) this.counters.deltas++
    this.#committed(head, envelope, fresh)
    return [{ type: 'apply', revision: this.#revision, changes }]
  }

  #committed(head: Head, envelope: Uint8Array, fresh: boolean): void {
    this.#epoch = head.epoch
    this.#revision = head.revision
    this.#proven = { head, envelope }
    this.#suspect = undefined
    this.#partial = undefined
    this.#backoffMs = 0
    this.#notBeforeMs = Number.NEGATIVE_INFINITY
    this.#behindMs = undefined
    if (fresh && head.revision >= this.headRevision) this.#stoodMs = Math.max(this.#stoodMs, this.#freshAsOfMs)
  }

  /** A whole transfer that does not add up: ask for more next time. */
  #mismatch(mode: AskMode, transfer: Transfer, nowMs: number): ReplicaEffect[] {
    this.counters.rejected++
    if (this.#running) this.#running.transfer = undefined
    this.#suspect = mode === 'since' ? 'repair' : 'snapshot'
    this.#fail(nowMs)
    return [{ type: 'rejected', reason: `a transfer (${transfer.kind}) does not give its head's digest` }]
  }

  #refuse(reason: string, nowMs: number): ReplicaEffect[] {
    this.counters.rejected++
    this.#fail(nowMs)
    return [
      { type: 'rejected', reason },
      { type: 'abandon', reason },
    ]
  }

  #fail(nowMs: number): void {
    this.#running = undefined
    this.#backoffMs = Math.min(MAX_BACKOFF_MS, this.#backoffMs * 2 || FIRST_BACKOFF_MS)
    this.#notBeforeMs = nowMs + this.#backoffMs
  }
}

/** Those above `revision`; changes rise. */
function above(changes: readonly ExportedChange[], revision: number): readonly ExportedChange[] {
  const first = changes.findIndex((change) => change.modRevision > revision)
  return first === 0 ? changes : first < 0 ? [] : changes.slice(first)
}
