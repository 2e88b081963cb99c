/** How what is registered here looks in the catalog. */
import { type CheckEntry, type NodeEntry, SERF_HEALTH, type ServiceEntry } from '../model/entries.ts'
import type { LocalServiceDefinition } from '../model/local.ts'
import type { AgentNode } from './options.ts'
import type { CheckState } from './registry.ts'

export const nodeEntry = (node: AgentNode): NodeEntry => ({
  id: node.id,
  node: node.node,
  address: node.address,
  taggedAddresses: node.taggedAddresses,
  meta: node.meta,
  owner: 'agent',
})

export const serviceEntry = (node: string, service: LocalServiceDefinition, load?: number): ServiceEntry => ({
  node,
  id: service.id,
  service: service.service,
  kind: service.kind,
  tags: service.tags,
  address: service.address,
  taggedAddresses: service.taggedAddresses,
  meta: service.meta,
  port: service.port,
  socketPath: service.socketPath,
  weights: service.weights,
  enableTagOverride: service.enableTagOverride,
  proxy: service.proxy,
  connect: service.connect,
  ...(service.failover === undefined ? {} : { failover: service.failover }),
  ...(service.locality && { locality: service.locality }),
  ...(load === undefined ? {} : { load }),
  owner: 'agent',
})

/** `service`: the one that the check belongs to, as it is now. */
export const checkEntry = (
  node: string,
  check: CheckState,
  service: LocalServiceDefinition | undefined,
): CheckEntry => ({
  node,
  checkId: check.definition.checkId,
  name: check.definition.name,
  status: check.status,
  notes: check.definition.notes,
  output: check.catalogOutput,
  serviceId: service?.id ?? '',
  serviceName: service?.service ?? '',
  serviceTags: service?.tags ?? [],
  type: check.definition.type,
  interval: check.definition.interval,
  timeout: check.definition.timeout,
  exposedPort: 0,
  definition: check.definition.definition,
  owner: 'agent',
})

/** The check that stands for the node itself. An agent that can say so is alive. */
export const serfHealthEntry = (node: string): CheckEntry => ({
  node,
  checkId: SERF_HEALTH,
  name: 'Serf Health Status',
  status: 'passing',
  notes: '',
  output: 'Agent alive and reachable',
  serviceId: '',
  serviceName: '',
  serviceTags: [],
  type: '',
  interval: '',
  timeout: '',
  exposedPort: 0,
  definition: {},
  owner: 'agent',
})
