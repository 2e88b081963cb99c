import { compareKeys } from '../model/keys.ts'

interface Chunk<V> {
  readonly keys: string[]
  readonly values: V[]
  /** Highest rank among the values. */
  rank: number
}

const CHUNK = 512

/** Whether a key holds code units whose order differs between UTF-16 and UTF-8. */
const WIDE = /[\ud800-\uffff]/

/**
 * A map in the order of the keys' UTF-8 bytes (`compareKeys`): a list of sorted chunks of at most 512 entries each, so that
 * insertion and deletion move a few hundred pointers, and ranges are scans. Each value has a rank (a revision), of which the
 * highest in any range is found by chunks.
 */
export class SortedMap<V> {
  #chunks: Chunk<V>[] = []
  #size = 0
  /** No key is wide yet: native comparison orders them the same, and much faster. */
  #narrow = true
  readonly #rankOf: (value: V) => number

  constructor(rankOf: (value: V) => number = () => 0) {
    this.#rankOf = rankOf
  }

  get size(): number {
    return this.#size
  }

  get(key: string): V | undefined {
    const chunk = this.#chunks[this.#chunkOf(key)]
    if (!chunk) return undefined
    const at = this.#positionIn(chunk, key)
    return chunk.keys[at] === key ? chunk.values[at] : undefined
  }

  has(key: string): boolean {
    const chunk = this.#chunks[this.#chunkOf(key)]
    return chunk !== undefined && chunk.keys[this.#positionIn(chunk, key)] === key
  }

  set(key: string, value: V): void {
    if (this.#narrow && WIDE.test(key)) this.#narrow = false
    const rank = this.#rankOf(value)
    const last = this.#chunks.at(-1)
    if (!last) {
      this.#chunks.push({ keys: [key], values: [value], rank })
      this.#size++
      return
    }
    // Loading comes in order: the end is the common place.
    if (this.#less(last.keys[last.keys.length - 1]!, key)) this.#append(last, key, value, rank)
    else this.#insert(key, value, rank)
  }

  delete(key: string): boolean {
    const index = this.#chunkOf(key)
    const chunk = this.#chunks[index]
    if (!chunk) return false
    const at = this.#positionIn(chunk, key)
    if (chunk.keys[at] !== key) return false
    const rank = this.#rankOf(chunk.values[at]!)
    chunk.keys.splice(at, 1)
    chunk.values.splice(at, 1)
    this.#size--
    if (chunk.keys.length === 0) this.#chunks.splice(index, 1)
    else {
      if (rank >= chunk.rank) this.#rerank(chunk)
      this.#joinWithNext(index)
    }
    return true
  }

  clear(): void {
    this.#chunks = []
    this.#size = 0
    this.#narrow = true
  }

  /** Entries with from <= key < to; `to` = '' means to the end. The map must not change meanwhile. */
  *range(from = '', to = ''): Generator<[key: string, value: V]> {
    for (let i = this.#chunkOf(from); i < this.#chunks.length; i++) {
      const { keys, values } = this.#chunks[i]!
      for (let at = this.#positionIn(this.#chunks[i]!, from); at < keys.length; at++) {
        if (to !== '' && !this.#less(keys[at]!, to)) return
        yield [keys[at]!, values[at]!]
      }
    }
  }

  /** As `range`, without a generator's cost. */
  valuesIn(from: string, to: string): V[] {
    const found: V[] = []
    for (let i = this.#chunkOf(from); i < this.#chunks.length; i++) {
      const chunk = this.#chunks[i]!
      const whole = to === '' || this.#less(chunk.keys[chunk.keys.length - 1]!, to)
      const end = whole ? chunk.keys.length : this.#positionIn(chunk, to)
      for (let at = this.#positionIn(chunk, from); at < end; at++) found.push(chunk.values[at]!)
      if (!whole) break
    }
    return found
  }

  /** First key at or after `from`. */
  keyFrom(from: string): string | undefined {
    const chunk = this.#chunks[this.#chunkOf(from)]
    return chunk?.keys[this.#positionIn(chunk, from)]
  }

  /** Highest rank of a value in the range; 0 when it is empty. */
  rankIn(from: string, to: string): number {
    let highest = 0
    const first = this.#chunkOf(from)
    for (let i = first; i < this.#chunks.length; i++) {
      const chunk = this.#chunks[i]!
      const whole = to === '' || this.#less(chunk.keys[chunk.keys.length - 1]!, to)
      const start = i === first ? this.#positionIn(chunk, from) : 0
      if (whole && start === 0) {
        if (chunk.rank > highest) highest = chunk.rank
        continue
      }
      const end = whole ? chunk.keys.length : this.#positionIn(chunk, to)
      for (let at = start; at < end; at++) highest = Math.max(highest, this.#rankOf(chunk.values[at]!))
      if (!whole) break
    }
    return highest
  }

  #less(a: string, b: string): boolean {
    // A wide key on one side sorts after narrow ones either way; only two wide ones differ.
    return this.#narrow ? a < b : compareKeys(a, b) < 0
  }

  /** The first chunk whose last key is not below `key`; the number of chunks when there is none. */
  #chunkOf(key: string): number {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const { keys } = this.#chunks[middle]!
      if (this.#less(keys[keys.length - 1]!, key)) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Where `key` is or belongs in the chunk. */
  #positionIn(chunk: Chunk<V>, key: string): number {
    let low = 0
    let high = chunk.keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#less(chunk.keys[middle]!, key)) low = middle + 1
      else high = middle
    }
    return low
  }

  #append(last: Chunk<V>, key: string, value: V, rank: number): void {
    this.#size++
    if (last.keys.length >= CHUNK) {
      this.#chunks.push({ keys: [key], values: [value], rank })
      return
    }
    last.keys.push(key)
    last.values.push(value)
    if (rank > last.rank) last.rank = rank
  }

  #insert(key: string, value: V, rank: number): void {
    const index = this.#chunkOf(key)
    const chunk = this.#chunks[index]!
    const at = this.#positionIn(chunk, key)
    if (chunk.keys[at] === key) {
      const before = this.#rankOf(chunk.values[at]!)
      chunk.values[at] = value
      if (rank >= chunk.rank) chunk.rank = rank
      else if (before >= chunk.rank) this.#rerank(chunk)
      return
    }
    chunk.keys.splice(at, 0, key)
    chunk.values.splice(at, 0, value)
    if (rank > chunk.rank) chunk.rank = rank
    this.#size++
    if (chunk.keys.length > CHUNK) this.#split(index)
  }

  #split(index: number): void {
    const chunk = this.#chunks[index]!
    const half = chunk.keys.length >>> 1
    const upper: Chunk<V> = { keys: chunk.keys.splice(half), values: chunk.values.splice(half), rank: 0 }
    this.#rerank(upper)
    this.#rerank(chunk)
    this.#chunks.splice(index + 1, 0, upper)
  }

  /** Keeps chunks from withering when keys go away. */
  #joinWithNext(index: number): void {
    const chunk = this.#chunks[index]!
    const next = this.#chunks[index + 1]
    if (!next || chunk.keys.length + next.keys.length > CHUNK / 2) return
    for (let at = 0; at < next.keys.length; at++) {
      chunk.keys.push(next.keys[at]!)
      chunk.values.push(next.values[at]!)
    }
    chunk.rank = Math.max(chunk.rank, next.rank)
    this.#chunks.splice(index + 1, 1)
  }

  #rerank(chunk: Chunk<V>): void {
    let rank = 0
    for (const value of chunk.values) rank = Math.max(rank, this.#rankOf(value))
    chunk.rank = rank
  }
}
