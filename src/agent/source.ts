import type { NodeEntry } from '../model/entries.ts'
import type { AliasedCheck, AliasedNode } from './checks/alias.ts'
import { checkEntry, serviceEntry } from './entries.ts'
import type { Loads } from './loads.ts'
import type { Registry } from './registry.ts'
import type { SyncSource } from './sync.ts'

/** What the sync is to bring to the catalog, read from the registry at the time of asking. */
export const syncSource = (node: () => NodeEntry, registry: Registry, loads: Loads): SyncSource => ({
  node,
  service: (id) => {
    const service = registry.service(id)
    return service && serviceEntry(node().node, service, loads.shown(id))
  },
  check: (id) => {
    const check = registry.check(id)
    return check && checkEntry(node().node, check, registry.service(check.definition.serviceId))
  },
  checkIdsOf: (serviceId) => registry.checksOf(serviceId).map(({ definition }) => definition.checkId),
  serviceIds: () => [...registry.services()].map(({ id }) => id),
  checkIds: () => [...registry.checks()].map(({ definition }) => definition.checkId),
})

/** This node as its own aliases see it: always as it stands. */
export const aliasedNode = (registry: Registry): AliasedNode => ({
  hasService: (id) => registry.service(id) !== undefined,
  get checks(): Iterable<AliasedCheck> {
    return [...registry.checks()].map(({ definition: { checkId, name, serviceId }, status, output }) => ({
      checkId,
      name,
      serviceId,
      status,
      output,
    }))
  },
})
