import { create } from '@bufbuild/protobuf'
import type { Clock } from '../../runtime/ports.ts'
import { type KeyValue, type OperationResult, StoreError, type Txn, type TxnResult } from '../store.ts'
import { Batches } from './batches.ts'
import { CallError, refusal } from './call-error.ts'
import { type Cluster, GIVE_UP_MS } from './cluster.ts'
import { Commit, type Resolution, type Slot } from './commit.ts'
import type { KeySpace } from './key-space.ts'
import { type Branch, type MappedTxn, mapTxn, resultsOf } from './messages.ts'
import { KV, RangeRequestSchema, type TxnRequest, TxnRequestSchema, type TxnResponse } from './proto/etcd_pb.js'
import { rangesRead, replay } from './replay.ts'
import type { Slots } from './slots.ts'

export interface CommitterOptions {
  readonly cluster: Cluster
  readonly keys: KeySpace
  readonly slots: Slots
  readonly clock: Clock
  /** Resolves with a revision that watches reach, at or above all that happened before the call. */
  readonly barrier: () => Promise<number>
  /** Resolves once watches have reached a revision, with the last that they were shown. */
  readonly shown: (revision: number) => Promise<number>
  /** What there was at a revision. */
  readonly rangeAt: (from: string, to: string, revision: number) => Promise<readonly KeyValue[]>
  /** etcd may be out of room: the error to give, should that be so. */
  readonly onExhausted: () => Promise<StoreError | undefined>
}

/** Transactions that may be under way or wait; more are refused. */
const MAX_QUEUED = 16_384
/** A majority that answered so lately is taken to be there still. */
const PROOF_MS = 1_000
const ATTEMPT_MS = 1_500
const PAUSE_MS = 50
const MEND_PAUSE_MS = 250

/** Commits transactions, each at most once, whatever becomes of the members on the way. */
export class Committer {
  readonly #o: CommitterOptions
  readonly #batches = new Batches((request, timeoutMs) => this.#send(request, timeoutMs))
  #nonce = 0
  #queued = 0
  #probe: Promise<unknown> | undefined
  /** Highest revision of what was acknowledged. */
  #acknowledged = 0
  #closed = false
  #onIdle: (() => void) | undefined

  constructor(options: CommitterOptions) {
    this.#o = options
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  /** What was acknowledged is of a history that is no more. */
  forget(): void {
    this.#acknowledged = 0
  }

  /** Rejects with StoreError: 'unavailable' and 'overloaded' when nothing was changed, 'unknown-outcome' when that is not known. */
  async submit(txn: Txn): Promise<TxnResult> {
    return this.run(mapTxn(txn, this.#o.keys))
  }

  /** As `submit`, for what is in etcd's words already. */
  async run(txn: MappedTxn): Promise<TxnResult> {
    if (this.#queued >= MAX_QUEUED) {
      throw new StoreError('overloaded', `${this.#queued} transactions wait for etcd; try again later`)
    }
    this.#queued++
    try {
      return await (txn.then.writes || txn.else.writes ? this.#commit(txn) : this.#read(txn))
    } finally {
      this.#queued--
      if (this.#queued === 0) this.#onIdle?.()
    }
  }

  async #read({ compares, then, else: otherwise }: MappedTxn): Promise<TxnResult> {
    const { cluster, keys, barrier } = this.#o
    const [success, failure] = [[...then.operations], [...otherwise.operations]]
    const request = create(TxnRequestSchema, { compare: [...compares], success, failure })
    const { succeeded, responses } = await cluster.ask(KV.method.txn, request, 'a transaction')
    return { succeeded, revision: await barrier(), results: resultsOf(succeeded ? then : otherwise, responses, keys) }
  }

  async #commit(txn: MappedTxn): Promise<TxnResult> {
    const { clock, slots, keys } = this.#o
    const untilMs = clock.nowMs() + GIVE_UP_MS
    for (let attempts = 0; ; attempts++) {
      await this.#assertMajority()
      const taken = slots.take(Math.max(1, untilMs - clock.nowMs()))
      const slot = taken instanceof Promise ? await taken : taken
      const commit = new Commit(txn, slot, ++this.#nonce, keys)
      const outcome = await this.#attempt(commit, slot, txn, untilMs)
      if (outcome) return outcome
      if (clock.nowMs() >= untilMs) {
        throw this.#o.cluster.unavailable(new Error(`no answer in ${attempts + 1} attempts; nothing was changed`))
      }
    }
  }

  /** Undefined when it was not applied, and cannot be any more. The slot is taken care of. */
  async #attempt(commit: Commit, slot: Slot, txn: MappedTxn, untilMs: number): Promise<TxnResult | undefined> {
    const { slots } = this.#o
    let response: TxnResponse
    try {
      const timeoutMs = Math.min(ATTEMPT_MS, untilMs - this.#o.clock.nowMs())
      response = await this.#batches.submit(commit.request(), txn, timeoutMs)
    } catch (error) {
      if (error instanceof CallError && error.isOpen) return this.#afterUnknown(commit, slot, txn, untilMs, error)
      slots.give(slot)
      throw await this.#refused(error)
    }
    const answer = commit.answer(response)
    if (answer.kind === 'slot-lost') {
      await slots.lost(slot)
      return undefined
    }
    if (answer.wrote) slot.mod = response.header!.revision
    slots.give(slot)
    const { succeeded, results, wrote } = answer
    return this.#acknowledge(succeeded, results, wrote ? Number(response.header!.revision) : undefined, txn)
  }

  #send(request: TxnRequest, timeoutMs: number): Promise<TxnResponse> {
    return this.#o.cluster.call(KV.method.txn, request, { timeoutMs })
  }

  async #refused(error: unknown): Promise<unknown> {
    if (!(error instanceof CallError)) return error
    const refused = refusal(error, 'a transaction')
    return refused.code === 'overloaded' ? ((await this.#o.onExhausted()) ?? refused) : refused
  }

  async #acknowledge(
    succeeded: boolean,
    results: readonly OperationResult[],
    revision: number | undefined,
    { then, else: otherwise }: MappedTxn,
  ): Promise<TxnResult> {
    if (revision === undefined) return { succeeded, revision: await this.#o.barrier(), results }
    if (revision > this.#acknowledged) this.#acknowledged = revision
    const deleted = results.some((result) => result.kind === 'delete' && result.deleted > 0)
    if ((succeeded ? then : otherwise).shows || deleted) return { succeeded, revision, results }
    // It changed nothing: the last revision that did.
    return { succeeded, revision: await this.#o.shown(revision), results }
  }

  async #afterUnknown(
    commit: Commit,
    slot: Slot,
    txn: MappedTxn,
    untilMs: number,
    cause: CallError,
  ): Promise<TxnResult | undefined> {
    const resolution = await this.#resolve(commit, untilMs)
    if (resolution === undefined) {
      void this.#mend(commit, slot)
      throw unknown(`etcd did not say whether a transaction was applied: ${cause.message}`, cause)
    }
    if (resolution.kind === 'slot-lost') {
      await this.#o.slots.lost(slot).catch(() => {})
      throw unknown('this process stood still for so long that nobody knows whether a transaction was applied', cause)
    }
    slot.mod = resolution.revision
    this.#o.slots.give(slot)
    if (resolution.kind === 'not-applied') return undefined
    const { succeeded } = resolution
    const revision = Number(resolution.revision)
    return this.#acknowledge(succeeded, await this.#replayed(succeeded ? txn.then : txn.else, revision), revision, txn)
  }

  /** Undefined when that does not become known in time. */
  async #resolve(commit: Commit, untilMs: number): Promise<Resolution | undefined> {
    const { clock } = this.#o
    for (let failures = 0; clock.nowMs() < untilMs; failures++) {
      try {
        const timeoutMs = Math.min(ATTEMPT_MS * 1.5 ** failures, untilMs - clock.nowMs())
        return commit.resolve(await this.#send(commit.resolution(), timeoutMs))
      } catch (error) {
        if (!(error instanceof CallError)) return undefined
        await clock.sleep(PAUSE_MS)
      }
    }
    return undefined
  }

  /** Its caller was told that nobody knows; the slot is of use again once that is over. */
  async #mend(commit: Commit, slot: Slot): Promise<void> {
    const { clock, slots } = this.#o
    while (!this.#closed) {
      await clock.sleep(MEND_PAUSE_MS)
      const resolution = await this.#resolve(commit, clock.nowMs() + GIVE_UP_MS)
      if (!resolution) continue
      if (resolution.kind === 'slot-lost') return slots.lost(slot).catch(() => {})
      slot.mod = resolution.revision
      slots.give(slot)
      return
    }
  }

  async #replayed(branch: Branch, revision: number): Promise<readonly OperationResult[]> {
    try {
      const ranges = rangesRead(branch.asked)
      const before = await Promise.all(ranges.map(([from, to]) => this.#o.rangeAt(from, to, revision - 1)))
      return replay(branch.asked, before.flat(), revision)
    } catch (error) {
      throw unknown('a transaction was applied, but what it found cannot be read any more', error)
    }
  }

  /**
   * Nothing is sent where no majority may be: what is refused before was not changed, while the outcome of what was sent would not
   * be known.
   */
  async #assertMajority(): Promise<void> {
    const { cluster, clock, keys } = this.#o
    const { provenMs } = cluster
    if (provenMs !== undefined && clock.nowMs() - provenMs < PROOF_MS) return
    const request = create(RangeRequestSchema, { key: keys.head, keysOnly: true })
    this.#probe ??= cluster.ask(KV.method.range, request, 'a read').finally(() => {
      this.#probe = undefined
    })
    await this.#probe
  }

  /** Resolves once nothing is under way. */
  async drained(): Promise<void> {
    if (this.#queued > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    this.#closed = true
  }
}

const unknown = (message: string, cause: unknown): StoreError => new StoreError('unknown-outcome', message, cause)
