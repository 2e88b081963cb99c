/**
 * The summaries of a server as one stream of versions: (what changed) in, deltas and pages out, each encoded once however
 * many clients take it. A client that is at a version gets what changed since, or, when that is forgotten, all of it in
 * pages. Entries are whole states under keys, so that pages of different moments and the deltas since the first of
 * them add up.
 */
import { concat, encodeEntry } from './frames.ts'

/** Pages: keys fall into so many parts by their hash. */
const PARTS = 64
/** Bytes of one answer beyond which nothing is added to it. */
const TARGET_BYTES = 128 * 1024
/** Deltas that are kept for those who are behind. */
const MAX_DELTAS = 512
const MAX_DELTA_BYTES = 2 * 1024 * 1024

export interface FeedAnswer {
  /** Where the client stands once it has taken this in: what it asks on with. */
  readonly version: number
  /** First part of the next page; undefined when this is all. */
  readonly next: number | undefined
  /** Runs of entries (frames.ts), oldest first. */
  readonly runs: readonly Uint8Array[]
}

interface Delta {
  readonly version: number
  readonly run: Uint8Array
}

export class SummaryFeed {
  readonly #entries = new Map<string, Uint8Array>()
  readonly #parts: (Uint8Array | undefined)[] = new Array(PARTS).fill(undefined)
  readonly #members: Set<string>[] = Array.from({ length: PARTS }, () => new Set<string>())
  #deltas: Delta[] = []
  #deltaBytes = 0
  #version = 0

  get version(): number {
    return this.#version
  }
  get size(): number {
    return this.#entries.size
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }
  keys(): IterableIterator<string> {
    return this.#entries.keys()
  }

  /** One version further, unless nothing is other than before. */
  change(changes: Iterable<readonly [key: string, value: Uint8Array | undefined]>): void {
    const told: Uint8Array[] = []
    for (const [key, value] of changes) {
      const encoded = encodeEntry({ key, value })
      const before = this.#entries.get(key)
      if (value === undefined ? before === undefined : before !== undefined && same(before, encoded)) continue
      this.#put(key, value === undefined ? undefined : encoded)
      told.push(encoded)
    }
    if (told.length === 0) return
    const delta = { version: ++this.#version, run: concat(told) }
    this.#deltas.push(delta)
    this.#deltaBytes += delta.run.length
    while (this.#deltas.length > MAX_DELTAS || this.#deltaBytes > MAX_DELTA_BYTES) {
      this.#deltaBytes -= this.#deltas.shift()!.run.length
    }
  }

  #put(key: string, encoded: Uint8Array | undefined): void {
    const part = partOf(key)
    this.#parts[part] = undefined
    if (encoded === undefined) {
      this.#entries.delete(key)
      this.#members[part]!.delete(key)
    } else {
      this.#entries.set(key, encoded)
      this.#members[part]!.add(key)
    }
  }

  /** What changed after `since`; undefined when that is not known any more, and all is to be taken anew. */
  since(since: number): FeedAnswer | undefined {
    if (since === this.#version) return { version: since, next: undefined, runs: [] }
    const first = this.#deltas[0]
    if (since > this.#version || first === undefined || since < first.version - 1) return undefined
    const runs: Uint8Array[] = []
    let bytes = 0
    let version = since
    for (let i = since - first.version + 1; i < this.#deltas.length && bytes < TARGET_BYTES; i++) {
      const delta = this.#deltas[i]!
      runs.push(delta.run)
      bytes += delta.run.length
      version = delta.version
    }
    return { version, next: undefined, runs }
  }

  /** All that is there, from part `from` on; the first page's version is where the deltas are to be taken from. */
  page(from: number): FeedAnswer {
    const runs: Uint8Array[] = []
    let bytes = 0
    let part = from
    for (; part < PARTS && bytes < TARGET_BYTES; part++) {
      const run = this.#part(part)
      if (run.length > 0) runs.push(run)
      bytes += run.length
    }
    return { version: this.#version, next: part < PARTS ? part : undefined, runs }
  }

  #part(part: number): Uint8Array {
    this.#parts[part] ??= concat([...this.#members[part]!].map((key) => this.#entries.get(key)!))
    return this.#parts[part]
  }
}

function partOf(key: string): number {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) >>> 0
  return hash % PARTS
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
