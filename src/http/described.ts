/**
 * What the API's document says of parameters and answers, as data beside the routes. Nothing of it runs when a request is
 * answered: parameters are read by `query.ts`, and answers are made by the shapes that the schemas describe.
 */
import * as z from 'zod'

/** Part of a JSON Schema (2020-12). */
export type JsonSchema = Readonly<Record<string, unknown>>

/** A parameter of the query. In a route, plain words stand for a text. */
export interface Parameter {
  readonly what: string
  readonly schema: JsonSchema
  /** It counts by being there, whatever its value. */
  readonly flag?: boolean
  readonly required?: boolean
  /** May be given several times. */
  readonly repeated?: boolean
}

export const flag = (what: string): Parameter => ({ what, schema: { type: 'boolean', enum: [true] }, flag: true })
export const boolean = (what: string): Parameter => ({ what, schema: { type: 'boolean' } })
export const repeated = (what: string): Parameter => ({
  what,
  schema: { type: 'array', items: { type: 'string' } },
  repeated: true,
})
export const oneOf = (what: string, ...values: string[]): Parameter => ({
  what,
  schema: { type: 'string', enum: values },
})
/** `whole` and `uint64` are never negative. */
export const whole = (what: string): Parameter => ({ what, schema: { type: 'integer', format: 'int64', minimum: 0 } })
export const uint64 = (what: string): Parameter => ({ what, schema: { type: 'integer', format: 'uint64', minimum: 0 } })
export const duration = (what: string): Parameter => ({ what, schema: { type: 'string', examples: ['10s', '1m30s'] } })
export const required = (parameter: Parameter | string): Parameter => ({ ...parameterOf(parameter), required: true })

export const parameterOf = (parameter: Parameter | string): Parameter =>
  typeof parameter === 'string' ? { what: parameter, schema: { type: 'string' } } : parameter

/** Headers of answers; `openapi/headers.ts` says what each means. */
export type HeaderName =
  | 'X-Consul-Index'
  | 'X-Consul-KnownLeader'
  | 'X-Consul-LastContact'
  | 'X-Consul-Effective-Consistency'
  | 'X-Consul-Query-Backend'
  | 'X-Consul-ContentHash'
  | 'X-Consul-Reason'
  | 'X-Cache'
  | 'Age'
  | 'X-Atoll-Datacenter'
  | 'X-Atoll-Source'
  | 'X-Atoll-Age-Ms'
  | 'X-Atoll-Failover'
  | 'X-Atoll-Error'
  | 'X-Atoll-Field'
  | 'X-Consul-Default-ACL-Policy'
  | 'Retry-After'

/** One answer of a route: what it means, and its body by media type; without, it has none. */
export interface DescribedAnswer {
  readonly what: string
  readonly content?: Readonly<Record<string, z.ZodType>>
  readonly headers?: readonly HeaderName[]
}

/** By status. What any request may be refused with is told once, in the document. */
export type Answers = Readonly<Record<number, DescribedAnswer>>

export const shows = (what: string, schema: z.ZodType, headers?: readonly HeaderName[]): DescribedAnswer => ({
  what,
  content: { 'application/json': schema },
  ...(headers && { headers }),
})
/** An answer without a body. */
export const nothing = (what: string): DescribedAnswer => ({ what })
export const words = (what: string, headers?: readonly HeaderName[]): DescribedAnswer => ({
  what,
  content: { 'text/plain': z.string() },
  ...(headers && { headers }),
})
/** Bytes, or a stream, of a media type. */
export const streams = (what: string, mediaType: string, headers?: readonly HeaderName[]): DescribedAnswer => ({
  what,
  content: { [mediaType]: z.unknown() },
  ...(headers && { headers }),
})

/** The usual answers. */
export const DONE: Answers = { 200: nothing('Done') }
export const TRUE: Answers = { 200: shows('Done', z.boolean()) }
export const REFUSED: Answers = { 500: words('Always: why it is refused') }
