/** `/v1/internal/ui`: overviews as Consul's own page and some dashboards read them. */
import * as z from 'zod'
import type { CheckRow, ServiceRow, Status } from '../../model/entries.ts'
import type { AnswerValue, AskOptions } from '../../resolver/mesh.ts'
import { type HeaderRecord, json, metaHeaders } from '../answer.ts'
import { shows } from '../described.ts'
import { nodeFields } from '../filter/fields.ts'
import { filterOf } from '../filter/filter.ts'
import type { Json, JsonStruct } from '../json.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { readOptions } from '../query.ts'
import { waitForAnswer } from '../reading.ts'
import { type Call, type Context, FILTER_PARAMETER, READ_PARAMETERS, type Route } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import * as operator from '../schemas/operator.ts'
import { checkShape, nodeShape, serviceShape } from '../shapes.ts'
import { requireText } from '../words.ts'

type NodeView = NonNullable<AnswerValue<'node'>>

export const uiRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/internal/ui/services',
    summary: 'All services with how many instances they have and how those are',
    answers: { 200: shows('The services', z.array(operator.serviceSummary), META_HEADERS.index) },
    parameters: READ_PARAMETERS,
    handle: (call, context) =>
      overview(call, context, (views, datacenter) => [...summaries(views)].map((one) => summaryShape(one, datacenter))),
  },
  {
    method: 'GET',
    path: '/v1/internal/ui/nodes',
    summary: 'All nodes with their services and checks',
    answers: { 200: shows('The nodes', z.array(shown.nodeView), META_HEADERS.index) },
    parameters: { ...READ_PARAMETERS, ...FILTER_PARAMETER },
    handle(call, context) {
      const filter = filterOf(call.query.get('filter'), nodeFields)
      return overview(call, context, (views, datacenter) =>
        views.map((view) => nodeViewShape(view, datacenter)).filter(filter?.() ?? (() => true)),
      )
    },
  },
  {
    method: 'GET',
    path: '/v1/internal/ui/node/',
    rest: 'node',
    summary: 'A node with its services and checks; null when there is none',
    answers: { 200: shows('The node', shown.nodeView.nullable(), META_HEADERS.index) },
    parameters: READ_PARAMETERS,
    async handle(call, context) {
      const { ask, ...read } = readOptions(call.query, call.principal, null)
      const prepared = context.mesh.prepare({ kind: 'node', node: requireText(call.rest, 'Missing node name') }, ask)
      const answer = read.index > 0 ? await waitForAnswer(prepared, read, call, context) : await prepared.answer()
      const shape = answer.value ? nodeViewShape(answer.value, answer.datacenter) : null
      return json(shape, call.pretty, 200, metaHeaders(answer, 'index', 'blocking-query'))
    },
  },
  {
    method: 'GET',
    path: '/v1/internal/ui/catalog-overview',
    summary: 'How many nodes, services and checks are in which state',
    answers: { 200: shows('Numbers', operator.catalogOverview, META_HEADERS.index) },
    parameters: READ_PARAMETERS,
    handle: (call, context) => overview(call, context, overviewShape),
  },
  {
    method: 'GET',
    path: '/v1/internal/ui/exported-services',
    summary: 'Always empty: nothing is exported to peers',
    answers: { 200: shows('Nothing', z.array(z.never())) },
    handle: (call) => json([], call.pretty),
  },
  {
    method: 'GET',
    path: '/v1/internal/federation-states',
    summary: 'Always empty: there are no mesh gateways to tell of',
    answers: { 200: shows('Nothing', z.array(z.never()), META_HEADERS.index) },
    parameters: READ_PARAMETERS,
    handle: (call, context) => overview(call, context, () => []),
  },
]

/** What can be said of all nodes of a datacenter; it changes when any node or check does. */
async function overview(
  call: Call,
  context: Context,
  shape: (views: readonly NodeView[], datacenter: string) => Json,
): Promise<Response> {
  const { ask, ...read } = readOptions(call.query, call.principal, null)
  const prepared = context.mesh.prepare({ kind: 'state', state: 'any' }, ask)
  const answer = read.index > 0 ? await waitForAnswer(prepared, read, call, context) : await prepared.answer()
  const headers: HeaderRecord = metaHeaders(answer, 'index', 'blocking-query')
  return json(shape(await viewsOf(answer.value, ask, context), answer.datacenter), call.pretty, 200, headers)
}

/** Three questions, however many nodes there are. */
async function viewsOf(checks: readonly CheckRow[], ask: AskOptions, { mesh }: Context): Promise<NodeView[]> {
  const nodes = (await mesh.ask({ kind: 'nodes' }, ask)).value
  const registrations = (await mesh.ask({ kind: 'registrations' }, ask)).value
  const servicesOf = Map.groupBy(registrations, ({ node }) => node.node)
  const checksOf = Map.groupBy(checks, ({ node }) => node.toLowerCase())
  return nodes.map((node) => ({
    node,
    services: servicesOf.get(node.node)?.map(({ service }) => service) ?? [],
    checks: checksOf.get(node.node.toLowerCase()) ?? [],
  }))
}

function nodeViewShape({ node, services, checks }: NodeView, datacenter: string): JsonStruct {
  const { Datacenter: _, CreateIndex: __, ModifyIndex: ___, ...shown } = nodeShape(node, datacenter)
  return {
    ...shown,
    Services: services.map((service) => {
      const shape = serviceShape(service)
      return { ...shape, Tags: service.tags.length === 0 ? null : service.tags }
    }),
    Checks: checks.map((check) => ({
      ...checkShape(check),
      ServiceTags: check.serviceTags.length === 0 ? null : check.serviceTags,
    })),
  }
}

interface Summary {
  readonly service: string
  kind: string
  readonly tags: Set<string>
  readonly nodes: Set<string>
  readonly sources: Set<string>
  instances: number
  readonly checks: Record<Status, number>
}

/** Services by name, with the checks of their instances and of the nodes that those are on. */
function summaries(views: readonly NodeView[]): Iterable<Summary> {
  const byName = new Map<string, Summary>()
  for (const { node, services, checks } of views) {
    for (const service of services) {
      const summary = summaryOf(byName, service)
      summary.instances++
      summary.nodes.add(node.node)
      for (const tag of service.tags) summary.tags.add(tag)
      const source = service.meta?.['external-source']
      if (source) summary.sources.add(source)
      for (const check of checks) if (countsFor(check, service)) summary.checks[check.status]++
    }
  }
  return [...byName.values()].sort((a, b) => (a.service < b.service ? -1 : 1))
}

function summaryOf(byName: Map<string, Summary>, { service, kind }: ServiceRow): Summary {
  const known = byName.get(service)
  if (known) return known
  const summary: Summary = {
    service,
    kind,
    tags: new Set(),
    nodes: new Set(),
    sources: new Set(),
    instances: 0,
    checks: { passing: 0, warning: 0, critical: 0 },
  }
  byName.set(service, summary)
  return summary
}

const countsFor = (check: CheckRow, service: ServiceRow): boolean =>
  check.serviceId === '' || check.serviceId === service.id

const orNull = (list: Iterable<string>): Json => {
  const all = [...list]
  return all.length === 0 ? null : all
}

const summaryShape = (summary: Summary, datacenter: string): JsonStruct => ({
  Kind: summary.kind || undefined,
  Name: summary.service,
  Datacenter: datacenter,
  Tags: orNull(summary.tags),
  Nodes: [...summary.nodes],
  ExternalSources: orNull(summary.sources),
  InstanceCount: summary.instances,
  ChecksPassing: summary.checks.passing,
  ChecksWarning: summary.checks.warning,
  ChecksCritical: summary.checks.critical,
  GatewayConfig: {},
  TransparentProxy: false,
  ConnectedWithProxy: false,
  ConnectedWithGateway: false,
})

const worstOf = (counts: Record<Status, number>): Status =>
  counts.critical > 0 ? 'critical' : counts.warning > 0 ? 'warning' : 'passing'

const statesShape = (states: readonly Status[]): JsonStruct => ({
  Total: states.length,
  Passing: states.filter((state) => state === 'passing').length,
  Warning: states.filter((state) => state === 'warning').length,
  Critical: states.filter((state) => state === 'critical').length,
})

function overviewShape(views: readonly NodeView[]): JsonStruct {
  const byCheck = new Map<string, Status[]>()
  const ofNodes = views.map(({ checks }) => {
    const counts = { passing: 0, warning: 0, critical: 0 }
    for (const { name, status, serviceId } of checks) {
      if (serviceId === '') counts[status]++
      const states = byCheck.get(name) ?? []
      states.push(status)
      byCheck.set(name, states)
    }
    return worstOf(counts)
  })
  return {
    Nodes: [statesShape(ofNodes)],
    Services: [...summaries(views)].map(({ service, checks, instances }) => ({
      Name: service,
      ...statesShape([worstOf(checks)]),
      Total: instances,
    })),
    Checks: [...byCheck].map(([Name, states]) => ({ Name, ...statesShape(states) })),
  }
}
