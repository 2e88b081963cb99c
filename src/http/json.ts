/**
 * JSON as Go's encoding/json writes it, which Consul's clients read byte by byte in places: `<`, `>`, `&`, U+2028 and
 * U+2029 escaped, no short escapes but \n \r \t, maps sorted by the bytes of their keys, 64-bit integers exact.
 */
import { compareKeys } from '../model/keys.ts'

/** A Go map: written sorted, whatever its keys look like (JavaScript would move "10" before "a" and "2" before "10"). */
export class GoMap {
  readonly entries: readonly (readonly [string, Json])[]

  constructor(entries: readonly (readonly [string, Json])[]) {
    this.entries = entries
  }
}

/** Objects are Go structs: fields in the order given, undefined ones left out. */
export type Json = string | number | bigint | boolean | null | readonly Json[] | GoMap | JsonStruct
export interface JsonStruct {
  readonly [field: string]: Json | undefined
}

export function goMap<V>(record: Readonly<Record<string, V>>, write: (value: V) => Json): GoMap {
  const entries: [string, Json][] = []
  for (const key of Object.keys(record)) entries.push([key, write(record[key]!)])
  return new GoMap(entries.sort((a, b) => compareKeys(a[0], b[0])))
}

/** Values that came as JSON and are given back: objects as maps, at every depth. */
export function goValue(value: unknown): Json {
  if (value === null || value === undefined) return null
  if (Array.isArray(value)) return value.map(goValue)
  if (typeof value === 'object') return goMap(value as Record<string, unknown>, goValue)
  return value as Json
}

const SPECIAL = /[<>&\u2028\u2029\b\f\ud800-\udfff]/
const ESCAPED = /[<>&\u2028\u2029]|\\[bf]|\\\\|\\ud[89a-f][0-9a-f]{2}/g
const ESCAPES: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
  '\\b': '\\u0008',
  '\\f': '\\u000c',
  '\\\\': '\\\\',
}

/** A string with its quotes. What is no valid UTF-16 becomes U+FFFD, as in Go. */
export function quote(text: string): string {
  const quoted = JSON.stringify(text)
  if (!SPECIAL.test(text)) return quoted
  return quoted.replace(ESCAPED, (match) => ESCAPES[match] ?? '\\ufffd')
}

/** With `pretty`, indented by four spaces and ended by a newline, as Consul does for `?pretty`. */
export function encodeJson(value: Json, pretty = false): string {
  return pretty ? `${write(value, '\n')}\n` : write(value, '')
}

/** `lineBreak` is '' when compact, otherwise a newline with the indentation of the line the value stands on. */
function write(value: Json, lineBreak: string): string {
  switch (typeof value) {
    case 'string':
      return quote(value)
    case 'number':
      return Number.isFinite(value) ? String(value) : 'null'
    case 'bigint':
    case 'boolean':
      return String(value)
  }
  if (value === null) return 'null'
  const inner = lineBreak === '' ? '' : `${lineBreak}    `
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]'
    let text = ''
    for (const element of value) text += `${text === '' ? '[' : ','}${inner}${write(element, inner)}`
    return `${text}${lineBreak}]`
  }
  const colon = lineBreak === '' ? ':' : ': '
  let text = ''
  if (value instanceof GoMap) {
    for (const [key, element] of value.entries) {
      text += `${text === '' ? '{' : ','}${inner}${quote(key)}${colon}${write(element, inner)}`
    }
  } else {
    const struct = value as JsonStruct
    for (const field in struct) {
      const element = struct[field]
      if (element === undefined) continue
      text += `${text === '' ? '{' : ','}${inner}"${field}"${colon}${write(element, inner)}`
    }
  }
  return text === '' ? '{}' : `${text}${lineBreak}}`
}

const encoder = new TextEncoder()
export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text)
