/** Parts of Consul's API that this version does not have. They say so, where an unknown path would just be missing. */
import { text } from '../answer.ts'

export interface LaterRoute {
  /** As in routes: with a `/` at the end, everything under it. */
  readonly path: string
  answer(): Response
}

export const laterRoutes: readonly LaterRoute[] = [
  { path: '/v1/acl/', answer: () => text(401, 'ACL support disabled') },
]
