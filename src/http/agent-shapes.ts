/** What the agent shows of itself and of the workloads registered with it, as Consul spells it. */

import type { LocalCheck, LocalServiceDefinition } from '../model/local.ts'
import type { AgentSelf, Member } from '../resolver/agent-door.ts'
import { goMap, goValue, type JsonStruct } from './json.ts'
import { addressMap, definitionShape, localityShape, textMap, weights } from './shapes.ts'

export function localServiceShape(
  service: LocalServiceDefinition,
  datacenter: string,
  contentHash?: string,
): JsonStruct {
  return {
    Kind: service.kind || undefined,
    ID: service.id,
    Service: service.service,
    Tags: service.tags,
    Meta: textMap(service.meta ?? {}),
    Port: service.port,
    Address: service.address,
    SocketPath: service.socketPath || undefined,
    TaggedAddresses: addressMap(service.taggedAddresses),
    Weights: weights(service.weights),
    EnableTagOverride: service.enableTagOverride,
    ContentHash: contentHash,
    Proxy: service.proxy === null ? undefined : goValue(service.proxy),
    Connect: service.connect === null ? undefined : goValue(service.connect),
    Failover: service.failover,
    Locality: localityShape(service.locality),
    Load: service.load,
    Datacenter: datacenter,
  }
}

export const localCheckShape = ({ definition, ...check }: LocalCheck, node: string): JsonStruct => ({
  Node: node,
  CheckID: definition.checkId,
  Name: definition.name,
  Status: check.status,
  Notes: definition.notes,
  Output: check.output,
  ServiceID: definition.serviceId,
  ServiceName: check.serviceName,
  ServiceTags: check.serviceTags,
  Type: definition.type,
  Interval: definition.interval,
  Timeout: definition.timeout,
  ExposedPort: 0,
  Definition: definitionShape(definition.definition),
  CreateIndex: 0,
  ModifyIndex: 0,
})

const EMPTY_DEFINITION: JsonStruct = {
  Interval: '0s',
  Timeout: '0s',
  DeregisterCriticalServiceAfter: '0s',
  HTTP: '',
  Header: null,
  Method: '',
  Body: '',
  TLSServerName: '',
  TLSSkipVerify: false,
  TCP: '',
  GRPC: '',
  GRPCUseTLS: false,
}

/** A check as agent/health/service shows it: other fields than everywhere else, as in Consul. */
export const agentHealthCheckShape = ({ definition, ...check }: LocalCheck, node: string): JsonStruct => ({
  Node: node,
  CheckID: definition.checkId,
  Name: definition.name,
  Status: check.status,
  Notes: definition.notes,
  Output: check.output,
  ServiceID: definition.serviceId,
  ServiceName: check.serviceName,
  ServiceTags: check.serviceTags.length === 0 ? null : check.serviceTags,
  Type: '',
  Definition: EMPTY_DEFINITION,
  CreateIndex: 0,
  ModifyIndex: 0,
})

const STATUS_NUMBER = { alive: 1, left: 3, failed: 4 } as const

export function memberShape(member: Member, wan: boolean): JsonStruct {
  const tags = {
    acls: '0',
    build: `${member.version}:`,
    dc: member.datacenter,
    id: member.id,
    peer_id: member.peerId,
    port: String(member.port),
    role: member.role === 'server' ? 'consul' : 'node',
    runtime: member.runtime,
    segment: '',
    vsn: '2',
    vsn_max: '3',
    vsn_min: '2',
  }
  return {
    Name: wan ? wanName(member) : member.name,
    Addr: member.address,
    Port: member.port,
    Tags: goMap(tags, (tag) => tag),
    Status: STATUS_NUMBER[member.status],
    ProtocolMin: 1,
    ProtocolMax: 5,
    ProtocolCur: 2,
    DelegateMin: 2,
    DelegateMax: 5,
    DelegateCur: 4,
  }
}

/** Names are unique in their datacenter only. */
function wanName({ name, datacenter }: Member): string {
  return name.endsWith(`.${datacenter}`) ? name : `${name}.${datacenter}`
}

export function memberOfSelf(self: AgentSelf): Member {
  return {
    name: self.node,
    address: self.address,
    port: self.ports.libp2p,
    datacenter: self.datacenter,
    role: self.server ? 'server' : 'client',
    status: 'alive',
    id: self.nodeId,
    peerId: self.peerId,
    runtime: self.runtime,
    version: self.version,
  }
}
