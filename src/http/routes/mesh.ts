/** Atoll's own questions: the mesh as this node sees it, and why lookups go where they go. */

import { json } from '../answer.ts'
import { shows } from '../described.ts'
import type { Json } from '../json.ts'
import type { Route } from '../route.ts'
import { explanation, meshStatus } from '../schemas/mesh.ts'
import { requireText } from '../words.ts'

export const meshRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/mesh',
    summary: 'All datacenters with their gateways and the replicas held of them, and the connections of this node',
    answers: { 200: shows('The mesh', meshStatus) },
    async handle(call, { mesh }) {
      return json(pascal(await mesh.status()), call.pretty)
    },
  },
  {
    method: 'GET',
    path: '/v1/explain/',
    rest: 'service',
    summary: 'Every datacenter considered for a passing lookup of a service, and why it was or was not chosen',
    answers: { 200: shows('The candidates', explanation) },
    async handle(call, { mesh }) {
      return json(
        pascal(await mesh.explain(requireText(call.rest, 'Missing service name'), call.principal)),
        call.pretty,
      )
    },
  },
]

/** Plain data with its names spelled as the rest of the API spells them; what is unknown is null. */
function pascal(value: unknown): Json {
  if (value === undefined || value === null) return null
  if (Array.isArray(value)) return value.map(pascal)
  if (typeof value !== 'object') return value as Json
  const struct: Record<string, Json> = {}
  for (const [name, field] of Object.entries(value)) struct[pascalName(name)] = pascal(field)
  return struct
}

const pascalName = (name: string): string => (name[0]!.toUpperCase() + name.slice(1)).replace(/Id$/, 'ID')
