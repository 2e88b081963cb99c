/**
 * The short way of a GET: what was worked out for a URL is kept by the URL as it was sent, so that the next request for
 * it is one look-up and one Response, ahead of router, parser and encoder.
 */
import type { Answer, Prepared } from '../resolver/mesh.ts'
import { allHeaders, type Encoded, type HeaderRecord, type MetaKind, metaHeaders } from './answer.ts'

/** Makes a value into bytes, once for each value: it is the same object for as long as nothing changed. */
export interface Shape<T> {
  encode(value: T, datacenter: string): Encoded
}

export function keptShape<T>(encode: (value: T, datacenter: string) => Encoded): Shape<T> {
  const bytesOf = new WeakMap<object, Encoded>()
  return {
    encode(value, datacenter) {
      if (typeof value !== 'object' || value === null) return encode(value, datacenter)
      let encoded = bytesOf.get(value)
      if (encoded === undefined) {
        encoded = encode(value, datacenter)
        bytesOf.set(value, encoded)
      }
      return encoded
    },
  }
}

/** Bun copies a Headers object in less time than it reads a plain one; Node's server sends plain ones as they are. */
const COPIES_HEADERS = 'Bun' in globalThis

/** A question as it is kept: routes may come and go (replicas load, datacenters leave), so it is prepared anew now and then. */
const PREPARED_FOR_MS = 5_000

export class KeptAnswer {
  readonly #prepared: Prepared<unknown>
  readonly #shape: Shape<unknown>
  readonly #meta: MetaKind
  readonly preparedAtMs: number
  #answer: Answer<unknown> | undefined
  #encoded: Encoded | undefined
  #init: { status: number; headers: HeaderRecord | Headers } = { status: 0, headers: {} }

  constructor(prepared: Prepared<unknown>, shape: Shape<unknown>, meta: MetaKind, preparedAtMs: number) {
    this.#prepared = prepared
    this.#shape = shape
    this.#meta = meta
    this.preparedAtMs = preparedAtMs
  }

  get bytes(): number {
    return this.#encoded?.bytes?.byteLength ?? 0
  }

  /** undefined when it takes waiting. */
  respond(): Response | undefined {
    const answer = this.#prepared.now()
    if (answer === undefined) return undefined
    if (!this.#stands(answer)) this.#renew(answer)
    return new Response(this.#encoded!.bytes, this.#init)
  }

  /** Whether the kept bytes and headers are this answer's, too. */
  #stands(answer: Answer<unknown>): boolean {
    const last = this.#answer
    return (
      last !== undefined &&
      last.value === answer.value &&
      last.index === answer.index &&
      last.ageMs === answer.ageMs &&
      last.datacenter === answer.datacenter &&
      last.source === answer.source &&
      last.knownLeader === answer.knownLeader &&
      last.consistency === answer.consistency &&
      last.failover?.to === answer.failover?.to
    )
  }

  #renew(answer: Answer<unknown>): void {
    this.#answer = answer
    this.#encoded = this.#shape.encode(answer.value, answer.datacenter)
    const headers = allHeaders(this.#encoded, metaHeaders(answer, this.#meta, 'blocking-query'))
    this.#init = { status: this.#encoded.status, headers: COPIES_HEADERS ? new Headers(headers) : headers }
  }
}

/** By URL, the least recently used leaving first; bounded in number and in bytes. */
export class KeptAnswers {
  readonly #maxAnswers: number
  readonly #maxBytes: number
  readonly #byTarget = new Map<string, KeptAnswer>()
  readonly #sizes = new Map<string, number>()
  #bytes = 0

  constructor(maxAnswers: number, maxBytes: number) {
    this.#maxAnswers = maxAnswers
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#byTarget.size
  }

  respond(target: string, nowMs: number): Response | undefined {
    const kept = this.#byTarget.get(target)
    if (kept === undefined) return undefined
    if (nowMs - kept.preparedAtMs > PREPARED_FOR_MS) {
      this.#forget(target)
      return undefined
    }
    return kept.respond()
  }

  keep(target: string, kept: KeptAnswer): void {
    this.#forget(target)
    this.#byTarget.set(target, kept)
    this.#sizes.set(target, kept.bytes)
    this.#bytes += kept.bytes
    while (this.#byTarget.size > this.#maxAnswers || (this.#bytes > this.#maxBytes && this.#byTarget.size > 1)) {
      this.#forget(this.#byTarget.keys().next().value!)
    }
  }

  clear(): void {
    this.#byTarget.clear()
    this.#sizes.clear()
    this.#bytes = 0
  }

  #forget(target: string): void {
    if (!this.#byTarget.delete(target)) return
    this.#bytes -= this.#sizes.get(target)!
    this.#sizes.delete(target)
  }
}
