/** `/v1/operator`: the servers of a datacenter, in the words that tools for Consul's Raft know. */

import * as z from 'zod'
import { hostAndPort } from '../../model/addresses.ts'
import { parseDuration } from '../../model/duration.ts'
import { AtollError } from '../../model/errors.ts'
import type { Member } from '../../resolver/agent-door.ts'
import type { AnswerValue } from '../../resolver/mesh.ts'
import { json, metaHeaders, metaShape, text } from '../answer.ts'
import { aliased, decodeBody } from '../body/decode.ts'
import { readBody } from '../body/read.ts'
import { flag, REFUSED, shows, TRUE, uint64, words } from '../described.ts'
import { badRequest, HttpError } from '../errors.ts'
import { goMap, type Json, type JsonStruct } from '../json.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { parseUint64, readOptions } from '../query.ts'
import { waitForAnswer } from '../reading.ts'
import { type Call, type Context, READ_PARAMETERS, type Route } from '../route.ts'
import * as operator from '../schemas/operator.ts'
import { textMap } from '../shapes.ts'

interface Server extends Member {
  readonly hostPort: string
  readonly leads: boolean
}

const parameters = { dc: "a datacenter; this node's own unless given", stale: flag('taken, and answered as without') }

/** Fixed: what they steer in Consul (its Raft) is not here. */
const AUTOPILOT = {
  CleanupDeadServers: true,
  LastContactThreshold: '200ms',
  MaxTrailingLogs: 250,
  MinQuorum: 0,
  ServerStabilizationTime: '10s',
  RedundancyZoneTag: '',
  DisableUpgradeMigration: false,
  UpgradeVersionTag: '',
} as const

const autopilotSchema = z
  .object({
    CleanupDeadServers: z.boolean().optional(),
    LastContactThreshold: z.string().optional(),
    MaxTrailingLogs: z.int().optional(),
    MinQuorum: z.int().optional(),
    ServerStabilizationTime: z.string().optional(),
    RedundancyZoneTag: z.string().optional(),
    DisableUpgradeMigration: aliased(z.boolean(), 'disable_upgrade_migration').optional(),
    UpgradeVersionTag: z.string().optional(),
    CreateIndex: z.number().optional(),
    ModifyIndex: z.number().optional(),
  })
  .meta({ goType: 'api.AutopilotConfiguration' })

export const operatorRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/operator/raft/configuration',
    summary: 'The servers of a datacenter and which of them leads',
    answers: { 200: shows('The servers', operator.raftConfiguration) },
    parameters,
    async handle(call, context) {
      const servers = await serversOf(call, context)
      return json({ Servers: servers.map(raftShape), Index: 0 }, call.pretty)
    },
  },
  {
    method: 'DELETE',
    path: '/v1/operator/raft/peer',
    summary: 'Deregisters a server that failed',
    answers: TRUE,
    parameters: { dc: parameters.dc, id: "the server's id", address: 'or its host:port' },
    async handle(call, context) {
      const [id, address] = [call.query.get('id'), call.query.get('address')]
      if (id === '' && address === '') {
        throw badRequest(
          "Bad request: Must specify either ?id with the server's ID or ?address with IP:port of peer to remove",
        )
      }
      if (id !== '' && address !== '') throw badRequest('Bad request: Must specify only one of ?id or ?address')
      const found = (await serversOf(call, context)).find((one) =>
        id === '' ? one.hostPort === address : one.id === id,
      )
      const which = id === '' ? `address ${JSON.stringify(address)}` : `id ${JSON.stringify(id)}`
      if (!found) throw new HttpError(500, `${which} was not found in the Raft configuration`)
      if (found.status === 'alive') {
        throw new HttpError(500, `${which} is alive: stop it, or let it leave (atoll leave), then remove it`)
      }
      await context.mesh.agent.forceLeave(found.name)
      return json(true, call.pretty)
    },
  },
  ...(['PUT', 'POST'] as const).map(
    (method): Route => ({
      method,
      path: '/v1/operator/raft/transfer-leader',
      summary: 'Refused: any server serves every request, so that it matters to nobody which of them leads',
      answers: REFUSED,
      handle: () => {
        throw new HttpError(
          500,
          'leadership cannot be transferred: any server serves every request; stop the one that leads, and another does',
        )
      },
    }),
  ),
  {
    method: 'GET',
    path: '/v1/operator/autopilot/configuration',
    summary: 'How failed servers are dealt with; fixed',
    answers: { 200: shows('The configuration', operator.autopilotConfiguration) },
    parameters,
    async handle(call, context) {
      await serversOf(call, context)
      return json({ ...AUTOPILOT, CreateIndex: 1, ModifyIndex: 1 }, call.pretty)
    },
  },
  {
    method: 'PUT',
    path: '/v1/operator/autopilot/configuration',
    summary: 'Takes what is so already, and refuses what would be a change',
    answers: { 200: shows('Whether it is so', z.boolean()), 501: words('It would be a change') },
    parameters: { dc: parameters.dc, cas: uint64('only when this is its ModifyIndex') },
    body: autopilotSchema,
    async handle(call, context) {
      const body = decodeBody(
        autopilotSchema,
        await readBody(call.request, context.limits.maxBodyBytes),
        'Bad request: Error parsing autopilot config: ',
      )
      for (const name of ['LastContactThreshold', 'ServerStabilizationTime'] as const) {
        const given = body[name]
        if (given !== undefined && parseDuration(given) === undefined) {
          throw badRequest(
            `Bad request: Error parsing autopilot config: time: invalid duration ${JSON.stringify(given)}`,
          )
        }
      }
      if (call.query.has('cas') && parseUint64(call.query.get('cas')) !== 1n) return json(false, call.pretty)
      for (const [name, value] of Object.entries(AUTOPILOT)) {
        const given = body[name as keyof typeof AUTOPILOT] ?? value
        if (given === value) continue
        throw new AtollError(
          'unsupported',
          `${name} is ${JSON.stringify(value)} and cannot be changed: it steers Raft, which Atoll does not have`,
          { field: name },
        )
      }
      return json(true, call.pretty)
    },
  },
  {
    method: 'GET',
    path: '/v1/operator/autopilot/health',
    summary: 'Whether the servers of a datacenter are well; 429 when they are not',
    answers: {
      200: shows('All are well', operator.autopilotHealth),
      429: shows('Some are not', operator.autopilotHealth),
    },
    parameters,
    async handle(call, context) {
      const health = await healthOf(call, context)
      const body = {
        Healthy: health.isHealthy,
        FailureTolerance: health.failureTolerance,
        Servers: health.servers.map((server) => ({
          ID: server.id,
          Name: server.name,
          Address: server.hostPort,
          SerfStatus: server.status,
          Version: server.version,
          Leader: server.leads,
          ...health.replication,
          Healthy: server.status === 'alive',
          Voter: true,
          StableSince: health.since,
        })),
      }
      return json(body, call.pretty, health.isHealthy ? 200 : 429)
    },
  },
  {
    method: 'GET',
    path: '/v1/operator/autopilot/state',
    summary: 'The servers of a datacenter by id',
    answers: { 200: shows('The servers', operator.autopilotState) },
    parameters,
    async handle(call, context) {
      const health = await healthOf(call, context)
      const byId: Record<string, Json> = Object.create(null)
      for (const server of health.servers) byId[server.id] = stateShape(server, health)
      return json(
        {
          Healthy: health.isHealthy,
          FailureTolerance: health.failureTolerance,
          OptimisticFailureTolerance: health.failureTolerance,
          Servers: goMap(byId, (one) => one),
          Leader: health.servers.find(({ leads }) => leads)?.id ?? '',
          Voters: health.servers.map(({ id }) => id),
        },
        call.pretty,
      )
    },
  },
  ...(['GET', 'PUT', 'POST', 'DELETE'] as const).map(
    (method): Route => ({
      method,
      path: '/v1/operator/keyring',
      summary: 'Refused: everything is encrypted by keys of the nodes, so that there is none to share',
      answers: REFUSED,
      handle(_call, { mesh }) {
        const [node, datacenter] = [mesh.nodeName, mesh.datacenter]
        const faults = [
          'WAN error: 1/1 nodes reported failure',
          `${node}.${datacenter}: Keyring is empty (encryption not enabled)`,
          `${datacenter} (LAN) error: 1/1 nodes reported failure`,
          `${node}: Keyring is empty (encryption not enabled)`,
        ]
        return text(500, `4 errors occurred:\n${faults.map((fault) => `\t* ${fault}\n`).join('')}\n`)
      },
    }),
  ),
  {
    method: 'GET',
    path: '/v1/operator/usage',
    summary: 'How many nodes, services and instances datacenters have',
    answers: { 200: shows('Numbers by datacenter', operator.usage, META_HEADERS.full) },
    parameters: { ...READ_PARAMETERS, global: flag('all datacenters') },
    handle: usage,
  },
]

/** Of the datacenter that is asked about; none is known of one that is not known. */
async function serversOf({ query }: Call, { mesh }: Context): Promise<Server[]> {
  const datacenter = query.get('dc') || mesh.datacenter
  const members = await mesh.agent.members({ wan: true })
  const servers = members
    .filter((member) => member.datacenter === datacenter && member.role === 'server' && member.status !== 'left')
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  if (servers.length === 0) {
    throw new AtollError('no-path', `No path to datacenter: "${datacenter}" is not known here`, { field: 'dc' })
  }
  const leader = leaderAmong(servers, datacenter === mesh.datacenter ? mesh.leader() : undefined)
  return servers.map((member) => ({ ...member, hostPort: hostPortOf(member), leads: member === leader }))
}

/** Of other datacenters it is not known here who leads: the first that lives does what a leader would. */
const leaderAmong = (servers: readonly Member[], leader: string | undefined): Member | undefined =>
  leader === ''
    ? undefined
    : (servers.find((member) => hostPortOf(member) === leader) ?? servers.find(({ status }) => status === 'alive'))

const hostPortOf = ({ address, port }: Member): string => hostAndPort(address, port)

const raftShape = (server: Server): JsonStruct => ({
  ID: server.id,
  Node: server.name,
  Address: server.hostPort,
  Leader: server.leads,
  ProtocolVersion: '3',
  Voter: true,
})

interface Health {
  readonly servers: readonly Server[]
  readonly isHealthy: boolean
  /** Servers that may fail before nobody serves the datacenter. */
  readonly failureTolerance: number
  /** When this node began to look. */
  readonly since: string
  readonly replication: { readonly LastContact: string; readonly LastTerm: number; readonly LastIndex: number }
}

const GENERATION = 2 ** 40

async function healthOf(call: Call, context: Context): Promise<Health> {
  const servers = await serversOf(call, context)
  const datacenter = call.query.get('dc') || undefined
  const { index } = await context.mesh.ask(
    { kind: 'services' },
    { principal: call.principal, consistency: 'stale', ...(datacenter && { datacenter }) },
  )
  const alive = servers.filter(({ status }) => status === 'alive').length
  return {
    servers,
    isHealthy: alive === servers.length,
    failureTolerance: Math.max(0, alive - 1),
    since: new Date(context.startedAtMs).toISOString().replace(/\.\d+Z$/, 'Z'),
    replication: { LastContact: '0s', LastTerm: Math.floor(index / GENERATION) + 1, LastIndex: index },
  }
}

const stateShape = (server: Server, { since, replication }: Health): JsonStruct => ({
  ID: server.id,
  Name: server.name,
  Address: server.hostPort,
  NodeStatus: server.status,
  Version: server.version,
  ...replication,
  Healthy: server.status === 'alive',
  StableSince: since,
  ReadReplica: false,
  Status: server.leads ? 'leader' : 'voter',
  Meta: textMap({}),
  NodeType: 'voter',
})

const CONNECT_KINDS = ['api-gateway', 'connect-proxy', 'ingress-gateway', 'mesh-gateway', 'terminating-gateway']

/** Waits, where it is to, for a change of the one datacenter that is named; `global` asks all after that. */
async function usage(call: Call, context: Context): Promise<Response> {
  const { mesh } = context
  const { ask, ...read } = readOptions(call.query, call.principal, null)
  const prepared = mesh.prepare({ kind: 'registrations' }, ask)
  const answer = read.index > 0 ? await waitForAnswer(prepared, read, call, context) : await prepared.answer()
  const isGlobal = call.query.has('global')
  const names = isGlobal ? (await mesh.ask({ kind: 'datacenters' }, ask)).value : [answer.datacenter]
  const byName: Record<string, Json> = Object.create(null)
  for (const datacenter of names) {
    const own = datacenter === answer.datacenter
    const of = { principal: ask.principal, consistency: own ? ask.consistency : 'stale', datacenter } as const
    const registrations = own ? answer.value : (await mesh.ask({ kind: 'registrations' }, of)).value
    byName[datacenter] = usageShape((await mesh.ask({ kind: 'nodes' }, of)).value.length, registrations)
  }
  const body = { Usage: goMap(byName, (one) => one), ...metaShape(answer), ResultsFilteredByACLs: false }
  return json(body, call.pretty, 200, metaHeaders(answer, 'full', 'blocking-query'))
}

function usageShape(nodes: number, registrations: AnswerValue<'registrations'>): JsonStruct {
  const connect: Record<string, number> = { 'connect-native': 0 }
  for (const kind of CONNECT_KINDS) connect[kind] = 0
  let billable = 0
  for (const { service } of registrations) {
    if (service.kind in connect) connect[service.kind]!++
    else if (service.service !== 'consul') billable++
    if (service.connect?.Native === true) connect['connect-native']!++
  }
  return {
    Nodes: nodes,
    Services: new Set(registrations.map(({ service }) => service.service)).size,
    ServiceInstances: registrations.length,
    ConnectServiceInstances: goMap(connect, (count) => count),
    BillableServiceInstances: billable,
  }
}
