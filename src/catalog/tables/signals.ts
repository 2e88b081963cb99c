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
  readonly modRevision: number
}

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
    this.outcomes.set(id, { ...decodeOutcome(kv.value), modRevision: kv.modRevision })
  }

  deleteOutcome(id: string): void {
    this.outcomes.delete(id)
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
