/** The bodies of the agent's registrations as definitions, with Consul's checks of them, in Consul's order. */
import type * as z from 'zod'
import { formatDuration } from '../../model/duration.ts'
import type { Locality, ServiceAddress, Status } from '../../model/entries.ts'
import { isAtollError } from '../../model/errors.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../../model/local.ts'
import type { addressSchema, serviceRegistrationSchema } from '../body/schemas.ts'
import { badRequest, HttpError } from '../errors.ts'
import { metadataFault } from '../metadata.ts'
import { type CheckBody as Check, checkFields, requireKind } from './check-definition.ts'

type Service = z.output<typeof serviceRegistrationSchema>
type Address = z.output<typeof addressSchema>

const STATUSES: readonly string[] = ['passing', 'warning', 'critical'] satisfies Status[]
export const isStatus = (text: string): text is Status => STATUSES.includes(text)

export function serviceDefinition(body: Service): LocalServiceDefinition {
  const name = body.Name ?? ''
  if (name === '') throw badRequest('Missing service name')
  if (body.Address === '0.0.0.0' || body.Address === '::' || body.Address === '[::]') {
    throw badRequest('Invalid service address')
  }
  const weights = body.Weights
    ? { passing: body.Weights.Passing ?? 0, warning: body.Weights.Warning ?? 0 }
    : { passing: 1, warning: 1 }
  requireWeights(weights)
  const fault = metadataFault(body.Meta)
  if (fault) throw badRequest(`Invalid Service Meta: ${fault}`)
  const checks = [...(body.Check && !isEmpty(body.Check) ? [body.Check] : []), ...(body.Checks ?? [])]
  for (const check of checks) requireKind(check)
  for (const check of checks) {
    if (check.Status && !isStatus(check.Status)) {
      throw badRequest("Status for checks must 'passing', 'warning', 'critical'")
    }
  }
  return {
    id: body.ID || name,
    service: name,
    kind: body.Kind ?? '',
    tags: body.Tags ?? [],
    address: body.Address ?? '',
    taggedAddresses: addressesOf(body.TaggedAddresses),
    meta: body.Meta ?? null,
    port: body.Port ?? 0,
    socketPath: body.SocketPath ?? '',
    weights,
    enableTagOverride: body.EnableTagOverride ?? false,
    proxy: body.Proxy ?? null,
    connect: body.Connect ?? null,
    ...(body.Failover === undefined ? {} : { failover: body.Failover }),
    ...localityOf(body.Locality),
    // Consul shows no interval and timeout for checks that came with their service.
    checks: checks.map((check) => checkFields(check, { interval: '', timeout: '' })),
  }
}

export function checkDefinition(body: Check): LocalCheckDefinition {
  if (!body.Name) throw badRequest('Missing check name')
  if (body.Status && !isStatus(body.Status)) throw badRequest('Bad check status')
  requireKind(body)
  return checkFields(body, {
    interval: formatDuration(body.Interval ?? 0),
    timeout: formatDuration(body.Timeout ?? 0),
  })
}

const MAX_WEIGHT = 65_535

function requireWeights({ passing, warning }: { passing: number; warning: number }): void {
  if (passing < 1) throw badRequest('Invalid Weights: Passing must be greater than 0')
  if (warning < 0) throw badRequest('Invalid Weights: Warning must be greater or equal than 0')
  if (passing > MAX_WEIGHT || warning > MAX_WEIGHT) {
    throw badRequest(`Invalid Weights: DNS Weight must be between 0 and ${MAX_WEIGHT}`)
  }
}

/** A `Check` of null or {} is none. */
const isEmpty = (check: Check): boolean => Object.keys(check).length === 0

export function addressesOf(
  given: Readonly<Record<string, Address>> | undefined,
): Readonly<Record<string, ServiceAddress>> | null {
  if (!given) return null
  const addresses: Record<string, ServiceAddress> = Object.create(null)
  for (const [name, { Address, Port }] of Object.entries(given)) {
    addresses[name] = { address: Address ?? '', port: Port ?? 0 }
  }
  return addresses
}

/** An empty one is none. */
export function localityOf(given: { Region?: string; Zone?: string } | undefined): { locality?: Locality } {
  const { Region: region = '', Zone: zone = '' } = given ?? {}
  return region === '' && zone === '' ? {} : { locality: { region, zone } }
}

/** Waits for a registration. A node that runs no scripts refuses them with a 500, as Consul does, whose words it has. */
export async function registered(registration: Promise<void>): Promise<void> {
  try {
    await registration
  } catch (error) {
    if (!isAtollError(error) || error.code !== 'forbidden') throw error
    throw new HttpError(500, error.message)
  }
}
