import { NODE_MAINTENANCE, serviceMaintenance } from '../model/entries.ts'
import type { LocalCheckDefinition } from '../model/local.ts'

/** The critical check that keeps a service ('' : the whole node) out of rotation, with Consul's names and texts. */
export function maintenanceCheck(serviceId: string, reason: string): LocalCheckDefinition {
  const ofNode = serviceId === ''
  return {
    checkId: ofNode ? NODE_MAINTENANCE : serviceMaintenance(serviceId),
    name: ofNode ? 'Node Maintenance Mode' : 'Service Maintenance Mode',
    notes: reason === '' ? defaultReason(ofNode ? 'node' : 'service') : reason,
    serviceId,
    status: 'critical',
    intervalMs: 0,
    timeoutMs: 0,
    successBeforePassing: 1,
    failuresBeforeCritical: 1,
    deregisterCriticalServiceAfterMs: 0,
    outputMaxBytes: 0,
    type: MAINTENANCE_TYPE,
    interval: '',
    timeout: '',
    definition: {},
  }
}

export const MAINTENANCE_TYPE = 'maintenance'

const defaultReason = (of: string): string =>
  `Maintenance mode is enabled for this ${of}, but no reason was provided. This is a default message.`
