/** Entries of the catalog as Consul spells them. Null, [] and {} are as its clients see them there. */
import type { CoordinateRow } from '../model/coordinate.ts'
import type {
  CheckDefinition,
  CheckRow,
  KvRow,
  Locality,
  NodeRow,
  ServiceAddress,
  ServiceRow,
  Weights,
} from '../model/entries.ts'
import type { RoutedInstance } from '../resolver/mesh.ts'
import { type GoMap, goMap, goValue, type Json, type JsonStruct } from './json.ts'

const text = (value: string): string => value
export const textMap = (record: Readonly<Record<string, string>> | null): Json =>
  record === null ? null : goMap(record, text)

export const addressMap = (addresses: Readonly<Record<string, ServiceAddress>> | null): GoMap | undefined => {
  if (addresses === null) return undefined
  const map = goMap(addresses, ({ address, port }) => ({ Address: address, Port: port }))
  return map.entries.length === 0 ? undefined : map
}

export const weights = ({ passing, warning }: Weights): JsonStruct => ({ Passing: passing, Warning: warning })

export const localityShape = (locality: Locality | undefined): JsonStruct | undefined =>
  locality && { Region: locality.region, Zone: locality.zone }

const PROXY_FIELDS = [
  'DestinationServiceName',
  'DestinationServiceID',
  'LocalServiceAddress',
  'LocalServicePort',
  'LocalServiceSocketPath',
  'Mode',
  'Config',
  'Upstreams',
  'MeshGateway',
  'Expose',
  'TransparentProxy',
]

/** What was registered, with the fields that Consul always shows. */
function proxyShape(proxy: Readonly<Record<string, unknown>> | null): Json {
  const shown: Record<string, Json> = { Mode: '', MeshGateway: {}, Expose: {} }
  for (const [name, value] of Object.entries(proxy ?? {})) shown[name] = goValue(value)
  const ordered: Record<string, Json> = {}
  for (const name of PROXY_FIELDS) if (shown[name] !== undefined) ordered[name] = shown[name]
  for (const name of Object.keys(shown)) ordered[name] ??= shown[name]!
  return ordered
}

const connectShape = (connect: Readonly<Record<string, unknown>> | null): Json =>
  connect === null ? {} : goValue(connect)

export const nodeShape = (node: NodeRow, datacenter: string): JsonStruct => ({
  ID: node.id,
  Node: node.node,
  Address: node.address,
  Datacenter: datacenter,
  TaggedAddresses: textMap(node.taggedAddresses),
  Meta: textMap(node.meta),
  Locality: localityShape(node.locality),
  CreateIndex: node.createIndex,
  ModifyIndex: node.modifyIndex,
})

export const serviceShape = (service: ServiceRow): JsonStruct => ({
  Kind: service.kind || undefined,
  ID: service.id,
  Service: service.service,
  Tags: service.tags,
  Address: service.address,
  TaggedAddresses: addressMap(service.taggedAddresses),
  Meta: textMap(service.meta),
  Port: service.port,
  SocketPath: service.socketPath || undefined,
  Weights: weights(service.weights),
  EnableTagOverride: service.enableTagOverride,
  Proxy: proxyShape(service.proxy),
  Connect: connectShape(service.connect),
  Failover: service.failover,
  Locality: localityShape(service.locality),
  Load: service.load,
  CreateIndex: service.createIndex,
  ModifyIndex: service.modifyIndex,
})

export const definitionShape = (definition: CheckDefinition): Json => {
  const shape: Record<string, Json> = {}
  for (const [name, value] of Object.entries(definition)) shape[name] = goValue(value)
  return shape
}

export const checkShape = (check: CheckRow): JsonStruct => ({
  Node: check.node,
  CheckID: check.checkId,
  Name: check.name,
  Status: check.status,
  Notes: check.notes,
  Output: check.output,
  ServiceID: check.serviceId,
  ServiceName: check.serviceName,
  ServiceTags: check.serviceTags,
  Type: check.type,
  Interval: check.interval,
  Timeout: check.timeout,
  ExposedPort: check.exposedPort,
  Definition: definitionShape(check.definition),
  CreateIndex: check.createIndex,
  ModifyIndex: check.modifyIndex,
})

/** Where a remote instance is and how old that is; Consul's clients pass over fields that they do not know. */
function remoteShape(remote: NonNullable<RoutedInstance['remote']>): JsonStruct {
  return {
    Datacenter: remote.datacenter,
    DistanceMs: remote.distanceMs === undefined ? null : Math.round(remote.distanceMs * 1000) / 1000,
    AgeMs: Math.round(remote.ageMs),
  }
}

/** An entry of health/service. A remote one carries the address at which it can be reached from here. */
export function healthShape(instance: RoutedInstance, datacenter: string): JsonStruct {
  const { remote } = instance
  const service = serviceShape(instance.service)
  return {
    Node: nodeShape(instance.node, remote?.datacenter ?? datacenter),
    Service: remote ? { ...service, Address: remote.address, Port: remote.port } : service,
    Checks: instance.checks.map(checkShape),
    Atoll: remote && remoteShape(remote),
  }
}

/** An entry of catalog/service: node and service in one. */
export function catalogServiceShape(
  instance: Pick<RoutedInstance, 'node' | 'service' | 'remote'>,
  datacenter: string,
): JsonStruct {
  const { node, service, remote } = instance
  return {
    ID: node.id,
    Node: node.node,
    Address: node.address,
    Datacenter: remote?.datacenter ?? datacenter,
    TaggedAddresses: textMap(node.taggedAddresses),
    NodeMeta: textMap(node.meta),
    ServiceKind: service.kind,
    ServiceID: service.id,
    ServiceName: service.service,
    ServiceTags: service.tags,
    ServiceAddress: remote?.address ?? service.address,
    ServiceTaggedAddresses: addressMap(service.taggedAddresses),
    ServiceWeights: weights(service.weights),
    ServiceMeta: textMap(service.meta ?? {}),
    ServicePort: remote?.port ?? service.port,
    ServiceSocketPath: service.socketPath,
    ServiceEnableTagOverride: service.enableTagOverride,
    ServiceProxy: proxyShape(service.proxy),
    ServiceConnect: connectShape(service.connect),
    ServiceLocality: localityShape(service.locality),
    ServiceLoad: service.load,
    CreateIndex: service.createIndex,
    ModifyIndex: service.modifyIndex,
    Atoll: remote && remoteShape(remote),
  }
}

export const coordinateShape = ({ node, segment, coordinate }: CoordinateRow): JsonStruct => ({
  Node: node,
  Segment: segment,
  Coord: {
    Vec: coordinate.vec,
    Error: coordinate.error,
    Adjustment: coordinate.adjustment,
    Height: coordinate.height,
  },
})

export const kvShape = (entry: KvRow): JsonStruct => ({
  LockIndex: entry.lockIndex,
  Key: entry.key,
  Flags: entry.flags,
  Value: entry.value.length === 0 ? null : base64(entry.value),
  Session: entry.session || undefined,
  CreateIndex: entry.createIndex,
  ModifyIndex: entry.modifyIndex,
})

const CHUNK = 0x8000

export function base64(bytes: Uint8Array): string {
  let binary = ''
  for (let i = 0; i < bytes.length; i += CHUNK) binary += String.fromCharCode(...bytes.subarray(i, i + CHUNK))
  return btoa(binary)
}
