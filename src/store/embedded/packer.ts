/**
 * Messages between the store and its worker are two arrays: numbers, and the bytes of keys and values. Both are handed
 * over, not copied; cloning objects would cost more than the transactions (and a small view of a large buffer would be
 * cloned with all of it). Keys and values stand in `numbers` as offset and length.
 */
export interface Packed {
  readonly numbers: Float64Array<ArrayBuffer>
  readonly bytes: Uint8Array<ArrayBuffer>
}

const encoder = new TextEncoder()
// Without `ignoreBOM` a key that begins with U+FEFF would lose it.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
/** Up to here a loop beats the decoder. */
const SHORT_TEXT = 48

export class Packer {
  #numbers = new Float64Array(256)
  #count = 0
  #bytes = new Uint8Array(4096)
  #length = 0

  get count(): number {
    return this.#count
  }

  get byteLength(): number {
    return this.#length
  }

  number(value: number): void {
    if (this.#count === this.#numbers.length) this.#numbers = grown(this.#numbers, Float64Array, this.#count + 1)
    this.#numbers[this.#count++] = value
  }

  /** Overwrites what was written there. */
  set(index: number, value: number): void {
    this.#numbers[index] = value
  }

  /** Well-formed text: two numbers. */
  text(value: string): void {
    this.#reserve(value.length * 3)
    const start = this.#length
    const bytes = this.#bytes
    let at = start
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i)
      if (code > 127) {
        at = start + encoder.encodeInto(value, bytes.subarray(start)).written
        break
      }
      bytes[at++] = code
    }
    this.#length = at
    this.number(start)
    this.number(at - start)
  }

  /** Two numbers. */
  blob(value: Uint8Array): void {
    this.#reserve(value.byteLength)
    this.#bytes.set(value, this.#length)
    this.number(this.#length)
    this.number(value.byteLength)
    this.#length += value.byteLength
  }

  /** What was packed; the packer must not be used afterwards. */
  finish(): Packed {
    // Views may be longer than what is in them: buffers are handed over whole.
    return { numbers: this.#numbers.subarray(0, this.#count), bytes: this.#bytes.subarray(0, this.#length) }
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes > this.#bytes.length) this.#bytes = grown(this.#bytes, Uint8Array, this.#length + bytes)
  }
}

function grown<T extends Float64Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(
  old: T,
  Type: new (length: number) => T,
  atLeast: number,
): T {
  const larger = new Type(Math.max(old.length * 2, atLeast))
  larger.set(old)
  return larger
}

export const transferOf = (packed: Packed): ArrayBuffer[] => [packed.numbers.buffer, packed.bytes.buffer]

/** Reads what a Packer wrote, in the same order. */
export class Unpacker {
  readonly #numbers: Float64Array
  readonly #bytes: Uint8Array<ArrayBuffer>
  #at = 0

  constructor(packed: Packed) {
    this.#numbers = packed.numbers
    this.#bytes = packed.bytes
  }

  number(): number {
    return this.#numbers[this.#at++]!
  }

  /** A view. */
  blob(): Uint8Array<ArrayBuffer> {
    const start = this.#numbers[this.#at++]!
    return this.#bytes.subarray(start, start + this.#numbers[this.#at++]!)
  }

  text(): string {
    const start = this.#numbers[this.#at++]!
    const length = this.#numbers[this.#at++]!
    return textAt(this.#bytes, start, length)
  }
}

export function textAt(bytes: Uint8Array, start: number, length: number): string {
  if (length > SHORT_TEXT) return decoder.decode(bytes.subarray(start, start + length))
  let text = ''
  for (let i = start; i < start + length; i++) {
    const code = bytes[i]!
    if (code > 127) return decoder.decode(bytes.subarray(start, start + length))
    text += String.fromCharCode(code)
  }
  return text
}
