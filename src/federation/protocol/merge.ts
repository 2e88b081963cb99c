/**
 * Works out what a replica holds after a transfer, beside what it holds until then, in steps of a millisecond or less: the
 * caller runs a step when it has time for one.
 */
import type { AppliedChange, ExportedChange } from '../federation.ts'
import { bucketAt, type Content } from './content.ts'
import { equalBytes } from './digest.ts'
import type { Transfer } from './transfer.ts'

/** More changes than this are not taken in one go: the whole content is then put into the tables anew, in steps. */
export const MAX_CHANGES_AT_ONCE = 500
/** Changes applied in one step. */
const STEP_CHANGES = 64

export interface Merged {
  readonly content: Content
  /** What differs from the former content; undefined when that is too much to be told. */
  readonly changes: readonly AppliedChange[] | undefined
}
export type Merge = Generator<void, Merged | undefined>

/** `changes` on top of `base`; undefined when that does not give the digest. */
export function* mergeChanges(base: Content, changes: readonly ExportedChange[], digest: Uint8Array): Merge {
  const content = base.clone()
  let applied = 0
  for (const change of changes) {
    content.apply(change)
    if (++applied % STEP_CHANGES === 0) yield
  }
  return equalBytes(content.root(), digest) ? { content, changes: undefined } : undefined
}

/** The transfer's buckets in place of those that its base has; undefined when that does not give the digest. */
export function* mergeBuckets(transfer: Transfer, revision: number, digest: Uint8Array): Merge {
  const { base, buckets, content: sent } = transfer
  const content = base.clone()
  const changes: AppliedChange[] = []
  const apply = (change: ExportedChange): void => {
    const applied = content.apply(change)
    if (changes.length <= MAX_CHANGES_AT_ONCE) changes.push(applied)
  }
  for (const page of base.pages()) {
    for (const view of page.views()) {
      if (!buckets.has(bucketAt(view))) continue
      const { key } = view
      if (!sent.has(key)) apply({ key, value: null, createRevision: 0, modRevision: revision })
    }
    yield
  }
  for (const page of sent.pages()) {
    for (const view of page.views()) if (!base.holds(view)) apply(view.entry())
    yield
  }
  if (!equalBytes(content.root(), digest)) return undefined
  return { content, changes: changes.length > MAX_CHANGES_AT_ONCE ? undefined : changes }
}

/** Those above `revision`; changes rise. */
export function above(changes: readonly ExportedChange[], revision: number): readonly ExportedChange[] {
  const first = changes.findIndex((change) => change.modRevision > revision)
  return first === 0 ? changes : first < 0 ? [] : changes.slice(first)
}
