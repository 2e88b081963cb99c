/**
 * What a DC exports, as its publisher and each replica of it hold it: entries in pages, in the order of their keys, and their
 * digest. A copy shares the pages until one side changes them, so it costs a list of references.
 */
import type { AppliedChange, ExportedChange, ExportedEntry } from '../federation.ts'
import { ProtocolError } from './codec.ts'
import { BucketDigest, bucketOf, bucketOfBytes, equalBytes, hashBytes } from './digest.ts'
import { MAX_REPLICA_ENTRIES } from './limits.ts'
import { PAGE_BYTES, Page, packRecord, RECORD_HEAD_BYTES, type RecordView } from './page.ts'

export const isEntry = (change: ExportedChange): change is ExportedEntry => change.value !== null

/** An entry without a copy of its value, which is valid until the content changes. */
export type { RecordView } from './page.ts'

const hashOf = (view: RecordView): Uint8Array => hashBytes(view.hashed)
export const bucketAt = (view: RecordView): number => {
  const from = view.at + RECORD_HEAD_BYTES
  return bucketOfBytes(view.bytes, from, from + view.keyBytes)
}
const bucketOfRecord = (record: Buffer): number =>
  bucketOfBytes(record, RECORD_HEAD_BYTES, RECORD_HEAD_BYTES + record.readUInt32LE(4))

const probe = (key: string): Buffer =>
  packRecord({ key, value: NOTHING, createRevision: 0, modRevision: 0 } as ExportedEntry)
const NOTHING = new Uint8Array()

export class Content {
  #digest = new BucketDigest()
  #pages: Page[] = []
  #size = 0
  #bytes = 0

  /** Number of entries. */
  get size(): number {
    return this.#size
  }
  /** Bytes of all pages. */
  get bytes(): number {
    return this.#bytes
  }
  root(): Uint8Array {
    return this.#digest.root()
  }
  bucketHashes(): Uint8Array {
    return this.#digest.bucketHashes()
  }

  /** The same content, from now on apart. */
  clone(): Content {
    const copy = new Content()
    copy.#pages = [...this.pages()]
    copy.#digest = this.#digest.copy()
    copy.#size = this.#size
    copy.#bytes = this.#bytes
    return copy
  }

  /** Takes over what `other` holds, which is not to be used any more. */
  become(other: Content): void {
    this.#pages = other.#pages
    this.#digest = other.#digest
    this.#size = other.#size
    this.#bytes = other.#bytes
  }

  /** All pages as they are now; they stay so, whatever becomes of this content. */
  pages(): readonly Page[] {
    for (const page of this.#pages) page.shared = true
    return this.#pages.slice()
  }

  /** With a value of its own. */
  get(key: string): ExportedEntry | undefined {
    const record = probe(key)
    const page = this.#pages[this.#pageOf(record)]
    if (!page) return undefined
    const index = page.indexOf(record)
    return page.isAt(index, record) ? page.view(index).entry() : undefined
  }

  has(key: string): boolean {
    const record = probe(key)
    const page = this.#pages[this.#pageOf(record)]
    return page?.isAt(page.indexOf(record), record) ?? false
  }

  /** Whether this very entry is there. */
  holds(entry: RecordView): boolean {
    const record = entry.bytes.subarray(entry.at, entry.at + entry.size)
    const page = this.#pages[this.#pageOf(record)]
    const index = page?.indexOf(record) ?? 0
    if (!page?.isAt(index, record)) return false
    const own = page.view(index)
    return own.bytes.subarray(own.at, own.at + own.size).equals(record)
  }

  /** Entries whose key begins with `prefix`, in order of their keys. The content must not change meanwhile. */
  *under(prefix: string): Generator<RecordView> {
    const record = probe(prefix)
    const end = RECORD_HEAD_BYTES + record.readUInt32LE(4)
    const start = Buffer.from(record.subarray(RECORD_HEAD_BYTES, end))
    let index = this.#pageOf(record)
    let from = this.#pages[index]?.indexOf(record) ?? 0
    for (; index < this.#pages.length; index++, from = 0) {
      for (const view of this.#pages[index]!.views(from)) {
        if (!view.keyStartsWith(start)) return
        yield view
      }
    }
  }

  /** All of it, each value a copy: for tests. */
  entries(): ExportedEntry[] {
    return this.#pages.flatMap((page) => [...page.views()].map((view) => view.entry()))
  }

  /** Takes over a page whose keys are above all that are there. ProtocolError when they are not, or not of these buckets. */
  append(page: Page, buckets?: ReadonlySet<number>): void {
    const last = this.#pages.at(-1)
    if (last && !page.startsAfter(last)) throw new ProtocolError('content: a page is out of order')
    for (const view of page.views()) {
      const bucket = bucketAt(view)
      if (buckets && !buckets.has(bucket))
        throw new ProtocolError('content: an entry of a bucket that was not announced')
      this.#digest.add(bucket, hashOf(view))
    }
    this.#pages.push(page)
    this.#size += page.count
    this.#bytes += page.size
  }

  /** Adds the entry, or puts it in place of the one with its key. */
  put(entry: ExportedEntry): void {
    const record = packRecord(entry)
    const last = this.#pages.at(-1)
    // Whole contents come in the order of their keys.
    if (!last || last.compareLast(record) > 0) this.#putLast(last, record)
    else this.#splice(record, true)
  }

  delete(key: string): void {
    this.#splice(probe(key), false)
  }

  #putLast(last: Page | undefined, record: Buffer): void {
    this.#digest.add(bucketOfRecord(record), hashBytes(record.subarray(4)))
    this.#size++
    this.#bytes += record.length
    if (!last || last.size + record.length > PAGE_BYTES) this.#pages.push(Page.of(record))
    else this.#own(this.#pages.length - 1).append(record)
  }

  #splice(record: Buffer, puts: boolean): void {
    const at = this.#pageOf(record)
    if (at >= this.#pages.length) return
    const index = this.#pages[at]!.indexOf(record)
    const replaces = this.#pages[at]!.isAt(index, record)
    if (!replaces && !puts) return
    const page = this.#own(at)
    const bucket = bucketOfRecord(record)
    const before = page.size
    if (replaces) this.#digest.subtract(bucket, hashOf(page.view(index)))
    if (puts) this.#digest.add(bucket, hashBytes(record.subarray(4)))
    page.splice(index, replaces, puts ? record : undefined)
    this.#size += (puts ? 1 : 0) - (replaces ? 1 : 0)
    this.#bytes += page.size - before
    if (page.count === 0) this.#pages.splice(at, 1)
    else if (page.size > 2 * PAGE_BYTES) this.#split(at)
  }

  #split(at: number): void {
    const upper = this.#pages[at]!.split()
    if (upper) this.#pages.splice(at + 1, 0, upper)
  }

  /** The page, not shared with anybody. */
  #own(at: number): Page {
    const page = this.#pages[at]!
    if (!page.shared) return page
    const copy = page.copy()
    this.#pages[at] = copy
    return copy
  }

  /** The last page whose first key is not above the record's; the first one when there is none. */
  #pageOf(record: Buffer): number {
    let low = 0
    let high = this.#pages.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#pages[middle]!.compareFirst(record) < 0) high = middle
      else low = middle + 1
    }
    return Math.max(0, low - 1)
  }

  #hashOfKey(key: string): Uint8Array | undefined {
    const record = probe(key)
    const page = this.#pages[this.#pageOf(record)]
    const index = page?.indexOf(record) ?? 0
    return page?.isAt(index, record) ? hashOf(page.view(index)) : undefined
  }

  /** Applies `changes` when the result has the digest `expected`; otherwise nothing changed, and undefined. */
  tryChanges(changes: readonly ExportedChange[], expected: Uint8Array): readonly AppliedChange[] | undefined {
    if (this.#size + changes.length > MAX_REPLICA_ENTRIES) return undefined
    const undo: [bucket: number, former: Uint8Array | undefined, hash: Uint8Array | undefined][] = []
    /** Of keys that change twice. */
    const last = new Map<string, Uint8Array | undefined>()
    for (const change of changes) {
      const { key } = change
      const bucket = bucketOf(key)
      const former = last.has(key) ? last.get(key) : this.#hashOfKey(key)
      const hash = isEntry(change) ? hashBytes(packRecord(change).subarray(4)) : undefined
      if (former) this.#digest.subtract(bucket, former)
      if (hash) this.#digest.add(bucket, hash)
      undo.push([bucket, former, hash])
      last.set(key, hash)
    }
    const matches = equalBytes(this.#digest.root(), expected)
    for (const [bucket, former, hash] of undo.reverse()) {
      if (hash) this.#digest.subtract(bucket, hash)
      if (former) this.#digest.add(bucket, former)
    }
    return matches ? changes.map((change) => this.apply(change)) : undefined
  }

  /** What became of the key, with the value that it had. */
  apply(change: ExportedChange): AppliedChange {
    const former = this.get(change.key)?.value
    if (isEntry(change)) this.put(change)
    else this.delete(change.key)
    return { ...change, former }
  }
}
