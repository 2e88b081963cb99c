/** From a description to processes: every node and sample backend with its name, runtime and ports. */
import { join } from 'node:path'
import { type RuntimeName, type Topology, TopologyError, type TopologyService } from './schema.ts'

export type NodeRole = 'server' | 'client'

export interface NodePlan {
  /** `eu-1-server`, `eu-1-client`; further ones `eu-1-client-2`. */
  readonly name: string
  readonly datacenter: string
  readonly role: NodeRole
  readonly runtime: RuntimeName
  readonly httpPort: number
  readonly libp2pPort: number
  readonly dnsPort: number
  readonly dataDirectory: string
  /** Of `etcd:managed`: how many servers its datacenter has, each with a member of etcd. */
  readonly managedServers?: number
  /** Multiaddrs that it is told to join. */
  readonly join: readonly string[]
}

export interface InstancePlan {
  /** `web-1`: unique on its node. */
  readonly id: string
  readonly service: TopologyService
  readonly port: number
  /** The node at whose agent it is registered. */
  readonly node: string
}

export interface BackendPlan {
  readonly name: string
  readonly datacenter: string
  readonly runtime: RuntimeName
  readonly instances: readonly InstancePlan[]
}

export interface MeshPlan {
  readonly topology: Topology
  readonly nodes: readonly NodePlan[]
  readonly backends: readonly BackendPlan[]
}

/** Gives out ports in order; by default those of the description. */
export interface PortSource {
  http(): number
  libp2p(): number
  dns(): number
  /** Ports of one datacenter's backends. */
  services(count: number): readonly number[]
}

export interface PlanOptions {
  /** Where the nodes' data lies, one folder each. */
  readonly dataDirectory: string
  readonly ports?: PortSource
}

export const HOST = '127.0.0.1'

/** Throws TopologyError when two things would have the same port, or one would be above 65535. */
export function planMesh(topology: Topology, options: PlanOptions): MeshPlan {
  const ports = options.ports ?? portsOf(topology)
  const placed = topology.datacenters.flatMap((dc) =>
    rolesOf(dc).map((node, index) => ({
      ...node,
      ...(node.role === 'server' && dc.store === 'etcd:managed' && { managedServers: dc.servers }),
      datacenter: dc.name,
      runtime: runtimeAt(dc.runtime, index),
      libp2pPort: ports.libp2p(),
      httpPort: ports.http(),
      dnsPort: ports.dns(),
      dataDirectory: join(options.dataDirectory, node.name),
    })),
  )
  const servers = placed.filter((node) => node.role === 'server')
  const nodes = placed.map((node): NodePlan => {
    // Servers join those of all others, and those beside them: whoever comes up last finds the rest, in whatever order they start.
    const peers = servers.filter((other) =>
      node.role === 'client' ? other.datacenter === node.datacenter : other !== node,
    )
    return { ...node, join: peers.map((other) => multiaddrOf(other.libp2pPort)) }
  })
  const backends = topology.datacenters.map((dc) => planBackend(topology, dc.name, nodes, ports))
  const plan = { topology, nodes, backends: backends.filter((each) => each.instances.length > 0) }
  checkPorts(plan)
  return plan
}

export const multiaddrOf = (libp2pPort: number): string => `/ip4/${HOST}/tcp/${libp2pPort}`

/** Every port of a plan: what listens there, and where the description says so. */
export function portsInPlan(plan: MeshPlan): { port: number; what: string; field: PortField }[] {
  return [
    ...plan.nodes.flatMap((node) => [
      { port: node.httpPort, what: `HTTP of ${node.name}`, field: 'http' as const },
      { port: node.libp2pPort, what: `libp2p of ${node.name}`, field: 'libp2p' as const },
      { port: node.dnsPort, what: `DNS of ${node.name}`, field: 'dns' as const },
    ]),
    ...plan.backends.flatMap((backend) =>
      backend.instances.map((each) => ({
        port: each.port,
        what: `${each.id} in ${backend.datacenter}`,
        field: 'services' as const,
      })),
    ),
  ]
}
export type PortField = 'http' | 'libp2p' | 'dns' | 'services'

function rolesOf(dc: Topology['datacenters'][number]): { role: NodeRole; name: string }[] {
  const of = (role: NodeRole, count: number) =>
    Array.from({ length: count }, (_, index) => ({
      role,
      name: index === 0 ? `${dc.name}-${role}` : `${dc.name}-${role}-${index + 1}`,
    }))
  return [...of('server', dc.servers), ...of('client', dc.clients)]
}

const runtimeAt = (runtime: RuntimeName | RuntimeName[], index: number): RuntimeName =>
  typeof runtime === 'string' ? runtime : runtime[index]!

function planBackend(topology: Topology, dc: string, nodes: readonly NodePlan[], ports: PortSource): BackendPlan {
  const own = nodes.filter((node) => node.datacenter === dc)
  const clients = own.filter((node) => node.role === 'client')
  const hosts = clients.length > 0 ? clients : own
  const wanted = topology.services.flatMap((service) => {
    const count = typeof service.instances === 'number' ? service.instances : (service.instances[dc] ?? 0)
    return Array.from({ length: count }, (_, index) => ({ id: `${service.name}-${index + 1}`, service }))
  })
  const given = ports.services(wanted.length)
  const instances = wanted.map((each, index) => ({
    ...each,
    port: given[index]!,
    node: hosts[index % hosts.length]!.name,
  }))
  return { name: `${dc}-backends`, datacenter: dc, runtime: own[0]!.runtime, instances }
}

function portsOf(topology: Topology): PortSource {
  const { http, libp2p, dns, services, step } = topology.ports
  let nextHttp = http
  let nextLibp2p = libp2p
  let nextDns = dns
  let nextServices = services
  const take = (port: number, field: PortField): number => {
    if (port <= 65_535) return port
    throw new TopologyError(`ports.${field}: there are too few ports above ${topology.ports[field]}; begin lower`)
  }
  return {
    http() {
      const port = take(nextHttp, 'http')
      nextHttp += step
      return port
    },
    libp2p() {
      const port = take(nextLibp2p, 'libp2p')
      nextLibp2p += step
      return port
    },
    dns() {
      const port = take(nextDns, 'dns')
      nextDns += step
      return port
    },
    services(count) {
      const first = nextServices
      nextServices += Math.max(1, Math.ceil(count / step)) * step
      return Array.from({ length: count }, (_, index) => take(first + index, 'services'))
    },
  }
}

function checkPorts(plan: MeshPlan): void {
  const taken = new Map<number, { what: string; field: PortField }>()
  for (const { port, what, field } of portsInPlan(plan)) {
    const other = taken.get(port)
    if (other !== undefined) {
      throw new TopologyError(
        `ports: ${port} would be both ${other.what} and ${what}; move ports.${other.field} and ports.${field} apart`,
      )
    }
    taken.set(port, { what, field })
  }
}
