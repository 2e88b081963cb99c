/** What a replica holds: entries and their digest, which change together or not at all. */
import type { ExportedChange, ExportedEntry } from '../federation.ts'
import { bucketOf, equalBytes, hashEntry, KeyedDigest } from './digest.ts'
import { MAX_REPLICA_ENTRIES } from './limits.ts'

export const isEntry = (change: ExportedChange): change is ExportedEntry => change.value !== null

export class Content {
  readonly #digest = new KeyedDigest()
  readonly #entries = new Map<string, ExportedEntry>()

  get size(): number {
    return this.#entries.size
  }
  root(): Uint8Array {
    return this.#digest.root()
  }
  bucketHashes(): Uint8Array {
    return this.#digest.bucketHashes()
  }
  entries(): ExportedEntry[] {
    return [...this.#entries.values()]
  }

  /** Adds an entry to a content that is being built. */
  put(entry: ExportedEntry): void {
    this.#digest.set(entry.key, hashEntry(entry))
    this.#entries.set(entry.key, entry)
  }

  /** Applies `changes` when the result has the digest `expected`; otherwise nothing changed, and false. */
  tryChanges(
    changes: readonly ExportedChange[],
    expected: Uint8Array,
    hashes: readonly (Uint8Array | undefined)[] = [],
  ): boolean {
    if (this.#entries.size + changes.length > MAX_REPLICA_ENTRIES) return false
    const undo: [key: string, former: Uint8Array | undefined][] = []
    for (let i = 0; i < changes.length; i++) {
      const change = changes[i]!
      undo.push([change.key, this.#digest.hashOf(change.key)])
      if (isEntry(change)) this.#digest.set(change.key, hashes[i] ?? hashEntry(change))
      else this.#digest.delete(change.key)
    }
    if (equalBytes(this.#digest.root(), expected)) {
      for (const change of changes) {
        if (isEntry(change)) this.#entries.set(change.key, change)
        else this.#entries.delete(change.key)
      }
      return true
    }
    for (const [key, former] of undo.reverse()) {
      if (former) this.#digest.set(key, former)
      else this.#digest.delete(key)
    }
    return false
  }

  /** Puts `staged` in place of its own `buckets` when the whole then has the digest `expected`. */
  tryBuckets(buckets: ReadonlySet<number>, staged: Content, expected: Uint8Array): boolean {
    const merged = this.#digest.without(buckets)
    for (const key of staged.#entries.keys()) merged.add(bucketOf(key), staged.#digest.hashOf(key)!)
    if (!equalBytes(merged.root(), expected)) return false
    for (const key of this.#entries.keys()) {
      if (!buckets.has(bucketOf(key)) || staged.#entries.has(key)) continue
      this.#entries.delete(key)
      this.#digest.delete(key)
    }
    for (const [key, entry] of staged.#entries) {
      this.#entries.set(key, entry)
      this.#digest.set(key, staged.#digest.hashOf(key)!)
    }
    return true
  }
}
