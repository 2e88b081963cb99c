/**
 * Parts of Consul that Atoll leaves out: the service mesh (Connect), configuration entries, peering. They answer as a Consul
 * does that has them switched off or empty, so that tools which look there go on instead of giving up.
 */
import * as z from 'zod'
import { AtollError } from '../../model/errors.ts'
import {
  encodedJson,
  failed,
  type HeaderRecord,
  json,
  type MetaKind,
  metaHeaders,
  NO_ANSWER_META,
  respond,
  text,
} from '../answer.ts'
import { JsonSyntaxError, type JsonValue, parseFirstJson } from '../body/go-json.ts'
import { readBody } from '../body/read.ts'
import { REFUSED, shows, words } from '../described.ts'
import { badRequest, HttpError } from '../errors.ts'
import { quote } from '../json.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { readOptions } from '../query.ts'
import type { Call, Context, Method, Route } from '../route.ts'

const CONNECT_OFF = 'Connect must be enabled in order to use this endpoint'
const PEERING_OFF = 'peering must be enabled to use this endpoint'

/** Kinds of configuration entries; of others a reader is told that they are none. */
const KINDS: ReadonlySet<string> = new Set([
  'api-gateway',
  'bound-api-gateway',
  'control-plane-request-limit',
  'exported-services',
  'file-system-certificate',
  'http-route',
  'ingress-gateway',
  'inline-certificate',
  'jwt-provider',
  'mesh',
  'proxy-defaults',
  'sameness-group',
  'service-defaults',
  'service-intentions',
  'service-resolver',
  'service-router',
  'service-splitter',
  'tcp-route',
  'terminating-gateway',
])

interface Refusal {
  readonly path: string
  readonly rest?: string
  readonly methods: readonly Method[]
  readonly summary: string
  /** Where Consul puts the headers of an answer on the refusal. */
  readonly headers?: Readonly<HeaderRecord>
}

const refusing = (fault: string, { path, rest, methods, summary, headers }: Refusal): Route[] =>
  methods.map((method) => ({
    method,
    path,
    ...(rest === undefined ? {} : { rest }),
    summary,
    answers: REFUSED,
    handle: () => failed(new HttpError(500, fault), headers),
  }))

const connectRoutes: readonly Route[] = [
  ...[
    { path: '/v1/connect/ca/roots', methods: ['GET'], headers: NO_ANSWER_META },
    { path: '/v1/connect/ca/configuration', methods: ['GET', 'PUT'] },
    { path: '/v1/connect/intentions', methods: ['GET', 'POST'], headers: NO_ANSWER_META },
    { path: '/v1/connect/intentions/match', methods: ['GET'] },
    { path: '/v1/connect/intentions/check', methods: ['GET'] },
    { path: '/v1/connect/intentions/exact', methods: ['GET', 'PUT', 'DELETE'] },
    { path: '/v1/connect/intentions/', rest: 'id', methods: ['GET', 'PUT', 'DELETE'] },
    { path: '/v1/agent/connect/authorize', methods: ['POST'] },
    { path: '/v1/agent/connect/ca/roots', methods: ['GET'] },
    { path: '/v1/agent/connect/ca/leaf/', rest: 'service', methods: ['GET'] },
    { path: '/v1/discovery-chain/', rest: 'service', methods: ['GET', 'POST'] },
    { path: '/v1/internal/service-virtual-ip', methods: ['PUT'] },
  ].flatMap((one) => refusing(CONNECT_OFF, { ...one, summary: 'Refused: there is no service mesh' } as Refusal)),
]

const peeringRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/peerings',
    summary: 'Always empty: datacenters federate by the mesh',
    answers: { 200: shows('Nothing', z.array(z.never())) },
    handle: (call) => json([], call.pretty),
  },
  ...[
    { path: '/v1/peering/token', methods: ['POST'] },
    { path: '/v1/peering/establish', methods: ['POST'] },
    { path: '/v1/peering/', rest: 'name', methods: ['DELETE'] },
  ].flatMap((one) => refusing(PEERING_OFF, { ...one, summary: 'Refused: there is no peering' } as Refusal)),
  {
    method: 'GET',
    path: '/v1/peering/',
    rest: 'name',
    summary: 'Always missing: datacenters federate by the mesh',
    answers: { 404: words('Always') },
    handle: (call) => text(404, `Peering not found for ${quote(call.rest)}`),
  },
]

const configRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/config/',
    rest: 'kind',
    summary: 'Configuration entries of a kind, of which there are none, or one of them, which is missing',
    answers: {
      200: shows('Nothing', z.array(z.never()), META_HEADERS.index),
      404: words('There is none', META_HEADERS.index),
    },
    async handle(call, context) {
      const [kind = '', ...rest] = call.rest.split('/')
      const name = rest.join('/')
      if (kind === '') return text(404, 'Must provide either a kind or both kind and name')
      if (!KINDS.has(kind)) throw new HttpError(500, `invalid config entry kind: ${kind}`)
      const headers = await headersOf(call, context, 'index')
      if (name === '') return respond(encodedJson([], call.pretty), headers)
      return text(404, `Config entry not found for ${quote(kind)} / ${quote(name)}`, headers)
    },
  },
  {
    method: 'PUT',
    path: '/v1/config',
    summary: 'Refused: Atoll has no configuration entries',
    rawBody: 'The entry',
    answers: { 501: words('Always') },
    async handle(call, { limits }) {
      const kind = kindOf(await readBody(call.request, limits.maxBodyBytes))
      throw new AtollError(
        'unsupported',
        `configuration entries of kind ${kind} are for the service mesh of Consul, which Atoll does not have`,
        { field: 'Kind' },
      )
    },
  },
  {
    method: 'DELETE',
    path: '/v1/config/',
    rest: 'kind',
    summary: 'What is not there is as good as deleted',
    answers: {
      200: shows('It is not there', z.union([z.boolean(), z.object({})])),
      404: words('A kind or a name is missing'),
    },
    handle(call) {
      const [kind = '', name = ''] = call.rest.split('/')
      if (kind === '' || name === '') return text(404, 'Must provide both a kind and name to delete')
      if (!KINDS.has(kind)) throw badRequest(`invalid config entry kind: ${kind}`)
      return json(call.query.has('cas') ? true : {}, call.pretty)
    },
  },
  {
    method: 'GET',
    path: '/v1/exported-services',
    summary: 'Always empty: nothing is exported to peers, and everything to the mesh',
    answers: { 200: shows('Nothing', z.array(z.never()), META_HEADERS.index) },
    handle: async (call, context) => respond(encodedJson([], call.pretty), await headersOf(call, context, 'index')),
  },
  {
    method: 'GET',
    path: '/v1/imported-services',
    summary: 'Always empty: nothing is imported from peers',
    answers: { 200: shows('Nothing', z.array(z.never()), META_HEADERS.index) },
    handle: async (call, context) => respond(encodedJson([], call.pretty), await headersOf(call, context, 'index')),
  },
]

export const offRoutes: readonly Route[] = [...connectRoutes, ...peeringRoutes, ...configRoutes]

/** The headers of an answer of the datacenter that is asked about. */
export async function headersOf(call: Call, { mesh }: Context, kind: MetaKind): Promise<HeaderRecord> {
  const { ask } = readOptions(call.query, call.principal, null)
  return metaHeaders(await mesh.ask({ kind: 'services' }, ask), kind, 'blocking-query')
}

/** The kind that a body names, with Consul's faults of a body that does not. */
function kindOf(bytes: Uint8Array): string {
  const fault = (reason: string): HttpError => badRequest(`Bad request: Request decoding failed: ${reason}`)
  let body: JsonValue
  try {
    body = parseFirstJson(bytes)
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw fault(error.message)
    throw error
  }
  if (body !== null && !(body instanceof Map)) {
    const kind = Array.isArray(body)
      ? 'slice'
      : typeof body === 'string'
        ? 'string'
        : typeof body === 'boolean'
          ? 'bool'
          : 'float64'
    throw fault(`'' expected a map, got '${kind}'`)
  }
  const given = body?.get('Kind') ?? body?.get('kind')
  if (given === undefined || given === null) throw fault('Payload does not contain a kind/Kind key at the top level')
  if (typeof given !== 'string' || !KINDS.has(given)) {
    throw fault(`invalid config entry kind: ${typeof given === 'string' ? given : ''}`)
  }
  return given
}
