/** What a tail's request is answered with, and how the answer is cut into frames. */
import { compareEpoch, type Epoch } from '../../model/epoch.ts'
import type { ExportedChange } from '../federation.ts'
import { differingBuckets } from './digest.ts'
import { BUCKETS, MAX_ENTRIES_PER_FRAME, TARGET_FRAME_BYTES } from './limits.ts'
import { sizeOfChange } from './messages.ts'
import type { Replica } from './replica.ts'
import type { AskFrame } from './tail.ts'

export type Answer =
  | { readonly type: 'refuse'; readonly reason: string }
  /** What changed since; where that is gone, a snapshot that is not older than what the reader has. */
  | { readonly type: 'changes'; readonly notBefore: number }
  /** The buckets that differ, of a content that is not older than what the reader has. */
  | { readonly type: 'buckets'; readonly notBefore: number }
  | { readonly type: 'snapshot'; readonly notBefore: number }

/** What a gateway has of its own DC. */
export interface OwnContent {
  /** Whether heads may be told now. */
  readonly speaks: boolean
  /** Of what the publisher has loaded, when it has. */
  readonly epoch: Epoch | undefined
  /** Up to where the publisher is, and the store. */
  readonly publishedRevision: number
  readonly storeRevision: number
}

/** Of the own DC, from its store. */
export function answerOwn(ask: AskFrame, own: OwnContent): Answer {
  if (!own.speaks || !own.epoch) return { type: 'refuse', reason: 'not ready to publish' }
  const same = compareEpoch(ask.epoch, own.epoch) === 'same'
  if (same && ask.since > own.publishedRevision && ask.since > own.storeRevision)
    return { type: 'refuse', reason: `at revision ${own.storeRevision}, behind the one who asks` }
  if (same && ask.mode === 'since') return { type: 'changes', notBefore: ask.since }
  if (same && ask.mode === 'repair') return { type: 'buckets', notBefore: ask.since }
  return { type: 'snapshot', notBefore: same ? ask.since : 0 }
}

/** What a replica says of itself. */
export type Held = Pick<Replica, 'loaded' | 'proven' | 'need'>

/** Of another DC, from the replica here. */
export function answerReplica(ask: AskFrame, replica: Held | undefined): Answer {
  const proven = replica?.loaded ? replica.proven : undefined
  const need = replica?.need()
  if (need === 'repair') return { type: 'refuse', reason: 'the replica here is being repaired' }
  if (!proven) return { type: 'refuse', reason: `no replica of ${ask.datacenter}` }
  const { epoch, revision } = proven.head
  const order = compareEpoch(epoch, ask.epoch)
  if (order === 'older' || (order === 'same' && revision < ask.since))
    return { type: 'refuse', reason: `the replica here is at revision ${revision}` }
  // Who has this epoch and wants everything wants the next one.
  if (order === 'same' && ask.mode === 'snapshot' && need === 'snapshot')
    return { type: 'refuse', reason: 'the replica here is of an epoch that is over' }
  return order === 'same' && ask.mode === 'repair'
    ? { type: 'buckets', notBefore: 0 }
    : { type: 'snapshot', notBefore: 0 }
}

/** Those in which `hashes` and the ones asked with differ; undefined when these are so many that a snapshot takes less. */
export function bucketsToSend(ask: AskFrame, hashes: Uint8Array): ReadonlySet<number> | undefined {
  const buckets = differingBuckets(hashes, ask.buckets!)
  return buckets.size <= BUCKETS / 2 ? buckets : undefined
}

/** Parts of about `targetBytes`; the same for the same list. */
export function* chunksOf(
  entries: readonly ExportedChange[],
  targetBytes = TARGET_FRAME_BYTES,
): Generator<readonly ExportedChange[]> {
  let start = 0
  let bytes = 0
  for (let i = 0; i < entries.length; i++) {
    const size = sizeOfChange(entries[i]!)
    if (i > start && (bytes + size > targetBytes || i - start >= MAX_ENTRIES_PER_FRAME)) {
      yield entries.slice(start, i)
      start = i
      bytes = 0
    }
    bytes += size
  }
  if (start < entries.length) yield entries.slice(start)
}
