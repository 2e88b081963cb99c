import { AtollError } from './errors.ts'

/** Names of datacenters: what DNS labels allow, without dots. `nearest` and `*` mean something else in `?dc=`. */
const DATACENTER = /^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$/

export function assertDatacenter(name: string, field = 'datacenter'): string {
  if (!DATACENTER.test(name) || name === 'nearest') {
    throw new AtollError(
      'invalid',
      `${field}: "${name}" is no datacenter name: 1 to 63 of a-z, 0-9, '-' and '_', beginning and ending with a letter or digit, not "nearest"`,
      { field },
    )
  }
  return name
}
