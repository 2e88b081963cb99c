/** The agent as a node's faces see it: the workloads that it knows, and the node itself as a member of the mesh. */
import type { LocalAgent } from '../agent/agent.ts'
import { isHealthy, lanMembers, type NodeFacts, wanMembers } from '../agent/members.ts'
import type { CatalogView } from '../catalog/view.ts'
import type { Federation } from '../federation/federation.ts'
import type { Peer } from '../federation/host.ts'
import { AtollError } from '../model/errors.ts'
import type { Member } from '../model/member.ts'
import type { AgentDoor, AgentSelf } from '../resolver/agent-door.ts'

export interface AgentDoorOptions {
  readonly agent: LocalAgent
  readonly federation: Federation
  /** undefined on a client. */
  readonly view: CatalogView | undefined
  readonly self: () => AgentSelf
  readonly factsOf: (nodeId: string) => NodeFacts | undefined
  /** Takes a node out of the catalog. */
  readonly deregister: (node: string) => Promise<void>
  /** Stops this node in an orderly way. */
  readonly stop: () => Promise<void>
  readonly reload: () => Promise<void>
}

/** A server answers within this, or membership is what this node sees itself. */
const ASK_SERVER_MS = 2_000

export const MEMBERS = 'agent.members'

const isMember = (value: unknown): value is Member => {
  const { name, address, port, datacenter, role, status } = (value ?? {}) as Partial<Member>
  const texts = [name, address, datacenter, role, status]
  return typeof port === 'number' && texts.every((text) => typeof text === 'string')
}

export function agentDoorOf(options: AgentDoorOptions): AgentDoor {
  const { agent, federation } = options
  const members = async ({ wan }: { wan: boolean }): Promise<readonly Member[]> => {
    if (options.view === undefined) return await askServer(wan)
    return wan
      ? wanMembers(selfMember(options), federation.peers().map(announced(federation)), options.factsOf)
      : ownMembers(options, options.view)
  }
  const askServer = async (wan: boolean): Promise<readonly Member[]> => {
    const { datacenter } = options.self()
    const answer = await federation.call({ datacenter }, MEMBERS, { wan }, { deadlineMs: ASK_SERVER_MS })
    if (Array.isArray(answer) && answer.every(isMember)) return answer
    throw new AtollError(
      'unavailable',
      `a server of ${datacenter} told its members in words that this node does not know`,
    )
  }
  if (options.view !== undefined) {
    federation.handle(MEMBERS, async (payload) =>
      members({ wan: (payload as { wan?: unknown } | null | undefined)?.wan === true }),
    )
  }
  return {
    self: options.self,
    services: () => agent.services(),
    service: (id) => agent.service(id),
    checks: () => agent.checks(),
    registerService: (definition, how) => agent.registerService(definition, how),
    deregisterService: (id) => agent.deregisterService(id),
    registerCheck: (definition) => agent.registerCheck(definition),
    deregisterCheck: (id) => agent.deregisterCheck(id),
    updateTtl: (id, status, output, load) => agent.updateTtl(id, status, output, load),
    reportLoad: (id, load) => agent.reportLoad(id, load),
    setServiceMaintenance: (id, enable, reason) => agent.setServiceMaintenance(id, enable, reason),
    setNodeMaintenance: (enable, reason) => agent.setNodeMaintenance(enable, reason),
    members,
    join: (addresses) => federation.join(addresses),
    leave: options.stop,
    reload: options.reload,
    async forceLeave(name) {
      const found = (await members({ wan: false })).find((member) => member.name === name)
      if (found === undefined)
        throw new AtollError('not-found', `agent: No node found with name '${name}'`, { field: 'node' })
      if (found.status === 'failed') await options.deregister(name)
    },
  }
}

/** A gateway under the address that it announces, whichever side opened the connection. */
const announced =
  (federation: Federation) =>
  (peer: Peer): Peer => {
    const gateways = federation.remote(peer.datacenter)?.gateways() ?? []
    const address = gateways.find(({ peerId }) => peerId === peer.peerId)?.addresses[0]
    return address === undefined ? peer : { ...peer, address, direction: 'outbound' }
  }

function selfMember({ self }: AgentDoorOptions): Member {
  const facts = self()
  return {
    name: facts.node,
    address: facts.address,
    port: facts.ports.libp2p,
    datacenter: facts.datacenter,
    role: facts.server ? 'server' : 'client',
    status: 'alive',
    id: facts.nodeId,
    peerId: facts.peerId,
    runtime: facts.runtime,
    version: facts.version,
  }
}

const ownMembers = (options: AgentDoorOptions, view: CatalogView): Member[] =>
  lanMembers({
    self: selfMember(options),
    connected: options.federation.peers(),
    factsOf: options.factsOf,
    registered: view
      .nodes()
      .filter((node) => node.owner === 'agent')
      .map((node) => ({ node, healthy: isHealthy(view.checksOf(node.node)) })),
  })
