/** Answers: bytes with headers as Consul sends them, and Atoll's own that say where an answer came from. */
import { ageAsContact } from '../model/age.ts'
import type { Answer } from '../resolver/mesh.ts'
import { failureOf } from './errors.ts'
import { gzipped } from './gzip.ts'
import { encodeJson, type Json, type JsonStruct, utf8 } from './json.ts'

export type HeaderRecord = Record<string, string>

/** On every answer of the API. Plain objects and bytes: the servers send them as they are. */
const COMMON = { Vary: 'Accept-Encoding', 'X-Consul-Default-Acl-Policy': 'allow' } as const
/** Of them, on streams, which are never compressed. */
export const ON_STREAMS = { 'X-Consul-Default-Acl-Policy': COMMON['X-Consul-Default-Acl-Policy'] } as const

/** A body with what depends on it alone; kept as long as the value that it was made of. */
export interface Encoded {
  readonly status: number
  readonly bytes: Uint8Array<ArrayBuffer> | null
  readonly headers: Readonly<HeaderRecord>
}

const JSON_TYPE = { 'Content-Type': 'application/json' }

export function encodedJson(value: Json, pretty: boolean, status = 200): Encoded {
  return { status, bytes: utf8(encodeJson(value, pretty)), headers: JSON_TYPE }
}

/** No body and no type, as Consul answers for a key that is missing. */
export const encodedNothing = (status: number): Encoded => ({ status, bytes: null, headers: {} })

/** Which of the headers about an answer are sent: `full` has the effective consistency, `index` has not, `none` has none. */
export type MetaKind = 'full' | 'index' | 'none'

export function metaHeaders(answer: Answer<unknown>, kind: MetaKind, backend: string): HeaderRecord {
  const { ageMs } = answer
  const headers: HeaderRecord = {}
  if (kind !== 'none') {
    if (kind === 'full') headers['X-Consul-Effective-Consistency'] = answer.consistency
    headers['X-Consul-Index'] = String(answer.index)
    headers['X-Consul-Knownleader'] = answer.knownLeader ? 'true' : 'false'
    headers['X-Consul-Lastcontact'] = String(ageAsContact(ageMs))
    headers['X-Consul-Query-Backend'] = backend
  }
  headers['X-Atoll-Datacenter'] = answer.datacenter
  headers['X-Atoll-Source'] = answer.source
  headers['X-Atoll-Age-Ms'] = Number.isFinite(ageMs) ? String(Math.round(ageMs)) : 'unknown'
  if (answer.failover) headers['X-Atoll-Failover'] = `${answer.failover.from} -> ${answer.failover.to}`
  return headers
}

/** What an answer in the form of Consul's own calls says of itself in its body. */
export const metaShape = (answer: Answer<unknown>): JsonStruct => ({
  Index: answer.index,
  LastContact: ageAsContact(answer.ageMs) * 1e6,
  KnownLeader: answer.knownLeader,
  ConsistencyLevel: answer.consistency,
  NotModified: false,
  Backend: 0,
})

/** The headers of a read that failed before it reached a datacenter, where Consul sends them. */
export const NO_ANSWER_META: Readonly<HeaderRecord> = {
  'X-Consul-Index': '1',
  'X-Consul-Knownleader': 'false',
  'X-Consul-Lastcontact': '0',
  'X-Consul-Query-Backend': 'blocking-query',
}

export function allHeaders(encoded: Encoded, more: Readonly<HeaderRecord>): HeaderRecord {
  const headers: HeaderRecord = { ...COMMON, ...encoded.headers, ...more }
  // Of bytes the servers tell the length themselves, and faster; without any, some would send chunks.
  if (encoded.bytes === null) headers['Content-Length'] = '0'
  return headers
}

export function respond(body: Encoded, more: Readonly<HeaderRecord> = {}, gzip = false): Response {
  const encoded = gzip ? gzipped(body) : body
  return new Response(encoded.bytes, { status: encoded.status, headers: allHeaders(encoded, more) })
}

/** Up to here a body goes to the server as text, which Node sends in one piece with the head; none of them is compressed. */
const SHORT_CHARACTERS = 256

export function json(
  value: Json,
  pretty: boolean,
  status = 200,
  more: Readonly<HeaderRecord> = {},
  gzip = false,
): Response {
  const text = encodeJson(value, pretty)
  if (text.length <= SHORT_CHARACTERS)
    return new Response(text, { status, headers: { ...COMMON, ...JSON_TYPE, ...more } })
  return respond({ status, bytes: utf8(text), headers: JSON_TYPE }, more, gzip)
}

/** 200 and nothing else: how Consul acknowledges what the agent was told. */
export const done = (): Response => respond(encodedNothing(200))

export const text = (status: number, body: string, more: Readonly<HeaderRecord> = {}): Response =>
  respond(encodedText(status, body), more)

function encodedText(status: number, body: string): Encoded {
  if (body === '') return encodedNothing(status)
  return { status, bytes: utf8(body), headers: { 'Content-Type': 'text/plain; charset=utf-8' } }
}

export const failed = (error: unknown, more: Readonly<HeaderRecord> = {}): Response =>
  respond(encodedFailure(error), more)

export function encodedFailure(error: unknown): Encoded {
  const failure = failureOf(error)
  const encoded = encodedText(failure.status, failure.text)
  return { ...encoded, headers: { ...encoded.headers, ...failure.headers } }
}
