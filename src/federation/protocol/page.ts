/**
 * A page: records in the order of their keys' bytes, packed into one piece of memory. A replica is a list of pages, a
 * snapshot sends them as they are, and a file keeps them as they are.
 *
 * Record, little endian: u32 bytes of the value, u32 bytes of the key, u64 create revision, u64 modify revision, key
 * (UTF-8), value. What follows the first field is exactly what an entry's hash is over.
 */
import type { ExportedEntry } from '../federation.ts'
import { ProtocolError } from './codec.ts'
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from './limits.ts'

export const RECORD_HEAD_BYTES = 24
/** Pages are filled up to this, and cut in two when they grow beyond twice as much; a larger entry has one of its own. */
export const PAGE_BYTES = 48 * 1024
/** UTF-8 takes three bytes for each unit of a key at most. */
const MAX_PACKED_KEY_BYTES = 3 * MAX_KEY_BYTES
/** The largest page there can be. */
export const MAX_PAGE_BYTES = Math.max(2 * PAGE_BYTES, RECORD_HEAD_BYTES + MAX_PACKED_KEY_BYTES + MAX_VALUE_BYTES)

const readU64 = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32

function writeU64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value >>> 0, at)
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

/** Bytes that an entry takes in a page, at most. */
const worstSize = (entry: ExportedEntry): number => RECORD_HEAD_BYTES + entry.key.length * 3 + entry.value.length

let scratch = Buffer.allocUnsafeSlow(16 * 1024)
/** Of the page that is parsed; one with more records, which are very small then, works them out when they are asked for. */
const OFFSETS = new Uint32Array(1024)

/** The entry as a record; good until the next call. */
export function packRecord(entry: ExportedEntry): Buffer {
  const worst = worstSize(entry)
  let bytes = scratch
  if (worst > scratch.length) {
    bytes = Buffer.allocUnsafe(worst)
    // A single huge entry must not hold memory for good.
    if (worst <= 256 * 1024) scratch = bytes
  }
  const keyBytes = bytes.write(entry.key, RECORD_HEAD_BYTES, 'utf8')
  bytes.writeUInt32LE(entry.value.length, 0)
  bytes.writeUInt32LE(keyBytes, 4)
  writeU64(bytes, 8, entry.createRevision)
  writeU64(bytes, 16, entry.modRevision)
  bytes.set(entry.value, RECORD_HEAD_BYTES + keyBytes)
  return bytes.subarray(0, RECORD_HEAD_BYTES + keyBytes + entry.value.length)
}

/** One record within a page's bytes. */
export class RecordView {
  readonly bytes: Buffer
  readonly at: number

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes
    this.at = at
  }

  get keyBytes(): number {
    return this.bytes.readUInt32LE(this.at + 4)
  }
  get size(): number {
    return sizeAt(this.bytes, this.at)
  }
  get key(): string {
    return keyAt(this.bytes, this.at)
  }
  get createRevision(): number {
    return readU64(this.bytes, this.at + 8)
  }
  get modRevision(): number {
    return readU64(this.bytes, this.at + 16)
  }
  /** Shares the page's memory. No Buffer, whose `slice` would share it too. */
  get value(): Uint8Array {
    const { buffer, byteOffset } = this.bytes
    const from = byteOffset + this.at + RECORD_HEAD_BYTES + this.keyBytes
    return new Uint8Array(buffer, from, this.bytes.readUInt32LE(this.at))
  }
  /** What the entry's hash is over. */
  get hashed(): Buffer {
    return this.bytes.subarray(this.at + 4, this.at + this.size)
  }
  keyStartsWith(start: Uint8Array): boolean {
    if (this.keyBytes < start.length) return false
    const from = this.at + RECORD_HEAD_BYTES
    for (let i = start.length - 1; i >= 0; i--) if (this.bytes[from + i] !== start[i]) return false
    return true
  }
  /** With a value of its own. */
  entry(): ExportedEntry {
    return {
      key: this.key,
      value: new Uint8Array(this.value),
      createRevision: this.createRevision,
      modRevision: this.modRevision,
    }
  }
}

export const sizeAt = (bytes: Buffer, at: number): number =>
  RECORD_HEAD_BYTES + bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4)

const keyAt = (bytes: Buffer, at: number): string => {
  const from = at + RECORD_HEAD_BYTES
  return bytes.toString('utf8', from, from + bytes.readUInt32LE(at + 4))
}

/**
 * The keys of two records in the order of their bytes. Keys are short and mostly differ late: a loop takes less time than
 * the call of Buffer.compare, whose ranges Deno 2.9 also mixes up.
 */
function compareKeysAt(a: Buffer, atA: number, b: Buffer, atB: number): number {
  const sizeA = a.readUInt32LE(atA + 4)
  const sizeB = b.readUInt32LE(atB + 4)
  const size = Math.min(sizeA, sizeB)
  const fromA = atA + RECORD_HEAD_BYTES
  const fromB = atB + RECORD_HEAD_BYTES
  for (let i = 0; i < size; i++) {
    const difference = a[fromA + i]! - b[fromB + i]!
    if (difference !== 0) return difference
  }
  return sizeA - sizeB
}

export class Page {
  #bytes: Buffer
  #used: number
  /** Where each record begins; worked out when somebody looks for one. */
  #offsets: Uint32Array | undefined
  #count: number
  #last: number
  /** Somebody else reads it too: it must not change any more. */
  shared = false

  private constructor(bytes: Buffer, used: number, count: number, last: number) {
    this.#bytes = bytes
    this.#used = used
    this.#count = count
    this.#last = last
  }

  static of(record: Buffer): Page {
    return new Page(Buffer.from(record), record.length, 1, 0)
  }

  /**
   * Takes over bytes that came from elsewhere, without a copy. ProtocolError unless they are whole records in order, with
   * nothing that no entry may have.
   */
  static parse(given: Uint8Array): Page {
    const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength)
    if (bytes.length > MAX_PAGE_BYTES) throw new ProtocolError(`page of ${bytes.length} bytes`)
    let count = 0
    let last = -1
    for (let at = 0; at < bytes.length; count++) {
      if (bytes.length - at < RECORD_HEAD_BYTES) throw new ProtocolError('page is cut off')
      const size = sizeAt(bytes, at)
      if (size > bytes.length - at) throw new ProtocolError('page is cut off')
      assertRecord(bytes, at)
      if (last >= 0 && compareKeysAt(bytes, last, bytes, at) >= 0)
        throw new ProtocolError('page: keys are out of order')
      if (count < OFFSETS.length) OFFSETS[count] = at
      last = at
      at += size
    }
    if (last < 0) throw new ProtocolError('page is empty')
    const page = new Page(bytes, bytes.length, count, last)
    // Now they are known: who looks for a hundred records would else walk through as many pages.
    if (count <= OFFSETS.length) page.#offsets = OFFSETS.slice(0, count)
    return page
  }

  get count(): number {
    return this.#count
  }
  get size(): number {
    return this.#used
  }
  /** As they are sent and kept. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#used)
  }
  get lastKey(): string {
    return keyAt(this.#bytes, this.#last)
  }

  copy(): Page {
    return new Page(Buffer.from(this.#bytes.subarray(0, this.#used)), this.#used, this.#count, this.#last)
  }

  /** Below, at or above 0: how the record's key compares with the page's first, or last. */
  compareFirst(record: Buffer): number {
    return compareKeysAt(record, 0, this.#bytes, 0)
  }
  compareLast(record: Buffer): number {
    return compareKeysAt(record, 0, this.#bytes, this.#last)
  }
  startsAfter(other: Page): boolean {
    return compareKeysAt(this.#bytes, 0, other.#bytes, other.#last) > 0
  }

  /** Index of the first record whose key is not below the one given. */
  indexOf(record: Buffer): number {
    const offsets = this.#offsetsNow()
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareKeysAt(this.#bytes, offsets[middle]!, record, 0) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
  isAt(index: number, record: Buffer): boolean {
    return index < this.#count && compareKeysAt(this.#bytes, this.#offsetsNow()[index]!, record, 0) === 0
  }

  /** Valid until the page changes. */
  view(index: number): RecordView {
    return new RecordView(this.#bytes, this.#offsetsNow()[index]!)
  }
  *views(from = 0): Generator<RecordView> {
    if (from >= this.#count) return
    let at = from === 0 ? 0 : this.#offsetsNow()[from]!
    while (at < this.#used) {
      yield new RecordView(this.#bytes, at)
      at += sizeAt(this.#bytes, at)
    }
  }

  /** Puts the record behind all others; its key must be above theirs. */
  append(record: Buffer): void {
    this.#reserve(record.length)
    this.#bytes.set(record, this.#used)
    this.#last = this.#used
    this.#used += record.length
    this.#count++
    this.#offsets = undefined
  }

  /** Puts the record at `index`, in place of the one there when it `replaces` it. */
  splice(index: number, replaces: boolean, record: Buffer | undefined): void {
    const at = index < this.#count ? this.#offsetsNow()[index]! : this.#used
    const end = replaces ? at + sizeAt(this.#bytes, at) : at
    const added = record?.length ?? 0
    this.#reserve(added - (end - at))
    this.#bytes.copyWithin(at + added, end, this.#used)
    if (record) this.#bytes.set(record, at)
    this.#used += added - (end - at)
    this.#count += (record ? 1 : 0) - (replaces ? 1 : 0)
    this.#offsets = undefined
    this.#last = this.#count === 0 ? 0 : this.#offsetsNow()[this.#count - 1]!
  }

  /** The upper half becomes a page of its own; undefined when there is one record only. */
  split(): Page | undefined {
    if (this.#count < 2) return undefined
    const offsets = this.#offsetsNow()
    let index = 1
    while (index < this.#count - 1 && offsets[index]! < this.#used / 2) index++
    const at = offsets[index]!
    const upper = new Page(
      Buffer.from(this.#bytes.subarray(at, this.#used)),
      this.#used - at,
      this.#count - index,
      this.#last - at,
    )
    this.#last = offsets[index - 1]!
    this.#bytes = Buffer.from(this.#bytes.subarray(0, at))
    this.#used = at
    this.#count = index
    this.#offsets = undefined
    return upper
  }

  #reserve(more: number): void {
    const needed = this.#used + more
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.min(needed * 2, needed + 8192))
    grown.set(this.#bytes.subarray(0, this.#used))
    this.#bytes = grown
  }

  #offsetsNow(): Uint32Array {
    if (this.#offsets) return this.#offsets
    const offsets = new Uint32Array(this.#count)
    for (let at = 0, i = 0; at < this.#used; at += sizeAt(this.#bytes, at)) offsets[i++] = at
    this.#offsets = offsets
    return offsets
  }
}

function assertRecord(bytes: Buffer, at: number): void {
  const keyBytes = bytes.readUInt32LE(at + 4)
  if (keyBytes > MAX_PACKED_KEY_BYTES || bytes.readUInt32LE(at) > MAX_VALUE_BYTES)
    throw new ProtocolError('page: an entry is larger than it may be')
  const create = readU64(bytes, at + 8)
  const mod = readU64(bytes, at + 16)
  if (mod > Number.MAX_SAFE_INTEGER || create > mod) throw new ProtocolError('page: an entry has no valid revisions')
}
