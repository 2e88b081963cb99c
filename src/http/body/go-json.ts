/**
 * The first JSON value of a text, read as Go's encoding/json reads it: what follows is ignored, the last of repeated keys
 * wins, and the errors are Go's, because Consul hands them to its clients.
 */

/** Objects as maps: any key is safe in one. */
export type JsonValue = string | number | bigint | boolean | null | JsonValue[] | Map<string, JsonValue>

export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError'
}

/** Go allows 10,000; no document of this API comes near. */
const MAX_DEPTH = 500

export function parseFirstJson(bytes: Uint8Array): JsonValue {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  const reader = new Reader(text)
  reader.space()
  if (reader.ended()) throw new JsonSyntaxError('EOF')
  return reader.value(0)
}

/** Of a whole number that is kept exactly; one of 64 bits has twenty. */
const MAX_DIGITS = 40

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const PLAIN = /[^"\\\u0000-\u001f]*/y

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  ended(): boolean {
    return this.#at >= this.#text.length
  }

  space(): void {
    while (this.#at < this.#text.length && ' \t\r\n'.includes(this.#text[this.#at]!)) this.#at++
  }

  value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw new JsonSyntaxError('exceeded max depth')
    this.space()
    const char = this.#peek()
    if (char === '{') return this.#object(depth)
    if (char === '[') return this.#array(depth)
    if (char === '"') return this.#string()
    if (char === '-' || (char >= '0' && char <= '9')) return this.#number()
    if (char === 't') return this.#literal('true', true)
    if (char === 'f') return this.#literal('false', false)
    if (char === 'n') return this.#literal('null', null)
    throw this.#unexpected('looking for beginning of value')
  }

  #peek(): string {
    const char = this.#text[this.#at]
    if (char === undefined) throw new JsonSyntaxError('unexpected EOF')
    return char
  }

  #object(depth: number): Map<string, JsonValue> {
    const object = new Map<string, JsonValue>()
    this.#at++
    this.space()
    if (this.#peek() === '}') {
      this.#at++
      return object
    }
    for (;;) {
      this.space()
      if (this.#peek() !== '"') throw this.#unexpected('looking for beginning of object key string')
      const key = this.#string()
      this.space()
      if (this.#peek() !== ':') throw this.#unexpected('after object key')
      this.#at++
      object.set(key, this.value(depth + 1))
      this.space()
      const char = this.#peek()
      if (char !== ',' && char !== '}') throw this.#unexpected('after object key:value pair')
      this.#at++
      if (char === '}') return object
    }
  }

  #array(depth: number): JsonValue[] {
    const array: JsonValue[] = []
    this.#at++
    this.space()
    if (this.#peek() === ']') {
      this.#at++
      return array
    }
    for (;;) {
      array.push(this.value(depth + 1))
      this.space()
      const char = this.#peek()
      if (char !== ',' && char !== ']') throw this.#unexpected('after array element')
      this.#at++
      if (char === ']') return array
    }
  }

  #string(): string {
    this.#at++
    let value = ''
    for (;;) {
      PLAIN.lastIndex = this.#at
      const plain = PLAIN.exec(this.#text)![0]
      value += plain
      this.#at += plain.length
      const char = this.#peek()
      if (char === '"') {
        this.#at++
        return value.toWellFormed()
      }
      if (char !== '\\') throw this.#unexpected('in string literal')
      this.#at++
      value += this.#escape()
    }
  }

  #escape(): string {
    const char = this.#peek()
    const simple = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }[char]
    if (simple !== undefined) {
      this.#at++
      return simple
    }
    if (char !== 'u') throw this.#unexpected('in string escape code')
    this.#at++
    let code = 0
    for (let i = 0; i < 4; i++) {
      if (!/[0-9a-fA-F]/.test(this.#peek())) throw this.#unexpected('in \\u hexadecimal character escape')
      code = code * 16 + Number.parseInt(this.#text[this.#at++]!, 16)
    }
    return String.fromCharCode(code)
  }

  /** Whole numbers that a double cannot hold come as bigint. */
  #number(): number | bigint {
    NUMBER.lastIndex = this.#at
    const match = NUMBER.exec(this.#text)
    if (!match) {
      this.#at++
      this.#peek()
      throw this.#unexpected('in numeric literal')
    }
    this.#at += match[0].length
    const next = this.#text[this.#at]
    if (next === '.' || (next !== undefined && 'eE'.includes(next))) {
      this.#at++
      if (next !== '.' && '+-'.includes(this.#text[this.#at] ?? ' ')) this.#at++
      this.#peek()
      throw this.#unexpected(next === '.' ? 'after decimal point in numeric literal' : 'in exponent of numeric literal')
    }
    const value = Number(match[0])
    const isExact = Number.isSafeInteger(value) || match[0].length > MAX_DIGITS || !/^-?\d+$/.test(match[0])
    return isExact ? value : BigInt(match[0])
  }

  #literal<T>(word: string, value: T): T {
    for (const char of word) {
      if (this.#peek() !== char) throw this.#unexpected(`in literal ${word} (expecting '${char}')`)
      this.#at++
    }
    return value
  }

  #unexpected(context: string): JsonSyntaxError {
    return new JsonSyntaxError(`invalid character ${quoteChar(this.#text.codePointAt(this.#at)!)} ${context}`)
  }
}

/** Go looks at bytes: of a character beyond ASCII it names the first one. */
function quoteChar(point: number): string {
  if (point === 0x27) return "'\\''"
  if (point === 0x22) return `'"'`
  const byte = point < 0x80 ? point : new TextEncoder().encode(String.fromCodePoint(point))[0]!
  const short = { 7: '\\a', 8: '\\b', 9: '\\t', 10: '\\n', 11: '\\v', 12: '\\f', 13: '\\r', 92: '\\\\' }[byte]
  if (short) return `'${short}'`
  if (byte < 0x20 || byte === 0x7f) return `'\\x${byte.toString(16).padStart(2, '0')}'`
  if (byte >= 0x80 && byte <= 0xa0) return `'\\u00${byte.toString(16)}'`
  return `'${String.fromCharCode(byte)}'`
}
