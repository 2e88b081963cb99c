/** The HTTP face of a node: Consul's API and Atoll's own routes, as one `fetch`. */
import { Hono, type Context as HonoContext } from 'hono'
import { anonymous, type Mesh, type Principal } from '../resolver/mesh.ts'
import { loadRegexps } from '../resolver/regexps.ts'
import type { Clock, HttpRequestInfo, HttpServerOptions, Logger, Random, ReadyAnswer } from '../runtime/ports.ts'
import { encodedFailure, failed, text } from './answer.ts'
import { failureOf, HttpError } from './errors.ts'
import { filterNeedsRegexps } from './filter/filter.ts'
import { acceptsGzip } from './gzip.ts'
import { KeptAnswers, Repeated } from './kept.ts'
import { countHeaders, defaultLimits, Gate, type HttpLimits } from './limits.ts'
import { cleanPath, decodePath, targetOf } from './path.ts'
import { Query } from './query.ts'
import { type Call, type Context, type Machine, type Method, Recent, type Route, Waiters } from './route.ts'
import { agentRoutes } from './routes/agent.ts'
import { agentCheckRoutes } from './routes/agent-check.ts'
import { agentHealthRoutes } from './routes/agent-health.ts'
import { agentMachineRoutes } from './routes/agent-machine.ts'
import { agentServiceRoutes } from './routes/agent-service.ts'
import { catalogRoutes } from './routes/catalog.ts'
import { coordinateRoutes } from './routes/coordinate.ts'
import { eventRoutes } from './routes/event.ts'
import { healthRoutes } from './routes/health.ts'
import { kvRoutes } from './routes/kv.ts'
import { kvChangeRoutes } from './routes/kv-changes.ts'
import { laterRoutes } from './routes/later.ts'
import { meshRoutes } from './routes/mesh.ts'
import { offRoutes } from './routes/off.ts'
import { openApiRoutes } from './routes/openapi.ts'
import { operatorRoutes } from './routes/operator.ts'
import { preparedQueryRoutes } from './routes/prepared-query.ts'
import { sessionRoutes } from './routes/session.ts'
import { snapshotRoutes } from './routes/snapshot.ts'
import { statusRoutes } from './routes/status.ts'
import { txnRoutes } from './routes/txn.ts'
import { uiRoutes } from './routes/ui.ts'
import { watchRoutes } from './routes/watch.ts'
import { ShortPuts } from './short-put.ts'

export interface AppOptions {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Atoll's version, as `/v1/agent/self` shows it. */
  readonly version: string
  /** Where the process and its log can be looked into; without, there is little to tell. */
  readonly machine?: Machine
  readonly limits?: Partial<HttpLimits>
}

export interface App {
  /** Never rejects. */
  fetch(request: Request, info: HttpRequestInfo): Response | Promise<Response>
  /** What `fetch` would answer a GET of that path and query, when it is there already, or behind a barrier. Never throws or rejects. */
  ready(target: string, acceptEncoding: string): ReadyAnswer | Promise<ReadyAnswer> | undefined
  /** The same for a PUT with a small body. */
  put: NonNullable<HttpServerOptions['put']>
  /** Ends blocking queries and event streams. Idempotent. */
  close(): void
}

/** Every route of the API, as data: what the OpenAPI description is made of. */
export const routes: readonly Route[] = [
  ...agentRoutes,
  ...agentServiceRoutes,
  ...agentCheckRoutes,
  ...agentHealthRoutes,
  ...agentMachineRoutes,
  ...catalogRoutes,
  ...healthRoutes,
  ...kvRoutes,
  ...sessionRoutes,
  ...txnRoutes,
  ...eventRoutes,
  ...preparedQueryRoutes,
  ...snapshotRoutes,
  ...statusRoutes,
  ...coordinateRoutes,
  ...operatorRoutes,
  ...uiRoutes,
  ...offRoutes,
  ...meshRoutes,
  ...watchRoutes,
  ...kvChangeRoutes,
  ...openApiRoutes(() => routes),
]

const unknownMachine: Machine = {
  report: async () => ({
    memory: {},
    cpus: [],
    host: { hostname: '', uptimeS: 0, os: '', platformVersion: '', kernelVersion: '', kernelArch: '' },
    disk: undefined,
  }),
  memory: () => ({ residentBytes: 0, heapUsedBytes: 0, heapTotalBytes: 0, externalBytes: 0 }),
  metricsHost: '',
  log: undefined,
}

export function createApp(options: AppOptions): App {
  const limits = { ...defaultLimits, ...options.limits }
  const closing = new AbortController()
  const kept = new KeptAnswers(limits.maxKeptAnswers, limits.maxKeptBytes)
  const context: Context = {
    mesh: options.mesh,
    clock: options.clock,
    random: options.random,
    logger: options.logger,
    version: options.version,
    machine: options.machine ?? unknownMachine,
    limits,
    kept,
    blocking: new Gate(limits.maxBlockingQueries),
    watchers: new Gate(limits.maxWatchers),
    cachedBefore: new Recent(1_024),
    agentChanged: new Waiters(),
    startedAtMs: options.clock.wallMs(),
    closing: closing.signal,
  }
  const router = routerOf(routes, context)

  /** All that is not answered by what is kept. */
  const slowly = async (request: Request, gzip: boolean, headerCount?: number): Promise<Response> => {
    try {
      const target = targetOf(request.url)
      if (target.length > limits.maxTargetLength) {
        throw new HttpError(414, `the URL has ${target.length} characters, at most ${limits.maxTargetLength} are taken`)
      }
      requireFewHeaders(headerCount ?? countHeaders(request), limits.maxHeaders)
      const aside = rootOf(request.method, target) ?? redirectOf(request.method, target)
      if (aside) return aside
      if (request.method !== 'HEAD') return await router.fetch(request, { gzip })
      return withoutBody(await router.fetch(new Request(`http://localhost${target}`, { method: 'OPTIONS' })))
    } catch (error) {
      return report(error, request, context)
    }
  }

  const refused = (error: unknown, url: string, method: Method = 'GET'): Repeated => {
    tell(error, { method, url }, context)
    return new Repeated(encodedFailure(error), {})
  }

  const puts = new ShortPuts(options.mesh, limits, (error, target) => refused(error, target, 'PUT'))

  // Only what an anonymous caller may see is kept. A token that changes answers will have to be part of the key.
  return {
    fetch(request, { acceptEncoding, headerCount }) {
      const gzip = acceptsGzip(acceptEncoding)
      if (request.method === 'GET') {
        const target = targetOf(request.url)
        const answer = kept.soon(target, options.clock.nowMs(), gzip)
        if (answer instanceof Promise) return answer.then(responseOf, (error) => refused(error, target).response())
        if (answer) return answer.response()
      }
      // Where headers are counted for us the server has looked for a short way.
      if (request.method !== 'PUT' || headerCount !== undefined) return slowly(request, gzip, headerCount)
      return puts.fetch(request) ?? slowly(request, gzip)
    },
    ready(target, acceptEncoding) {
      const answer = kept.soon(target, options.clock.nowMs(), acceptsGzip(acceptEncoding))
      if (answer instanceof Promise) return answer.then(readyOf, (error) => refused(error, target).ready)
      return answer?.ready
    },
    put(target, headers, headerCount) {
      const way = puts.wayOf(
        target,
        (name) => headers[name] !== undefined,
        () => headerCount,
      )
      return way && ((body) => way(body).then(readyOf))
    },
    close() {
      closing.abort()
      kept.clear()
    },
  }
}

function routerOf(routes: readonly Route[], context: Context): Hono {
  const byPath = new Map<string, Route[]>()
  for (const route of routes) byPath.set(route.path, [...(byPath.get(route.path) ?? []), route])
  const handlers = new Map<string, Handler>(laterRoutes.map(({ path, answer }) => [path, answer]))
  for (const [path, ofPath] of byPath) handlers.set(path, handlerOf(path, ofPath, context))
  const app = new Hono({ strict: true })
  for (const path of [...handlers.keys()].sort(longestFirst)) {
    const handle = handlers.get(path)!
    if (!path.endsWith('/')) app.all(path, handle)
    else {
      const folder = path.slice(0, -1)
      if (!handlers.has(folder)) app.all(folder, ({ req }) => movedPermanently(req.method, targetOf(req.url), path))
      app.all(`${path}*`, handle)
    }
  }
  app.get('/robots.txt', () => text(200, 'User-agent: *\nDisallow: /\n'))
  app.notFound(() => new Response(null, { status: 404 }))
  app.onError((error, { req }) => report(error, req.raw, context))
  return app
}

/** Begins as a Consul without its UI does, by which probes know an agent. */
const NO_UI = 'Consul Agent: UI disabled. This is Atoll; its API is described, and can be tried, at /v1/openapi\n'

type Handler = (context: HonoContext) => Response | Promise<Response>

/** As in Go's ServeMux the longest pattern wins, whatever the method; a path alone before all that is under it. */
function longestFirst(a: string, b: string): number {
  const folder = (path: string): number => (path.endsWith('/') ? path.length - 1 : path.length)
  return folder(b) - folder(a) || a.length - b.length
}

function handlerOf(path: string, routes: readonly Route[], context: Context): Handler {
  const byMethod = new Map(routes.map((route) => [route.method as string, route]))
  const methods: Method[] = ['GET', 'POST', 'PUT', 'DELETE']
  const allow = ['OPTIONS', ...methods.filter((method) => byMethod.has(method))].join(',')
  return ({ req, env }) => {
    const route = byMethod.get(req.method)
    if (route) {
      const call = callOf(req.raw, path, env?.gzip === true)
      if (!filterNeedsRegexps(call.query.get('filter'))) return route.handle(call, context)
      return loadRegexps().then(() => route.handle(call, context))
    }
    if (req.method === 'OPTIONS') return text(200, '', { Allow: allow })
    return text(405, `method ${req.method} not allowed`, { Allow: allow })
  }
}

function callOf(request: Request, path: string, gzip: boolean): Call {
  const target = targetOf(request.url)
  const mark = target.indexOf('?')
  const query = new Query(mark < 0 ? '' : target.slice(mark + 1))
  refuseNamespace(query, request)
  const rest = path.endsWith('/') ? decodePath(mark < 0 ? target : target.slice(0, mark)).slice(path.length) : ''
  const pretty = query.has('pretty')
  return { request, target, rest, query, principal: principalOf(request, query), pretty, gzip }
}

function refuseNamespace(query: Query, request: Request): void {
  if (query.get('ns') === '' && request.headers.get('x-consul-namespace') === null) return
  throw new HttpError(400, 'Bad request: Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature')
}

function principalOf({ headers }: Request, query: Query): Principal {
  const bearer = /^Bearer (.+)$/i.exec(headers.get('authorization') ?? '')?.[1]
  const token = headers.get('x-consul-token') ?? bearer ?? query.get('token')
  return token === '' ? anonymous : { token }
}

function requireFewHeaders(count: number, max: number): void {
  if (count > max) throw new HttpError(431, `the request has ${count} headers, at most ${max} are taken`)
}

/** Whatever the method: probes come with HEAD. */
function rootOf(method: string, target: string): Response | undefined {
  if (target !== '/' && !target.startsWith('/?')) return undefined
  return text(200, method === 'HEAD' ? '' : NO_UI)
}

/** `//` and dot segments are cleaned by sending the client there, as Go does. */
function redirectOf(method: string, target: string): Response | undefined {
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const clean = cleanPath(path)
  return clean === path ? undefined : movedPermanently(method, target, clean)
}

const HTML_ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
}

function movedPermanently(method: string, target: string, path: string): Response {
  const mark = target.indexOf('?')
  const location = (mark < 0 ? path : path + target.slice(mark))
    .toWellFormed()
    // Some runtimes pass on bytes that no header may hold.
    .replace(/[^\x21-\x7e]/gu, encodeURIComponent)
  if (method !== 'GET') return new Response(null, { status: 301, headers: { Location: location } })
  const shown = location.replace(/[&<>"']/g, (char) => HTML_ESCAPES[char]!)
  return new Response(`<a href="${shown}">Moved Permanently</a>.\n\n`, {
    status: 301,
    headers: { 'Content-Type': 'text/html; charset=utf-8', Location: location },
  })
}

/** HEAD is refused everywhere, as by Consul: what OPTIONS allows, without a body. */
function withoutBody(options: Response): Response {
  const allow = options.headers.get('allow')
  if (allow === null) return new Response(null, { status: 404 })
  return text(405, '', { Allow: allow, 'Content-Type': 'text/plain; charset=utf-8' })
}

function report(error: unknown, request: Request, context: Context): Response {
  tell(error, request, context)
  return failed(error)
}

function tell(error: unknown, { method, url }: Pick<Request, 'method' | 'url'>, { logger }: Context): void {
  if (failureOf(error).unexpected) logger.error({ error, method, url }, 'a request failed')
}

const responseOf = (answer: Repeated): Response => answer.response()
const readyOf = (answer: Repeated): ReadyAnswer => answer.ready
