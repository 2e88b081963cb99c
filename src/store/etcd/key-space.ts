/**
 * Where a store's keys lie in an etcd that others may use as well. Below the prefix:
 *
 *   d/<key>          the store's own keys: what users of the store see
 *   e                identity of the store: epoch, owner, version of this layout
 *   h                the head: written when nothing else shows that a transaction happened
 *   m                bound to a lease: a migration reads the store
 *   p/<process>      bound to a lease: the process uses the store
 *   s/<process>/<n>  its slots, see `slots.ts`
 *
 * One watch covers `d/`, `e` and `h`. Whatever writes a slot also writes one of these, so the highest mod revision of a slot is
 * one that the watch is certain to reach.
 */
const encoder = new TextEncoder()

export interface ByteRange {
  readonly key: Uint8Array
  /** The first key after the range. */
  readonly rangeEnd: Uint8Array
}

export class KeySpace {
  readonly prefix: string
  readonly epoch: Uint8Array
  readonly head: Uint8Array
  readonly migration: Uint8Array
  readonly slots: ByteRange
  readonly processes: ByteRange
  /** What the watch of the store covers. */
  readonly watched: ByteRange
  readonly #dataPrefix: string
  readonly #dataLength: number
  readonly #end: Uint8Array

  /** `prefix` ends with '/'. */
  constructor(prefix: string) {
    this.prefix = prefix
    this.#dataPrefix = `${prefix}d/`
    this.#dataLength = Buffer.byteLength(this.#dataPrefix)
    this.#end = encoder.encode(`${prefix}d0`)
    this.epoch = encoder.encode(`${prefix}e`)
    this.head = encoder.encode(`${prefix}h`)
    this.migration = encoder.encode(`${prefix}m`)
    this.slots = this.#under('s')
    this.processes = this.#under('p')
    this.watched = { key: encoder.encode(`${prefix}d`), rangeEnd: encoder.encode(`${prefix}i`) }
  }

  /** Everything below `<name>/`: '0' comes right after '/'. */
  #under(name: string): ByteRange {
    return { key: encoder.encode(`${this.prefix}${name}/`), rangeEnd: encoder.encode(`${this.prefix}${name}0`) }
  }

  slotsOf(process: string): ByteRange {
    return this.#under(`s/${process}`)
  }

  slot(process: string, n: number): Uint8Array {
    return encoder.encode(`${this.prefix}s/${process}/${n}`)
  }

  process(process: string): Uint8Array {
    return encoder.encode(`${this.prefix}p/${process}`)
  }

  /** The name of a process in a key of `slots` or `processes`. */
  processIn(key: Uint8Array): string {
    return textOf(key, Buffer.byteLength(this.prefix) + 2).split('/')[0]!
  }

  data(key: string): Uint8Array {
    return encoder.encode(this.#dataPrefix + key)
  }

  dataRange(from: string, to: string): ByteRange {
    return { key: this.data(from), rangeEnd: to === '' ? this.#end : this.data(to) }
  }

  /** Whether a key of the watched range is one of `d/`: the others are a byte shorter than its prefix. */
  isData(key: Uint8Array): boolean {
    return key.byteLength >= this.#dataLength
  }

  /** The key as users of the store know it. */
  dataKey(key: Uint8Array): string {
    return textOf(key, this.#dataLength)
  }

  isEpoch(key: Uint8Array): boolean {
    return key.byteLength === this.epoch.byteLength && key.at(-1) === this.epoch.at(-1)
  }
}

/** A TextDecoder would swallow a byte order mark. */
const textOf = (bytes: Uint8Array, from: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8', from)

/** Whether two keys or values are the same bytes. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
