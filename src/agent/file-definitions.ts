/**
 * Services and checks that the node's configuration files define: the plans that bring what is registered in line with
 * them. What came by the API stays as it is; what did not change is not touched, so that it does not flap.
 */
import type { LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'
import { type Plan, planCheck, planDeregisterCheck, planDeregisterService, planService } from './registration.ts'
import { type CheckState, idKey, type Registry } from './registry.ts'

export interface FileDefinitions {
  /** All marked `fromFile`, as their checks. */
  readonly services: readonly LocalServiceDefinition[]
  /** Of the node, or of any service that is registered. */
  readonly checks: readonly LocalCheckDefinition[]
}

export const NO_DEFINITIONS: FileDefinitions = { services: [], checks: [] }

/** To be made and carried out one after another: each sees what those before it did. */
export function* filePlans(registry: Registry, wanted: FileDefinitions): Generator<() => Plan> {
  const services = new Set(wanted.services.map(({ id }) => idKey(id)))
  const checks = new Set(wanted.checks.map(({ checkId, name }) => idKey(checkId || name)))
  for (const { id, fromFile } of [...registry.services()]) {
    if (fromFile && !services.has(idKey(id))) yield () => planDeregisterService(registry, id)
  }
  for (const { definition } of [...registry.checks()]) {
    const { checkId, fromFile, serviceId } = definition
    // Those of a service that files define go with the plan of that service.
    const ofService = serviceId !== '' && services.has(idKey(serviceId))
    if (fromFile && !ofService && !checks.has(idKey(checkId)) && registry.check(checkId)) {
      yield () => planDeregisterCheck(registry, checkId)
    }
  }
  for (const service of wanted.services) yield () => planChangedService(registry, service, checks)
  for (const check of wanted.checks) yield () => onlyChanged(registry, planCheck(registry, check))
}

function planChangedService(registry: Registry, wanted: LocalServiceDefinition, elsewhere: ReadonlySet<string>): Plan {
  const plan = planService(registry, wanted, { replaceExistingChecks: false })
  const kept = new Set(plan.checks.map(({ checkId }) => idKey(checkId)))
  const removeChecks = registry
    .checksOf(wanted.id)
    .filter(
      ({ definition: { checkId, fromFile } }) =>
        fromFile && !kept.has(idKey(checkId)) && !elsewhere.has(idKey(checkId)),
    )
    .map(({ definition }) => definition.checkId)
  return onlyChanged(registry, { ...plan, removeChecks })
}

/** Without what is registered just so. */
function onlyChanged(registry: Registry, { service, checks, ...plan }: Plan): Plan {
  const sameService = service !== undefined && same(registry.service(service.id), service)
  return {
    ...plan,
    ...(service === undefined || sameService ? {} : { service }),
    checks: checks.filter((check) => !same(definitionOf(registry.check(check.checkId)), check)),
  }
}

const definitionOf = (check: CheckState | undefined): LocalCheckDefinition | undefined => check?.definition

/** Both came out of the same schema, and a disk in between keeps the order of fields or not: compare as sorted. */
const same = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b)

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_key, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([x], [y]) => (x < y ? -1 : 1)))
      : one,
  )
