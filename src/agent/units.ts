import type { LocalCheckDefinition } from '../model/local.ts'
import type { Unit } from './persisted.ts'
import { checkUnitKey, serviceUnitKey } from './persistence.ts'
import type { Plan } from './registration.ts'
import { idKey, type Registry } from './registry.ts'

/**
 * What is to be written so that the disk holds what the registry will after the plan; undefined for a unit that goes.
 * A check that moves to another service is written there before it is taken from where it was.
 */
export function unitsAfter(registry: Registry, plan: Plan): ReadonlyMap<string, Unit | undefined> {
  const units = new Map<string, Unit | undefined>()
  if (plan.service) addService(units, registry, plan, plan.service.id)
  for (const check of plan.checks) {
    if (check.serviceId === '') units.set(checkUnitKey(check.checkId), { kind: 'check', check })
    else addService(units, registry, plan, check.serviceId)
  }
  for (const id of [...plan.removeChecks, ...plan.checks.map(({ checkId }) => checkId)]) {
    const before = registry.check(id)?.definition
    if (!before) continue
    if (before.serviceId !== '') addService(units, registry, plan, before.serviceId)
    else if (!units.has(checkUnitKey(id))) units.set(checkUnitKey(id), undefined)
  }
  if (plan.removeService !== undefined) units.set(serviceUnitKey(plan.removeService), undefined)
  for (const [key, unit] of units) if (unit && isKept(registry, unit)) units.delete(key)
  return units
}

/** Whether it is on the disk as it is: many services register themselves again every few seconds. */
function isKept(registry: Registry, unit: Unit): boolean {
  if (unit.kind === 'check') {
    return JSON.stringify(registry.check(unit.check.checkId)?.definition) === JSON.stringify(unit.check)
  }
  const before = registry.service(unit.service.id)
  if (!before || JSON.stringify(before) !== JSON.stringify(unit.service)) return false
  const checks = registry.checksOf(unit.service.id).map(({ definition }) => definition)
  return JSON.stringify(checks) === JSON.stringify(unit.checks)
}

function addService(units: Map<string, Unit | undefined>, registry: Registry, plan: Plan, serviceId: string): void {
  const key = serviceUnitKey(serviceId)
  if (units.has(key)) return
  const planned = plan.service && idKey(plan.service.id) === idKey(serviceId) ? plan.service : undefined
  const service = planned ?? registry.service(serviceId)
  if (service) units.set(key, { kind: 'service', service, checks: checksAfter(registry, plan, serviceId) })
}

function checksAfter(registry: Registry, plan: Plan, serviceId: string): LocalCheckDefinition[] {
  const checks = new Map<string, LocalCheckDefinition>()
  for (const { definition } of registry.checksOf(serviceId)) checks.set(idKey(definition.checkId), definition)
  for (const id of plan.removeChecks) checks.delete(idKey(id))
  for (const check of plan.checks) {
    if (idKey(check.serviceId) === idKey(serviceId)) checks.set(idKey(check.checkId), check)
    else checks.delete(idKey(check.checkId))
  }
  return [...checks.values()]
}
