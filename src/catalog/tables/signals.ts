import { decodeLeader, decodeNodeLease, decodeOutcome, type LeaderRecord, type NodeLease } from '../codec.ts'

export interface NodeLeaseState extends NodeLease {
  /** The node's id as a part of a key. */
  readonly id: string
  /** The store's lease. */
  readonly lease: number
  readonly createRevision: number
  readonly modRevision: number
}

export interface OutcomeState {
  readonly applied: boolean
  readonly key: string
  /** Of a transaction, as it was recorded; undefined where none was, or it had to go. */
  readonly answer: Uint8Array | undefined
  readonly modRevision: number
}

/** Answers of transactions that are held: whoever asks again does so within seconds. The oldest go first. */
const MAX_ANSWERS = 1_024
const MAX_ANSWERS_BYTES = 4 * 1024 * 1024

export interface LeaderState extends LeaderRecord {
  readonly createRevision: number
  readonly modRevision: number
}

/** `id` is the part of a key; undefined: the lease lapsed or was revoked. */
export type LeaseListener = (id: string, lease: NodeLeaseState | undefined) => void

interface Stored {
  readonly value: Uint8Array
  readonly createRevision: number
  readonly modRevision: number
  readonly lease?: number
}

/** What the catalog keeps for itself: which nodes live, what became of forwarded writes, who leads. */
export class Signals {
  /** By the part of the node's id. */
  readonly leases = new Map<string, NodeLeaseState>()
  readonly outcomes = new Map<string, OutcomeState>()
  /** Bytes of the answers that are held, by request, the oldest first. */
  readonly #answers = new Map<string, number>()
  #answersBytes = 0
  leader: LeaderState | undefined
  /** A snapshot is being restored, here or by another server. */
  restoring = false
  readonly #listeners = new Set<LeaseListener>()

  /** Told of each change of a node's lease, before the tables are whole: it may only take notes. */
  onLease(listener: LeaseListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  putLease(id: string, kv: Stored): void {
    const { createRevision, modRevision } = kv
    const state = { id, ...decodeNodeLease(kv.value), lease: kv.lease ?? 0, createRevision, modRevision }
    this.leases.set(id, state)
    for (const listener of this.#listeners) listener(id, state)
  }

  deleteLease(id: string): void {
    if (!this.leases.delete(id)) return
    for (const listener of this.#listeners) listener(id, undefined)
  }

  putOutcome(id: string, kv: Stored): void {
    this.#forgetAnswer(id)
    const outcome = { ...decodeOutcome(kv.value), modRevision: kv.modRevision }
    this.outcomes.set(id, outcome)
    if (outcome.answer === undefined) return
    this.#answers.set(id, outcome.answer.length)
    this.#answersBytes += outcome.answer.length
    while (this.#answers.size > MAX_ANSWERS || this.#answersBytes > MAX_ANSWERS_BYTES) {
      this.#forgetAnswer(this.#answers.keys().next().value!)
    }
  }

  deleteOutcome(id: string): void {
    this.#forgetAnswer(id)
    this.outcomes.delete(id)
  }

  #forgetAnswer(id: string): void {
    const outcome = this.outcomes.get(id)
    if (outcome?.answer === undefined) return
    this.outcomes.set(id, { ...outcome, answer: undefined })
    this.#answersBytes -= this.#answers.get(id) ?? 0
    this.#answers.delete(id)
  }

  /** Keys under sys/: most are the store's. */
  putSystem(name: string, kv: Stored): void {
    if (name === 'restoring') this.restoring = true
    if (name !== 'leader') return
    const { createRevision, modRevision } = kv
    this.leader = { ...decodeLeader(kv.value), createRevision, modRevision }
  }

  deleteSystem(name: string): void {
    if (name === 'restoring') this.restoring = false
    if (name === 'leader') this.leader = undefined
  }
}
