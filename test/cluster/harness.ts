/**
 * A mesh of real processes for a test: any topology, on free ports, in a folder of its own. The processes end with the
 * test's process, whatever happens to it. ATOLL_KEEP_LOGS=1 keeps the folder and says where it is.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tailOf } from '../../topology/child-process.ts'
import { freePorts, portSource, portsNeeded } from '../../topology/free-ports.ts'
import { LocalMesh } from '../../topology/local-mesh.ts'
import { ask, type NodeAnswer, register } from '../../topology/node-api.ts'
import { multiaddrOf, planMesh } from '../../topology/plan.ts'
import { parseTopology, type RuntimeName, type TopologyInput } from '../../topology/schema.ts'

const REGISTER_MS = 15_000

export interface TestMesh {
  /** The processes and links: cut, heal, delay, kill, pause, resume, restart, stopService, startService. */
  readonly local: LocalMesh
  /** Folder of logs and data. */
  readonly folder: string
  /** GET of a node's HTTP API. Rejects when there is no answer in time (5 s unless given). */
  get(node: string, path: string, options?: { timeoutMs?: number }): Promise<NodeAnswer>
  send(
    node: string,
    method: string,
    path: string,
    body?: unknown,
    options?: { timeoutMs?: number },
  ): Promise<NodeAnswer>
  /** Every node's name. */
  readonly nodes: readonly string[]
  servers(): readonly string[]
  /** Multiaddr of a node, with its peer id. */
  address(node: string): string
  /** Ports of a sample service's instances in a datacenter. */
  backendPorts(datacenter: string, service: string): readonly number[]
  /** Starts a server of a new datacenter that joins `join` (a node's name), at these round-trip times. */
  addDatacenter(name: string, options: AddOptions): Promise<string>
  /** Last lines of a node's log. */
  log(node: string, lines?: number): Promise<string>
  stop(): Promise<void>
}

export interface AddOptions {
  readonly runtime?: RuntimeName
  readonly join: string
  readonly rttMs?: Readonly<Record<string, number>>
}

/** Resolves when every node is ready and the sample services are registered, not when they pass already. */
export async function startMesh(input: TopologyInput): Promise<TestMesh> {
  const topology = parseTopology(input, input.name)
  const folder = await mkdtemp(join(tmpdir(), `atoll-${topology.name}-`))
  const dataDirectory = join(folder, 'data')
  const ports = portSource(await freePorts(portsNeeded(topology)))
  const plan = planMesh(topology, { dataDirectory, ports })
  const local = new LocalMesh(plan, { logDirectory: join(folder, 'logs') })
  const stop = async (): Promise<void> => {
    await local.stop()
    if (process.env.ATOLL_KEEP_LOGS) console.log(`logs of ${topology.name}: ${folder}`)
    else await rm(folder, { recursive: true, force: true })
  }
  try {
    await local.start()
    const signal = AbortSignal.timeout(REGISTER_MS)
    await Promise.all(
      plan.backends.flatMap(({ datacenter, instances }) =>
        instances.map((each) => register(local.url(each.node), datacenter, each, signal)),
      ),
    )
  } catch (error) {
    await stop()
    throw error
  }
  return meshOf(local, folder, stop)
}

function meshOf(local: LocalMesh, folder: string, stop: () => Promise<void>): TestMesh {
  const address = (node: string): string => local.snapshot().find((each) => each.name === node)!.libp2p
  return {
    local,
    folder,
    stop,
    get: (node, path, options) => ask(local.url(node) + path, { timeoutMs: options?.timeoutMs ?? 5000 }),
    send: (node, method, path, body, options) =>
      ask(local.url(node) + path, { method, body, timeoutMs: options?.timeoutMs ?? 5000 }),
    get nodes() {
      return local.nodes.map((node) => node.plan.name)
    },
    servers: () => local.nodes.filter((node) => node.plan.role === 'server').map((node) => node.plan.name),
    address,
    backendPorts(datacenter, service) {
      const backend = local.backends.find((each) => each.plan.datacenter === datacenter)
      return backend?.plan.instances.filter((each) => each.service.name === service).map((each) => each.port) ?? []
    },
    async addDatacenter(datacenter, options) {
      const [httpPort, libp2pPort, dnsPort] = await freePorts(3)
      const name = `${datacenter}-server`
      const plan = {
        name,
        datacenter,
        role: 'server' as const,
        runtime: options.runtime ?? 'node',
        httpPort: httpPort!,
        libp2pPort: libp2pPort!,
        dnsPort: dnsPort!,
        dataDirectory: join(folder, 'data', name),
        join: [multiaddrOf(local.node(options.join).plan.libp2pPort)],
      }
      await local.addNode(plan, options.rttMs)
      return name
    },
    log: (node, lines = 30) => tailOf(local.node(node).worker.logFile, lines),
  }
}

const POLL_MS = 25

/**
 * Waits until `probe` gives something other than undefined and false, and returns it. What `probe` throws counts as not
 * yet. Rejects after `withinMs`, with the last thing seen.
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  withinMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + withinMs
  let last: unknown
  for (;;) {
    try {
      const value = await probe()
      if (value !== undefined && value !== false) return value
      last = value
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) {
      throw new Error(`not within ${withinMs} ms: ${what}; last: ${last instanceof Error ? last.message : last}`)
    }
    await new Promise((wake) => setTimeout(wake, POLL_MS))
  }
}

export interface Sample {
  /** Since the sampling began. */
  readonly atMs: number
  readonly answer: NodeAnswer | undefined
  readonly error: string | undefined
}

/** Asks every `everyMs`, one request after the other, until `during` is over. */
export async function sampleWhile(
  request: () => Promise<NodeAnswer>,
  everyMs: number,
  during: () => Promise<void>,
): Promise<Sample[]> {
  const samples: Sample[] = []
  const began = performance.now()
  let over = false
  const loop = (async () => {
    while (!over) {
      const atMs = performance.now() - began
      try {
        samples.push({ atMs, answer: await request(), error: undefined })
      } catch (error) {
        samples.push({ atMs, answer: undefined, error: String(error) })
      }
      const restMs = atMs + everyMs - (performance.now() - began)
      if (restMs > 0) await new Promise((wake) => setTimeout(wake, restMs))
    }
  })()
  try {
    await during()
  } finally {
    over = true
    await loop
  }
  return samples
}

export const sleep = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms))

/** The value below which this share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}
