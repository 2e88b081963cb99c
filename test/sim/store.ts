/** A DC's store, which its gateways share; and the truth: every state that any store of the DC was ever in. */
import type { ExportedChange, ExportedEntry } from '../../src/federation/federation.ts'
import type { Epoch } from '../../src/model/epoch.ts'

/** A content as a number: the sum of its entries', so that a change costs what changed. Independent of the digest. */
export function fingerprintOf({ key, value, createRevision, modRevision }: ExportedEntry): number {
  let state = 0x811c9dc5
  for (let i = 0; i < key.length; i++) state = Math.imul(state ^ key.charCodeAt(i), 0x01000193)
  state = Math.imul(state ^ createRevision, 0x01000193)
  state = Math.imul(state ^ modRevision, 0x85ebca6b)
  // Large values are told apart by their ends: hashing all of each would be most of the simulation.
  const edge = Math.min(8, value.length)
  for (let i = 0; i < edge; i++) state = Math.imul(state ^ value[i]!, 0x01000193)
  for (let i = value.length - edge; i < value.length; i++) state = Math.imul(state ^ value[i]!, 0x01000193)
  state = Math.imul(state ^ value.length, 0xc2b2ae35)
  const low = (state ^ (state >>> 15)) >>> 0
  const high = Math.imul(low ^ modRevision, 0x27d4eb2f) >>> 12
  return high * 2 ** 32 + low
}

/** Below this, sums of two are exact. */
const LIMIT = 2 ** 52
export const plus = (a: number, b: number): number => (a + b >= LIMIT ? a + b - LIMIT : a + b)
export const minus = (a: number, b: number): number => (a < b ? a - b + LIMIT : a - b)

export const epochName = ({ generation, random }: Epoch): string => `${generation}.${random}`

/** States by epoch and revision. A store that was rolled back writes another history under the same numbers. */
export class Truth {
  readonly #states = new Map<string, Map<number, number[]>>()
  readonly #forked = new Set<string>()

  note(epoch: Epoch, revision: number, fingerprint: number): void {
    const name = epochName(epoch)
    const states = this.#states.get(name) ?? new Map<number, number[]>()
    this.#states.set(name, states)
    const known = states.get(revision)
    if (!known) states.set(revision, [fingerprint])
    else if (!known.includes(fingerprint)) known.push(fingerprint)
  }

  /** A store goes on under this epoch from an older state: until it learns that, it writes another history. */
  fork(epoch: Epoch): void {
    this.#forked.add(epochName(epoch))
  }
  isForked(epoch: Epoch): boolean {
    return this.#forked.has(epochName(epoch))
  }

  /** Whether a store of the DC was in this state at this revision of this epoch. */
  was(epoch: Epoch, revision: number, fingerprint: number): boolean {
    return this.#states.get(epochName(epoch))?.get(revision)?.includes(fingerprint) ?? false
  }
}

export interface Revision {
  readonly revision: number
  readonly changes: readonly ExportedChange[]
}

/** A copy as a backup would keep it. */
export interface Backup {
  readonly epoch: Epoch
  readonly revision: number
  readonly fingerprint: number
  readonly entries: ReadonlyMap<string, ExportedEntry>
}

export class SimStore {
  readonly truth: Truth
  epoch: Epoch
  revision = 0
  fingerprint = 0
  /** Highest revision that history is gone up to. */
  compacted = 0
  entries = new Map<string, ExportedEntry>()
  history: Revision[] = []

  constructor(truth: Truth, epoch: Epoch) {
    this.truth = truth
    this.epoch = epoch
    this.#note()
  }

  /** One transaction; null deletes; empty for one that exports nothing. */
  write(values: ReadonlyMap<string, Uint8Array | null>): Revision {
    const revision = ++this.revision
    const changes: ExportedChange[] = []
    for (const [key, value] of values) {
      const former = this.entries.get(key)
      if (former) this.fingerprint = minus(this.fingerprint, fingerprintOf(former))
      if (value === null) {
        if (!former) continue
        this.entries.delete(key)
        changes.push({ key, value: null, createRevision: 0, modRevision: revision })
      } else {
        const entry = { key, value, createRevision: former?.createRevision ?? revision, modRevision: revision }
        this.entries.set(key, entry)
        this.fingerprint = plus(this.fingerprint, fingerprintOf(entry))
        changes.push(entry)
      }
    }
    const written = { revision, changes }
    if (changes.length > 0) this.history.push(written)
    this.#note()
    return written
  }

  #note(): void {
    this.truth.note(this.epoch, this.revision, this.fingerprint)
  }

  compact(): void {
    this.compacted = this.revision
    this.history = []
  }

  /** As the stores of production do it: nothing happens when it is that high already. */
  raise(epoch: Epoch): void {
    if (epoch.generation <= this.epoch.generation) return
    this.epoch = epoch
    this.#note()
  }

  backup(): Backup {
    const { epoch, revision, fingerprint, entries } = this
    return { epoch, revision, fingerprint, entries: new Map(entries) }
  }

  static restored(truth: Truth, { epoch, revision, fingerprint, entries }: Backup): SimStore {
    truth.fork(epoch)
    const store = new SimStore(truth, epoch)
    store.revision = revision
    store.fingerprint = fingerprint
    store.entries = new Map(entries)
    store.compacted = revision
    return store
  }
}
