/** The body of `/v1/catalog/register` as a command, with Consul's checks of it, in Consul's order. */
import type * as z from 'zod'
import type { Command } from '../../catalog/catalog.ts'
import { formatDuration } from '../../model/duration.ts'
import type { CheckDefinition, CheckEntry, ServiceEntry, Status, Weights } from '../../model/entries.ts'
import type {
  catalogCheckSchema,
  catalogRegistrationSchema,
  catalogServiceSchema,
  checkDefinitionSchema,
} from '../body/schemas.ts'
import { badRequest, HttpError } from '../errors.ts'
import { metadataFault } from '../metadata.ts'
import { addressesOf, localityOf } from './registration.ts'

type Registration = z.output<typeof catalogRegistrationSchema>
type Service = z.output<typeof catalogServiceSchema>
type Check = z.output<typeof catalogCheckSchema>
type Definition = z.output<typeof checkDefinitionSchema>

/** Consul answers these with a 500; its clients know the texts. */
const refused = (text: string): HttpError => new HttpError(500, text)

export function catalogCommand(body: Registration): Command & { kind: 'register' } {
  const node = body.Node ?? ''
  if (node === '') throw refused('Must provide node')
  if (body.ID) requireUuid(body.ID)
  if (!body.Address && !body.SkipNodeUpdate) throw refused('Must provide address if SkipNodeUpdate is not set')
  const fault = metadataFault(body.NodeMeta, { anyKey: true })
  if (fault) throw refused(`Invalid Node Metadata: ${fault}`)
  const checks = [...(body.Check ? [body.Check] : []), ...(body.Checks ?? [])]
  return {
    kind: 'register',
    keepNode: body.SkipNodeUpdate ?? false,
    node: {
      id: body.ID ?? '',
      node,
      address: body.Address ?? '',
      taggedAddresses: body.TaggedAddresses ?? null,
      meta: body.NodeMeta ?? null,
      ...localityOf(body.Locality),
      owner: 'catalog',
    },
    services: body.Service ? serviceEntries(node, body.Service) : [],
    checks: checks.map((check) => checkEntry(node, check)),
  }
}

function requireUuid(id: string): void {
  if (id.length !== 36) throw refused('Bad node ID: uuid string is wrong length')
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) {
    throw refused('Bad node ID: uuid is improperly formatted')
  }
}

function serviceEntries(node: string, service: Service): ServiceEntry[] {
  const name = service.Service ?? ''
  if (name !== '') return [serviceEntry(node, service)]
  if (service.ID) throw refused('Must provide service name with ID')
  return []
}

export function serviceEntry(node: string, service: Service): ServiceEntry {
  const name = service.Service ?? ''
  const id = service.ID || name
  if (service.Address === '0.0.0.0' || service.Address === '::') throw refused('Invalid service address')
  const fault = metadataFault(service.Meta)
  if (fault) {
    throw refused(`failed inserting service: Invalid Service Meta for node ${node} and serviceID ${id}: ${fault}`)
  }
  return {
    node,
    id,
    service: name,
    kind: service.Kind ?? '',
    tags: service.Tags ?? [],
    address: service.Address ?? '',
    taggedAddresses: addressesOf(service.TaggedAddresses),
    meta: service.Meta ?? null,
    port: service.Port ?? 0,
    socketPath: service.SocketPath ?? '',
    weights: weightsOf(service.Weights),
    enableTagOverride: service.EnableTagOverride ?? false,
    proxy: service.Proxy ?? null,
    connect: service.Connect ?? null,
    ...(service.Failover === undefined ? {} : { failover: service.Failover }),
    ...localityOf(service.Locality),
    owner: 'catalog',
  }
}

/** Consul's Go client sends two zeros for weights that nobody gave. */
function weightsOf({ Passing: passing = 0, Warning: warning = 0 }: Service['Weights'] & object = {}): Weights {
  return passing === 0 && warning === 0 ? { passing: 1, warning: 1 } : { passing, warning }
}

const STATUSES: readonly string[] = ['passing', 'warning', 'critical'] satisfies Status[]

export function checkEntry(node: string, check: Check): CheckEntry {
  if (check.Node && check.Node.toLowerCase() !== node.toLowerCase()) {
    throw refused(`check node "${check.Node}" does not match node "${node}"`)
  }
  const checkId = check.CheckID || check.Name || ''
  if (checkId === '') throw refused('Check: give it a CheckID or a Name')
  const status = check.Status || 'critical'
  if (!STATUSES.includes(status)) {
    throw badRequest(`Check: Status "${status}" of ${checkId} must be passing, warning or critical`)
  }
  const definition = definitionOf(check.Definition)
  return {
    node,
    checkId,
    name: check.Name ?? '',
    status: status as Status,
    notes: check.Notes ?? '',
    output: check.Output ?? '',
    serviceId: check.ServiceID ?? '',
    // The catalog puts the name and the tags of the service itself here.
    serviceName: check.ServiceName ?? '',
    serviceTags: check.ServiceTags ?? [],
    type: check.Type || typeOf(definition),
    interval: check.Interval ?? '',
    timeout: check.Timeout ?? '',
    exposedPort: check.ExposedPort ?? 0,
    definition,
    owner: 'catalog',
  }
}

const DURATIONS = ['Interval', 'Timeout', 'DeregisterCriticalServiceAfter'] as const

/** As it is shown again: durations as text and first, what says nothing left out. */
function definitionOf(given: Definition | undefined): CheckDefinition {
  const definition: Record<string, unknown> = {}
  if (!given) return definition
  const { TTL, ...rest } = given
  for (const name of DURATIONS) {
    const ms = given[name] ?? given[`${name}Duration`]
    if (ms) definition[name] = formatDuration(ms)
  }
  for (const [name, value] of Object.entries(rest)) {
    if (name in definition || /^(Interval|Timeout|DeregisterCriticalServiceAfter)/.test(name)) continue
    const empty = value === '' || value === 0 || value === false || (Array.isArray(value) && value.length === 0)
    if (!empty) definition[name] = value
  }
  if (TTL) definition.TTL = formatDuration(TTL)
  return definition
}

const KINDS: readonly (readonly [string, string])[] = [
  ['AliasNode', 'alias'],
  ['AliasService', 'alias'],
  ['HTTP', 'http'],
  ['TTL', 'ttl'],
  ['TCP', 'tcp'],
  ['UDP', 'udp'],
  ['OSService', 'os-service'],
  ['GRPC', 'grpc'],
  ['H2PING', 'h2ping'],
  ['DockerContainerID', 'docker'],
  ['ScriptArgs', 'script'],
]

const typeOf = (definition: CheckDefinition): string => KINDS.find(([field]) => field in definition)?.[1] ?? ''
