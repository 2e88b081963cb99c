/** What an agent takes: the bounds that keep it, the disk and the catalog within reason. */
import { SERF_HEALTH } from '../model/entries.ts'
import { AtollError } from '../model/errors.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'
import { MAINTENANCE_TYPE } from './maintenance.ts'
import type { AgentLimits, Scripts } from './options.ts'
import type { Plan } from './registration.ts'
import type { Registry } from './registry.ts'

/** Two of them, escaped, fit into a key of the store. */
const MAX_ID_BYTES = 512

const encoder = new TextEncoder()

/** Throws 'invalid', 'forbidden', 'too-large' or 'overloaded' when a plan must not be carried out. */
export function assertAcceptable(registry: Registry, plan: Plan, limits: AgentLimits, scripts?: Scripts): void {
  if (plan.service) assertService(plan.service)
  for (const check of plan.checks) {
    assertCheck(check)
    const refusal = scriptRefusal(check, scripts)
    if (refusal !== undefined) throw new AtollError('forbidden', refusal, { field: 'Args' })
  }
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
  const given = KINDS.filter((kind) => check[kind] !== undefined)
  if (given.length > 1) {
    throw new AtollError('invalid', `Invalid check: ${given.join(' and ')}: a check is of one kind`, { field: 'Check' })
  }
  const [kind] = given
  if ((kind === undefined && check.type !== MAINTENANCE_TYPE) || (kind === 'ttlMs' && !(check.ttlMs! > 0))) {
    throw new AtollError('invalid', 'Invalid check: TTL must be > 0 for TTL checks', { field: 'TTL' })
  }
  if (kind !== undefined && kind !== 'ttlMs' && kind !== 'alias' && !(check.intervalMs > 0)) {
    throw new AtollError('invalid', 'Invalid check: Interval must be > 0 for Script, HTTP, H2PING, or TCP checks', {
      field: 'Interval',
    })
  }
}

const KINDS = [
  'http',
  'tcp',
  'udp',
  'grpc',
  'h2ping',
  'script',
  'docker',
  'osService',
  'alias',
  'ttlMs',
] as const satisfies (keyof LocalCheckDefinition)[]

/** Why this node does not run a check that is a command; undefined when it does, or the check is none. Consul's words. */
export function scriptRefusal(
  { script, docker, fromFile }: LocalCheckDefinition,
  scripts: Scripts = 'off',
): string | undefined {
  if ((!script && !docker) || scripts === 'on' || (scripts === 'local' && fromFile)) return undefined
  return fromFile
    ? "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or 'enable_local_script_checks' to true"
    : "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
}

function assertId(id: string, field: string): void {
  if (id === '') throw new AtollError('invalid', `${field} must not be empty`, { field })
  if (!id.isWellFormed()) throw new AtollError('invalid', `${field}: a lone surrogate is no text`, { field })
  const bytes = encoder.encode(id).length
  if (bytes > MAX_ID_BYTES) {
    throw new AtollError('invalid', `${field} has ${bytes} bytes, at most ${MAX_ID_BYTES} are taken`, { field })
  }
}
