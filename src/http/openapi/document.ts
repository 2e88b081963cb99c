/** The whole API as an OpenAPI 3.1 document, made of the routes. */
import * as z from 'zod'
import { type DescribedAnswer, type JsonSchema, type Parameter, parameterOf, words } from '../described.ts'
import type { Method, Route } from '../route.ts'
import { HEADERS, ON_ALL, ON_FAILURES } from './headers.ts'
import { Components } from './json-schema.ts'

type Struct = Record<string, unknown>

const DESCRIPTION = `Service discovery across datacenters, in the words of Consul's HTTP API.

Reads are answered from memory. A read that takes \`index\` waits until the index is above it, for \`wait\` at most, and its
\`X-Consul-Index\` is the next one to wait with. Flags count by being there: \`stale=false\` is stale. Durations are written as
in Go (\`10s\`, \`1m30s\`). Names of fields in bodies count in any case, and null is as good as left out. Numbers of 64 bits
come exactly: read them with a parser that keeps them so.`

const TAGS: Readonly<Record<string, string>> = {
  agent: 'The node that is asked and what is registered with it',
  catalog: 'Nodes and services as they are registered',
  health: 'Services with their checks',
  kv: 'Keys and values',
  session: 'What locks are held by',
  txn: 'Several operations, all or none',
  query: 'Prepared queries',
  event: 'User events',
  snapshot: 'The whole catalog as an archive',
  status: 'Servers and leader',
  coordinate: 'Distances',
  mesh: 'All datacenters as this node sees them',
  explain: 'Why look-ups go where they go',
  watch: 'Answers as Server-Sent Events',
  operator: "Servers, for tools that know Consul's Raft",
  internal: 'Overviews for pages',
  openapi: 'This description',
  connect: 'Parts of Consul that are left out',
  config: 'Parts of Consul that are left out',
}

const FAILURES: Readonly<Record<string, DescribedAnswer>> = {
  BadRequest: words('The request is wrong; the text says what, and where'),
  Moved: { what: 'The path has `//` or dot segments: ask at `Location`', content: { 'text/html': z.string() } },
  TooLarge: words('The body is too large'),
  Overloaded: words('A bound is reached; nothing was changed', ['Retry-After']),
  Refused: words('The datacenter is not known (`No path to datacenter`), or what Consul refuses so'),
  Unavailable: words('Nobody who could answer can be reached now', ['Retry-After']),
  NoAnswer: words('No answer came in time; of a write it is not known whether it was done'),
  Failure: words('Anything else that went wrong, in words'),
}
const FAILURE_STATUS: Readonly<Record<string, string>> = {
  400: 'BadRequest',
  429: 'Overloaded',
  500: 'Refused',
  503: 'Unavailable',
  504: 'NoAnswer',
  default: 'Failure',
}

export interface DocumentOptions {
  /** Atoll's version. */
  readonly version: string
}

export function openApiDocument(routes: readonly Route[], { version }: DocumentOptions): object {
  const components = new Components()
  const paths: Record<string, Struct> = {}
  const tags = new Set<string>()
  for (const route of routes) {
    const path = pathOf(route)
    paths[path] ??= {}
    paths[path][route.method.toLowerCase()] = operationOf(route, components)
    tags.add(tagOf(route))
  }
  return {
    openapi: '3.1.0',
    jsonSchemaDialect: 'https://spec.openapis.org/oas/3.1/dialect/base',
    info: {
      title: 'Atoll',
      version,
      description: DESCRIPTION,
      license: { name: 'Apache 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'This node' }],
    tags: [...tags].map((name) => ({ name, description: TAGS[name] ?? name })),
    security: [{}, { token: [] }, { bearer: [] }, { tokenInQuery: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'apiKey', in: 'header', name: 'X-Consul-Token' },
        bearer: { type: 'http', scheme: 'bearer' },
        tokenInQuery: { type: 'apiKey', in: 'query', name: 'token' },
      },
      headers: HEADERS,
      responses: Object.fromEntries(
        Object.entries(FAILURES).map(([name, failure]) => [
          name,
          answerOf(failure, components, name === 'Moved' ? 'moved' : 'failed'),
        ]),
      ),
      schemas: components.schemas,
    },
  }
}

const pathOf = ({ path, rest }: Route): string => (path.endsWith('/') ? `${path}{${rest ?? 'rest'}}` : path)

const tagOf = ({ path }: Route): string => path.split('/')[2]!.replace(/\..*$/, '')

/** `GET /v1/health/service/` with `service`: getHealthServiceByService. */
export function operationId({ method, path, rest }: Pick<Route, 'method' | 'path' | 'rest'>): string {
  const words = path.slice('/v1/'.length).split(/[^a-zA-Z0-9]+/)
  const name = [method.toLowerCase(), ...words, ...(rest === undefined ? [] : ['by', rest])].filter(Boolean)
  return name.map((word, i) => (i === 0 ? word : word[0]!.toUpperCase() + word.slice(1))).join('')
}

const HAS_BODY: readonly Method[] = ['PUT', 'POST']

function operationOf(route: Route, components: Components): Struct {
  const answers = Object.entries(route.answers)
  const withBody = route.body !== undefined || route.rawBody !== undefined
  const failures = {
    ...FAILURE_STATUS,
    ...(route.path.endsWith('/') && { 301: 'Moved' }),
    ...(withBody && { 413: 'TooLarge' }),
  }
  return {
    operationId: operationId(route),
    tags: [tagOf(route)],
    summary: route.summary,
    parameters: parametersOf(route),
    ...(HAS_BODY.includes(route.method) && withBody && { requestBody: bodyOf(route, components) }),
    responses: {
      ...Object.fromEntries(
        Object.entries(failures).map(([status, name]) => [status, { $ref: `#/components/responses/${name}` }]),
      ),
      ...Object.fromEntries(
        answers.map(([status, answer]) => [
          status,
          answerOf(answer, components, Number(status) >= 400 ? 'failed' : 'done'),
        ]),
      ),
    },
  }
}

function parametersOf(route: Route): Struct[] {
  const { rest } = route
  const shown: Struct[] = []
  if (route.path.endsWith('/')) {
    const name = rest ?? 'rest'
    const description = SLASHES.includes(name) ? 'May hold slashes, as they are' : undefined
    shown.push({ name, in: 'path', required: true, ...(description && { description }), schema: { type: 'string' } })
  }
  for (const [name, words] of Object.entries({ ...route.parameters, ...(showsJson(route) && PRETTY) })) {
    shown.push(parameterShape(name, parameterOf(words)))
  }
  return shown
}

/** Parts of paths that have parts themselves. */
const SLASHES: readonly string[] = ['key', 'prefix']
const PRETTY: Readonly<Record<string, Parameter | string>> = {
  pretty: { what: 'Indent the JSON', schema: { type: 'boolean', enum: [true] }, flag: true },
}

const showsJson = ({ answers }: Route): boolean =>
  Object.values(answers).some(({ content }) => content?.['application/json'] !== undefined)

function parameterShape(name: string, { what, schema, flag, required, repeated }: Parameter): Struct {
  return {
    name,
    in: 'query',
    description: what[0]!.toUpperCase() + what.slice(1),
    ...(required && { required }),
    ...(flag && { allowEmptyValue: true }),
    ...(repeated && { style: 'form', explode: true }),
    schema,
  }
}

function bodyOf({ body, rawBody }: Route, components: Components): Struct {
  if (body === undefined) {
    return { description: rawBody, content: { 'application/octet-stream': { schema: {} } } }
  }
  return { required: true, content: { 'application/json': { schema: components.schema(body, 'input') } } }
}

/** Whom a path moves, the router answers: none of the API's own headers is there. */
type Kind = 'done' | 'failed' | 'moved'

function answerOf({ what, content, headers = [] }: DescribedAnswer, components: Components, kind: Kind): Struct {
  const names = new Set([...headers, ...(kind === 'failed' ? ON_FAILURES : []), ...(kind === 'moved' ? [] : ON_ALL)])
  const shown = Object.entries(content ?? {}).map(([mediaType, schema]): [string, JsonSchema] => [
    mediaType,
    { schema: components.schema(schema, 'output') },
  ])
  return {
    description: what,
    headers: Object.fromEntries([...names].map((name) => [name, { $ref: `#/components/headers/${name}` }])),
    ...(shown.length > 0 && { content: Object.fromEntries(shown) }),
  }
}
