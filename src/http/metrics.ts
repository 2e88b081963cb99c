/** What a node knows and is busy with, as gauges. Worked out when asked for: nothing is counted on the way of a request. */
import { hostAndPort } from '../model/addresses.ts'
import type { Mesh } from '../resolver/mesh.ts'
import type { Call, Context } from './route.ts'

export interface Gauge {
  /** With dots, as Consul has them: `consul.` where it has the same one, otherwise `atoll.`. */
  readonly name: string
  readonly value: number
  readonly labels: Readonly<Record<string, string>>
  readonly help: string
}

const NONE: Readonly<Record<string, string>> = {}

export async function metricsOf({ principal }: Call, context: Context): Promise<Gauge[]> {
  const { mesh, machine, blocking, watchers, kept, version } = context
  const memory = machine.memory()
  const gauges: Gauge[] = []
  const gauge = (name: string, value: number, help: string, labels = NONE): void => {
    gauges.push({ name, value, labels, help })
  }
  gauge('consul.version', 1, 'Always 1; the version is a label', { version, pre_release: '' })
  gauge('consul.runtime.alloc_bytes', memory.heapUsedBytes, 'Bytes of the heap in use')
  gauge('consul.runtime.sys_bytes', memory.residentBytes, 'Resident memory')
  gauge('atoll.runtime.heap_bytes', memory.heapTotalBytes, 'Bytes of the heap')
  gauge('atoll.runtime.external_bytes', memory.externalBytes, 'Bytes of buffers outside of the heap')
  gauge('consul.rpc.queries_blocking', blocking.inside, 'Requests that wait for a change')
  gauge('atoll.http.blocking_queries', blocking.inside, 'Requests that wait for a change')
  gauge('atoll.http.kept_answers', kept.size, 'Answers kept by URL')
  gauge('atoll.http.kept_bytes', kept.bytes, 'Bytes of the kept answers')
  gauge('atoll.http.watchers', watchers.inside, 'Event streams')
  gauge('atoll.agent.services', mesh.agent.services().length, 'Services registered with this node')
  for (const status of ['passing', 'warning', 'critical'] as const) {
    const count = mesh.agent.checks().filter((check) => check.status === status).length
    gauge('atoll.agent.checks', count, 'Checks of this node by status', { status })
  }
  gauge('consul.server.isLeader', leads(mesh), 'Whether this node leads its datacenter')
  const ask = { principal, consistency: 'stale' } as const
  const [nodes, services, sessions] = await Promise.all([
    mesh.ask({ kind: 'nodes' }, ask).catch(() => undefined),
    mesh.ask({ kind: 'services' }, ask).catch(() => undefined),
    mesh.ask({ kind: 'sessions' }, ask).catch(() => undefined),
  ])
  if (nodes) gauge('consul.state.nodes', nodes.value.length, 'Nodes of the datacenter')
  if (services) gauge('consul.state.services', services.value.length, 'Services of the datacenter')
  if (sessions)
    gauge('consul.session_ttl.active', sessions.value.filter(({ ttlMs }) => ttlMs > 0).length, 'Sessions with a TTL')
  if (nodes) gauge('atoll.catalog.index', nodes.index, 'Index of the list of nodes')
  await meshGauges(mesh, gauge)
  return gauges
}

const leads = (mesh: Mesh): number => {
  const { address, ports } = mesh.agent.self()
  return mesh.leader() === hostAndPort(address, ports.libp2p) ? 1 : 0
}

async function meshGauges(
  mesh: Mesh,
  gauge: (name: string, value: number, help: string, labels: Record<string, string>) => void,
): Promise<void> {
  const status = await mesh.status().catch(() => undefined)
  for (const { datacenter, state, reachable, roundTripMs, replica } of status?.datacenters ?? []) {
    const labels = { datacenter }
    gauge('atoll.datacenter.live', state === 'live' ? 1 : 0, 'Whether signs of life are heard of it', labels)
    gauge('atoll.datacenter.reachable', reachable ? 1 : 0, 'Whether a gateway of it answers', labels)
    if (roundTripMs !== undefined) gauge('atoll.datacenter.round_trip_ms', roundTripMs, 'Round-trip time', labels)
    if (!replica) continue
    // Left out while nobody can tell it.
    if (Number.isFinite(replica.ageMs)) {
      gauge('atoll.replica.age_ms', replica.ageMs, 'Age of the copy of its catalog', labels)
    }
    gauge('atoll.replica.entries', replica.entries, 'Entries of that copy', labels)
    gauge(
      'atoll.replica.behind',
      Math.max(0, replica.headRevision - replica.revision),
      'Revisions known of and not held',
      labels,
    )
  }
}

/** The text format, version 0.0.4. */
export function prometheusText(gauges: readonly Gauge[]): string {
  const byName = Map.groupBy(gauges, ({ name }) => name.replace(/[^a-zA-Z0-9_]/g, '_'))
  let text = ''
  for (const [name, list] of byName) {
    text += `# HELP ${name} ${list[0]!.help}\n# TYPE ${name} gauge\n`
    for (const { labels, value } of list) text += `${name}${labelText(labels)} ${value}\n`
  }
  return text
}

const escaped = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

function labelText(labels: Readonly<Record<string, string>>): string {
  const shown = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return shown.length === 0 ? '' : `{${shown.join(',')}}`
}
