import { type Answer, type HealthEntryJson, type ServiceQuery, watch } from '../client/client.ts'
import { type Context, defineCommand, Failure, type Flags } from './command.ts'
import { CONSISTENCY_FLAGS, describeOrigin, readOptions } from './reading.ts'
import { type Cell, type Column, formatAge, formatMs, hostPort, printable, statusTone } from './style.ts'

const flags = {
  dc: {
    type: 'string',
    value: 'name|nearest|*',
    purpose:
      'a datacenter; "nearest" for the nearest with passing instances; "*" for all. Unless given: this one, and the nearest other while none passes here',
  },
  passing: { type: 'boolean', purpose: 'only instances whose checks all pass' },
  tag: { type: 'list', value: 'tag', purpose: 'only instances with this tag' },
  near: { type: 'string', value: 'node', purpose: 'nearest to this node first; _agent for the asked one' },
  sort: { type: 'string', choices: ['load'], purpose: 'the least busy first, by what instances report' },
  'node-meta': { type: 'pairs', purpose: 'only on nodes with this metadata' },
  filter: { type: 'string', value: 'expression', purpose: "Consul's filter expression" },
  ...CONSISTENCY_FLAGS,
  watch: { type: 'boolean', purpose: 'print again with each change, until interrupted' },
} as const satisfies Flags

export const command = defineCommand({
  examples: [
    { line: 'atoll query web --passing', says: 'a healthy web: here, or in the nearest datacenter that has one' },
    { line: 'atoll query web --dc us-1', says: 'in another datacenter, from the replica that this node holds' },
    { line: "atoll query web --dc '*'", says: 'in all datacenters at once, nearest first' },
    { line: 'atoll query web --dc us-1 --consistent', says: 'ask us-1 itself: slower, never old' },
    { line: 'atoll query web --passing --watch', says: 'follow it' },
    { line: "atoll query web --passing --json | jq -r '.Instances[0].Address'", says: 'for a script' },
  ],
  arguments: [{ name: 'service', purpose: 'name of the service' }],
  flags,
  notes: [
    'Exit code 1 when there is no such instance. The last line says where the answer came from and how old it is.',
    'With --watch --json each change is one line of JSON.',
  ],
  async run(context) {
    const service = context.args[0]!
    const { health } = context.client()
    const options = queryOptions(context)
    if (context.flags.watch)
      return follow(context, service, (blocking) => health.service(service, { ...options, ...blocking }))
    const answer = await health.service(service, options)
    if (context.json) context.printJson(summary(service, answer))
    else if (answer.value.length > 0) show(context, answer)
    if (answer.value.length === 0) throw nothingFound(service, context.flags)
  },
})

function queryOptions({ name, flags: values }: Context<typeof flags>): ServiceQuery {
  return {
    ...readOptions(name, values),
    passing: values.passing,
    tags: values.tag,
    ...(values.near === undefined ? {} : { near: values.near }),
    ...(values.sort === undefined ? {} : { sort: 'load' }),
    ...(values.filter === undefined ? {} : { filter: values.filter }),
    nodeMeta: values['node-meta'],
  }
}

async function follow(
  context: Context<typeof flags>,
  service: string,
  read: (blocking: ServiceQuery) => Promise<Answer<readonly HealthEntryJson[]>>,
): Promise<void> {
  // The first answer decides whether there is a node to follow; later failures are waited out.
  await read({ timeoutMs: 5000 })
  const options = {
    ...(context.io.signal ? { signal: context.io.signal } : {}),
    onError: (error: Error, ms: number) => context.note(`${error.message}; trying again in ${formatMs(ms)}`),
  }
  for await (const answer of watch(read, options)) {
    if (context.json) context.printJson(summary(service, answer), { stream: true })
    else if (answer.value.length > 0) show(context, answer)
    else context.print(nothingFound(service, context.flags).message)
    if (!context.json) context.print()
  }
}

const COLUMNS: readonly Column[] = [
  { title: 'ADDRESS' },
  { title: 'STATUS' },
  { title: 'NODE', cut: true },
  { title: 'ID', cut: true },
  { title: 'DC' },
  { title: 'DISTANCE', align: 'right' },
  { title: 'AGE', align: 'right' },
  { title: 'TAGS', cut: true },
]

function show(
  { flags: values, paint, print, printTable }: Context<typeof flags>,
  answer: Answer<readonly HealthEntryJson[]>,
): void {
  printTable(COLUMNS, instancesOf(answer).map(row))
  const origin = describeOrigin(answer.meta, values.dc, paint)
  if (origin) print(origin)
}

function row(one: InstanceSummary): Cell[] {
  const failing = one.Failing.length > 0 ? ` (${one.Failing.join(', ')})` : ''
  return [
    hostPort(one.Address, one.Port),
    [statusTone(one.Status), `${one.Status}${failing}`],
    one.Node,
    one.ID,
    one.Datacenter,
    formatMs(one.DistanceMs),
    formatAge(one.AgeMs ?? undefined),
    one.Tags.join(', '),
  ]
}

/** What `--json` prints: what a caller needs to connect, and to judge the answer. */
interface QuerySummary {
  readonly Service: string
  readonly Datacenter: string | null
  readonly Source: string | null
  readonly AgeMs: number | null
  readonly Failover: { readonly From: string; readonly To: string } | null
  readonly Index: number
  readonly Instances: readonly InstanceSummary[]
}

interface InstanceSummary {
  readonly Address: string
  readonly Port: number
  readonly Status: string
  readonly Failing: readonly string[]
  readonly Node: string
  readonly ID: string
  readonly Datacenter: string
  /** Null when unknown, absent for the asked node's own datacenter. */
  readonly DistanceMs: number | null
  readonly AgeMs: number | null
  readonly Tags: readonly string[]
  readonly Meta: Readonly<Record<string, string>>
}

function summary(service: string, answer: Answer<readonly HealthEntryJson[]>): QuerySummary {
  const { datacenter, source, ageMs, failover, index } = answer.meta
  return {
    Service: service,
    Datacenter: datacenter ?? null,
    Source: source ?? null,
    AgeMs: ageMs ?? null,
    Failover: failover ? { From: failover.from, To: failover.to } : null,
    Index: index,
    Instances: instancesOf(answer),
  }
}

const instancesOf = ({ value, meta }: Answer<readonly HealthEntryJson[]>): InstanceSummary[] =>
  value.map(({ Node, Service, Checks, Atoll }) => ({
    Address: Service.Address || Node.Address,
    Port: Service.Port,
    Status: worst(Checks.map((check) => check.Status)),
    Failing: Checks.filter((check) => check.Status !== 'passing').map((check) => check.Name || check.CheckID),
    Node: Node.Node,
    ID: Service.ID,
    Datacenter: Atoll?.Datacenter ?? Node.Datacenter,
    DistanceMs: Atoll?.DistanceMs ?? null,
    AgeMs: Atoll ? (Atoll.AgeMs ?? Number.POSITIVE_INFINITY) : (meta.ageMs ?? null),
    Tags: Service.Tags ?? [],
    Meta: Service.Meta ?? {},
  }))

const worst = (statuses: readonly string[]): string =>
  ['critical', 'warning'].find((status) => statuses.includes(status)) ?? 'passing'

function nothingFound(service: string, { dc, passing, tag }: Context<typeof flags>['flags']): Failure {
  const where = dc === undefined ? '' : dc === '*' || dc === 'nearest' ? ' in any datacenter' : ` in ${printable(dc)}`
  const what = `${passing ? 'passing ' : ''}instance of "${printable(service)}"${tag.length > 0 ? ` with ${tag.map(printable).join(', ')}` : ''}`
  const next = passing ? `see why with: atoll explain ${service}` : 'list what there is with: atoll services'
  return new Failure('not-found', `no ${what}${where}`, next)
}
