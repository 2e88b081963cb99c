/** Parts of Consul's API that this version does not have. They say so, where an unknown path would just be missing. */
import { text } from '../answer.ts'

export interface LaterRoute {
  /** As in routes: with a `/` at the end, everything under it. */
  readonly path: string
  answer(): Response
}

const PATHS = ['/v1/query', '/v1/query/']

export const laterRoutes: readonly LaterRoute[] = [
  ...PATHS.map((path) => ({ path, answer: () => text(501, `${path}: not part of this version of Atoll`) })),
  { path: '/v1/acl/', answer: () => text(401, 'ACL support disabled') },
]
