/**
 * The description of a mesh that runs on this machine: datacenters, their nodes and runtimes, the emulated WAN between
 * them, and sample services. Files of it lie beside this one.
 */
import { readFile } from 'node:fs/promises'
import * as z from 'zod'
import { assertDatacenter } from '../src/model/names.ts'
import { LauncherError, messageOf } from './errors.ts'

export const RUNTIMES = ['node', 'deno', 'bun'] as const
export type RuntimeName = (typeof RUNTIMES)[number]

const MAX_DATACENTERS = 40
const MAX_NODES = 100
const MAX_RTT_MS = 10_000

const datacenterName = z.string().superRefine((name, context) => {
  try {
    assertDatacenter(name, 'name')
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error).replace(/^name: /, '') })
  }
})

const rttMs = z.number().min(0).max(MAX_RTT_MS)
const port = z.number().int().min(1).max(65_535)
const runtime = z.enum(RUNTIMES)

const datacenter = z
  .strictObject({
    name: datacenterName,
    /** One on the embedded store; 1, 3, 5 or 7 that each run a member of etcd. */
    servers: z.number().int().min(1).max(7).default(1),
    /** `etcd:managed` needs etcd on the PATH; its members take free ports. */
    store: z.enum(['embedded', 'etcd:managed']).default('embedded'),
    clients: z.number().int().min(0).max(20).default(1),
    /** One for all nodes, or one for each: servers first, then clients. */
    runtime: z.union([runtime, z.array(runtime).min(1)]).default('node'),
  })
  .superRefine(({ servers, store }, context) => {
    const refuse = (message: string): void => context.addIssue({ code: 'custom', path: ['servers'], message })
    if (store === 'embedded' && servers > 1) {
      refuse('a datacenter with the embedded store has exactly one server; add clients, or "store": "etcd:managed"')
    } else if (servers % 2 === 0) refuse('use 1, 3, 5 or 7: an even number survives no more than the odd one below')
  })

const link = z.strictObject({
  between: z.tuple([datacenterName, datacenterName]),
  /** Round trip between the two, in milliseconds. */
  rttMs,
  /** Each way, for each connection over the link, in millions of bits a second; without it there is no limit. */
  bandwidthMbps: z.number().min(0.1).max(100_000).exactOptional(),
})

const service = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'use 1 to 63 of a-z, 0-9 and "-", as DNS labels allow'),
  /** Instances in every datacenter, or by datacenter (0 where it is not named). */
  instances: z
    .union([z.number().int().min(0).max(20), z.record(z.string(), z.number().int().min(0).max(20))])
    .default(2),
  checkIntervalMs: z.number().int().min(100).max(3_600_000).default(1000),
  tags: z.array(z.string().min(1).max(128)).max(20).default([]),
  meta: z.record(z.string().min(1).max(128), z.string().max(512)).default({}),
})

const ports = z.strictObject({
  /** HTTP port of the first node; the others follow `step` apart. */
  http: port.default(8500),
  libp2p: port.default(8300),
  /** By UDP and TCP. */
  dns: port.default(8600),
  /** Port of the first sample backend; each datacenter begins `step` further. */
  services: port.default(9000),
  step: z.number().int().min(1).max(1000).default(10),
})

const schema = z.strictObject({
  $schema: z.string().optional(),
  /** Names its folder, `.atoll/<name>/`, and the running mesh for the launcher's commands. */
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'use 1 to 63 of a-z, 0-9 and "-"'),
  /** Name of the mesh that the nodes federate in; the default is what `atoll agent` joins, too. */
  mesh: z
    .string()
    .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/, 'use letters, digits, ".", "-" and "_"')
    .default('atoll'),
  about: z.string().max(1000).default(''),
  /** Where the round-trip times come from. */
  source: z.string().max(1000).default(''),
  /** Every node reaches every instance by its ordinary address, so that failover needs no `wan` addresses. */
  flatNetwork: z.boolean().default(false),
  datacenters: z.array(datacenter).min(1).max(MAX_DATACENTERS),
  links: z.array(link).default([]),
  /** The same as a table, either triangle of it: `{ "a": { "b": 80 } }`. */
  matrix: z.record(z.string(), z.record(z.string(), rttMs)).optional(),
  ports: ports.default({ http: 8500, libp2p: 8300, dns: 8600, services: 9000, step: 10 }),
  services: z.array(service).max(50).default([]),
  /** Folder of the nodes' data, relative to the project; by default inside of `.atoll/<name>/`. */
  dataDirectory: z.string().min(1).optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
})

export type TopologyInput = z.input<typeof schema>
export type Topology = Omit<z.output<typeof schema>, '$schema' | 'matrix'>
export type TopologyService = Topology['services'][number]

/** A description that cannot be run; each line of the message names a field. */
export class TopologyError extends LauncherError {}

/**
 * The checked description, with every default filled in and a link for every pair of datacenters.
 * Throws TopologyError, whose message begins with `origin`.
 */
export function parseTopology(input: unknown, origin = 'topology'): Topology {
  const parsed = schema.safeParse(input)
  if (!parsed.success) {
    throw new TopologyError(parsed.error.issues.flatMap((issue) => linesOf(issue, origin)).join('\n'))
  }
  const { $schema: _, matrix, ...topology } = parsed.data
  const problems: string[] = []
  checkNames(topology, problems)
  const links = completeLinks(topology, matrix, problems)
  checkServices(topology, problems)
  if (problems.length > 0) throw new TopologyError(problems.map((problem) => `${origin}: ${problem}`).join('\n'))
  return { ...topology, links }
}

/** Reads and checks a file. Throws TopologyError. */
export async function loadTopology(path: string): Promise<Topology> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new TopologyError(`${path}: cannot be read: ${messageOf(error)}`)
  }
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch (error) {
    throw new TopologyError(`${path}: is no JSON: ${messageOf(error)}`)
  }
  return parseTopology(input, path)
}

function linesOf(issue: z.core.$ZodIssue, origin: string): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${origin}: ${fieldOf([...issue.path, key])}: there is no such field`)
  }
  const message = issue.code === 'invalid_union' ? unionMessage(issue) : issue.message
  return [`${origin}: ${fieldOf(issue.path) || 'the whole'}: ${message}`]
}

function unionMessage(issue: z.core.$ZodIssueInvalidUnion): string {
  return issue.errors.map((branch) => branch.map((inner) => inner.message).join(', ')).join('; or: ')
}

/** `datacenters[1].runtime` */
function fieldOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (field, key) =>
      typeof key === 'number' ? `${field}[${key}]` : field === '' ? String(key) : `${field}.${String(key)}`,
    '',
  )
}

function checkNames(topology: Topology, problems: string[]): void {
  const seen = new Set<string>()
  let nodes = 0
  topology.datacenters.forEach((dc, index) => {
    const field = `datacenters[${index}]`
    if (seen.has(dc.name)) problems.push(`${field}.name: "${dc.name}" is there twice`)
    seen.add(dc.name)
    const size = dc.servers + dc.clients
    nodes += size
    if (Array.isArray(dc.runtime) && dc.runtime.length !== size) {
      problems.push(
        `${field}.runtime: names ${dc.runtime.length} runtimes for ${size} nodes (servers first, then clients)`,
      )
    }
  })
  if (nodes > MAX_NODES) problems.push(`datacenters: ${nodes} nodes in all; at most ${MAX_NODES} run on one machine`)
}

type Matrix = Readonly<Record<string, Readonly<Record<string, number>>>>

function completeLinks(topology: Topology, matrix: Matrix | undefined, problems: string[]): Topology['links'] {
  const names = topology.datacenters.map((dc) => dc.name)
  const known = new Map<string, Topology['links'][number]>()
  const knownLimit = (a: string, b: string): number | undefined => known.get(pairKey(a, b))?.bandwidthMbps
  const add = (a: string, b: string, rtt: number, field: string, bandwidthMbps = knownLimit(a, b)): void => {
    const stranger = [a, b].find((name) => !names.includes(name))
    if (stranger !== undefined) return void problems.push(`${field}: no datacenter "${stranger}" in this file`)
    if (a === b) return void problems.push(`${field}: "${a}" twice; a link joins two datacenters`)
    const key = pairKey(a, b)
    const other = known.get(key)
    if (other !== undefined && other.rttMs !== rtt) {
      return void problems.push(`${field}: ${rtt} ms between ${a} and ${b}, but ${other.rttMs} ms elsewhere`)
    }
    known.set(key, { between: [a, b], rttMs: rtt, ...(bandwidthMbps !== undefined && { bandwidthMbps }) })
  }
  for (const [index, each] of topology.links.entries())
    add(...each.between, each.rttMs, `links[${index}].between`, each.bandwidthMbps)
  for (const [a, row] of Object.entries(matrix ?? {})) {
    for (const [b, rtt] of Object.entries(row)) add(a, b, rtt, `matrix.${a}.${b}`)
  }
  const links: Topology['links'] = []
  names.forEach((a, index) => {
    for (const b of names.slice(index + 1)) {
      const found = known.get(pairKey(a, b))
      if (found === undefined) problems.push(`links: no round-trip time between ${a} and ${b}`)
      else links.push({ ...found, between: [a, b] })
    }
  })
  return links
}

const pairKey = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`)

function checkServices(topology: Topology, problems: string[]): void {
  const names = topology.datacenters.map((dc) => dc.name)
  const seen = new Set<string>()
  topology.services.forEach((each, index) => {
    if (seen.has(each.name)) problems.push(`services[${index}].name: "${each.name}" is there twice`)
    seen.add(each.name)
    if (typeof each.instances === 'number') return
    for (const dc of Object.keys(each.instances)) {
      if (!names.includes(dc)) problems.push(`services[${index}].instances.${dc}: no datacenter "${dc}" in this file`)
    }
  })
}
