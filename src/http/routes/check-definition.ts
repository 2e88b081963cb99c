/** How a check is run, as it stands in a registration: of which kind it is, with Consul's checks of it, in Consul's order. */
import type * as z from 'zod'
import type { Status } from '../../model/entries.ts'
import type { CheckTls, LocalCheckDefinition } from '../../model/local.ts'
import type { checkRegistrationSchema } from '../body/schemas.ts'
import { badRequest } from '../errors.ts'

export type CheckBody = z.output<typeof checkRegistrationSchema>

const DEFAULT_TIMEOUT_MS = 10_000
/** Commands get longer, as in Consul. */
const DEFAULT_COMMAND_TIMEOUT_MS = 30_000
const MAX_PORT = 65_535

/** Throws an HttpError 400 when it is of no kind, of several, or lacks what its kind needs. */
export function requireKind(check: CheckBody): void {
  const interval = check.Interval ?? 0
  const ttl = check.TTL ?? 0
  const alias = Boolean(check.AliasNode || check.AliasService)
  const given = PROBES.filter(({ is }) => is(check))
  const probed = given.length > 0
  if (check.Script) throw invalid('Script: give the program and its arguments as a list in Args')
  if (interval > 0 && ttl > 0) throw invalid('Interval and TTL cannot both be specified')
  if (probed && interval <= 0) throw invalid('Interval must be > 0 for Script, HTTP, H2PING, or TCP checks')
  if (interval > 0 && alias) throw invalid('Interval cannot be set for Alias checks')
  if (alias && ttl > 0) throw invalid('TTL must be not be set for Alias checks')
  if (!probed && !alias && ttl <= 0) throw invalid('TTL must be > 0 for TTL checks')
  if ((check.OutputMaxSize ?? 0) < 0) throw invalid('MaxOutputMaxSize must be positive')
  if ((check.FailuresBeforeWarning ?? 0) > Math.max(1, check.FailuresBeforeCritical ?? 0)) {
    throw invalid("FailuresBeforeWarning can't be higher than FailuresBeforeCritical")
  }
  const [first, second] = given
  if (first && second) throw invalid(`${first.field} and ${second.field} cannot both be specified`)
  if (first && alias) throw invalid(`${first.field} and AliasService cannot both be specified`)
  if (first && ttl > 0) throw invalid(`${first.field} and TTL cannot both be specified`)
  // Made, and thrown away: what it refuses is refused here.
  first?.make(check)
}

const invalid = (text: string): Error => badRequest(`Invalid check: ${text}`)

export function checkFields(check: CheckBody, shown: { interval: string; timeout: string }): LocalCheckDefinition {
  const kind = kindOf(check)
  const command = kind.fields.script !== undefined || kind.fields.docker !== undefined
  const timeoutMs = command ? DEFAULT_COMMAND_TIMEOUT_MS : DEFAULT_TIMEOUT_MS
  return {
    checkId: check.CheckID || check.ID || '',
    name: check.Name ?? '',
    notes: check.Notes ?? '',
    serviceId: check.ServiceID ?? '',
    status: (check.Status || 'critical') as Status,
    ...kind.fields,
    intervalMs: check.Interval ?? 0,
    timeoutMs: check.Timeout && check.Timeout > 0 ? check.Timeout : timeoutMs,
    successBeforePassing: Math.max(1, check.SuccessBeforePassing ?? 0),
    failuresBeforeCritical: Math.max(1, check.FailuresBeforeCritical ?? 0),
    ...(check.FailuresBeforeWarning ? { failuresBeforeWarning: check.FailuresBeforeWarning } : {}),
    deregisterCriticalServiceAfterMs: check.DeregisterCriticalServiceAfter ?? 0,
    // 0: as this node is configured.
    outputMaxBytes: check.OutputMaxSize ?? 0,
    type: kind.type,
    ...shown,
    definition: {},
  }
}

interface Kind {
  readonly type: string
  readonly fields: Partial<LocalCheckDefinition>
}

function kindOf(check: CheckBody): Kind {
  const probe = PROBES.find(({ is }) => is(check))
  if (probe) return { type: probe.type, fields: probe.make(check) }
  if (check.AliasNode || check.AliasService) {
    return { type: 'alias', fields: { alias: { node: check.AliasNode ?? '', serviceId: check.AliasService ?? '' } } }
  }
  return { type: 'ttl', fields: { ttlMs: check.TTL! } }
}

interface ProbeKind {
  /** The field that makes it this kind. */
  readonly field: string
  /** As the API shows it. */
  readonly type: string
  readonly is: (check: CheckBody) => boolean
  /** Throws an HttpError 400 for a target that makes no sense. */
  readonly make: (check: CheckBody) => Partial<LocalCheckDefinition>
}

const PROBES: readonly ProbeKind[] = [
  { field: 'HTTP', type: 'http', is: ({ HTTP }) => Boolean(HTTP), make: (check) => ({ http: httpTarget(check) }) },
  {
    field: 'TCP',
    type: 'tcp',
    is: ({ TCP }) => Boolean(TCP),
    make: (check) => ({ tcp: { ...hostAndPort(check.TCP!, 'TCP'), ...tlsOf(check, check.TCPUseTLS) } }),
  },
  { field: 'UDP', type: 'udp', is: ({ UDP }) => Boolean(UDP), make: ({ UDP }) => ({ udp: hostAndPort(UDP!, 'UDP') }) },
  { field: 'GRPC', type: 'grpc', is: ({ GRPC }) => Boolean(GRPC), make: (check) => ({ grpc: grpcTarget(check) }) },
  {
    field: 'H2PING',
    type: 'h2ping',
    is: ({ H2PING }) => Boolean(H2PING),
    make: (check) => ({
      h2ping: { ...hostAndPort(check.H2PING!, 'H2PING'), ...tlsOf(check, check.H2PingUseTLS ?? true) },
    }),
  },
  {
    field: 'DockerContainerID',
    type: 'docker',
    is: ({ DockerContainerID }) => Boolean(DockerContainerID),
    make: (check) => ({ docker: dockerTarget(check) }),
  },
  {
    field: 'Args',
    type: 'script',
    is: ({ Args, DockerContainerID }) => (Args?.length ?? 0) > 0 && !DockerContainerID,
    make: ({ Args }) => ({ script: { args: programOf(Args!) } }),
  },
  {
    field: 'OSService',
    type: 'os_service',
    is: ({ OSService }) => Boolean(OSService),
    make: ({ OSService }) => ({ osService: { name: unitName(OSService!) } }),
  },
]

function httpTarget(check: CheckBody): NonNullable<LocalCheckDefinition['http']> {
  const url = check.HTTP!
  if (!URL.canParse(url) || !/^https?:/i.test(url)) throw invalid(`HTTP: "${url}" is no URL of http or https`)
  return {
    url,
    method: check.Method || 'GET',
    headers: check.Header ?? {},
    body: check.Body ?? '',
    tlsSkipVerify: check.TLSSkipVerify ?? false,
    tlsServerName: check.TLSServerName ?? '',
    ...(check.DisableRedirects ? { disableRedirects: true } : {}),
  }
}

function grpcTarget(check: CheckBody): NonNullable<LocalCheckDefinition['grpc']> {
  const slash = check.GRPC!.indexOf('/')
  const [address, service] = slash < 0 ? [check.GRPC!, ''] : [check.GRPC!.slice(0, slash), check.GRPC!.slice(slash + 1)]
  return { ...hostAndPort(address, 'GRPC'), service, ...tlsOf(check, check.GRPCUseTLS) }
}

function dockerTarget(check: CheckBody): NonNullable<LocalCheckDefinition['docker']> {
  const containerId = check.DockerContainerID!
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,255}$/.test(containerId)) {
    throw invalid(`DockerContainerID: "${containerId}" is no name or id of a container`)
  }
  const args = check.Args ?? []
  if (args.length === 0) throw invalid('Args: a Docker check needs the program to run in the container')
  return { containerId, args: programOf(args) }
}

function programOf(args: readonly string[]): readonly string[] {
  if (args[0] === '') throw invalid('Args: the first one is the program to run, and is empty')
  if (args.some((arg) => arg.includes('\0'))) throw invalid('Args: a zero byte cannot be passed to a program')
  return args
}

function unitName(text: string): string {
  if (/^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,255}$/.test(text)) return text
  throw invalid(`OSService: "${text}" is no name of a systemd unit`)
}

function tlsOf(check: CheckBody, use: boolean | undefined): { readonly tls?: CheckTls } {
  if (!use) return {}
  return { tls: { skipVerify: check.TLSSkipVerify ?? false, serverName: check.TLSServerName ?? '' } }
}

function hostAndPort(text: string, field: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:/]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > MAX_PORT) throw invalid(`${field}: "${text}" is no host:port`)
  return { host: match[1] ?? match[2]!, port }
}
