/** What the launcher shows of a mesh: nodes, round trips, services, and commands to try. Pure: data in, lines out. */
import type { LauncherStatus } from './control.ts'
import { type Style, table, widthOf } from './terminal.ts'

/** What the servers measure and see, by datacenter; a datacenter whose server does not answer is missing. */
export interface Seen {
  /** seen[from][to] */
  readonly roundTrips: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>
  /** passing[service][datacenter], asked of a node of that datacenter. */
  readonly passing: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>
}

const local = (url: string): string => url.replace('127.0.0.1', 'localhost')
const withoutPeer = (multiaddr: string): string => multiaddr.replace(/\/p2p\/.*$/, '')

export const datacentersOf = (status: LauncherStatus): string[] => [
  ...new Set(status.nodes.map((node) => node.datacenter)),
]

export function nodeTable(status: LauncherStatus, style: Style): string[] {
  const allReady = status.nodes.every((node) => node.state === 'ready')
  const heads = ['NODE', 'DC', 'ROLE', 'RUNTIME', 'HTTP', 'DNS', 'LIBP2P', ...(allReady ? [] : ['STATE'])]
  const rows = status.nodes.map((node) => [
    style.bold(node.name),
    node.datacenter,
    node.role,
    node.runtime,
    style.cyan(local(node.http)),
    String(node.dns),
    withoutPeer(node.libp2p),
    ...(allReady ? [] : [node.state === 'ready' ? style.green('ready') : style.red(node.state)]),
  ])
  return table([heads.map(style.dim), ...rows])
}

/** Rows are where it was measured. What is measured far from what is set is shown with both. */
export function roundTripTable(status: LauncherStatus, seen: Seen, style: Style): string[] {
  const datacenters = datacentersOf(status)
  if (datacenters.length < 2) return []
  const cell = (from: string, to: string): string => {
    if (from === to) return style.dim('-')
    const link = status.links.find((row) => row.between.includes(from) && row.between.includes(to))
    if (link?.cut) return style.red('cut')
    const measured = seen.roundTrips[from]?.[to]
    if (measured === undefined) return style.dim('?')
    const text = measured.toFixed(1)
    const set = link?.rttMs
    return set !== undefined && Math.abs(measured - set) > 5 + set / 10 ? style.yellow(`${text} (set: ${set})`) : text
  }
  const heads = [style.dim('ROUND TRIP ms'), ...datacenters.map(style.dim)]
  const rows = datacenters.map((from) => [style.bold(from), ...datacenters.map((to) => cell(from, to))])
  return table(
    [heads, ...rows],
    datacenters.map((_, index) => index + 1),
  )
}

/** Passing of all instances, by datacenter. */
export function serviceTable(status: LauncherStatus, seen: Seen, style: Style): string[] {
  const names = [...new Set(status.services.map((each) => each.service))]
  if (names.length === 0) return []
  const datacenters = datacentersOf(status)
  const cell = (service: string, datacenter: string): string => {
    const there = status.services.find((each) => each.service === service && each.datacenter === datacenter)
    if (there === undefined) return style.dim('-')
    const passing = seen.passing[service]?.[datacenter]
    const text = `${passing ?? '?'} of ${there.ports.length}`
    return passing === there.ports.length ? style.green(text) : style.yellow(text)
  }
  const heads = [style.dim('PASSING'), ...datacenters.map(style.dim)]
  const rows = names.map((name) => [style.bold(name), ...datacenters.map((dc) => cell(name, dc))])
  return table(
    [heads, ...rows],
    datacenters.map((_, index) => index + 1),
  )
}

export interface Suggestion {
  readonly command: string
  readonly about: string
}

/** Commands that show what this very mesh can do. */
export function suggestions(status: LauncherStatus): Suggestion[] {
  const [first] = status.nodes
  if (first === undefined) return []
  const service = status.services[0]?.service
  const base = local(first.http).replace('http://', '')
  const links = status.links.filter((row) => row.between.includes(first.datacenter))
  const nearest = [...links].sort((a, b) => a.rttMs - b.rttMs)[0]
  const other = nearest?.between.find((name) => name !== first.datacenter)
  const topology = 'npm run topology --'
  const list: Suggestion[] = []
  if (service !== undefined) {
    list.push({
      command: `curl '${base}/v1/health/service/${service}?passing&pretty'`,
      about: `who serves ${service} here`,
    })
  }
  if (service !== undefined && other !== undefined) {
    list.push(
      {
        command: `curl -i '${base}/v1/health/service/${service}?dc=${other}&passing'`,
        about: `${other}'s, answered here: no ${nearest!.rttMs} ms round trip`,
      },
      { command: `curl '${base}/v1/explain/${service}?pretty'`, about: 'why a lookup goes where it goes' },
      {
        command: `${topology} stop-service ${first.datacenter} ${service}`,
        about: `plain lookups in ${first.datacenter} move to ${other}`,
      },
      {
        command: `${topology} start-service ${first.datacenter} ${service}`,
        about: 'and back, after ten steady seconds',
      },
      { command: `${topology} cut ${first.datacenter} ${other}`, about: 'drop every byte between the two, silently' },
      { command: `${topology} heal ${first.datacenter} ${other}`, about: 'it catches up by delta' },
    )
  }
  list.push({ command: `${topology} kill ${status.nodes.at(-1)!.name}`, about: 'kill -9; `restart` brings it back' })
  list.push({ command: `${topology} status`, about: 'this overview again' })
  return list
}

/** In two columns, or one below the other where the terminal is too narrow. */
export function suggestionLines(list: readonly Suggestion[], style: Style, columns = 120): string[] {
  const lines = table(list.map(({ command, about }) => [command, style.dim(about)]))
  if (lines.every((line) => widthOf(line) + 2 <= columns)) return lines
  return list.flatMap(({ command, about }) => [style.dim(`# ${about}`), command])
}

/** A further datacenter, joined to the running mesh from another terminal; undefined before a server is ready. */
export function joinCommand(status: LauncherStatus): string | undefined {
  const server = status.nodes.find((node) => node.role === 'server' && node.libp2p.includes('/p2p/'))
  const mesh = status.mesh === 'atoll' ? '' : ` --mesh ${status.mesh}`
  return server && `npx atoll agent --server --dc sa-1${mesh} --join ${withoutPeer(server.libp2p)}`
}
