/** `/v1/agent`: the node that was asked, and its place in the mesh. */
import * as z from 'zod'
import { hostAndPort } from '../../model/addresses.ts'
import { isAtollError } from '../../model/errors.ts'
import type { AgentSelf, Member } from '../../resolver/agent-door.ts'
import { memberOfSelf, memberShape } from '../agent-shapes.ts'
import { done, json, text } from '../answer.ts'
import { boolean, DONE, flag, required, shows, words } from '../described.ts'
import { badRequest, HttpError } from '../errors.ts'
import { goMap, type Json } from '../json.ts'
import { parseBool } from '../query.ts'
import type { Call, Context, Route } from '../route.ts'
import * as agent from '../schemas/agent.ts'
import { coordinateShape, textMap } from '../shapes.ts'

const asText = (value: string): string => value

export const agentRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/agent/self',
    summary: 'The configuration and the state of this node',
    answers: { 200: shows('This node', agent.self) },
    async handle(call, context) {
      return json(await selfShape(call, context), call.pretty, 200, {}, call.gzip)
    },
  },
  {
    method: 'GET',
    path: '/v1/agent/version',
    summary: 'The version of this node',
    answers: { 200: shows('Its version', agent.version) },
    handle(call, { version, mesh }) {
      return json({ Version: version, HumanVersion: version, Runtime: mesh.agent.self().runtime }, call.pretty)
    },
  },
  {
    method: 'GET',
    path: '/v1/agent/members',
    summary: 'The nodes of this datacenter',
    answers: { 200: shows('The nodes', z.array(agent.member)) },
    parameters: { wan: flag('the servers of all datacenters instead') },
    async handle(call, { mesh }) {
      const segment = call.query.get('segment')
      if (segment !== '' && segment !== '_all') {
        throw new HttpError(500, 'Network segments are not supported in this version of Consul')
      }
      const wan = call.query.get('wan') !== ''
      const own = (member: Member): number => (member.datacenter === mesh.datacenter ? 0 : 1)
      const members = [...(await mesh.agent.members({ wan }))].sort(
        (a, b) => own(a) - own(b) || (a.name < b.name ? -1 : 1),
      )
      return json(
        members.map((member) => memberShape(member, wan)),
        call.pretty,
      )
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/maintenance',
    summary: 'Takes this node out of all answers for passing instances, or back in',
    answers: DONE,
    parameters: { enable: required(boolean('true or false')), reason: 'why, for those who wonder' },
    async handle(call, { mesh }) {
      await mesh.agent.setNodeMaintenance(requireEnable(call), call.query.get('reason'))
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/join/',
    rest: 'address',
    summary: 'Joins the mesh through another node: a multiaddr or host:port',
    answers: DONE,
    async handle(call, { mesh }) {
      // Whoever is told to join everybody, itself among them, has done so.
      if (call.rest === ownAddress(mesh.agent.self())) return done()
      try {
        await mesh.agent.join([call.rest])
      } catch (error) {
        if (!isAtollError(error) || error.code === 'internal') throw error
        throw new HttpError(500, `1 error occurred:\n\t* Failed to join ${call.rest}: ${error.message}\n\n`)
      }
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/leave',
    summary: 'Deregisters this node and ends its process',
    answers: DONE,
    async handle(_call, { mesh }) {
      await mesh.agent.leave()
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/force-leave/',
    rest: 'node',
    summary: 'Declares a failed node left: it is deregistered',
    answers: DONE,
    parameters: { prune: flag('taken, and the same: a node that left is not remembered') },
    async handle(call, { mesh }) {
      try {
        await mesh.agent.forceLeave(call.rest)
      } catch (error) {
        if (!isAtollError(error) || error.code !== 'not-found') throw error
        throw new HttpError(500, `agent: No node found with name '${call.rest}'`)
      }
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/reload',
    summary: 'Reads the configuration again',
    answers: DONE,
    async handle(_call, { mesh }) {
      await mesh.agent.reload()
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/token/',
    rest: 'kind',
    summary: 'Refused: access control is not on',
    answers: { 401: words('Always: access control is not on') },
    handle: () => text(401, 'ACL support disabled'),
  },
]

/** `enable` of a maintenance request. */
export function requireEnable({ query }: Call): boolean {
  if (!query.has('enable')) throw badRequest('Missing value for enable')
  const enable = parseBool(query.get('enable'))
  if (enable === undefined) throw badRequest(`Invalid value for enable: ${JSON.stringify(query.get('enable'))}`)
  return enable
}

/** host:port under which other nodes join this one. */
const ownAddress = ({ address, ports }: AgentSelf): string => hostAndPort(address, ports.libp2p)

async function selfShape(call: Call, { mesh, version }: Context): Promise<Json> {
  const self = mesh.agent.self()
  const [datacenters, coordinates] = await Promise.all([
    mesh.ask({ kind: 'datacenters' }, { principal: call.principal, consistency: 'stale' }).catch(() => undefined),
    mesh
      .ask({ kind: 'coordinates', node: self.node }, { principal: call.principal, consistency: 'stale' })
      .catch(() => undefined),
  ])
  const row = coordinates?.value[0]
  const stats = {
    agent: { checks: String(mesh.agent.checks().length), services: String(mesh.agent.services().length) },
    build: { prerelease: '', revision: '', version },
    consul: {
      acl: 'disabled',
      known_datacenters: String(datacenters?.value.length ?? 1),
      leader_addr: mesh.leader(),
      server: String(self.server),
    },
    runtime: { version: self.runtime },
  }
  return {
    Config: {
      Datacenter: self.datacenter,
      PrimaryDatacenter: self.datacenter,
      NodeName: self.node,
      NodeID: self.nodeId,
      Revision: '',
      Server: self.server,
      Version: version,
    },
    DebugConfig: {
      Datacenter: self.datacenter,
      NodeName: self.node,
      NodeID: self.nodeId,
      ServerMode: self.server,
      SerfAdvertiseAddrLAN: `tcp://${ownAddress(self)}`,
      SerfAdvertiseAddrWAN: `tcp://${ownAddress(self)}`,
    },
    Coord: row
      ? coordinateShape(row).Coord
      : { Vec: [0, 0, 0, 0, 0, 0, 0, 0], Error: 1.5, Adjustment: 0, Height: 1e-5 },
    Member: memberShape(memberOfSelf(self), false),
    Stats: goMap(stats, (values) => goMap(values, asText)),
    Meta: textMap(self.meta),
    Atoll: { PeerID: self.peerId, Addresses: self.addresses, Runtime: self.runtime },
  }
}
