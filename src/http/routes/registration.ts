/** The bodies of the agent's registrations as definitions, with Consul's checks of them, in Consul's order. */
import type * as z from 'zod'
import { formatDuration } from '../../model/duration.ts'
import type { Locality, ServiceAddress, Status } from '../../model/entries.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../../model/local.ts'
import type { addressSchema, checkRegistrationSchema, serviceRegistrationSchema } from '../body/schemas.ts'
import { badRequest } from '../errors.ts'
import { metadataFault } from '../metadata.ts'

type Service = z.output<typeof serviceRegistrationSchema>
type Check = z.output<typeof checkRegistrationSchema>
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

const OTHER_KINDS = ['Args', 'Script', 'GRPC', 'H2PING', 'DockerContainerID', 'AliasNode', 'AliasService'] as const

function requireKind(check: Check): void {
  const other = OTHER_KINDS.find((kind) => (check[kind]?.length ?? 0) > 0)
  if (other) throw badRequest(`Invalid check: ${other}: checks are of HTTP, TCP or TTL in this version`)
  const interval = check.Interval ?? 0
  const ttl = check.TTL ?? 0
  const probes = [check.HTTP, check.TCP].filter(Boolean).length
  if (interval > 0 && ttl > 0) throw badRequest('Invalid check: Interval and TTL cannot both be specified')
  if (probes > 0 && interval <= 0) {
    throw badRequest('Invalid check: Interval must be > 0 for Script, HTTP, H2PING, or TCP checks')
  }
  if (probes === 0 && ttl <= 0) throw badRequest('Invalid check: TTL must be > 0 for TTL checks')
  if (probes > 1) throw badRequest('Invalid check: HTTP and TCP cannot both be specified')
  if ((check.OutputMaxSize ?? 0) < 0) throw badRequest('Invalid check: MaxOutputMaxSize must be positive')
  if (check.HTTP && !isHttpUrl(check.HTTP)) {
    throw badRequest(`Invalid check: HTTP: "${check.HTTP}" is no URL of http or https`)
  }
  if (check.TCP) hostAndPort(check.TCP)
}

const isHttpUrl = (text: string): boolean => URL.canParse(text) && /^https?:/i.test(text)

function hostAndPort(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > MAX_WEIGHT) throw badRequest(`Invalid check: TCP: "${text}" is no host:port`)
  return { host: match[1] ?? match[2]!, port }
}

const DEFAULT_TIMEOUT_MS = 10_000
const DEFAULT_OUTPUT_BYTES = 4096

function checkFields(check: Check, shown: { interval: string; timeout: string }): LocalCheckDefinition {
  const kind = kindOf(check)
  return {
    checkId: check.CheckID || check.ID || '',
    name: check.Name ?? '',
    notes: check.Notes ?? '',
    serviceId: check.ServiceID ?? '',
    status: (check.Status || 'critical') as Status,
    ...kind.fields,
    intervalMs: check.Interval ?? 0,
    timeoutMs: check.Timeout && check.Timeout > 0 ? check.Timeout : DEFAULT_TIMEOUT_MS,
    successBeforePassing: Math.max(1, check.SuccessBeforePassing ?? 0),
    failuresBeforeCritical: Math.max(1, check.FailuresBeforeCritical ?? 0),
    deregisterCriticalServiceAfterMs: check.DeregisterCriticalServiceAfter ?? 0,
    outputMaxBytes: check.OutputMaxSize || DEFAULT_OUTPUT_BYTES,
    type: kind.type,
    ...shown,
    definition: {},
  }
}

function kindOf(check: Check): { type: string; fields: Partial<LocalCheckDefinition> } {
  if (check.HTTP) {
    const http = {
      url: check.HTTP,
      method: check.Method || 'GET',
      headers: check.Header ?? {},
      body: check.Body ?? '',
      tlsSkipVerify: check.TLSSkipVerify ?? false,
      tlsServerName: check.TLSServerName ?? '',
    }
    return { type: 'http', fields: { http } }
  }
  if (check.TCP) return { type: 'tcp', fields: { tcp: hostAndPort(check.TCP) } }
  return { type: 'ttl', fields: { ttlMs: check.TTL! } }
}

/** An empty one is none. */
export function localityOf(given: { Region?: string; Zone?: string } | undefined): { locality?: Locality } {
  const { Region: region = '', Zone: zone = '' } = given ?? {}
  return region === '' && zone === '' ? {} : { locality: { region, zone } }
}

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
