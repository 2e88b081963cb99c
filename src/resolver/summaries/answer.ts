/** Questions answered from summaries alone, when no server can be reached: less than the whole, but enough to go on. */
import type { RemoteDatacenter } from '../../federation/federation.ts'
import type { CheckRow, Instance, NodeRow, ServiceRow } from '../../model/entries.ts'
import { keyPart } from '../../model/keys.ts'
import type { Answer, AskOptions, Question, RoutedInstance } from '../mesh.ts'
import { tagMatcher } from '../read.ts'
import type { SummaryMirror } from './mirror.ts'
import type { Endpoint, Summary } from './summary.ts'

export interface SummaryContext {
  readonly datacenter: string
  readonly mirror: SummaryMirror
  /** Other DCs, nearest first. */
  readonly remotes: () => readonly RemoteDatacenter[]
  /** Whether plain lookups may leave the DC. */
  readonly failover: boolean
  readonly nowMs: () => number
}

/** undefined when they do not tell: the question is of another kind, or asks for more than a summary has. */
export function answerFromSummaries(
  question: Question,
  options: AskOptions,
  context: SummaryContext,
): Answer<unknown> | undefined {
  const { mirror } = context
  if (mirror.confirmedMs === undefined) return undefined
  const { datacenter: asked } = options
  const named = asked ?? context.datacenter
  if (question.kind === 'services' && question.nodeMeta === undefined) {
    const value = mirror.services(named)
    const index = mirror.tableIndex(named, 'services') ?? 1
    return value && answerOf(value, index, named, context)
  }
  if (question.kind !== 'service' || question.nodeMeta !== undefined || asked === '*') return undefined
  if (asked === 'nearest') return nearest(question, context) ?? own(question, context)
  if (asked !== undefined) return found(question, named, context)
  const mayLeave = question.passing && context.failover && !options.noFailover
  const home = mirror.summary(context.datacenter, keyPart(question.service))
  const stays = home?.stays || (home !== undefined && home.passing > 0 && !home.held)
  return (mayLeave && !stays && elsewhere(question, context)) || own(question, context)
}

const own = (question: Question<'service'>, context: SummaryContext): Answer<unknown> | undefined =>
  found(question, context.datacenter, context)

function nearest(question: Question<'service'>, context: SummaryContext): Answer<unknown> | undefined {
  const home = context.mirror.summary(context.datacenter, keyPart(question.service))
  return home !== undefined && home.passing > 0 && !home.held ? undefined : elsewhere(question, context)
}

/** The instances of one DC. */
function found(
  question: Question<'service'>,
  datacenter: string,
  context: SummaryContext,
): Answer<unknown> | undefined {
  const { mirror } = context
  const summary = mirror.summary(datacenter, keyPart(question.service))
  if (summary === undefined) return mirror.covers(datacenter) ? answerOf([], 1, datacenter, context) : undefined
  const endpoints = matching(question, summary)
  if (endpoints === undefined) return undefined
  const value = endpoints.map((endpoint) => instanceOf(summary, endpoint))
  return answerOf(value, summary.index, datacenter, context)
}

/** The nearest other DC in which something passes that can be used from here. */
function elsewhere(question: Question<'service'>, context: SummaryContext): Answer<unknown> | undefined {
  const { mirror, datacenter: from } = context
  for (const remote of context.remotes()) {
    if (remote.state !== 'live') continue
    const { datacenter } = remote
    const summary = mirror.summary(datacenter, keyPart(question.service))
    const usable =
      summary && matching({ ...question, passing: true }, summary)?.filter(({ afar }) => afar !== undefined)
    if (summary === undefined || usable === undefined || usable.length === 0) continue
    const distanceMs = remote.roundTripMs()
    const ageMs = Math.round(ageOf(datacenter, context))
    const value: RoutedInstance[] = usable.map((endpoint) => ({
      ...instanceOf(summary, endpoint),
      remote: { datacenter, distanceMs, ageMs, address: endpoint.afar!.address, port: endpoint.afar!.port },
    }))
    return { ...answerOf(value, summary.index, datacenter, context), failover: { from, to: datacenter } }
  }
  return undefined
}

/** undefined when there may be some that the summary does not hold. */
function matching({ passing, tags }: Question<'service'>, summary: Summary): readonly Endpoint[] | undefined {
  const hasTags = tagMatcher(tags)
  const healthy = summary.endpoints.filter(({ status }) => !passing || status === 'passing')
  const wanted = healthy.filter((endpoint) => hasTags(instanceOf(summary, endpoint)))
  const isWhole = summary.endpoints.length === summary.instances || (passing && healthy.length === summary.passing)
  return wanted.length === 0 && !isWhole ? undefined : wanted
}

function answerOf(value: unknown, index: number, datacenter: string, context: SummaryContext): Answer<unknown> {
  const ageMs = ageOf(datacenter, context)
  return { value, index, datacenter, source: 'summary', ageMs, knownLeader: false, consistency: 'stale' }
}

/** Since the summaries were confirmed; of another DC not less than what servers last said of its age. */
function ageOf(datacenter: string, { mirror, datacenter: own, remotes, nowMs }: SummaryContext): number {
  const sinceMs = nowMs() - (mirror.confirmedMs ?? 0)
  if (datacenter === own) return sinceMs
  const toldMs =
    remotes()
      .find((remote) => remote.datacenter === datacenter)
      ?.ageMs() ?? Number.POSITIVE_INFINITY
  return Math.max(sinceMs, toldMs)
}

const UNSTORED = { createIndex: 0, modifyIndex: 0 }

function instanceOf({ service, index }: Summary, endpoint: Endpoint): Instance {
  const { node, serviceId: id, tags, status, afar } = endpoint
  const indexes = { ...UNSTORED, modifyIndex: index }
  const nodeRow: NodeRow = {
    id: endpoint.nodeId,
    node,
    address: endpoint.nodeAddress,
    taggedAddresses: null,
    meta: null,
    owner: 'agent',
    ...indexes,
  }
  const serviceRow: ServiceRow = {
    node,
    id,
    service,
    kind: '',
    tags,
    address: endpoint.address,
    taggedAddresses: afar ? { wan: afar } : null,
    meta: null,
    port: endpoint.port,
    socketPath: '',
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    proxy: null,
    connect: null,
    owner: 'agent',
    ...indexes,
  }
  const check: CheckRow = {
    node,
    checkId: `summary:${id}`,
    name: 'All checks of the instance, as last known',
    status,
    notes: '',
    output: '',
    serviceId: id,
    serviceName: service,
    serviceTags: tags,
    type: '',
    interval: '',
    timeout: '',
    exposedPort: 0,
    definition: {},
    owner: 'agent',
    ...indexes,
  }
  return { node: nodeRow, service: serviceRow, checks: [check], status }
}
