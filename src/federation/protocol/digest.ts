/**
 * Digest of everything a DC exports: 1,024 buckets by key, each the lane-wise sum (mod 2^32) of the SHA-256 of its
 * entries, under a Merkle tree of degree 32. A sum commutes, so a change costs one hash and the path to the root
 * two more, and buckets tell where two contents differ. The construction of a bucket is an incremental hash after
 * Bellare and Micciancio, "A new paradigm for collision-free hashing: incrementality at reduced cost" (1997).
 */
import { hash } from 'node:crypto'
import { BUCKET_HASH_BYTES, BUCKETS, DIGEST_BYTES } from './limits.ts'

const LANES = DIGEST_BYTES / 4
const FANOUT = 32
const GROUP_LANES = FANOUT * LANES

/** What the digest is over; a deletion is the absence of its entry. */
export interface Hashed {
  readonly key: string
  readonly createRevision: number
  readonly modRevision: number
  readonly value: Uint8Array
}

let scratch = Buffer.alloc(16 * 1024)

/** SHA-256 over lengths, revisions, key and value: 32 bytes of their own. */
export function hashEntry(entry: Hashed): Uint8Array {
  const worst = 20 + entry.key.length * 3 + entry.value.length
  if (worst > scratch.length) {
    // A single huge entry must not hold memory for good.
    if (worst > 256 * 1024) return hashInto(Buffer.alloc(worst), entry)
    scratch = Buffer.alloc(worst * 2)
  }
  return hashInto(scratch, entry)
}

function hashInto(buffer: Buffer, { key, createRevision, modRevision, value }: Hashed): Uint8Array {
  const keyBytes = buffer.write(key, 20, 'utf8')
  buffer.writeUInt32LE(keyBytes, 0)
  buffer.writeUInt32LE(createRevision >>> 0, 4)
  buffer.writeUInt32LE(Math.floor(createRevision / 2 ** 32), 8)
  buffer.writeUInt32LE(modRevision >>> 0, 12)
  buffer.writeUInt32LE(Math.floor(modRevision / 2 ** 32), 16)
  buffer.set(value, 20 + keyBytes)
  return hash('sha256', buffer.subarray(0, 20 + keyBytes + value.length), 'buffer')
}

/** Bucket of a key: the low ten bits of its FNV-1a hash over UTF-16 code units. */
export function bucketOf(key: string): number {
  let state = 0x811c9dc5
  for (let i = 0; i < key.length; i++) state = Math.imul(state ^ key.charCodeAt(i), 0x01000193)
  return (state ^ (state >>> 16)) & (BUCKETS - 1)
}

/** Bytes of the sums of one group of buckets, below one node of the tree. */
const GROUP_BYTES = FANOUT * DIGEST_BYTES
const EMPTY_GROUP_HASH = hash('sha256', new Uint8Array(GROUP_BYTES), 'buffer')

/** The sums and the tree above them. Knows no keys. Takes memory only for groups of buckets in which something is. */
export class BucketDigest {
  readonly #sums: (Uint32Array | undefined)[] = new Array(FANOUT).fill(undefined)
  #groups: Uint8Array | undefined
  /** One bit per group whose hash is out of date. */
  #dirty = 0
  #root: Uint8Array | undefined

  add(bucket: number, entryHash: Uint8Array): void {
    const sums = this.#touch(bucket)
    const base = (bucket % FANOUT) * LANES
    for (let lane = 0; lane < LANES; lane++) sums[base + lane]! += laneOf(entryHash, lane)
  }

  subtract(bucket: number, entryHash: Uint8Array): void {
    const sums = this.#touch(bucket)
    const base = (bucket % FANOUT) * LANES
    for (let lane = 0; lane < LANES; lane++) sums[base + lane]! -= laneOf(entryHash, lane)
  }

  /** The sums of the bucket's group, which are about to change. */
  #touch(bucket: number): Uint32Array {
    const group = Math.floor(bucket / FANOUT)
    this.#dirty |= 1 << group
    this.#root = undefined
    this.#sums[group] ??= new Uint32Array(GROUP_LANES)
    return this.#sums[group]
  }

  /** 32 bytes; the same array until something changes. */
  root(): Uint8Array {
    if (this.#root) return this.#root
    this.#groups ??= repeated(EMPTY_GROUP_HASH, FANOUT)
    for (let group = 0; group < FANOUT; group++) {
      if ((this.#dirty & (1 << group)) === 0) continue
      this.#groups.set(hash('sha256', littleEndian(this.#sums[group]!), 'buffer'), group * DIGEST_BYTES)
    }
    this.#dirty = 0
    this.#root = hash('sha256', this.#groups, 'buffer')
    return this.#root
  }

  /** The first bytes of every bucket's sum, for a repair request. */
  bucketHashes(): Uint8Array {
    const out = new Uint8Array(BUCKETS * BUCKET_HASH_BYTES)
    this.#sums.forEach((sums, group) => {
      if (!sums) return
      const all = littleEndian(sums)
      for (let i = 0; i < FANOUT; i++) {
        const from = i * DIGEST_BYTES
        out.set(all.subarray(from, from + BUCKET_HASH_BYTES), (group * FANOUT + i) * BUCKET_HASH_BYTES)
      }
    })
    return out
  }

  /** A copy with the listed buckets emptied. */
  without(buckets: ReadonlySet<number>): BucketDigest {
    const copy = new BucketDigest()
    this.#sums.forEach((sums, group) => {
      copy.#sums[group] = sums?.slice()
      if (sums) copy.#dirty |= 1 << group
    })
    for (const bucket of buckets) {
      const base = (bucket % FANOUT) * LANES
      copy.#sums[Math.floor(bucket / FANOUT)]?.fill(0, base, base + LANES)
    }
    return copy
  }
}

function repeated(bytes: Uint8Array, times: number): Uint8Array {
  const out = new Uint8Array(bytes.length * times)
  for (let i = 0; i < times; i++) out.set(bytes, i * bytes.length)
  return out
}

/** Buckets whose hashes differ; both of BUCKETS x BUCKET_HASH_BYTES. */
export function differingBuckets(a: Uint8Array, b: Uint8Array): Set<number> {
  const out = new Set<number>()
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) out.add(Math.floor(i / BUCKET_HASH_BYTES))
  return out
}

const laneOf = (bytes: Uint8Array, lane: number): number => {
  const i = lane * 4
  return (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)) >>> 0
}

const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

function littleEndian(lanes: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(lanes.buffer, lanes.byteOffset, lanes.byteLength)
  if (HOST_IS_LITTLE_ENDIAN) return bytes
  const out = new Uint8Array(bytes.length)
  const view = new DataView(out.buffer)
  lanes.forEach((lane, i) => {
    view.setUint32(i * 4, lane, true)
  })
  return out
}

/** Room for the first keys' hashes; it doubles when it is full. */
const FIRST_SLOTS = 32

/** A digest that remembers each key's hash, so that a change needs only what is new. */
export class KeyedDigest {
  readonly #buckets = new BucketDigest()
  /** Where a key's hash lies in `#hashes`. */
  readonly #slots = new Map<string, number>()
  readonly #free: number[] = []
  #hashes = new Uint8Array(FIRST_SLOTS * DIGEST_BYTES)

  get size(): number {
    return this.#slots.size
  }

  has(key: string): boolean {
    return this.#slots.has(key)
  }

  /** A copy of the hash of a key's entry. */
  hashOf(key: string): Uint8Array | undefined {
    const slot = this.#slots.get(key)
    return slot === undefined ? undefined : this.#at(slot).slice()
  }

  #at(slot: number): Uint8Array {
    return this.#hashes.subarray(slot * DIGEST_BYTES, (slot + 1) * DIGEST_BYTES)
  }

  set(key: string, entryHash: Uint8Array): void {
    const bucket = bucketOf(key)
    let slot = this.#slots.get(key)
    if (slot === undefined) {
      slot = this.#free.pop() ?? this.#slots.size
      if ((slot + 1) * DIGEST_BYTES > this.#hashes.length) {
        const grown = new Uint8Array(this.#hashes.length * 2)
        grown.set(this.#hashes)
        this.#hashes = grown
      }
      this.#slots.set(key, slot)
    } else {
      this.#buckets.subtract(bucket, this.#at(slot))
    }
    this.#hashes.set(entryHash, slot * DIGEST_BYTES)
    this.#buckets.add(bucket, entryHash)
  }

  delete(key: string): void {
    const slot = this.#slots.get(key)
    if (slot === undefined) return
    this.#buckets.subtract(bucketOf(key), this.#at(slot))
    this.#slots.delete(key)
    this.#free.push(slot)
  }

  root(): Uint8Array {
    return this.#buckets.root()
  }

  bucketHashes(): Uint8Array {
    return this.#buckets.bucketHashes()
  }

  /** The sums alone, without the listed buckets: where a repair begins. */
  without(buckets: ReadonlySet<number>): BucketDigest {
    return this.#buckets.without(buckets)
  }
}

export const EMPTY_DIGEST: Uint8Array = new BucketDigest().root()

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
