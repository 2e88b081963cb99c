/** The short way of the commonest write: a value put under a plain key, without Request, router and Response. */
import { anonymous, type Mesh } from '../resolver/mesh.ts'
import type { HttpServerOptions, ReadyAnswer } from '../runtime/ports.ts'
import { encodedJson } from './answer.ts'
import { Repeated } from './kept.ts'
import type { HttpLimits } from './limits.ts'

const PATH = '/v1/kv/'
/** Nothing that is escaped, cleaned or a parameter: all of that is for the router and the route to judge. */
const PLAIN_KEY = /^[\w~@:=,-][\w.~@:=,-]*(?:\/[\w~@:=,-][\w.~@:=,-]*)*$/
/** Headers that the route looks at. */
const TELLING = ['authorization', 'x-consul-token', 'x-consul-namespace'] as const

const WRITTEN = new Repeated(encodedJson(true, false), {})
const NOT_WRITTEN = new Repeated(encodedJson(false, false), {})

/** `refused`: what a failure is answered with. */
export function shortPut(
  mesh: Pick<Mesh, 'execute'>,
  limits: Pick<HttpLimits, 'maxTargetLength' | 'maxHeaders'>,
  refused: (error: unknown, target: string) => ReadyAnswer,
): NonNullable<HttpServerOptions['put']> {
  return (target, headers, headerCount) => {
    if (!target.startsWith(PATH) || target.length > limits.maxTargetLength || headerCount > limits.maxHeaders) return
    const key = target.slice(PATH.length)
    if (!PLAIN_KEY.test(key) || TELLING.some((name) => headers[name] !== undefined)) return
    return async (value) => {
      try {
        const { applied } = await mesh.execute({ kind: 'kv-put', key, value, flags: 0n }, { principal: anonymous })
        return (applied ? WRITTEN : NOT_WRITTEN).ready
      } catch (error) {
        return refused(error, target)
      }
    }
  }
}
