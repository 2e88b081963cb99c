/**
 * The one way bytes become values here. Messages are msgpack arrays of plain scalars, so a scan that allocates nothing
 * refuses all else (maps, extensions, deep nesting, counts beyond the input) before msgpackr sees a byte: hostile input
 * can neither build objects with chosen keys nor make the decoder allocate what was never sent.
 */
import { Packr } from 'msgpackr'
import { AtollError } from '../../model/errors.ts'
import { packCopy } from '../../model/packing.ts'

/** A message or frame that is not what the protocol allows. */
export class ProtocolError extends AtollError {
  constructor(message: string, cause?: unknown) {
    super('invalid', message, { cause })
  }
}

export const isProtocolError = (error: unknown): error is ProtocolError => error instanceof ProtocolError

const packr = new Packr({
  useRecords: false,
  mapsAsObjects: false,
  moreTypes: false,
  int64AsType: 'number',
  copyBuffers: true,
})

export type Plain = null | boolean | number | string | Uint8Array | readonly Plain[]

export const encode = (value: Plain): Uint8Array => packCopy(packr, value)

const MAX_DEPTH = 8

/** Values of `bytes`; ProtocolError for anything but one array of plain scalars with at most `maxItems` in all. */
export function decode(bytes: Uint8Array, limits: { maxBytes: number; maxItems: number }): readonly Plain[] {
  if (bytes.length > limits.maxBytes)
    throw new ProtocolError(`message of ${bytes.length} bytes, at most ${limits.maxBytes} allowed`)
  scan(bytes, limits.maxItems)
  let value: unknown
  try {
    value = packr.unpack(bytes)
  } catch (error) {
    throw new ProtocolError('message cannot be decoded', error)
  }
  if (!Array.isArray(value)) throw new ProtocolError('message is no array')
  return value
}

/** Bytes that follow a token whose length is fixed, by token. */
const FIXED: Readonly<Record<number, number>> = {
  192: 0,
  194: 0,
  195: 0,
  202: 4,
  203: 8,
  204: 1,
  205: 2,
  206: 4,
  207: 8,
  208: 1,
  209: 2,
  210: 4,
  211: 8,
}
/** Bytes of the length that follows a token of bin or str. */
const LENGTH: Readonly<Record<number, number>> = { 196: 1, 197: 2, 198: 4, 217: 1, 218: 2, 219: 4 }
/** Bytes of the count that follows a token of array. */
const COUNT: Readonly<Record<number, number>> = { 220: 2, 221: 4 }

/** Walks over msgpack without making values of it. */
class Scanner {
  readonly #bytes: Uint8Array
  #position = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#position === this.#bytes.length
  }

  #skip(size: number): void {
    if (size > this.#bytes.length - this.#position) throw new ProtocolError('message is cut off')
    this.#position += size
  }

  #uint(size: number): number {
    this.#skip(size)
    let value = 0
    for (let i = this.#position - size; i < this.#position; i++) value = value * 256 + this.#bytes[i]!
    return value
  }

  /** Passes one value, or the head of an array: then the number of its items, otherwise -1. */
  next(): number {
    const token = this.#uint(1)
    if (token <= 0x7f || token >= 0xe0) return -1
    if (token >= 0xa0 && token <= 0xbf) {
      this.#skip(token & 0x1f)
      return -1
    }
    if ((token & 0xf0) === 0x90) return this.#items(token & 0x0f)
    const count = COUNT[token]
    if (count !== undefined) return this.#items(this.#uint(count))
    const length = LENGTH[token]
    const size = length === undefined ? FIXED[token] : this.#uint(length)
    if (size === undefined)
      throw new ProtocolError(`message has a value of a kind that is not allowed (0x${token.toString(16)})`)
    this.#skip(size)
    return -1
  }

  /** Every item takes a byte at least, so a count above what is left is a lie. */
  #items(count: number): number {
    if (count > this.#bytes.length - this.#position) throw new ProtocolError('message is cut off')
    return count
  }
}

function scan(bytes: Uint8Array, maxItems: number): void {
  const scanner = new Scanner(bytes)
  /** Items still expected at each depth. */
  const open: number[] = []
  let items = 0
  do {
    if (open.length > 0) open[open.length - 1]! -= 1
    if (++items > maxItems) throw new ProtocolError(`message has more than ${maxItems} items`)
    const count = scanner.next()
    if (count >= 0 && open.push(count) > MAX_DEPTH) throw new ProtocolError('message is nested too deep')
    while (open.length > 0 && open[open.length - 1] === 0) open.pop()
  } while (open.length > 0)
  if (!scanner.atEnd) throw new ProtocolError('message has bytes behind its end')
}

/** Reads the items of one array in order, each checked; further ones are left alone (a later version's). */
export class Reader {
  readonly #items: readonly Plain[]
  readonly #what: string
  #next = 0

  constructor(items: Plain | undefined, what: string) {
    if (!Array.isArray(items)) throw new ProtocolError(`${what} is no array`)
    this.#items = items as readonly Plain[]
    this.#what = what
  }

  /** Nothing more: fields that a later version added are not there. */
  get ended(): boolean {
    return this.#next >= this.#items.length
  }

  #take(field: string): Plain {
    if (this.#next >= this.#items.length) throw new ProtocolError(`${this.#what} has no ${field}`)
    return this.#items[this.#next++]!
  }

  #fail(field: string, expected: string): never {
    throw new ProtocolError(`${this.#what}: ${field} must be ${expected}`)
  }

  /** A safe integer from 0. */
  integer(field: string, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#take(field)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max)
      this.#fail(field, `an integer from 0 to ${max}`)
    return value as number
  }

  /** A finite number from 0. */
  amount(field: string): number {
    const value = this.#take(field)
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) this.#fail(field, 'a number from 0')
    return value as number
  }

  text(field: string, maxLength: number): string {
    const value = this.#take(field)
    if (typeof value !== 'string' || value.length > maxLength || !value.isWellFormed())
      this.#fail(field, `a string of at most ${maxLength} characters`)
    return value as string
  }

  bytes(field: string, min: number, max: number): Uint8Array {
    const value = this.#take(field)
    if (!(value instanceof Uint8Array) || value.length < min || value.length > max)
      this.#fail(field, `${min === max ? min : `${min} to ${max}`} bytes`)
    return value as Uint8Array
  }

  optionalBytes(field: string, min: number, max: number): Uint8Array | null {
    if (this.#items[this.#next] !== null) return this.bytes(field, min, max)
    this.#next++
    return null
  }

  list(field: string, max: number): readonly Plain[] {
    const value = this.#take(field)
    if (!Array.isArray(value) || value.length > max) this.#fail(field, `a list of at most ${max}`)
    return value as readonly Plain[]
  }

  sub(field: string): Reader {
    return new Reader(this.#take(field), `${this.#what}.${field}`)
  }
}
