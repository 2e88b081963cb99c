import type { LocalCheckDefinition } from '../model/local.ts'
import type { Logger } from '../runtime/ports.ts'
import { ttlExpired } from './checks/ttl.ts'
import type { KeptStatus } from './persisted.ts'
import type { Kept } from './persistence.ts'
import { type CheckState, idKey, type Registry } from './registry.ts'

/** Fills the registry with what was kept. Checks go on with the status that they had; a TTL only while that still held. */
export function restore(registry: Registry, kept: Kept, wallMs: number, logger: Logger): CheckState[] {
  const statuses = new Map(kept.statuses.map((status) => [idKey(status.checkId), status]))
  const restored: CheckState[] = []
  const add = (definition: LocalCheckDefinition, service: { service: string; tags: readonly string[] } | undefined) => {
    if (registry.check(definition.checkId)) {
      logger.warn({ check: definition.checkId }, 'a check was kept twice; the second one is left out')
      return
    }
    const check: CheckState = {
      definition,
      serviceName: service?.service ?? '',
      serviceTags: service?.tags ?? [],
      ...healthOf(definition, statuses.get(idKey(definition.checkId)), wallMs),
      criticalSinceMs: undefined,
    }
    registry.putCheck(check)
    restored.push(check)
  }
  for (const unit of kept.units) {
    if (unit.kind === 'check') {
      add(unit.check, undefined)
      continue
    }
    if (registry.service(unit.service.id)) {
      logger.warn({ service: unit.service.id }, 'a service was kept twice; the second one is left out')
      continue
    }
    registry.putService(unit.service)
    for (const check of unit.checks) add(check, unit.service)
  }
  return restored
}

type Health = Pick<CheckState, 'status' | 'output' | 'catalogOutput' | 'validUntilWallMs'>

function healthOf(definition: LocalCheckDefinition, kept: KeptStatus | undefined, wallMs: number): Health {
  if (!kept) return { status: definition.status, output: '', catalogOutput: '', validUntilWallMs: undefined }
  const { ttlMs } = definition
  // A wall clock that was set back must not keep a status alive for longer than the TTL.
  const validUntilWallMs =
    ttlMs === undefined || kept.validUntilWallMs === undefined
      ? undefined
      : Math.min(kept.validUntilWallMs, wallMs + ttlMs)
  const lapsed = validUntilWallMs !== undefined && validUntilWallMs <= wallMs && kept.status !== 'critical'
  const { status, output } = lapsed ? ttlExpired(kept.output) : kept
  return { status, output, catalogOutput: output, validUntilWallMs: lapsed ? undefined : validUntilWallMs }
}
