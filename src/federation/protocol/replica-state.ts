/** What a replica keeps of work under way, and what it asks of who runs it. */
import type { Epoch } from '../../model/epoch.ts'
import type { AppliedChange } from '../federation.ts'
import type { Content } from './content.ts'
import type { Merge } from './merge.ts'
import type { Head } from './messages.ts'
import type { Proven } from './newest.ts'
import type { AskMode } from './tail.ts'
import type { Transfer } from './transfer.ts'

export type ReplicaEffect =
  /** In order, nothing skipped. */
  | { readonly type: 'apply'; readonly revision: number; readonly changes: readonly AppliedChange[] }
  /** What was found to differ, in no order. */
  | { readonly type: 'repair'; readonly revision: number; readonly changes: readonly AppliedChange[] }
  /** Takes the place of the present content; call `installed` once it has. From then on it is the one that changes. */
  | { readonly type: 'install'; readonly epoch: Epoch; readonly revision: number; readonly content: Content }
  /** Call `step` again and again, until `merging` is false. */
  | { readonly type: 'merge' }
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
  /** In [0, 1): spreads attempts after a failure over half to one and a half of their pause. Default always 0.5. */
  readonly random?: () => number
}

/** The content that comes next, and what it will stand at. */
export interface Next {
  readonly content: Content
  readonly epoch: Epoch
  readonly revision: number
  readonly proven: Proven | undefined
  /** Since when it stands at a head that was fresh; undefined when it does not. */
  readonly stoodMs: number | undefined
}

export interface Merging {
  readonly work: Merge
  readonly kind: 'changes' | 'buckets'
  readonly mode: AskMode
  readonly head: Head
  readonly envelope: Uint8Array
  readonly stoodMs: number | undefined
  /** The content went on since it was asked for: what differs from then is not what differs from now. */
  readonly moved?: boolean
}

export interface Attempt {
  readonly mode: AskMode
  /** What it asked from. */
  readonly base: Content
  progressMs: number
  transfer: Transfer | undefined
}

export interface SavedState {
  readonly epoch: Epoch
  readonly revision: number
  readonly content: Content
  readonly proven: Proven | undefined
  /** Infinity: unknown. */
  readonly ageMs: number
}

export const nextOf = (content: Content, head: Head, envelope: Uint8Array, stoodMs: number | undefined): Next => ({
  content,
  epoch: head.epoch,
  revision: head.revision,
  proven: { head, envelope },
  stoodMs,
})
