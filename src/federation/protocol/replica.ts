/**
 * The replica of one other DC: (signed message or frame, now) in, what to apply and what to ask for out. It commits only what gives
 * a signed head's digest: always a prefix of that DC's history, whatever was lost, doubled or disordered on the way.
 *
 * What is too much for one go becomes the next content beside the present one: it is merged in steps (`merging`, `step`),
 * then handed over to be installed (effect 'install', until `installed`). Meanwhile the replica stands where it stood, and
 * deltas are held.
 */
import { compareEpoch, type Epoch } from '../../model/epoch.ts'
import type { AppliedChange } from '../federation.ts'
import { isProtocolError } from './codec.ts'
import { Content } from './content.ts'
import { EMPTY_DIGEST, equalBytes } from './digest.ts'
import { Freshness } from './freshness.ts'
import { HeldDeltas } from './held.ts'
import { CAPABILITIES } from './limits.ts'
import { above, MAX_CHANGES_AT_ONCE, mergeBuckets, mergeChanges } from './merge.ts'
import type { BeaconMessage, DeltaMessage, Head } from './messages.ts'
import { Newest, type Proven } from './newest.ts'
import {
  type Attempt,
  type Merging,
  type Next,
  nextOf,
  type ReplicaEffect,
  type ReplicaOptions,
  type SavedState,
} from './replica-state.ts'
import type { AskFrame, AskMode, BeginFrame, ChunkFrame, EndFrame, PageFrame, TransferKind } from './tail.ts'
import { Transfer } from './transfer.ts'

export type { ReplicaEffect, ReplicaOptions, SavedState } from './replica-state.ts'

const FIRST_BACKOFF_MS = 200
const MAX_BACKOFF_MS = 5000

export class Replica {
  readonly datacenter: string
  readonly counters = { deltas: 0, snapshots: 0, repairs: 0, rejected: 0 }
  readonly #options: Required<ReplicaOptions>
  #content = new Content()
  /** Of the content; undefined until something complete was received. */
  #epoch: Epoch | undefined
  #revision = 0
  readonly #newest: Newest
  #proven: Proven | undefined
  /** When the replica last stood at a head that was fresh; -Infinity while that is unknown. */
  #stoodMs = Number.NEGATIVE_INFINITY
  readonly #freshness = new Freshness()
  readonly #held = new HeldDeltas()
  /** Where a former replica of this DC stood here, before the DC was forgotten. */
  #floor: Head | undefined
  /** What the content needs beyond being behind: set when a digest disagreed. */
  #suspect: 'repair' | 'snapshot' | undefined
  #behindMs: number | undefined
  #attempt = 0
  #running: Attempt | undefined
  /** A transfer that was cut off, to be gone on with. */
  #partial: { readonly mode: AskMode; readonly transfer: Transfer } | undefined
  #merging: Merging | undefined
  #installing: Next | undefined
  #notBeforeMs = Number.NEGATIVE_INFINITY
  #backoffMs = 0

  constructor(options: ReplicaOptions) {
    this.datacenter = options.datacenter
    this.#options = { gapHoldMs: 150, attemptTimeoutMs: 5000, quarantineMs: 60_000, random: () => 0.5, ...options }
    this.#newest = new Newest(this.#options.quarantineMs)
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
    return this.#newest.top
  }
  get #top(): Head | undefined {
    return this.#newest.top?.head
  }
  /** The last signed head whose content the replica holds exactly. */
  get proven(): Proven | undefined {
    return this.#proven
  }
  digest = (): Uint8Array => this.#content.root()
  /** To be read only. */
  get content(): Content {
    return this.#content
  }
  /** A transfer is being worked out: call `step`. */
  get merging(): boolean {
    return this.#merging !== undefined
  }
  /** Merging, or a new content is being put in place of the present one. */
  get busy(): boolean {
    return this.merging || this.#installing !== undefined
  }
  /** At most so long ago the DC's content was this one; Infinity while nobody can say. */
  ageMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#stoodMs)
  }
  /** Another store speaks in the epoch that counts, with another random part; until a newer epoch settles it. */
  get hasRival(): boolean {
    return this.#newest.hasRival
  }
  isQuarantined(nowMs: number): boolean {
    return this.#newest.isQuarantined(nowMs)
  }

  /** Takes up what a former run saved. */
  restore(saved: SavedState, nowMs: number): ReplicaEffect[] {
    const { content, epoch, revision, proven, ageMs } = saved
    this.#newest.set(proven)
    this.#stoodMs = nowMs - ageMs
    return this.#install({ content, epoch, revision, proven, stoodMs: undefined })
  }

  /** The DC was forgotten here, and is back: of the same epoch nothing is taken that is older than what was answered before. */
  succeed(former: Proven): void {
    this.#floor = former.head
    this.#newest.set(former)
  }

  #isBelowFloor(head: Head): boolean {
    const floor = this.#floor
    return floor !== undefined && head.revision < floor.revision && compareEpoch(head.epoch, floor.epoch) === 'same'
  }

  /** Another DC claims this name. */
  conflict(nowMs: number): void {
    this.#newest.conflict(nowMs)
  }

  /** `fresh`: strictly newer than all that its gateway said before (the directory knows). */
  hear(message: BeaconMessage | DeltaMessage, envelope: Uint8Array, fresh: boolean, nowMs: number): ReplicaEffect[] {
    if (!this.#newest.accepts(message.head, envelope, this.#epoch, nowMs)) return []
    if (fresh) this.#freshness.heard(nowMs)
    if (this.busy) {
      if (message.type === 'delta') this.#held.hold(message, envelope)
      return []
    }
    const effects: ReplicaEffect[] = []
    if (this.#follows(message.head.epoch)) {
      if (message.type === 'delta') this.#delta(message, envelope, effects)
      this.#releaseHeld(effects)
      if (this.busy) return effects
      this.#stand(message.head, envelope, fresh, effects)
    } else if (!this.loaded && !this.#isBelowFloor(message.head) && equalBytes(message.head.digest, EMPTY_DIGEST)) {
      this.#commitEmpty(message.head, envelope, fresh, effects)
    } else if (message.type === 'delta') {
      this.#held.hold(message, envelope)
    }
    effects.push(...this.#demand(nowMs))
    return effects
  }

  #follows(epoch: Epoch): boolean {
    return this.#epoch !== undefined && compareEpoch(epoch, this.#epoch) === 'same'
  }

  /** Nothing exported yet is a content like any other: verified by its digest. */
  #commitEmpty(head: Head, envelope: Uint8Array, fresh: boolean, effects: ReplicaEffect[]): void {
    effects.push(...this.#install(nextOf(new Content(), head, envelope, this.#standsMs(head, fresh))))
  }

  #delta(message: DeltaMessage, envelope: Uint8Array, effects: ReplicaEffect[]): void {
    const { head, from } = message
    if (head.revision <= this.#revision) return
    if (from > this.#revision) this.#held.hold(message, envelope)
    if (from > this.#revision || this.#suspect) return
    const fresh = above(message.changes, this.#revision)
    if (fresh.length > MAX_CHANGES_AT_ONCE) {
      const work = mergeChanges(this.#content, fresh, head.digest)
      effects.push(...this.#merge({ work, kind: 'changes', mode: 'since', head, envelope, stoodMs: undefined }))
      return
    }
    const changes = this.#content.tryChanges(fresh, head.digest)
    if (!changes) {
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
    while (!this.#suspect && this.#epoch && !this.busy) {
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
    this.#stoodMs = Math.max(this.#stoodMs, this.#standsMs(head, fresh) ?? this.#stoodMs)
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
    if (this.busy) return Number.POSITIVE_INFINITY
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
    if (this.#running || this.busy || nowMs < this.#dueMs()) return []
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
    const partial = this.#partial?.mode === mode ? this.#partial.transfer : undefined
    const base = partial?.base ?? this.#content.clone()
    this.#running = { mode, base, progressMs: nowMs, transfer: undefined }
    return {
      type: 'ask',
      attempt: this.#attempt,
      datacenter: this.datacenter,
      epoch: this.#epoch ?? { generation: 0, random: '' },
      since: this.#revision,
      mode,
      buckets: mode === 'repair' ? base.bucketHashes() : null,
      resumeId: partial?.id ?? '',
      resumeFrame: partial?.frames ?? 0,
      capabilities: CAPABILITIES,
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
    const partial = this.#partial?.transfer
    if (frame.firstFrame === 0) running.transfer = new Transfer(frame, running.base)
    else if (partial && partial.id === frame.id && partial.frames === frame.firstFrame) running.transfer = partial
    else return this.#refuse(`a transfer that begins at frame ${frame.firstFrame}`, nowMs)
    this.#partial = undefined
    return []
  }

  chunk(frame: ChunkFrame | PageFrame, nowMs: number): ReplicaEffect[] {
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
    if (!this.#newest.accepts(head, frame.envelope, this.#epoch, nowMs)) {
      running.transfer = undefined
      return this.#refuse('a head of an epoch that does not count', nowMs)
    }
    if (fresh) this.#freshness.heard(nowMs)
    this.#running = undefined
    if (this.busy) return []
    const effects = this.#take(running.mode, transfer, head, frame.envelope, fresh, nowMs)
    effects.push(...this.#demand(nowMs))
    return effects
  }

  /** The other side has nothing to give. */
  refused(attempt: number, nowMs: number): void {
    if (this.awaits(attempt)) this.#fail(nowMs)
  }

  /** The stream of the running attempt broke; what came of a transfer is kept. */
  streamLost(nowMs: number): void {
    if (!this.#running) return
    this.#keepPartial()
    this.#fail(nowMs)
  }

  #keepPartial(): void {
    const running = this.#running
    if (!running) return
    const { mode, transfer } = running
    if (transfer && transfer.frames > 0 && transfer.id !== '') this.#partial = { mode, transfer }
    running.transfer = undefined
  }

  /** A whole transfer: at once when it is little, in steps otherwise. */
  #take(
    mode: AskMode,
    transfer: Transfer,
    head: Head,
    envelope: Uint8Array,
    fresh: boolean,
    nowMs: number,
  ): ReplicaEffect[] {
    const same = this.#follows(head.epoch)
    // What is older than the content, of the same history, has nothing to say.
    if ((same && head.revision < this.#revision) || this.#isBelowFloor(head)) return []
    const holds = head.revision === this.#revision && this.#proven && !this.#suspect
    // From one who has no more than this replica: others may.
    if (same && holds && !fresh && this.need()) return this.#fail(nowMs)
    const stoodMs = this.#standsMs(head, fresh)
    if (transfer.kind === 'snapshot') {
      if (!equalBytes(transfer.content.root(), head.digest)) return this.#mismatch(mode, transfer.kind, nowMs)
      this.counters.snapshots++
      return this.#install(nextOf(transfer.content, head, envelope, stoodMs))
    }
    const fits = transfer.kind === 'buckets' || this.#fits(transfer, head)
    if (!same || !fits) return this.#mismatch(mode, transfer.kind, nowMs)
    const changes = transfer.kind === 'changes' ? above(transfer.changes, this.#revision) : []
    if (transfer.kind === 'changes' && changes.length <= MAX_CHANGES_AT_ONCE) {
      const applied = this.#content.tryChanges(changes, head.digest)
      if (!applied) return this.#mismatch(mode, transfer.kind, nowMs)
      return this.#adopt(nextOf(this.#content, head, envelope, stoodMs), applied, 'apply')
    }
    const rest = { kind: transfer.kind, mode, head, envelope, stoodMs }
    if (transfer.kind === 'changes')
      return this.#merge({ ...rest, work: mergeChanges(this.#content, changes, head.digest) })
    const moved = !equalBytes(transfer.base.root(), this.#content.root())
    return this.#merge({ ...rest, work: mergeBuckets(transfer, head.revision, head.digest), moved })
  }

  #merge(merging: Merging): ReplicaEffect[] {
    this.#merging = merging
    return [{ type: 'merge' }]
  }

  #fits(transfer: Transfer, head: Head): boolean {
    return transfer.from <= this.#revision && (transfer.changes.at(-1)?.modRevision ?? 0) <= head.revision
  }

  /** A step of what `merging` says is to be done. */
  step(nowMs: number): ReplicaEffect[] {
    const merging = this.#merging
    const result = merging?.work.next()
    if (!merging || !result?.done) return []
    this.#merging = undefined
    const { kind, mode, head, envelope, stoodMs, moved } = merging
    const merged = result.value
    if (!merged) return [...this.#mismatch(mode, kind, nowMs), ...this.#demand(nowMs)]
    const next = nextOf(merged.content, head, envelope, stoodMs)
    if (kind === 'changes') this.counters.deltas++
    else this.counters.repairs++
    if (!merged.changes || moved) return this.#install(next)
    return [...this.#adopt(next, merged.changes, 'repair'), ...this.#demand(nowMs)]
  }

  #standsMs(head: Head, fresh: boolean): number | undefined {
    return fresh && head.revision >= this.headRevision ? this.#freshness.asOfMs : undefined
  }

  #install(next: Next): ReplicaEffect[] {
    this.#installing = next
    const { epoch, revision, content } = next
    return [{ type: 'install', epoch, revision, content }]
  }

  /** What the effect 'install' asked for is done. */
  installed(nowMs: number): ReplicaEffect[] {
    const next = this.#installing
    if (!next) return []
    this.#installing = undefined
    const effects: ReplicaEffect[] = []
    this.#content = next.content
    this.#stepOnto(next)
    this.#releaseHeld(effects)
    effects.push(...this.#demand(nowMs))
    return effects
  }

  /** The present content becomes the next one at once. */
  #adopt(next: Next, changes: readonly AppliedChange[], type: 'apply' | 'repair'): ReplicaEffect[] {
    if (type === 'apply' && changes.length > 0) this.counters.deltas++
    if (next.content !== this.#content) this.#content.become(next.content)
    this.#stepOnto(next)
    const effects: ReplicaEffect[] = [{ type, revision: next.revision, changes }]
    this.#releaseHeld(effects)
    return effects
  }

  #stepOnto({ epoch, revision, proven, stoodMs }: Next): void {
    this.#epoch = epoch
    this.#revision = revision
    this.#proven = proven
    this.#suspect = undefined
    this.#partial = undefined
    this.#backoffMs = 0
    this.#notBeforeMs = Number.NEGATIVE_INFINITY
    this.#behindMs = undefined
    if (stoodMs !== undefined) this.#stoodMs = Math.max(this.#stoodMs, stoodMs)
  }

  /** A whole transfer that does not add up: ask for more next time. */
  #mismatch(mode: AskMode, kind: TransferKind, nowMs: number): ReplicaEffect[] {
    this.counters.rejected++
    if (this.#running) this.#running.transfer = undefined
    this.#suspect = mode === 'since' ? 'repair' : 'snapshot'
    this.#fail(nowMs)
    return [{ type: 'rejected', reason: `a transfer (${kind}) does not give its head's digest` }]
  }

  #refuse(reason: string, nowMs: number): ReplicaEffect[] {
    this.counters.rejected++
    this.#fail(nowMs)
    return [
      { type: 'rejected', reason },
      { type: 'abandon', reason },
    ]
  }

  #fail(nowMs: number): [] {
    this.#running = undefined
    this.#backoffMs = Math.min(MAX_BACKOFF_MS, this.#backoffMs * 2 || FIRST_BACKOFF_MS)
    this.#notBeforeMs = nowMs + this.#backoffMs * (0.5 + this.#options.random())
    return []
  }
}
