/** What a registration means: pure plans over the registry, which the agent then keeps on disk and applies. */
import type { ServiceAddress } from '../model/entries.ts'
import { AtollError } from '../model/errors.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'
import { DEFAULT_OUTPUT_BYTES, MAX_OUTPUT_BYTES } from './checks/outcome.ts'
import { MAINTENANCE_TYPE, maintenanceCheck } from './maintenance.ts'
import { type CheckState, idKey, type Registry } from './registry.ts'

/** A change of the registry. Removals come first, then the service, then the checks. */
export interface Plan {
  readonly removeService?: string
  readonly removeChecks: readonly string[]
  readonly service?: LocalServiceDefinition
  readonly checks: readonly LocalCheckDefinition[]
}

export const NOTHING: Plan = { removeChecks: [], checks: [] }

/** Consul's least time until a critical service is deregistered. */
const MIN_DEREGISTER_AFTER_MS = 60_000

/**
 * A service and its checks. Checks that it had before stay, unless they are to be replaced; maintenance stays in any
 * case, for it was asked for by an operator, not by the service.
 */
export function planService(
  registry: Registry,
  given: LocalServiceDefinition,
  options: { replaceExistingChecks: boolean },
): Plan {
  const service = normalizeService(given)
  const checks = new Map<string, LocalCheckDefinition>()
  given.checks.forEach((check, i) => {
    const normalized = serviceCheck(check, service, given.checks.length > 1 ? `:${i + 1}` : '')
    checks.set(idKey(normalized.checkId), normalized)
  })
  const removeChecks = options.replaceExistingChecks
    ? registry
        .checksOf(service.id)
        .filter(({ definition: { checkId, type } }) => type !== MAINTENANCE_TYPE && !checks.has(idKey(checkId)))
        .map(({ definition }) => definition.checkId)
    : []
  return { service, checks: [...checks.values()], removeChecks }
}

export function planDeregisterService(registry: Registry, id: string): Plan {
  const service = registry.service(id)
  if (!service) {
    throw new AtollError(
      'not-found',
      `Unknown service ID ${JSON.stringify(id)}. Ensure that the service ID is passed, not the service name.`,
      { field: 'ServiceID' },
    )
  }
  return { removeService: service.id, removeChecks: idsOf(registry.checksOf(id)), checks: [] }
}

export function planCheck(registry: Registry, given: LocalCheckDefinition): Plan {
  const service = given.serviceId === '' ? undefined : registry.service(given.serviceId)
  if (given.serviceId !== '' && !service) {
    throw new AtollError('invalid', `ServiceID ${JSON.stringify(given.serviceId)} does not exist`, {
      field: 'ServiceID',
    })
  }
  const checkId = given.checkId === '' ? given.name : given.checkId
  const check = normalizeCheck({ ...given, checkId, serviceId: service?.id ?? '' })
  return { removeChecks: [], checks: [check] }
}

export function planDeregisterCheck(registry: Registry, id: string): Plan {
  const check = registry.check(id)
  return check ? { removeChecks: [check.definition.checkId], checks: [] } : NOTHING
}

/** Enabling what is enabled changes nothing, not even the reason, as in Consul. */
export function planMaintenance(
  registry: Registry,
  of: 'node' | { readonly serviceId: string },
  enable: boolean,
  reason: string,
): Plan {
  const service = of === 'node' ? undefined : registry.service(of.serviceId)
  if (of !== 'node' && !service) {
    throw new AtollError('not-found', `No service registered with ID ${JSON.stringify(of.serviceId)}`, {
      field: 'ServiceID',
    })
  }
  const check = maintenanceCheck(service?.id ?? '', reason)
  const enabled = registry.check(check.checkId) !== undefined
  if (enabled === enable) return NOTHING
  return enable ? { removeChecks: [], checks: [check] } : { removeChecks: [check.checkId], checks: [] }
}

const idsOf = (checks: readonly CheckState[]): string[] => checks.map(({ definition }) => definition.checkId)

function normalizeService(given: LocalServiceDefinition): LocalServiceDefinition {
  return {
    ...given,
    id: given.id === '' ? given.service : given.id,
    taggedAddresses: withAddressOf(given),
    checks: [],
  }
}

/** A check of a service, with the id and name that Consul gives it when it has none. */
function serviceCheck(
  given: LocalCheckDefinition,
  service: LocalServiceDefinition,
  suffix: string,
): LocalCheckDefinition {
  return normalizeCheck({
    ...given,
    checkId: given.checkId === '' ? `service:${service.id}${suffix}` : given.checkId,
    name: given.name === '' ? `Service '${service.service}' check` : given.name,
    serviceId: service.id,
  })
}

const normalizeCheck = (check: LocalCheckDefinition): LocalCheckDefinition => ({
  ...check,
  successBeforePassing: Math.max(1, check.successBeforePassing),
  failuresBeforeCritical: Math.max(1, check.failuresBeforeCritical),
  outputMaxBytes:
    check.outputMaxBytes > 0 ? Math.min(MAX_OUTPUT_BYTES, Math.floor(check.outputMaxBytes)) : DEFAULT_OUTPUT_BYTES,
  deregisterCriticalServiceAfterMs:
    check.deregisterCriticalServiceAfterMs > 0
      ? Math.max(MIN_DEREGISTER_AFTER_MS, check.deregisterCriticalServiceAfterMs)
      : 0,
})

/** An IP address stands for itself under the names by which clients ask for that family, unless they were given. */
function withAddressOf(service: LocalServiceDefinition): Readonly<Record<string, ServiceAddress>> | null {
  const family = familyOf(service.address)
  if (family === undefined) return service.taggedAddresses
  const own = { address: service.address, port: service.port }
  return { [`lan_${family}`]: own, [`wan_${family}`]: own, ...service.taggedAddresses }
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  if (/^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(address)) return 'ipv4'
  return address.includes(':') && URL.canParse(`http://[${address}]/`) ? 'ipv6' : undefined
}
