/** Service definitions, from flags or from a file in the form that Consul's users know. */
import type { CheckDefinitionJson, ServiceDefinitionJson } from '../client/client.ts'
import { type Flags, type FlagValues, UsageError } from './command.ts'

export const DEFINITION_FLAGS = {
  id: { type: 'string', value: 'id', purpose: 'unique on its node; the name unless given' },
  port: { type: 'number', value: 'port', purpose: 'where the service listens' },
  address: { type: 'string', value: 'host', purpose: "the service's address; its node's unless given" },
  'wan-address': {
    type: 'string',
    value: 'host[:port]',
    purpose: 'address for callers in other datacenters; without one (or one flat network) they cannot fail over to it',
  },
  tag: { type: 'list', value: 'tag', purpose: 'what lookups may select by' },
  meta: { type: 'pairs', purpose: 'free data about the instance' },
  failover: {
    type: 'string',
    choices: ['true', 'false'],
    purpose: 'whether lookups may go to other datacenters while none passes here; as the mesh says unless given',
  },
  'http-check': { type: 'list', value: 'url', purpose: 'passes while a GET answers 2xx' },
  'tcp-check': { type: 'list', value: 'host:port', purpose: 'passes while it accepts connections' },
  ttl: { type: 'duration', purpose: 'a check that the service itself must report on within this time' },
  interval: { type: 'duration', purpose: 'how often HTTP and TCP checks run', default: '10s' },
  'check-timeout': { type: 'duration', purpose: 'how long one run may take' },
  'deregister-after': { type: 'duration', purpose: 'take the service out once critical for so long; at least 1m' },
} as const satisfies Flags

type DefinitionValues = FlagValues<typeof DEFINITION_FLAGS>

export function definitionFromFlags(command: string, name: string, flags: DefinitionValues): ServiceDefinitionJson {
  const { address } = flags
  if (address !== undefined && /^[^:]+:\d+$|\//.test(address)) {
    const hint = 'here --address is the address of the service, without a port; name the node to ask with --http-addr'
    throw new UsageError(`--address: "${address}" is no host (${hint})`, command)
  }
  const checks = checksFromFlags(command, flags.id || name, flags)
  const wan = flags['wan-address']
  return {
    Name: name,
    ...(flags.id ? { ID: flags.id } : {}),
    ...(flags.port === undefined ? {} : { Port: flags.port }),
    ...(address ? { Address: address } : {}),
    ...(flags.tag.length > 0 ? { Tags: flags.tag } : {}),
    ...(Object.keys(flags.meta).length > 0 ? { Meta: flags.meta } : {}),
    ...(wan ? { TaggedAddresses: { wan: wanAddress(command, wan, flags.port ?? 0) } } : {}),
    ...(flags.failover === undefined ? {} : { Failover: flags.failover === 'true' }),
    ...(checks.length > 0 ? { Checks: checks } : {}),
  }
}

/** A name of its own, so that whoever reports on it knows it. */
export const ttlCheckId = (serviceId: string): string => `service:${serviceId}:ttl`

function checksFromFlags(command: string, id: string, flags: DefinitionValues): CheckDefinitionJson[] {
  const common = flags['deregister-after'] ? { DeregisterCriticalServiceAfter: flags['deregister-after'] } : {}
  const timeout = flags['check-timeout'] ? { Timeout: flags['check-timeout'] } : {}
  const timed = { Interval: flags.interval!, ...timeout, ...common }
  const http = flags['http-check'].map((url) => {
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
      throw new UsageError(`--http-check: "${url}" is no URL; write it like http://localhost:8080/health`, command)
    }
    return { Name: `HTTP ${url}`, HTTP: url, ...timed }
  })
  const tcp = flags['tcp-check'].map((target) => {
    if (!/:\d+$/.test(target)) {
      throw new UsageError(`--tcp-check: "${target}" has no port; write it like localhost:5432`, command)
    }
    return { Name: `TCP ${target}`, TCP: target, ...timed }
  })
  const ttl = flags.ttl ? [{ CheckID: ttlCheckId(id), Name: `TTL ${flags.ttl}`, TTL: flags.ttl, ...common }] : []
  return [...http, ...tcp, ...ttl]
}

function wanAddress(command: string, text: string, servicePort: number): { Address: string; Port: number } {
  const match =
    /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? /^([0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*)$/.exec(text)
  if (!match) throw new UsageError(`--wan-address: "${text}" is no address; write it like 203.0.113.7:443`, command)
  return { Address: (match[1] ?? match[2])!, Port: match[3] === undefined ? servicePort : Number(match[3]) }
}

/**
 * Definitions in a file: one as the API takes it, or `service` and `services` as in Consul's configuration files,
 * where names are written with underscores. What they say is passed on as it is; the node judges it.
 */
export function definitionsFromText(text: string, file: string): ServiceDefinitionJson[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${file} is no JSON: ${(error as Error).message}`)
  }
  const { service, services } = asObject(parsed, file)
  const several = Array.isArray(services) ? services : services === undefined ? [] : [services]
  const found = service === undefined && services === undefined ? [parsed] : [...(service ? [service] : []), ...several]
  return found.map((one) => apiDefinition(asObject(one, file), file))
}

type Fields = Readonly<Record<string, unknown>>

function apiDefinition(fields: Fields, file: string): ServiceDefinitionJson {
  const definition = withoutUnderscores(fields)
  for (const [key, value] of Object.entries(definition)) {
    if (/^check$/i.test(key)) definition[key] = withoutUnderscores(asObject(value, file))
    if (/^checks$/i.test(key) && Array.isArray(value)) {
      definition[key] = value.map((check) => withoutUnderscores(asObject(check, file)))
    }
  }
  const name = definition.Name ?? definition.name
  if (typeof name !== 'string' || name === '') throw new UsageError(`${file}: a service definition has no Name`)
  return definition as unknown as ServiceDefinitionJson
}

/** The API takes names in any case, but few of them with underscores. */
const withoutUnderscores = (fields: Fields): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).map(([key, value]) => [key.replaceAll('_', ''), value]))

function asObject(value: unknown, file: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw new UsageError(`${file}: expected a service definition, like {"Name": "web", "Port": 8080}`)
}
