/** Entries with defaults, for tests. */
import type { CheckEntry, NodeEntry, ServiceEntry } from '../../model/entries.ts'
import type { SessionEntry } from '../../model/session.ts'
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

export const sessionEntry = (id: string, more: Partial<Omit<SessionEntry, 'ending'>> = {}) => ({
  id,
  name: '',
  node: 'n1',
  lockDelayMs: 0,
  behavior: 'release' as const,
  ttl: '',
  ttlMs: 0,
  nodeChecks: [],
  serviceChecks: null,
  checks: null,
  ...more,
})

export const sessionCreate = (id: string, more: Partial<Omit<SessionEntry, 'ending'>> = {}): Command => ({
  kind: 'session-create',
  session: sessionEntry(id, more),
})

export const kvLock = (key: string, session: string, value = ''): Command => ({
  kind: 'kv-lock',
  key,
  value: new TextEncoder().encode(value),
  flags: 0n,
  session,
})

export const kvUnlock = (key: string, session: string, value = ''): Command => ({
  kind: 'kv-unlock',
  key,
  value: new TextEncoder().encode(value),
  flags: 0n,
  session,
})
