/**
 * The short way of a GET: what was worked out for a URL is kept by the URL as it was sent, so that the next request for
 * it is one look-up and one Response, ahead of router, parser and encoder.
 */
import type { Answer, Prepared } from '../resolver/mesh.ts'
import type { ReadyAnswer } from '../runtime/ports.ts'
import { allHeaders, type Encoded, type HeaderRecord, type MetaKind, metaHeaders } from './answer.ts'
import { gzipped } from './gzip.ts'

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

/** Remembers the bytes of the last value only, and only few: for shapes of which there may be many. */
export function lastShape<T>(encode: (value: T, datacenter: string) => Encoded): Shape<T> {
  let last: { readonly value: WeakRef<object>; readonly encoded: Encoded } | undefined
  return {
    encode(value, datacenter) {
      if (typeof value !== 'object' || value === null) return encode(value, datacenter)
      if (last?.value.deref() === value) return last.encoded
      const encoded = encode(value, datacenter)
      last = (encoded.bytes?.length ?? 0) > MAX_LAST_BYTES ? undefined : { value: new WeakRef(value), encoded }
      return encoded
    },
  }
}
const MAX_LAST_BYTES = 64 * 1024

/** Expressions whose shapes are kept, of one kind of list. */
const MAX_FILTERED_SHAPES = 64

/** Shapes with a filter, by its expression: all who wait with the same one share what is worked out at a change. */
export class FilteredShapes<T> {
  readonly #byKey = new Map<string, Shape<T>>()

  /** The least recently used leave first. What `make` throws is not kept. */
  of(expression: string, pretty: boolean, make: () => Shape<T>): Shape<T> {
    const key = `${pretty} ${expression}`
    const shape = this.#byKey.get(key) ?? make()
    this.#byKey.delete(key)
    this.#byKey.set(key, shape)
    if (this.#byKey.size > MAX_FILTERED_SHAPES) this.#byKey.delete(this.#byKey.keys().next().value!)
    return shape
  }
}

/** Up to here Node sends a text together with the head sooner than it sends bytes behind the head. */
const SHORT_BODY_BYTES = 4_096

/** One answer, sent many times: what is made of it is made once, and only when it is asked for. */
export class Repeated {
  readonly #encoded: Encoded
  readonly #headers: Readonly<HeaderRecord>
  #response: (() => Response) | undefined
  #ready: ReadyAnswer | undefined

  constructor(encoded: Encoded, meta: Readonly<HeaderRecord>) {
    this.#encoded = encoded
    this.#headers = allHeaders(encoded, meta)
  }

  response(): Response {
    this.#response ??= this.#responses()
    return this.#response()
  }

  get ready(): ReadyAnswer {
    this.#ready ??= this.#makeReady()
    return this.#ready
  }

  /**
   * The quickest way to many equal Responses differs: Deno clones a whole one for less than it takes to make one, Bun
   * copies a Headers object faster than it reads a plain one, and Node's server sends plain ones as they are.
   */
  #responses(): () => Response {
    const { bytes, status } = this.#encoded
    if ('Deno' in globalThis) {
      const response = new Response(bytes, { status, headers: this.#headers })
      return () => response.clone()
    }
    const init = { status, headers: 'Bun' in globalThis ? new Headers(this.#headers) : this.#headers }
    return () => new Response(bytes, init)
  }

  #makeReady(): ReadyAnswer {
    const { status } = this.#encoded
    const bytes = this.#encoded.bytes ?? new Uint8Array(0)
    const headers = Object.entries({ ...this.#headers, 'Content-Length': String(bytes.byteLength) }).flat()
    return { status, headers, body: bytes.byteLength <= SHORT_BODY_BYTES ? latin1(bytes) : bytes }
  }
}

/** A character for each byte; at most some thousand of them. */
const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

/** Routes come and go (replicas load, datacenters leave), so a kept question is prepared anew after so long. */
const PREPARED_FOR_MS = 1_000

/** A question with the answer last given to it, as bytes and headers. */
export class KeptAnswer {
  readonly #prepare: () => Prepared<unknown>
  readonly #shape: Shape<unknown>
  readonly #meta: MetaKind
  #prepared: Prepared<unknown>
  #preparedAtMs: number
  #answer: Answer<unknown> | undefined
  #encoded: Encoded | undefined
  #plain: Repeated | undefined
  /** ... and compressed, once somebody takes it so. */
  #zipped: Repeated | undefined
  #zippedBytes = 0
  #headers: HeaderRecord = {}
  /** Told that `bytes` may be others now. */
  onResized: (() => void) | undefined

  constructor(prepare: () => Prepared<unknown>, shape: Shape<unknown>, meta: MetaKind, nowMs: number) {
    this.#prepare = prepare
    this.#shape = shape
    this.#meta = meta
    this.#prepared = prepare()
    this.#preparedAtMs = nowMs
  }

  get bytes(): number {
    return (this.#encoded?.bytes?.byteLength ?? 0) + this.#zippedBytes
  }

  /** Once behind a barrier at most; undefined when it takes more waiting. Throws and rejects as asking does. */
  soon(nowMs: number, gzip: boolean): Repeated | Promise<Repeated> | undefined {
    if (nowMs - this.#preparedAtMs > PREPARED_FOR_MS) {
      this.#prepared = this.#prepare()
      this.#preparedAtMs = nowMs
    }
    const answer = this.#prepared.soon()
    if (answer === undefined) return undefined
    if (answer instanceof Promise) return answer.then((settled) => this.#repeat(settled, gzip))
    return this.#repeat(answer, gzip)
  }

  #repeat(answer: Answer<unknown>, gzip: boolean): Repeated {
    if (!this.#stands(answer)) this.#renew(answer)
    return gzip ? this.#compressed() : this.#plain!
  }

  #compressed(): Repeated {
    if (this.#zipped === undefined) {
      const encoded = gzipped(this.#encoded!)
      if (encoded !== this.#encoded) this.#zippedBytes = encoded.bytes!.byteLength
      this.#zipped = new Repeated(encoded, this.#headers)
      this.onResized?.()
    }
    return this.#zipped
  }

  /** Whether the kept bytes and headers are this answer's, too. */
  #stands(answer: Answer<unknown>): boolean {
    const last = this.#answer
    if (last === answer) return true
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
    this.#headers = metaHeaders(answer, this.#meta, 'blocking-query')
    this.#plain = new Repeated(this.#encoded, this.#headers)
    this.#zipped = undefined
    this.#zippedBytes = 0
    this.onResized?.()
  }
}

/** By URL; bounded in number and in bytes. The oldest leave first: what is asked often is soon back. */
export class KeptAnswers {
  readonly #maxAnswers: number
  readonly #maxBytes: number
  readonly #byTarget = new Map<string, { readonly answer: KeptAnswer; readonly bytes: number }>()
  #bytes = 0

  constructor(maxAnswers: number, maxBytes: number) {
    this.#maxAnswers = maxAnswers
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#byTarget.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * undefined when nothing is kept, or when that cannot answer any more: then it is forgotten. Rejects when the barrier that it takes
   * failed.
   */
  soon(target: string, nowMs: number, gzip: boolean): Repeated | Promise<Repeated> | undefined {
    const kept = this.#byTarget.get(target)
    if (kept === undefined) return undefined
    try {
      const answer = kept.answer.soon(nowMs, gzip)
      if (answer !== undefined) return answer
    } catch {
      // The long way meets the same fault, and says it as its route does.
    }
    this.#forget(target)
    return undefined
  }

  keep(target: string, answer: KeptAnswer): void {
    this.#forget(target)
    const bytes = answer.bytes + target.length
    this.#byTarget.set(target, { answer, bytes })
    this.#bytes += bytes
    answer.onResized = () => this.keep(target, answer)
    while (this.#byTarget.size > this.#maxAnswers || (this.#bytes > this.#maxBytes && this.#byTarget.size > 1)) {
      this.#forget(this.#byTarget.keys().next().value!)
    }
  }

  clear(): void {
    for (const { answer } of this.#byTarget.values()) answer.onResized = undefined
    this.#byTarget.clear()
    this.#bytes = 0
  }

  #forget(target: string): void {
    const kept = this.#byTarget.get(target)
    if (kept === undefined) return
    kept.answer.onResized = undefined
    this.#byTarget.delete(target)
    this.#bytes -= kept.bytes
  }
}
