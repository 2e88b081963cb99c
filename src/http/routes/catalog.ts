/** `/v1/catalog`: the datacenter's nodes and services as they are registered. */
import * as z from 'zod'
import type { ServiceSummary } from '../../catalog/view.ts'
import type { NodeRow, ServiceRow } from '../../model/entries.ts'
import { isAtollError } from '../../model/errors.ts'
import type { AnswerValue, RoutedInstance } from '../../resolver/mesh.ts'
import { encodedJson, json, metaHeaders, respond } from '../answer.ts'
import { decodeBody } from '../body/decode.ts'
import { readBody } from '../body/read.ts'
import { catalogDeregistrationSchema, catalogRegistrationSchema } from '../body/schemas.ts'
import { repeated, shows, TRUE } from '../described.ts'
import { HttpError } from '../errors.ts'
import { catalogServiceFields, nodeFields, serviceFields } from '../filter/fields.ts'
import type { Filter } from '../filter/filter.ts'
import { type GoMap, goMap, type Json } from '../json.ts'
import { lastShape } from '../kept.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { asksPeer, nearOf, nodeMetaOf, readOptions, sortOf } from '../query.ts'
import { type Asked, filteredShape, type JsonShape, jsonShape, listShape, reading } from '../reading.ts'
import { type Call, FILTER_PARAMETER, NODE_PARAMETERS, PEER_PARAMETER, type Route, SORT_PARAMETER } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import { catalogServiceShape, nodeShape, serviceShape } from '../shapes.ts'
import { requireText } from '../words.ts'
import { catalogCommand } from './catalog-command.ts'

const none = jsonShape<unknown>(() => [])
const datacenters = jsonShape<readonly string[]>((names) => names)
const nodes = listShape<NodeRow>(nodeFields, nodeShape)
const services = jsonShape<readonly ServiceSummary[]>((list) => {
  const tags: Record<string, readonly string[]> = Object.create(null)
  for (const summary of list) tags[summary.service] = summary.tags
  return goMap(tags, (value) => value)
})

/** The services of those registrations that a filter chooses, with the tags that these have. */
const chosenServices = filteredShape<AnswerValue<'registrations'>>(catalogServiceFields, none, (filter, pretty) =>
  lastShape((list, datacenter) => {
    const isChosen = filter()
    const tagsOf: Record<string, Set<string>> = Object.create(null)
    for (const registration of list) {
      if (!isChosen(catalogServiceShape(registration, datacenter))) continue
      const { service, tags } = registration.service
      tagsOf[service] ??= new Set()
      for (const tag of tags) tagsOf[service].add(tag)
    }
    return encodedJson(
      goMap(tagsOf, (tags) => [...tags]),
      pretty,
    )
  }),
)
const instances = listShape<RoutedInstance>(catalogServiceFields, catalogServiceShape)

/** A node with its services, in a map by id or in a list; `filter` chooses services. */
function nodeWithServices(asList: boolean, missing: Json): JsonShape<AnswerValue<'node'>> {
  const shape =
    (filter: Filter): ((value: AnswerValue<'node'>, datacenter: string) => Json) =>
    (value, datacenter) => {
      if (value === undefined) return missing
      const isChosen = filter()
      const chosen: [string, Json][] = []
      for (const service of value.services) {
        const entry = serviceShape(service as ServiceRow)
        if (isChosen(entry)) chosen.push([service.id, entry])
      }
      return {
        Node: nodeShape(value.node, datacenter),
        Services: asList ? chosen.map(([, entry]) => entry) : sorted(chosen),
      }
    }
  return filteredShape(serviceFields, jsonShape(shape(() => () => true)), (filter, pretty) => {
    const chosen = shape(filter)
    return lastShape((value, datacenter) => encodedJson(chosen(value, datacenter), pretty))
  })
}

const sorted = (entries: [string, Json][]): GoMap => {
  const byId: Record<string, Json> = Object.create(null)
  for (const [id, entry] of entries) byId[id] = entry
  return goMap(byId, (entry) => entry)
}

const nodeMap = nodeWithServices(false, null)
const nodeList = nodeWithServices(true, { Node: null, Services: null })

const askNode = (shape: JsonShape<AnswerValue<'node'>>) => (call: Call) => ({
  question: { kind: 'node', node: requireText(call.rest, 'Missing node name') } as const,
  shape: shape.of(call),
})

export function askServices(call: Call): Asked<'services' | 'registrations'> {
  const nodeMeta = nodeMetaOf(call.query)
  if (call.query.get('filter') === '') return { question: { kind: 'services', nodeMeta }, shape: services.of(call) }
  return { question: { kind: 'registrations', nodeMeta }, shape: chosenServices.of(call) }
}

const tagParameter = { tag: repeated('repeated: only instances that carry all, in any case') }

export const catalogRoutes: readonly Route[] = [
  reading<'datacenters'>({
    path: '/v1/catalog/datacenters',
    summary: 'All datacenters of the mesh, nearest first',
    shows: z.array(z.string()),
    meta: 'none',
    ask: (call) => ({ question: { kind: 'datacenters' }, shape: datacenters.of(call) }),
  }),
  reading<'nodes'>({
    path: '/v1/catalog/nodes',
    summary: 'The nodes of a datacenter',
    shows: z.array(shown.node),
    parameters: { ...NODE_PARAMETERS, ...FILTER_PARAMETER },
    meta: 'full',
    metaOnNoPath: true,
    ask: (call) => ({
      question: { kind: 'nodes', near: nearOf(call.query), nodeMeta: nodeMetaOf(call.query) },
      shape: nodes.of(call),
    }),
  }),
  reading<'services' | 'registrations'>({
    path: '/v1/catalog/services',
    summary: 'The names of all services with their tags; `filter` is over their instances, as in catalog/service',
    shows: z.record(z.string(), z.array(z.string())),
    parameters: { 'node-meta': NODE_PARAMETERS['node-meta']!, ...FILTER_PARAMETER },
    meta: 'full',
    metaOnNoPath: true,
    ask: askServices,
  }),
  reading<'service'>({
    path: '/v1/catalog/service/',
    rest: 'service',
    summary: 'The instances of a service, whatever their health',
    shows: z.array(shown.catalogService),
    parameters: { ...tagParameter, ...PEER_PARAMETER, ...SORT_PARAMETER, ...NODE_PARAMETERS, ...FILTER_PARAMETER },
    meta: 'full',
    cacheable: true,
    ask: (call) => ({
      question: {
        kind: 'service',
        service: requireText(call.rest, 'Missing service name'),
        passing: false,
        tags: call.query.all('tag'),
        near: nearOf(call.query),
        ...sortOf(call.query),
        nodeMeta: nodeMetaOf(call.query),
      },
      shape: asksPeer(call.query) ? none.of(call) : instances.of(call),
      noFailover: true,
    }),
  }),
  reading<'service'>({
    path: '/v1/catalog/connect/',
    rest: 'service',
    summary: 'Always empty: Atoll has no proxies of its own',
    shows: z.array(shown.catalogService),
    meta: 'full',
    ask: (call) => ({
      question: { kind: 'service', service: requireText(call.rest, 'Missing service name'), passing: false, tags: [] },
      shape: none.of(call),
      noFailover: true,
    }),
  }),
  {
    method: 'GET',
    path: '/v1/catalog/gateway-services/',
    rest: 'gateway',
    summary: 'Always null: Atoll has no gateways of a service mesh',
    answers: { 200: shows('Nothing', z.null(), META_HEADERS.full) },
    async handle(call, { mesh }) {
      const { ask } = readOptions(call.query, call.principal, null)
      const answer = await mesh.ask({ kind: 'services' }, ask)
      return respond(encodedJson(null, call.pretty), metaHeaders({ ...answer, index: 1 }, 'full', 'blocking-query'))
    },
  },
  reading<'node'>({
    path: '/v1/catalog/node/',
    rest: 'node',
    summary: 'A node, by name or id, and its services by their ids',
    shows: shown.nodeServices,
    parameters: FILTER_PARAMETER,
    meta: 'full',
    ask: askNode(nodeMap),
  }),
  reading<'node'>({
    path: '/v1/catalog/node-services/',
    rest: 'node',
    summary: 'A node, by name or id, and a list of its services',
    shows: shown.nodeServiceList,
    parameters: FILTER_PARAMETER,
    meta: 'full',
    ask: askNode(nodeList),
  }),
  {
    method: 'PUT',
    path: '/v1/catalog/register',
    summary: 'Registers a node, and a service and checks on it, in one change',
    answers: TRUE,
    parameters: { dc: 'the datacenter to register in, where the body names none' },
    body: catalogRegistrationSchema,
    async handle(call, { mesh, limits }) {
      const body = decodeBody(catalogRegistrationSchema, await readBody(call.request, limits.maxBodyBytes))
      const command = catalogCommand(body)
      try {
        await mesh.execute(command, writeOptions(call, body.Datacenter))
      } catch (error) {
        // What the catalog refuses is a 500 in Consul.
        if (isAtollError(error) && error.code === 'invalid') throw new HttpError(500, error.message)
        throw error
      }
      return json(true, call.pretty)
    },
  },
  {
    method: 'PUT',
    path: '/v1/catalog/deregister',
    summary: 'Removes a node, one of its services, or one of its checks',
    answers: TRUE,
    parameters: { dc: 'the datacenter, where the body names none' },
    body: catalogDeregistrationSchema,
    async handle(call, { mesh, limits }) {
      const body = decodeBody(catalogDeregistrationSchema, await readBody(call.request, limits.maxBodyBytes))
      const node = body.Node ?? ''
      if (node === '') throw new HttpError(500, 'Must provide node')
      await mesh.execute(
        {
          kind: 'deregister',
          node,
          ...(body.ServiceID && { serviceId: body.ServiceID }),
          ...(body.CheckID && { checkId: body.CheckID }),
        },
        writeOptions(call, body.Datacenter),
      )
      return json(true, call.pretty)
    },
  },
]

/** Where a write goes: as the body says, or else as `?dc=` does. */
function writeOptions(call: Call, datacenter: string | undefined) {
  const name = datacenter || call.query.get('dc')
  return { principal: call.principal, signal: call.request.signal, ...(name && { datacenter: name }) }
}
