/** Asks the nodes of a mesh what they measure and see, for the launcher's tables and to know when it has come together. */
import type { LauncherStatus } from './control.ts'
import { meshSeenBy, passingCount } from './node-api.ts'
import { datacentersOf, type Seen } from './report.ts'

export async function observe(status: LauncherStatus): Promise<Seen> {
  const datacenters = datacentersOf(status)
  const server = (datacenter: string) =>
    status.nodes.find((node) => node.datacenter === datacenter && node.role === 'server' && node.state === 'ready')
  const roundTrips: Record<string, Record<string, number | undefined>> = {}
  const passing: Record<string, Record<string, number | undefined>> = {}
  const services = [...new Set(status.services.map((each) => each.service))]
  for (const service of services) passing[service] = {}
  await Promise.all(
    datacenters.map(async (datacenter) => {
      const http = server(datacenter)?.http
      if (http === undefined) return
      const seen = await meshSeenBy(http)
      if (seen !== undefined) {
        roundTrips[datacenter] = Object.fromEntries(seen.map((each) => [each.datacenter, each.roundTripMs]))
      }
      for (const service of services) passing[service]![datacenter] = await passingCount(http, service, datacenter)
    }),
  )
  return { roundTrips, passing }
}

export interface Progress {
  /** Ordered pairs of datacenters that know of each other, of all there are. */
  readonly links: number
  readonly allLinks: number
  /** Those that measure about what is set: the first times are taken while everything starts, and are too long. */
  readonly settled: number
  /** Instances that pass, of all there are. */
  readonly passing: number
  readonly instances: number
}

export function progressOf(status: LauncherStatus, seen: Seen): Progress {
  const datacenters = datacentersOf(status)
  let links = 0
  let settled = 0
  for (const row of status.links) {
    const [a, b] = row.between
    for (const measured of [seen.roundTrips[a]?.[b], seen.roundTrips[b]?.[a]]) {
      if (measured === undefined) continue
      links++
      if (measured <= row.rttMs * 1.1 + 5) settled++
    }
  }
  let passing = 0
  let instances = 0
  for (const each of status.services) {
    instances += each.ports.length
    passing += Math.min(each.ports.length, seen.passing[each.service]?.[each.datacenter] ?? 0)
  }
  return { links, allLinks: datacenters.length * (datacenters.length - 1), settled, passing, instances }
}
