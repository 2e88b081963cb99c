/** The query string as Go's url.ParseQuery and Consul's handlers read it. */
import { parseDuration } from '../model/duration.ts'
import type { AskOptions, Consistency, Principal } from '../resolver/mesh.ts'
import { badRequest, HttpError } from './errors.ts'

const HEX = /%(?![0-9a-fA-F]{2})/

function unescapeText(text: string): string {
  if (HEX.test(text)) throw new HttpError(500, '')
  const plain = text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(plain)
  } catch {
    // Valid escapes, but not of UTF-8: keep what can be kept.
    return new TextDecoder().decode(Uint8Array.from(unescapeBytes(plain)))
  }
}

/** Bytes of a percent-encoded text; characters beyond ASCII that came unescaped are taken as UTF-8. */
export function* unescapeBytes(text: string): Generator<number> {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x25) {
      yield Number.parseInt(text.slice(i + 1, i + 3), 16)
      i += 2
    } else if (code < 0x80) {
      yield code
    } else {
      const point = text.codePointAt(i)!
      if (point > 0xffff) i++
      yield* new TextEncoder().encode(String.fromCodePoint(point))
    }
  }
}

/** Parameters in any number; the first of a name counts unless all are asked for. */
export class Query {
  readonly #values = new Map<string, string[]>()

  /** `raw` is what follows the `?`. A semicolon or a bad escape is a 500 without a text, as in Consul. */
  constructor(raw: string) {
    if (raw === '') return
    for (const pair of raw.split('&')) {
      if (pair === '') continue
      if (pair.includes(';')) throw new HttpError(500, '')
      const equals = pair.indexOf('=')
      const name = unescapeText(equals < 0 ? pair : pair.slice(0, equals))
      const value = equals < 0 ? '' : unescapeText(pair.slice(equals + 1))
      const values = this.#values.get(name)
      if (values) values.push(value)
      else this.#values.set(name, [value])
    }
  }

  /** Whether the parameter is there, with whatever value: what most flags mean. */
  has(name: string): boolean {
    return this.#values.has(name)
  }

  get(name: string): string {
    return this.#values.get(name)?.[0] ?? ''
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? []
  }

  /** As Go's url.Values.Encode: sorted by name. */
  encode(): string {
    const escapeText = (text: string): string =>
      encodeURIComponent(text)
        .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
        .replaceAll('%20', '+')
    return [...this.#values]
      .sort((a, b) => (a[0] < b[0] ? -1 : 1))
      .flatMap(([name, values]) => values.map((value) => `${escapeText(name)}=${escapeText(value)}`))
      .join('&')
  }
}

const DEFAULT_WAIT_MS = 300_000
const MAX_WAIT_MS = 600_000

export interface ReadOptions {
  readonly ask: AskOptions
  /** Above 0: the answer waits for a higher one. */
  readonly index: number
  readonly waitMs: number
  readonly cached: boolean
  /** `stale` is good only up to this age; undefined: any. */
  readonly maxStaleMs: number | undefined
}

/** What every read may be asked with: `dc`, consistency, `index` and `wait`, `cached`, `max_stale`. */
export function readOptions(query: Query, principal: Principal, cacheControl: string | null): ReadOptions {
  const maxStale = query.get('max_stale')
  const maxStaleMs = maxStale === '' ? undefined : parseDuration(maxStale)
  if (maxStale !== '' && maxStaleMs === undefined)
    throw badRequest(`Invalid max_stale value ${JSON.stringify(maxStale)}`)
  const cached = query.has('cached')
  if (query.has('stale') && query.has('consistent')) {
    throw badRequest('Cannot specify ?stale with ?consistent, conflicting semantics.')
  }
  if (cached && query.has('consistent')) {
    throw badRequest('Cannot specify ?cached with ?consistent, conflicting semantics.')
  }
  checkCacheControl(cacheControl)
  const datacenter = query.get('dc') || undefined
  return {
    ask: { principal, consistency: consistencyOf(query), ...(datacenter && { datacenter }) },
    ...blockingOptions(query),
    cached,
    maxStaleMs,
  }
}

function consistencyOf(query: Query): Consistency {
  if (query.has('stale')) return 'stale'
  return query.has('consistent') ? 'consistent' : 'default'
}

export function blockingOptions(query: Query): { index: number; waitMs: number } {
  const wait = query.get('wait')
  const waitMs = wait === '' ? 0 : parseDuration(wait)
  if (waitMs === undefined) throw badRequest('Invalid wait time')
  const index = query.get('index')
  if (index !== '' && !/^\d{1,20}$/.test(index)) throw badRequest('Invalid index')
  return {
    index: Math.min(Number(index), Number.MAX_SAFE_INTEGER),
    waitMs: waitMs <= 0 ? DEFAULT_WAIT_MS : Math.min(waitMs, MAX_WAIT_MS),
  }
}

function checkCacheControl(header: string | null): void {
  if (header === null) return
  for (const part of header.split(',')) {
    const match = /^\s*(?:max-age|stale-if-error)=(.*)$/i.exec(part)
    if (match && !/^\d+$/.test(match[1]!.trim())) throw badRequest('Invalid Cache-Control header.')
  }
}

/** `node-meta=key:value`, repeated; without a colon the value is ''. */
export function nodeMetaOf(query: Query): Readonly<Record<string, string>> | undefined {
  if (!query.has('node-meta')) return undefined
  const meta: Record<string, string> = Object.create(null)
  for (const pair of query.all('node-meta')) {
    const colon = pair.indexOf(':')
    if (colon < 0) meta[pair] = ''
    else meta[pair.slice(0, colon)] = pair.slice(colon + 1)
  }
  return meta
}

/** The node to sort by; the address of the caller (`_ip`) belongs to no node that we know. */
export function nearOf(query: Query): string | undefined {
  const near = query.get('near')
  return near === '' || near === '_ip' ? undefined : near
}

/** Whether instances of a cluster peer are asked for: what an unknown one has, in Consul too, is nothing. */
export const asksPeer = (query: Query): boolean => query.get('peer') !== ''

/** `sort`: `load` for the least busy first; other values mean nothing, as unknown parameters do. */
export const sortOf = (query: Query): { readonly sort?: 'load' } =>
  query.get('sort') === 'load' ? { sort: 'load' } : {}

/** As Go's strconv.ParseBool; undefined for anything else. */
export function parseBool(text: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false
  return undefined
}

const MAX_UINT64 = 2n ** 64n - 1n

/** As Go's strconv.ParseUint, whose errors Consul gives back as a 500. */
export function parseUint64(text: string): bigint {
  const fail = (reason: string): HttpError =>
    new HttpError(500, `strconv.ParseUint: parsing ${JSON.stringify(text)}: ${reason}`)
  if (!/^\d+$/.test(text)) throw fail('invalid syntax')
  const value = text.length > 20 ? MAX_UINT64 + 1n : BigInt(text)
  if (value > MAX_UINT64) throw fail('value out of range')
  return value
}
