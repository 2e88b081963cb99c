/** Who belongs to the mesh, as `/v1/agent/members` shows it: connections first, then what the catalog knows to be dead. */
import { type NodeRow, SERF_HEALTH } from '../model/entries.ts'
import type { Member } from '../model/member.ts'

/** A live connection, as far as membership needs it. */
export interface ConnectedNode {
  readonly node: string
  readonly nodeId: string
  readonly peerId: string
  readonly datacenter: string
  readonly role: 'server' | 'client'
  /** Multiaddr of the other side; of a connection that the other side opened it is no port that one could dial. */
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
}

export interface NodeFacts {
  readonly runtime: string
  readonly version: string
}

export interface MembersOptions {
  readonly self: Member
  readonly connected: readonly ConnectedNode[]
  /** What a node last told of itself with its sign of life. */
  readonly factsOf: (nodeId: string) => NodeFacts | undefined
  /** Nodes of the own catalog that agents registered, and whether their serfHealth passes. */
  readonly registered: readonly { readonly node: NodeRow; readonly healthy: boolean }[]
}

const hostAndPort = (multiaddr: string, direction: ConnectedNode['direction']): { address: string; port: number } => {
  const parts = multiaddr.split('/')
  return { address: parts[2] ?? '', port: direction === 'outbound' ? Number(parts[4] ?? 0) : 0 }
}

/** All nodes of the own DC, sorted by name. */
export function lanMembers(options: MembersOptions): Member[] {
  const { self } = options
  const members = new Map<string, Member>([[self.name, self]])
  for (const { node, healthy } of options.registered) {
    if (members.has(node.node)) continue
    const facts = options.factsOf(node.id)
    members.set(node.node, {
      name: node.node,
      address: node.address,
      port: 0,
      datacenter: self.datacenter,
      role: 'client',
      status: healthy ? 'alive' : 'failed',
      id: node.id,
      peerId: '',
      runtime: facts?.runtime ?? '',
      version: facts?.version ?? '',
    })
  }
  for (const peer of options.connected.filter((peer) => peer.datacenter === self.datacenter)) {
    // Another one that calls itself as this node does is not this node.
    if (peer.node === self.name) continue
    const registered = members.get(peer.node)
    const member = fromPeer(peer, options.factsOf(peer.nodeId))
    members.set(peer.node, registered?.id === peer.nodeId ? { ...member, address: registered.address } : member)
  }
  return [...members.values()].sort(byName)
}

/** Servers of all DCs that this node is connected to, itself among them. */
export function wanMembers(
  self: Member,
  connected: readonly ConnectedNode[],
  factsOf: MembersOptions['factsOf'],
): Member[] {
  const servers = connected.filter((peer) => peer.role === 'server').map((peer) => fromPeer(peer, factsOf(peer.nodeId)))
  return [self, ...servers].filter((member) => member.role === 'server').sort(byName)
}

const byName = (a: Member, b: Member): number =>
  a.name === b.name ? (a.datacenter < b.datacenter ? -1 : 1) : a.name < b.name ? -1 : 1

const fromPeer = (peer: ConnectedNode, facts: NodeFacts | undefined): Member => ({
  name: peer.node,
  ...hostAndPort(peer.address, peer.direction),
  datacenter: peer.datacenter,
  role: peer.role,
  status: 'alive',
  id: peer.nodeId,
  peerId: peer.peerId,
  runtime: facts?.runtime ?? '',
  version: facts?.version ?? '',
})

export const isHealthy = (checks: readonly { readonly checkId: string; readonly status: string }[]): boolean =>
  checks.find((check) => check.checkId === SERF_HEALTH)?.status !== 'critical'
