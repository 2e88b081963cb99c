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
  readonly modRevision: number
}

export interface LeaderState extends LeaderRecord {
  readonly createRevision: number
  readonly modRevision: number
}

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
  /** Told of each change of a node's lease; set by the duties of the leader. */
  onLease: ((id: string, lease: NodeLeaseState | undefined, before: NodeLeaseState | undefined) => void) | undefined

  putLease(id: string, kv: Stored): void {
    const { createRevision, modRevision } = kv
    const state = { id, ...decodeNodeLease(kv.value), lease: kv.lease ?? 0, createRevision, modRevision }
    const before = this.leases.get(id)
    this.leases.set(id, state)
    this.onLease?.(id, state, before)
  }

  deleteLease(id: string): void {
    const before = this.leases.get(id)
    if (!before) return
    this.leases.delete(id)
    this.onLease?.(id, undefined, before)
  }

  putOutcome(id: string, kv: Stored): void {
    this.outcomes.set(id, { applied: decodeOutcome(kv.value), modRevision: kv.modRevision })
  }

  deleteOutcome(id: string): void {
    this.outcomes.delete(id)
  }

  /** Keys under sys/: all but the leader are the store's. */
  putSystem(name: string, kv: Stored): void {
    if (name !== 'leader') return
    const { createRevision, modRevision } = kv
    this.leader = { ...decodeLeader(kv.value), createRevision, modRevision }
  }

  deleteSystem(name: string): void {
    if (name === 'leader') this.leader = undefined
  }
}
