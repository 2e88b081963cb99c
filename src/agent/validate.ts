/** What an agent takes: the bounds that keep it, the disk and the catalog within reason. */
import { SERF_HEALTH } from '../model/entries.ts'
import { AtollError } from '../model/errors.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'
import { MAINTENANCE_TYPE } from './maintenance.ts'
import type { AgentLimits } from './options.ts'
import type { Plan } from './registration.ts'
import type { Registry } from './registry.ts'

/** Two of them, escaped, fit into a key of the store. */
const MAX_ID_BYTES = 512

const encoder = new TextEncoder()

/** Throws 'invalid', 'too-large' or 'overloaded' when a plan must not be carried out. */
export function assertAcceptable(registry: Registry, plan: Plan, limits: AgentLimits): void {
  if (plan.service) assertService(plan.service)
  for (const check of plan.checks) assertCheck(check)
  const bytes = encoder.encode(JSON.stringify([plan.service, plan.checks])).length
  if (bytes > limits.definitionBytes) {
    throw new AtollError(
      'too-large',
      `the definition has ${bytes} bytes, at most ${limits.definitionBytes} are taken; shorten Meta, Proxy or the checks' bodies and headers`,
    )
  }
  const newServices = plan.service && !registry.service(plan.service.id) ? 1 : 0
  if (newServices > 0 && registry.serviceCount + newServices > limits.services) {
    throw new AtollError(
      'overloaded',
      `this agent holds ${registry.serviceCount} services, its limit; deregister one or register with another node`,
    )
  }
  const newChecks = plan.checks.filter(({ checkId }) => !registry.check(checkId)).length
  if (newChecks > 0 && registry.checkCount + newChecks - plan.removeChecks.length > limits.checks) {
    throw new AtollError(
      'overloaded',
      `this agent holds ${registry.checkCount} checks, its limit is ${limits.checks}; deregister some or register with another node`,
    )
  }
}

function assertService(service: LocalServiceDefinition): void {
  if (service.service === '') throw new AtollError('invalid', 'Missing service name', { field: 'Name' })
  assertId(service.id, 'ID')
  assertId(service.service, 'Name')
}

function assertCheck(check: LocalCheckDefinition): void {
  if (check.name === '') throw new AtollError('invalid', 'Missing check name', { field: 'Name' })
  assertId(check.checkId, 'CheckID')
  if (check.checkId.toLowerCase() === SERF_HEALTH.toLowerCase()) {
    throw new AtollError('invalid', `CheckID: "${SERF_HEALTH}" is the node's own; choose another id`, {
      field: 'CheckID',
    })
  }
  const kinds = [check.http, check.tcp, check.ttlMs].filter((kind) => kind !== undefined).length
  if (kinds > 1) {
    throw new AtollError('invalid', 'Invalid check: exactly one of HTTP, TCP and TTL must be given', { field: 'Check' })
  }
  if ((kinds === 0 && check.type !== MAINTENANCE_TYPE) || (check.ttlMs !== undefined && !(check.ttlMs > 0))) {
    throw new AtollError('invalid', 'Invalid check: TTL must be > 0 for TTL checks', { field: 'TTL' })
  }
  if ((check.http || check.tcp) && !(check.intervalMs > 0)) {
    throw new AtollError('invalid', 'Invalid check: Interval must be > 0 for Script, HTTP, H2PING, or TCP checks', {
      field: 'Interval',
    })
  }
}

function assertId(id: string, field: string): void {
  if (id === '') throw new AtollError('invalid', `${field} must not be empty`, { field })
  if (!id.isWellFormed()) throw new AtollError('invalid', `${field}: a lone surrogate is no text`, { field })
  const bytes = encoder.encode(id).length
  if (bytes > MAX_ID_BYTES) {
    throw new AtollError('invalid', `${field} has ${bytes} bytes, at most ${MAX_ID_BYTES} are taken`, { field })
  }
}
