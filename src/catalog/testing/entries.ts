/** Entries with defaults, for tests. */
import type { CheckEntry, NodeEntry, ServiceEntry } from '../../model/entries.ts'
import type { AgentSync, Command } from '../catalog.ts'

export const nodeEntry = (node: string, more: Partial<NodeEntry> = {}): NodeEntry => ({
  id: '',
  node,
  address: '10.0.0.1',
  taggedAddresses: null,
  meta: null,
  owner: 'catalog',
  ...more,
})

export const serviceEntry = (node: string, service: string, more: Partial<ServiceEntry> = {}): ServiceEntry => ({
  node,
  id: service,
  service,
  kind: '',
  tags: [],
  address: '',
  taggedAddresses: null,
  meta: null,
  port: 80,
  socketPath: '',
  weights: { passing: 1, warning: 1 },
  enableTagOverride: false,
  proxy: null,
  connect: null,
  owner: 'catalog',
  ...more,
})

export const checkEntry = (node: string, checkId: string, more: Partial<CheckEntry> = {}): CheckEntry => ({
  node,
  checkId,
  name: checkId,
  status: 'passing',
  notes: '',
  output: '',
  serviceId: '',
  serviceName: '',
  serviceTags: [],
  type: '',
  interval: '',
  timeout: '',
  exposedPort: 0,
  definition: {},
  owner: 'catalog',
  ...more,
})

export const register = (
  node: NodeEntry,
  services: readonly ServiceEntry[] = [],
  checks: readonly CheckEntry[] = [],
  keepNode = false,
): Command => ({ kind: 'register', node, keepNode, services, checks })

export const agentSync = (node: NodeEntry, more: Partial<AgentSync> = {}): AgentSync => ({
  kind: 'agent-sync',
  node,
  services: [],
  checks: [],
  removeServices: [],
  removeChecks: [],
  complete: false,
  ...more,
})

export const kvPut = (key: string, value: string, more: { flags?: bigint; cas?: number } = {}): Command => ({
  kind: 'kv-put',
  key,
  value: new TextEncoder().encode(value),
  flags: 0n,
  ...more,
})

export const kvDelete = (key: string, more: { recurse?: boolean; cas?: number } = {}): Command => ({
  kind: 'kv-delete',
  key,
  recurse: false,
  ...more,
})
