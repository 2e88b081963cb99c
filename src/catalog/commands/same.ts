import type { CheckEntry, NodeEntry, ServiceEntry } from '../../model/entries.ts'

/** Deep equality of plain data: what differs only in the order of an object's keys is equal. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const left = a as Record<string, unknown>
  const right = b as Record<string, unknown>
  const keys = Object.keys(left)
  return keys.length === Object.keys(right).length && keys.every((key) => key in right && equal(left[key], right[key]))
}

const NODE: readonly (keyof NodeEntry)[] = ['id', 'address', 'taggedAddresses', 'meta', 'locality']
const SERVICE: readonly (keyof ServiceEntry)[] = [
  'id',
  'service',
  'kind',
  'port',
  'address',
  'tags',
  'meta',
  'taggedAddresses',
  'socketPath',
  'weights',
  'enableTagOverride',
  'proxy',
  'connect',
  'failover',
  'locality',
  'load',
]
/** All but notes and output, which are kept apart. */
const CHECK: readonly (keyof CheckEntry)[] = [
  'checkId',
  'status',
  'name',
  'serviceId',
  'serviceName',
  'serviceTags',
  'type',
  'interval',
  'timeout',
  'exposedPort',
  'definition',
]

const agree = <T>(fields: readonly (keyof T)[], a: T, b: T): boolean =>
  fields.every((field) => equal(a[field], b[field]))

/** Another spelling of its name is no change. Owners aside, as in the others. */
export const sameNode = (a: NodeEntry, b: NodeEntry): boolean => agree(NODE, a, b)
export const sameService = (a: ServiceEntry, b: ServiceEntry): boolean => agree(SERVICE, a, b)
export const sameCheck = (a: CheckEntry, b: CheckEntry): boolean => agree(CHECK, a, b)
export const sameOutput = (a: CheckEntry, b: CheckEntry): boolean => a.notes === b.notes && a.output === b.output
