/** `/v1/agent/health/service`: the health of this node's services as a status code, for load balancers that only read that. */
import * as z from 'zod'
import { NODE_MAINTENANCE, serviceMaintenance } from '../../model/entries.ts'
import type { LocalCheck, LocalServiceDefinition } from '../../model/local.ts'
import { agentHealthCheckShape, localServiceShape } from '../agent-shapes.ts'
import { json, respond } from '../answer.ts'
import { type Answers, oneOf } from '../described.ts'
import { HttpError } from '../errors.ts'
import { type Json, utf8 } from '../json.ts'
import type { Call, Context, Route } from '../route.ts'
import * as agent from '../schemas/agent.ts'

type Aggregate = 'passing' | 'warning' | 'critical' | 'maintenance'

const RANK: readonly Aggregate[] = ['passing', 'warning', 'critical', 'maintenance']
const CODE: Readonly<Record<Aggregate, number>> = { passing: 200, warning: 429, critical: 503, maintenance: 503 }

const parameters = { format: oneOf('only the status, as text', 'text') }

const answersOf = (schema: z.ZodType): Answers => {
  const content = { 'application/json': schema, 'text/plain': z.string() }
  const headers = ['X-Consul-Reason'] as const
  return {
    200: { what: 'It passes', content, headers },
    429: { what: 'A check warns', content, headers },
    503: { what: 'A check is critical, or it is in maintenance', content, headers },
    404: { what: 'There is none', content: { ...content, 'application/json': z.union([schema, z.string()]) }, headers },
  }
}
const ofOne = answersOf(agent.localHealth)
const ofAll = answersOf(z.array(agent.localHealth))

export const agentHealthRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/agent/health/service/id/',
    rest: 'id',
    summary: 'The health of one service: 200 passing, 429 warning, 503 critical or in maintenance',
    answers: ofOne,
    parameters,
    handle(call, context) {
      if (call.rest === '') throw new HttpError(500, 'Bad request: Missing serviceID')
      const service = context.mesh.agent.service(call.rest)
      if (!service) {
        const reason = `ServiceId ${call.rest} not found`
        const missing = { AggregatedStatus: 'critical', Service: null, Checks: null }
        return json(wantsText(call) ? reason : missing, call.pretty, 404, because(reason))
      }
      const health = healthOf(service, context)
      if (wantsText(call)) return status(health.aggregate)
      return json(health.shape, call.pretty, CODE[health.aggregate], { 'X-Consul-Reason': health.aggregate })
    },
  },
  {
    method: 'GET',
    path: '/v1/agent/health/service/name/',
    rest: 'service',
    summary: 'The health of all services with a name; the worst counts',
    answers: ofAll,
    parameters,
    handle(call, context) {
      if (call.rest === '') throw new HttpError(500, 'Bad request: Missing service Name')
      const name = call.rest.toLowerCase()
      const services = context.mesh.agent.services().filter(({ service }) => service.toLowerCase() === name)
      if (services.length === 0) {
        const reason = `ServiceName ${call.rest} Not Found`
        if (wantsText(call)) return plain(404, reason, reason)
        return json([], call.pretty, 404, because(reason))
      }
      const all = services.map((service) => healthOf(service, context))
      const worst = RANK[Math.max(...all.map(({ aggregate }) => RANK.indexOf(aggregate)))]!
      if (wantsText(call)) return status(worst)
      return json(
        all.map(({ shape }) => shape),
        call.pretty,
        CODE[worst],
        { 'X-Consul-Reason': worst },
      )
    },
  },
]

const wantsText = ({ query, request }: Call): boolean =>
  query.get('format') === 'text' || (request.headers.get('accept') ?? '').startsWith('text/plain')

const status = (aggregate: Aggregate): Response => plain(CODE[aggregate], aggregate, aggregate)

const plain = (code: number, body: string, reason: string): Response =>
  respond({ status: code, bytes: utf8(body), headers: { 'Content-Type': 'text/plain' } }, because(reason))

/** A header takes bytes and no line ends; names may hold anything. */
const because = (reason: string) => ({
  'X-Consul-Reason': Buffer.from(reason.replaceAll(/[\x00-\x1f\x7f]/g, ' ')).toString('latin1'),
})

function healthOf(service: LocalServiceDefinition, { mesh }: Context): { aggregate: Aggregate; shape: Json } {
  const id = service.id.toLowerCase()
  const checks = mesh.agent
    .checks()
    .filter(({ definition }) => definition.serviceId === '' || definition.serviceId.toLowerCase() === id)
  const aggregate = aggregateOf(checks, service.id)
  return {
    aggregate,
    shape: {
      AggregatedStatus: aggregate,
      Service: localServiceShape(service, mesh.datacenter),
      Checks: checks.map((check) => agentHealthCheckShape(check, mesh.nodeName)),
    },
  }
}

function aggregateOf(checks: readonly LocalCheck[], serviceId: string): Aggregate {
  const maintenance = [NODE_MAINTENANCE, serviceMaintenance(serviceId).toLowerCase()]
  let worst = 0
  for (const { definition, status } of checks) {
    const aggregate = maintenance.includes(definition.checkId.toLowerCase()) ? 'maintenance' : status
    worst = Math.max(worst, RANK.indexOf(aggregate))
  }
  return RANK[worst]!
}
