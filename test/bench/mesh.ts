/** The mesh that benchmarks ask: three datacenters on three runtimes, a server and a client node each, as real processes. */
import type { TopologyInput } from '../../topology/schema.ts'
import { eventually, startMesh, type TestMesh } from '../cluster/harness.ts'

export const DATACENTERS = ['eu-1', 'us-1', 'ap-1'] as const
export const RUNTIME_OF: Readonly<Record<string, string>> = { 'eu-1': 'node', 'us-1': 'bun', 'ap-1': 'deno' }

export interface BenchMeshOptions {
  readonly name: string
  /** Default 80 for all three links. */
  readonly links?: TopologyInput['links']
  /** Client nodes in each datacenter. Default 1. */
  readonly clients?: number
  readonly services?: TopologyInput['services']
  /** Default warn. */
  readonly logLevel?: TopologyInput['logLevel']
}

/** Resolves once every server holds every datacenter. */
export async function startBenchMesh(options: BenchMeshOptions): Promise<TestMesh> {
  const { name, links, clients = 1, services = [], logLevel = 'warn' } = options
  const mesh = await startMesh({
    name,
    flatNetwork: true,
    datacenters: [
      { name: 'eu-1', runtime: 'node', clients },
      { name: 'us-1', runtime: 'bun', clients },
      { name: 'ap-1', runtime: 'deno', clients },
    ],
    links: links ?? [
      { between: ['eu-1', 'us-1'], rttMs: 80 },
      { between: ['us-1', 'ap-1'], rttMs: 80 },
      { between: ['ap-1', 'eu-1'], rttMs: 80 },
    ],
    services,
    logLevel,
  })
  try {
    for (const node of mesh.nodes)
      for (const dc of DATACENTERS)
        await eventually(`${node} answers for ${dc}`, async () => {
          const { status } = await mesh.get(node, `/v1/catalog/nodes?dc=${dc}`)
          return status === 200
        })
    return mesh
  } catch (error) {
    await mesh.stop()
    throw error
  }
}

export const portOf = (mesh: TestMesh, node: string): number => mesh.local.node(node).plan.httpPort
