/** Single fields out of stored values (codec.ts), without making the rest of them. */

const decoder = new TextDecoder()

/** Walks over the items of a msgpack array; undefined where it finds what it does not know. */
class Items {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Number of items; undefined when it is no array. */
  array(): number | undefined {
    const token = this.#bytes[this.#at++] ?? 0
    if ((token & 0xf0) === 0x90) return token & 0x0f
    if (token === 0xdc) return this.#uint(2)
    return undefined
  }

  /** Passes a small integer. */
  skipInteger(): boolean {
    return (this.#bytes[this.#at++] ?? 0xff) < 0x80
  }

  skipText(): boolean {
    const length = this.#textLength()
    if (length === undefined) return false
    this.#at += length
    return true
  }

  text(): string | undefined {
    const length = this.#textLength()
    if (length === undefined) return undefined
    const from = this.#at
    this.#at += length
    return latin(this.#bytes, from, this.#at) ?? decoder.decode(this.#bytes.subarray(from, this.#at))
  }

  #textLength(): number | undefined {
    const token = this.#bytes[this.#at++] ?? 0
    if ((token & 0xe0) === 0xa0) return token & 0x1f
    if (token === 0xd9) return this.#uint(1)
    if (token === 0xda) return this.#uint(2)
    return undefined
  }

  #uint(size: number): number {
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + (this.#bytes[this.#at++] ?? 0)
    return value
  }
}

/** Names are short and ASCII nearly always; a decoder's call costs more than they do. */
function latin(bytes: Uint8Array, from: number, to: number): string | undefined {
  if (to - from > 64 || to > bytes.length) return undefined
  let text = ''
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!
    if (byte >= 0x80) return undefined
    text += String.fromCharCode(byte)
  }
  return text
}

/** Name and tags of a ServiceEntry; undefined when its value must be decoded to know. */
export function peekService(
  value: Uint8Array,
): { readonly service: string; readonly tags: readonly string[] } | undefined {
  const items = new Items(value)
  if ((items.array() ?? 0) < 6 || !items.skipInteger() || !items.skipText() || !items.skipText()) return undefined
  const service = items.text()
  if (service === undefined || !items.skipText()) return undefined
  const count = items.array()
  if (count === undefined) return undefined
  const tags: string[] = []
  for (let i = 0; i < count; i++) {
    const tag = items.text()
    if (tag === undefined) return undefined
    tags.push(tag)
  }
  return { service, tags }
}

/** Id of a NodeEntry; undefined when its value must be decoded to know. */
export function peekNodeId(value: Uint8Array): string | undefined {
  const items = new Items(value)
  if ((items.array() ?? 0) < 2 || !items.skipInteger()) return undefined
  return items.text()
}
