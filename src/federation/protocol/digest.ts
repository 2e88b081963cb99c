/**
 * Digest of everything a DC exports: 1,024 buckets by key, each the lane-wise sum (mod 2^32) of the SHA-256 of its
 * entries, under a Merkle tree of degree 32. A sum commutes, so a change costs one hash and the path to the root
 * two more, and buckets tell where two contents differ. The construction of a bucket is an incremental hash after
 * Bellare and Micciancio, "A new paradigm for collision-free hashing: incrementality at reduced cost" (1997).
 */
import { hash } from 'node:crypto'
import type { ExportedEntry } from '../federation.ts'
import { BUCKET_HASH_BYTES, BUCKETS, DIGEST_BYTES } from './limits.ts'
import { packRecord } from './page.ts'

const LANES = DIGEST_BYTES / 4
const FANOUT = 32
const GROUP_LANES = FANOUT * LANES

/** SHA-256 over lengths, revisions, key and value: 32 bytes of their own. */
export const hashEntry = (entry: ExportedEntry): Uint8Array => hashBytes(packRecord(entry).subarray(4))

/** SHA-256: 32 bytes of their own. */
export const hashBytes = (bytes: Uint8Array): Uint8Array => hash('sha256', bytes, 'buffer')

/** Bucket of a key: the low ten bits of its FNV-1a hash over UTF-16 code units. */
export function bucketOf(key: string): number {
  let state = 0x811c9dc5
  for (let i = 0; i < key.length; i++) state = Math.imul(state ^ key.charCodeAt(i), 0x01000193)
  return (state ^ (state >>> 16)) & (BUCKETS - 1)
}

/** Bytes of the sums of one group of buckets, below one node of the tree. */
const GROUP_BYTES = FANOUT * DIGEST_BYTES
const EMPTY_GROUP_HASH = hash('sha256', new Uint8Array(GROUP_BYTES), 'buffer')

/** As `bucketOf`, of the key's UTF-8 bytes. */
export function bucketOfBytes(bytes: Buffer, from: number, to: number): number {
  let state = 0x811c9dc5
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!
    if (byte >= 0x80) return bucketOf(bytes.toString('utf8', from, to))
    state = Math.imul(state ^ byte, 0x01000193)
  }
  return (state ^ (state >>> 16)) & (BUCKETS - 1)
}

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

  copy(): BucketDigest {
    const copy = new BucketDigest()
    this.#sums.forEach((sums, group) => {
      copy.#sums[group] = sums?.slice()
    })
    copy.#groups = this.#groups?.slice()
    copy.#dirty = this.#dirty
    copy.#root = this.#root
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

export const EMPTY_DIGEST: Uint8Array = new BucketDigest().root()

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
