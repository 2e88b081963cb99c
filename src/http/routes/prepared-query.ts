/** `/v1/query`: prepared queries, stored and executed. They belong to one datacenter and never leave it. */
import * as z from 'zod'
import type { Command, CommandResult } from '../../catalog/catalog.ts'
import { isAtollError } from '../../model/errors.ts'
import type { PreparedQueryEntry, PreparedQueryRow } from '../../model/prepared-query.ts'
import { uuidFault } from '../../model/uuid.ts'
import type { Answer, AskOptions, Execution, Question } from '../../resolver/mesh.ts'
import { needsRegexps, templateFault } from '../../resolver/queries/template.ts'
import { loadRegexps } from '../../resolver/regexps.ts'
import { done, encodedJson, failed, json, metaHeaders, metaShape, NO_ANSWER_META, respond, text } from '../answer.ts'
import { decodeBody } from '../body/decode.ts'
import { preparedQueryOf, preparedQuerySchema } from '../body/prepared-query.ts'
import { readBody } from '../body/read.ts'
import { DONE, flag, shows, whole, words } from '../described.ts'
import { failureOf, HttpError } from '../errors.ts'
import type { Json, JsonStruct } from '../json.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { nearOf, parseBool, readOptions, sortOf } from '../query.ts'
import { jsonShape, reading, waitForAnswer } from '../reading.ts'
import { type Call, type Context, READ_PARAMETERS, type Route, SORT_PARAMETER } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import { healthShape, textMap } from '../shapes.ts'

const BAD_ID = 'failed prepared query lookup: index error: '
const NOT_FOUND = 'Query not found'

const queryShape = (query: PreparedQueryRow): JsonStruct => {
  const { template, service } = query
  const { failover } = service
  return {
    ID: query.id,
    Name: query.name,
    Session: query.session,
    Token: query.token,
    Template: { Type: template.type, Regexp: template.regexp, RemoveEmptyTags: template.removeEmptyTags },
    Service: {
      Service: service.service,
      Failover: {
        NearestN: failover.nearestN,
        Datacenters: failover.datacenters,
        Targets: failover.targets?.map((Datacenter) => ({ Datacenter })),
      },
      OnlyPassing: service.onlyPassing,
      IgnoreCheckIDs: service.ignoreCheckIds,
      Near: service.near,
      Tags: service.tags,
      NodeMeta: textMap(service.nodeMeta),
      ServiceMeta: textMap(service.serviceMeta),
      Connect: service.connect,
      Sort: service.sort,
    },
    DNS: { TTL: query.dnsTtl },
    CreateIndex: query.createIndex,
    ModifyIndex: query.modifyIndex,
  }
}

const list = jsonShape<readonly PreparedQueryRow[]>((queries) => queries.map(queryShape))

const idParameter = { dc: 'the datacenter of the query' }
const EXECUTE = '/execute'
const EXPLAIN = '/explain'

export const preparedQueryRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/query',
    summary: 'Stores a prepared query, and answers its id',
    answers: { 200: shows('The query', z.object({ ID: z.string() })) },
    parameters: { dc: 'the datacenter to store it in' },
    body: preparedQuerySchema,
    async handle(call, context) {
      const body = decodeBody(preparedQuerySchema, await readBody(call.request, context.limits.maxBodyBytes))
      if (body.ID) throw new HttpError(500, 'ID must be empty when creating a new prepared query')
      const query = await checked(preparedQueryOf(context.random.uuid(), body))
      await execute({ kind: 'query-put', query, create: true }, call, context)
      return json({ ID: query.id }, call.pretty)
    },
  },
  reading<'queries'>({
    path: '/v1/query',
    summary: 'All prepared queries of a datacenter',
    shows: z.array(shown.preparedQuery),
    meta: 'full',
    ask: (call) => ({ question: { kind: 'queries' }, shape: list.of(call) }),
  }),
  {
    method: 'GET',
    path: '/v1/query/',
    rest: 'query',
    summary:
      'A prepared query, by its id; with `/execute` behind an id or a name what it selects now, with `/explain` what it stands for',
    answers: {
      200: shows(
        'The query in a list; of `/execute` and `/explain` what comes of it',
        z.union([z.array(shown.preparedQuery), shown.queryExecution, shown.queryExplanation]),
        META_HEADERS.full,
      ),
      404: words('There is none'),
    },
    parameters: {
      ...READ_PARAMETERS,
      near: 'of `/execute`: order by nearness to this node, or to the asked one (`_agent`)',
      ...SORT_PARAMETER,
      limit: whole('of `/execute`: so many instances at most; 0 for all'),
      connect: flag('of `/execute`: proxies only, of which there are none'),
    },
    handle(call, context) {
      if (call.rest.endsWith(EXECUTE)) return answerExecute(call.rest.slice(0, -EXECUTE.length), call, context)
      if (call.rest.endsWith(EXPLAIN)) return answerExplain(call.rest.slice(0, -EXPLAIN.length), call, context)
      return answerGet(call, context)
    },
  },
  {
    method: 'PUT',
    path: '/v1/query/',
    rest: 'query',
    summary: 'Stores a prepared query anew under its id',
    answers: DONE,
    parameters: idParameter,
    body: preparedQuerySchema,
    async handle(call, context) {
      refuseVerbs(call)
      const body = decodeBody(preparedQuerySchema, await readBody(call.request, context.limits.maxBodyBytes))
      const id = requireId(call.rest, 'Prepared Query lookup failed: ')
      const query = await checked(preparedQueryOf(id, body))
      await execute({ kind: 'query-put', query, create: false }, call, context)
      return done()
    },
  },
  {
    method: 'DELETE',
    path: '/v1/query/',
    rest: 'query',
    summary: 'Removes a prepared query',
    answers: DONE,
    parameters: idParameter,
    async handle(call, context) {
      refuseVerbs(call)
      const query = requireId(call.rest, 'Prepared Query lookup failed: ')
      await execute({ kind: 'query-delete', query }, call, context)
      return done()
    },
  },
]

/** These are read, and nothing else. */
function refuseVerbs({ request, rest }: Call): void {
  if (!rest.endsWith(EXECUTE) && !rest.endsWith(EXPLAIN)) return
  throw new HttpError(405, `method ${request.method} not allowed`, { Allow: 'OPTIONS,GET' })
}

function requireId(id: string, before: string): string {
  const fault = uuidFault(id)
  if (fault) throw new HttpError(500, `${before}${BAD_ID}${fault}`)
  return id.toLowerCase()
}

/** What is wrong with a template shows here, before it is stored. */
async function checked(query: PreparedQueryEntry): Promise<PreparedQueryEntry> {
  const fault = templateFault(query, needsRegexps(query) ? await loadRegexps() : undefined)
  if (fault === undefined) return query
  throw new HttpError(500, `raft apply failed: failed compiling template: ${fault}`)
}

/** What the catalog refuses is a 500 in Consul, with a prefix that tells how far it got. */
async function execute(command: Command, call: Call, { mesh }: Context): Promise<CommandResult> {
  const datacenter = call.query.get('dc') || undefined
  const { principal, request } = call
  try {
    return await mesh.execute(command, { principal, signal: request.signal, ...(datacenter && { datacenter }) })
  } catch (error) {
    if (!isAtollError(error)) throw error
    const elsewhere = datacenter !== undefined && datacenter !== mesh.datacenter ? 'rpc error making call: ' : ''
    if (error.code === 'not-found') throw new HttpError(500, elsewhere + error.message)
    if (error.code !== 'invalid' && error.code !== 'conflict') throw error
    throw new HttpError(500, `${elsewhere}raft apply failed: ${error.message}`)
  }
}

/** How a question about a query is asked, waiting where it is to; what the query itself makes impossible is a 500. */
async function ask<K extends 'query' | 'query-explain' | 'query-execute'>(
  question: Question<K>,
  call: Call,
  context: Context,
) {
  const read = readOptions(call.query, call.principal, call.request.headers.get('cache-control'))
  const options: AskOptions = { ...read.ask, signal: call.request.signal }
  try {
    const prepared = context.mesh.prepare(question, options)
    let answer = read.index > 0 ? await waitForAnswer(prepared, read, call, context) : await prepared.answer()
    if (options.consistency === 'stale' && read.maxStaleMs !== undefined && answer.ageMs > read.maxStaleMs) {
      answer = await context.mesh.ask(question, { ...options, consistency: 'default' })
    }
    const headers = metaHeaders(answer, 'full', 'blocking-query')
    return { answer, headers, cached: read.cached, datacenter: read.ask.datacenter }
  } catch (error) {
    if (!isAtollError(error)) throw error
    if (error.code === 'invalid' && error.field !== 'dc') throw new HttpError(500, error.message)
    if (error.code !== 'no-path') throw error
    const { status, text, headers } = failureOf(error)
    throw new HttpError(status, text, { ...NO_ANSWER_META, ...headers })
  }
}

const missing = (call: Call, { mesh }: Context): Response => {
  const datacenter = call.query.get('dc') || mesh.datacenter
  return text(404, `${datacenter === mesh.datacenter ? '' : 'rpc error making call: '}${NOT_FOUND}`)
}

async function answerGet(call: Call, context: Context): Promise<Response> {
  const fault = uuidFault(call.rest)
  if (fault) return failed(new HttpError(500, `${BAD_ID}${fault}`), NO_ANSWER_META)
  const { answer, headers } = await ask({ kind: 'query', id: call.rest.toLowerCase() }, call, context)
  if (answer.value === undefined) return missing(call, context)
  return respond(encodedJson([queryShape(answer.value)], call.pretty), headers)
}

async function answerExplain(query: string, call: Call, context: Context): Promise<Response> {
  const { answer, headers } = await ask({ kind: 'query-explain', query }, call, context)
  if (answer.value === undefined) return missing(call, context)
  return respond(encodedJson({ Query: queryShape(answer.value), ...metaShape(answer) }, call.pretty), headers)
}

async function answerExecute(query: string, call: Call, context: Context): Promise<Response> {
  const limit = limitOf(call.query.get('limit'))
  const question: Question<'query-execute'> = {
    kind: 'query-execute',
    query,
    near: nearOf(call.query),
    ...sortOf(call.query),
    ...(call.query.has('connect') && { connect: parseBool(call.query.get('connect')) ?? true }),
  }
  const { answer, headers, cached, datacenter } = await ask(question, call, context)
  if (answer.value === undefined) return missing(call, context)
  if (cached) {
    const hit = context.cachedBefore.seen(`${datacenter ?? ''} ${JSON.stringify(question)}`)
    headers['X-Cache'] = hit ? 'HIT' : 'MISS'
    if (hit) headers.Age = '0'
  }
  return respond(encodedJson(executionShape(answer as Answer<Execution>, limit, context), call.pretty), headers)
}

function executionShape(answer: Answer<Execution>, limit: number, { random }: Context): JsonStruct {
  const { query, instances, isOrdered, failovers } = answer.value
  const chosen = isOrdered ? instances : shuffled(instances, () => random.float())
  const shown = limit > 0 ? chosen.slice(0, limit) : chosen
  const nodes: Json = shown.map((instance) => nullsInPlaceOfNothing(healthShape(instance, answer.datacenter)))
  return {
    Service: query.service.service,
    Nodes: nodes,
    DNS: { TTL: query.dnsTtl },
    Datacenter: answer.datacenter,
    Failovers: failovers,
    ...metaShape(answer),
  }
}

/** Here alone Consul shows lists without elements as null. */
function nullsInPlaceOfNothing(entry: JsonStruct): JsonStruct {
  const orNull = (list: Json | undefined): Json => (Array.isArray(list) && list.length > 0 ? list : null)
  const { Service, Checks } = entry as { Service: JsonStruct; Checks: readonly JsonStruct[] }
  return {
    ...entry,
    Service: { ...Service, Tags: orNull(Service.Tags) },
    Checks: orNull(Checks.map((check) => ({ ...check, ServiceTags: orNull(check.ServiceTags) }))),
  }
}

/** Every order is as likely (Fisher and Yates): who takes the first one shares the load. */
function shuffled<T>(items: readonly T[], random: () => number): readonly T[] {
  const order = [...items]
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const item = order[i]!
    order[i] = order[j]!
    order[j] = item
  }
  return order
}

function limitOf(limit: string): number {
  if (limit === '') return 0
  if (/^[+-]?\d{1,15}$/.test(limit)) return Math.max(0, Number(limit))
  throw new HttpError(500, `Bad limit: strconv.Atoi: parsing ${JSON.stringify(limit)}: invalid syntax`)
}
