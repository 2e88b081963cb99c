/** What must hold after every step, whatever happened. */
import type { ExportedChange, ExportedEntry } from '../../src/federation/federation.ts'
import type { Head } from '../../src/federation/protocol/messages.ts'
import type { Replica, ReplicaEffect } from '../../src/federation/protocol/replica.ts'
import { compareEpoch, type Epoch } from '../../src/model/epoch.ts'
import { epochName, fingerprintOf, minus, plus, type Truth } from './store.ts'

export class Violation extends Error {
  readonly invariant: string

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`)
    this.invariant = invariant
  }
}

/** Which content each digest stands for: the same one everywhere, and another one for each. */
export class Digests {
  readonly #contentOf = new Map<string, number>()
  readonly #digestOf = new Map<number, string>()

  /** Violation unless the digest stands for this content, and this content for the digest. */
  check(digest: Uint8Array, fingerprint: number): void {
    const name = Buffer.from(digest.buffer, digest.byteOffset, 16).toString('latin1')
    const content = this.#contentOf.get(name)
    if (content === undefined) {
      if (this.#digestOf.has(fingerprint)) throw new Violation('digest', 'one content has two digests')
      this.#contentOf.set(name, fingerprint)
      this.#digestOf.set(fingerprint, name)
    } else if (content !== fingerprint) {
      throw new Violation('digest', 'two contents have one digest')
    }
  }
  contentOf(digest: Uint8Array): number | undefined {
    return this.#contentOf.get(Buffer.from(digest.buffer, digest.byteOffset, 16).toString('latin1'))
  }
}

/**
 * What one node answers from for one DC, for as long as the node lives: entries are applied as the resolver's tables would
 * apply them, and held against the truth each time.
 */
export class CheckedSink {
  readonly #truth: Truth
  readonly #digests: Digests
  readonly #entries = new Map<string, ExportedEntry>()
  /** Revision of each deletion that came as a change, of this epoch. */
  readonly #deleted = new Map<string, number>()
  epoch: Epoch | undefined
  revision = 0
  fingerprint = 0

  constructor(truth: Truth, digests: Digests) {
    this.#truth = truth
    this.#digests = digests
  }

  take(effect: Extract<ReplicaEffect, { type: 'apply' | 'repair' | 'install' }>): void {
    if (effect.type === 'apply') this.#apply(effect.revision, effect.changes)
    else if (effect.type === 'repair') this.#repair(effect.revision, effect.changes)
    else this.#install(effect.epoch, effect.revision, effect.content.entries())
    const { epoch } = this
    if (!epoch) throw new Violation('order', 'changes before a content that they change')
    if (!this.#truth.was(epoch, this.revision, this.fingerprint))
      throw new Violation('prefix', `no store was ever so, at ${this.revision} of ${epochName(epoch)}`)
  }

  /** After all effects of one input: what the replica holds is what was handed over. */
  checkAgainst(replica: Replica): void {
    this.#digests.check(replica.digest(), this.fingerprint)
    if (replica.revision !== this.revision) throw new Violation('order', 'the replica stands elsewhere than its tables')
    const head = replica.proven?.head
    if (head && head.revision !== replica.revision)
      throw new Violation('proof', 'the proven head is of another revision')
  }

  #apply(revision: number, changes: readonly ExportedChange[]): void {
    if (revision < this.revision || (revision === this.revision && changes.length > 0))
      throw new Violation('order', `applied up to ${revision}, being at ${this.revision}`)
    let last = this.revision + 1
    for (const change of changes) {
      if (change.modRevision < last || change.modRevision > revision)
        throw new Violation('order', `a change of ${change.modRevision} between ${this.revision} and ${revision}`)
      last = change.modRevision
      this.#change(change)
    }
    this.revision = revision
  }

  /** What differed, in no order: all of it at once. */
  #repair(revision: number, changes: readonly ExportedChange[]): void {
    if (revision < this.revision) throw new Violation('back', `revision ${revision} after ${this.revision}`)
    if (this.#truth.isForked(this.epoch!)) this.#deleted.clear()
    for (const change of changes) this.#change(change)
    this.revision = revision
  }

  #change(change: ExportedChange): void {
    const former = this.#entries.get(change.key)
    if (former) this.fingerprint = minus(this.fingerprint, fingerprintOf(former))
    if (change.value === null) {
      this.#entries.delete(change.key)
      this.#deleted.set(change.key, change.modRevision)
      return
    }
    const entry = change as ExportedEntry
    if (entry.modRevision <= (this.#deleted.get(entry.key) ?? 0))
      throw new Violation('resurrection', `${entry.key} of ${entry.modRevision} was deleted since`)
    this.#entries.set(entry.key, entry)
    this.fingerprint = plus(this.fingerprint, fingerprintOf(entry))
  }

  #install(epoch: Epoch, revision: number, entries: readonly ExportedEntry[]): void {
    const order = this.epoch ? compareEpoch(epoch, this.epoch) : 'newer'
    if (order === 'older' || order === 'conflict')
      throw new Violation('epoch', `${epochName(epoch)} after ${epochName(this.epoch!)}`)
    if (order === 'same' && revision < this.revision)
      throw new Violation('back', `revision ${revision} after ${this.revision}`)
    // Of two histories under one epoch, that of a store which was rolled back and has not learnt it yet, one replaces the
    // other; what one deleted the other may have.
    if (order === 'newer' || this.#truth.isForked(epoch)) this.#deleted.clear()
    this.#entries.clear()
    this.fingerprint = 0
    for (const entry of entries) {
      if (entry.modRevision <= (this.#deleted.get(entry.key) ?? 0))
        throw new Violation('resurrection', `${entry.key} of ${entry.modRevision} was deleted since`)
      this.#entries.set(entry.key, entry)
      this.fingerprint = plus(this.fingerprint, fingerprintOf(entry))
    }
    this.epoch = epoch
    this.revision = revision
  }
}

/** A head that a gateway signs must speak of a state that its store was in. */
export function checkHead(head: Head, truth: Truth, digests: Digests): void {
  const content = digests.contentOf(head.digest)
  // Of a content that no replica ever held there is nothing to compare.
  if (content !== undefined && !truth.was(head.epoch, head.revision, content))
    throw new Violation('head', `signed for a state that never was, at ${head.revision} of ${epochName(head.epoch)}`)
}
