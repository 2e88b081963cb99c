/** Parts of Consul's API that this version does not have. They say so, where an unknown path would just be missing. */
import { text } from '../answer.ts'
import type { Method, Route } from '../route.ts'

const METHODS: readonly Method[] = ['GET', 'PUT', 'DELETE']

const LATER = [
  '/v1/txn',
  '/v1/query',
  '/v1/query/',
  '/v1/session/',
  '/v1/event/',
  '/v1/snapshot',
  '/v1/operator/',
  '/v1/connect/',
  '/v1/config',
  '/v1/config/',
  '/v1/agent/connect/',
  '/v1/agent/monitor',
  '/v1/agent/host',
]

export const laterRoutes: readonly Route[] = [
  ...routesFor(LATER, (path) => text(501, `${path}: not part of this version of Atoll`)),
  ...routesFor(['/v1/acl/'], () => text(401, 'ACL support disabled')),
]

function routesFor(paths: readonly string[], answer: (path: string) => Response): Route[] {
  return paths.flatMap((path) =>
    METHODS.map((method) => ({ method, path, summary: 'Not part of this version', handle: () => answer(path) })),
  )
}
