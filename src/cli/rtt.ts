import { type Client, estimateRttMs, type NodeCoordinateJson } from '../client/client.ts'
import { defineCommand, Failure, UsageError } from './command.ts'
import { printable } from './style.ts'

interface Place {
  readonly name: string
  /** Of a datacenter: those of its servers. */
  readonly coordinates: readonly NodeCoordinateJson['Coord'][]
}

export const command = defineCommand({
  examples: [
    { line: 'atoll rtt eu-1-web-3', says: 'from the asked node to another of its datacenter' },
    { line: 'atoll rtt eu-1-web-3 eu-1-db-1', says: 'between two nodes' },
    { line: 'atoll rtt --wan us-1 ap-1', says: 'between two datacenters, by their nearest servers' },
    { line: 'atoll rtt --wan us-1-server.us-1 ap-1 --json | jq .RttMs', says: 'from one server, for a script' },
  ],
  arguments: [
    { name: 'from', purpose: 'a node; with --wan a datacenter, or <server>.<datacenter>' },
    { name: 'to', purpose: 'another; the asked node (or its datacenter) unless given', optional: true },
  ],
  flags: {
    wan: { type: 'boolean', purpose: 'between datacenters rather than nodes of this one' },
  },
  notes: [
    'Estimated from network coordinates, which nodes work out from round trips that they measure: good to some percent where the network is steady, also for pairs that never spoke to each other. What was measured between datacenters is shown by atoll mesh.',
  ],
  async run({ name, args, client, flags, json, print, printJson }) {
    const [from, to] = args as [string, string?]
    if (from === to) throw new UsageError(`"${from}" twice: give two that differ`, name)
    const api = client()
    const [one, other] = await (flags.wan ? datacenters(api, from, to) : nodes(api, from, to))
    const rttMs = Math.min(...one.coordinates.flatMap((a) => other.coordinates.map((b) => estimateRttMs(a, b))))
    const space = flags.wan ? 'wan' : 'lan'
    if (json) return printJson({ From: one.name, To: other.name, RttMs: rttMs, Coordinates: space })
    const pair = `${printable(one.name)} <-> ${printable(other.name)}`
    print(`estimated ${pair} rtt: ${rttMs.toFixed(3)} ms (using ${space.toUpperCase()} coordinates)`)
  },
})

async function nodes(api: Client, from: string, to: string | undefined): Promise<[Place, Place]> {
  const other = to ?? (await api.agent.self()).value.Config.NodeName
  if (from === other) throw new Failure('invalid', `"${from}" is the asked node itself: give two that differ`)
  const { value } = await api.coordinate.nodes()
  const placeOf = (name: string): Place => {
    const coordinates = value.filter(({ Node }) => Node.toLowerCase() === name.toLowerCase()).map(({ Coord }) => Coord)
    if (coordinates.length > 0) return { name, coordinates }
    const next = 'list the nodes with: atoll members; one that just started has its coordinate within a minute'
    throw new Failure('not-found', `no coordinate is known of a node "${name}"`, next)
  }
  return [placeOf(from), placeOf(other)]
}

async function datacenters(api: Client, from: string, to: string | undefined): Promise<[Place, Place]> {
  const other = to ?? (await api.agent.self()).value.Config.Datacenter
  if (from === other) throw new Failure('invalid', `"${from}" is the asked node's own datacenter: give two that differ`)
  const { value } = await api.coordinate.datacenters()
  const placeOf = (name: string): Place => {
    for (const { Datacenter, Coordinates } of value) {
      const named =
        name === Datacenter ? Coordinates : Coordinates.filter(({ Node }) => name === `${Node}.${Datacenter}`)
      if (named.length > 0) return { name, coordinates: named.map(({ Coord }) => Coord) }
    }
    const next = 'list the datacenters with: atoll mesh; their servers with: atoll members --wan'
    throw new Failure('not-found', `no coordinate is known of a datacenter or server "${name}"`, next)
  }
  return [placeOf(from), placeOf(other)]
}
