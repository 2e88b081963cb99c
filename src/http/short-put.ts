/** The short way of the commonest write: a value put under a plain key, without router and route. */
import { anonymous, type Mesh } from '../resolver/mesh.ts'
import { encodedJson } from './answer.ts'
import { cutOff } from './body/read.ts'
import { Repeated } from './kept.ts'
import type { HttpLimits } from './limits.ts'
import { countHeaders } from './limits.ts'
import { targetOf } from './path.ts'

const PATH = '/v1/kv/'
/** Nothing that is escaped, cleaned or a parameter: all of that is for the router and the route to judge. */
const PLAIN_KEY = /^[\w~@:=,-][\w.~@:=,-]*(?:\/[\w~@:=,-][\w.~@:=,-]*)*$/
/** Headers that the route looks at. */
const TELLING = ['authorization', 'x-consul-token', 'x-consul-namespace'] as const
/** Longer bodies are counted as they come. */
const MAX_BODY_BYTES = 16 * 1024

const WRITTEN = new Repeated(encodedJson(true, false), {})
const NOT_WRITTEN = new Repeated(encodedJson(false, false), {})

/** What takes a request's body and answers it; never rejects. */
export type ShortWay = (body: Uint8Array) => Promise<Repeated>

/** `refused`: what a failure is answered with. */
export class ShortPuts {
  readonly #mesh: Pick<Mesh, 'execute'>
  readonly #limits: Pick<HttpLimits, 'maxTargetLength' | 'maxHeaders'>
  readonly #refused: (error: unknown, target: string) => Repeated

  constructor(
    mesh: Pick<Mesh, 'execute'>,
    limits: Pick<HttpLimits, 'maxTargetLength' | 'maxHeaders'>,
    refused: (error: unknown, target: string) => Repeated,
  ) {
    this.#mesh = mesh
    this.#limits = limits
    this.#refused = refused
  }

  /** Of a PUT whose body is known to be short; undefined where there is none. */
  wayOf(target: string, hasHeader: (name: string) => boolean, headerCount: () => number): ShortWay | undefined {
    if (!target.startsWith(PATH) || target.length > this.#limits.maxTargetLength) return undefined
    const key = target.slice(PATH.length)
    if (!PLAIN_KEY.test(key) || TELLING.some(hasHeader) || headerCount() > this.#limits.maxHeaders) return undefined
    return async (value) => {
      try {
        const { applied } = await this.#mesh.execute(
          { kind: 'kv-put', key, value, flags: 0n },
          { principal: anonymous },
        )
        return applied ? WRITTEN : NOT_WRITTEN
      } catch (error) {
        return this.#refused(error, target)
      }
    }
  }

  /** The answer to a PUT; undefined where there is no short way. Never rejects. */
  fetch(request: Request): Promise<Response> | undefined {
    const { headers } = request
    if (!(Number(headers.get('content-length') ?? Number.NaN) <= MAX_BODY_BYTES)) return undefined
    const target = targetOf(request.url)
    const way = this.wayOf(
      target,
      (name) => headers.get(name) !== null,
      () => countHeaders(request),
    )
    return way && this.#take(request, target, way)
  }

  async #take(request: Request, target: string, way: ShortWay): Promise<Response> {
    let body: ArrayBuffer
    try {
      body = await request.arrayBuffer().catch(cutOff)
    } catch (error) {
      return this.#refused(error, target).response()
    }
    return (await way(new Uint8Array(body))).response()
  }
}
