/**
 * A mesh of real processes under churn and faults, with a model beside it that knows each right answer. What it finds is
 * returned, not asserted: the test of a small one and the script of a large one both judge by it.
 */
import { SeededRandom } from '../../src/runtime/virtual.ts'
import type { RuntimeName } from '../../topology/schema.ts'
import { eventually, sleep, startMesh, type TestMesh } from '../cluster/harness.ts'
import { FAULTS, type World } from './faults.ts'
import { type Finding, Reader } from './reader.ts'
import { Writer } from './writer.ts'

export interface SoakOptions {
  readonly name: string
  readonly datacenters: number
  /** Taken in turns. */
  readonly runtimes: readonly RuntimeName[]
  readonly seed: number
  /** How many faults, in turns through all kinds. */
  readonly faults: number
  /** Part of the names of those that are meant; all unless given. */
  readonly only?: string
  /** How long each lasts, of its full length. */
  readonly length: number
  /** Between one fault and the next. */
  readonly calmMs: number
  /** How long replicas may take to be equal once all is quiet. */
  readonly quietMs: number
  /** Every node is restarted in an orderly way, one after the other. */
  readonly rolling: boolean
  /** Each datacenter changes something about so often, and each node is asked something. */
  readonly writeEveryMs: number
  readonly readEveryMs: number
  readonly logLevel?: 'debug' | 'info'
  readonly onStep?: (line: string) => void
  /** Called at the begin and the end of the part that is measured. */
  readonly onPart?: (part: 'begin' | 'end', mesh: TestMesh) => Promise<void>
}

/** After a fault, until every node had all that was acknowledged when the fault was over. */
export interface CaughtUp {
  readonly after: string
  readonly ms: number
  /** Who was the last, and about which datacenter. */
  readonly last: string
  /** For how long of that the event loops of those two stood still, whichever did longer: the machine had no time for them. */
  readonly stalledMs: number
}

export interface SoakResult {
  /** From the start of all processes until every node answers for every datacenter. */
  readonly formedMs: number
  readonly writes: number
  readonly answers: number
  readonly oldestMs: number
  readonly findings: readonly Finding[]
  readonly caughtUp: readonly CaughtUp[]
  /** Replicas that differ from their datacenter when all is quiet. */
  readonly unequal: readonly string[]
}

const FORM_MS = 60_000
const CATCH_UP_MS = 30_000
const POLL_MS = 50

/** Whole meshes of so many real processes need a while on few cores. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { seed, runtimes } = options
  const random = new SeededRandom(seed)
  const names = Array.from({ length: options.datacenters }, (_, i) => `dc-${i + 1}`)
  const beganMs = performance.now()
  const mesh = await startMesh({
    name: options.name,
    flatNetwork: true,
    datacenters: names.map((name, i) => ({ name, clients: 0, runtime: runtimes[i % runtimes.length]! })),
    links: names.flatMap((a, i) =>
      names.slice(i + 1).map((b): { between: [string, string]; rttMs: number } => ({
        between: [a, b],
        rttMs: 5 + Math.round(random.float() * 75),
      })),
    ),
    services: [],
    logLevel: options.logLevel ?? 'info',
  })
  try {
    const writers = names.map((name) => new Writer(mesh, name, random))
    const readers = writers.map(({ server }) => new Reader(mesh, server, writers))
    const world: World = { mesh, writers, readers, random, length: options.length }
    await formed(world)
    const formedMs = performance.now() - beganMs
    options.onStep?.(`formed in ${Math.round(formedMs)} ms`)
    await options.onPart?.('begin', mesh)
    const caughtUp = await disturb(world, options)
    await options.onPart?.('end', mesh)
    const unequal = await compare(world, options.quietMs)
    return {
      formedMs,
      writes: writers.reduce((sum, each) => sum + each.writes, 0),
      answers: readers.reduce((sum, each) => sum + each.answers, 0),
      oldestMs: Math.max(...readers.map((each) => each.oldestMs)),
      findings: readers.flatMap((each) => each.findings),
      caughtUp,
      unequal,
    }
  } finally {
    await mesh.stop()
  }
}

const formed = ({ mesh, writers, readers }: World): Promise<unknown> =>
  Promise.all(
    readers.flatMap(({ node }) =>
      writers.map(({ datacenter }) =>
        eventually(
          `${node} answers for ${datacenter}`,
          async () => {
            const { status, headers } = await mesh.get(node, `/v1/catalog/nodes?dc=${datacenter}`)
            // From a replica of its own: before it has one it asks the other, which may be killed next.
            return status === 200 && headers.get('x-atoll-source') !== 'rpc'
          },
          FORM_MS,
        ),
      ),
    ),
  )

async function disturb(world: World, options: SoakOptions): Promise<CaughtUp[]> {
  const { writers, readers } = world
  const out: CaughtUp[] = []
  for (const writer of writers) await writer.change()
  for (const writer of writers) writer.start(options.writeEveryMs)
  for (const reader of readers) reader.start(options.readEveryMs)
  const step = async (name: string, run: () => Promise<void>): Promise<void> => {
    await run()
    const beganWallMs = Date.now()
    const { ms, last, stalledMs } = await untilCaughtUp(world)
    out.push({ after: name, ms, last, stalledMs })
    const at = new Date(beganWallMs).toISOString().slice(11, 23)
    const stalled = `(loops stood still for ${stalledMs} ms)`
    options.onStep?.(`${at} ${name}: all caught up ${Math.round(ms)} ms later, ${last} last ${stalled}`)
    await sleep(options.calmMs)
  }
  const faults = FAULTS.filter(({ name }) => name.includes(options.only ?? ''))
  for (let i = 0; i < options.faults; i++) {
    const fault = faults[i % faults.length]!
    await step(fault.name, () => fault.run(world))
  }
  if (options.rolling) {
    for (const reader of readers) {
      await step(`restart of ${reader.node}`, async () => {
        reader.disturbed(true)
        await world.mesh.local.restart(reader.node)
        reader.disturbed(true)
      })
    }
  }
  await Promise.all(writers.map((writer) => writer.stop()))
  await Promise.all(readers.map((reader) => reader.stop()))
  return out
}

/** Milliseconds until every node has, of every datacenter, what was acknowledged now; Infinity when that takes too long. */
async function untilCaughtUp({ writers, readers, mesh }: World): Promise<Omit<CaughtUp, 'after'>> {
  const beganMs = performance.now()
  const beganWallMs = Date.now()
  const stalledMs = (...nodes: string[]): number =>
    Math.max(...nodes.map((node) => mesh.local.node(node).worker.stalls.within(beganWallMs, Date.now())))
  const wanted = writers.map((writer) => ({ writer, version: writer.history.acked }))
  const each = readers.flatMap(({ node }) =>
    wanted.map(async ({ writer, version }) => {
      const last = `${node} about ${writer.datacenter}`
      // Readers of its own: what a node that just started answers is not judged, only waited for.
      const reader = new Reader(mesh, node, [writer])
      while (((await reader.look(writer)) ?? -1) < version) {
        if (performance.now() - beganMs > CATCH_UP_MS) return { ms: Number.POSITIVE_INFINITY, last, stalledMs: 0 }
        await sleep(POLL_MS)
      }
      return { ms: performance.now() - beganMs, last, stalledMs: stalledMs(node, writer.server) }
    }),
  )
  return (await Promise.all(each)).reduce((most, one) => (one.ms > most.ms ? one : most))
}

interface MeshAnswer {
  readonly Problems: readonly { readonly Kind: string; readonly Message: string }[]
  readonly Datacenters: readonly {
    readonly Datacenter: string
    readonly State: string
    readonly Replica: { readonly Digest: string } | null
  }[]
}

/** All is quiet: every replica of a datacenter must have the same digest, and hold what its own servers hold. */
async function compare({ mesh, writers, readers }: World, quietMs: number): Promise<string[]> {
  const problems = async (): Promise<string[]> => {
    const out: string[] = []
    const seen = await Promise.all(
      readers.map(async ({ node }) => (await mesh.get(node, '/v1/mesh')).body as MeshAnswer),
    )
    // No disk was copied, restored or lost.
    for (const [i, { Problems }] of seen.entries())
      for (const { Kind, Message } of Problems) out.push(`${readers[i]!.node} tells of ${Kind}: ${Message}`)
    for (const { datacenter, server } of writers) {
      const rows = seen.flatMap(({ Datacenters }, i) =>
        Datacenters.filter((row) => row.Datacenter === datacenter && readers[i]!.node !== server),
      )
      if (rows.length !== readers.length - 1) out.push(`${datacenter} is known to ${rows.length} nodes only`)
      if (rows.some(({ State }) => State !== 'live')) out.push(`${datacenter} is not live for all`)
      const digests = new Set(rows.map(({ Replica }) => Replica?.Digest))
      if (digests.size !== 1) out.push(`${datacenter} has ${digests.size} digests`)
    }
    return [...out, ...(await differences({ mesh, writers, readers }))]
  }
  const endMs = performance.now() + quietMs
  for (;;) {
    const found = await problems()
    if (found.length === 0 || performance.now() > endMs) return found
    await sleep(100)
  }
}

/** What differs from the last acknowledged state, and of the bulk from what the datacenter itself answers. */
async function differences({ mesh, writers, readers }: Pick<World, 'mesh' | 'writers' | 'readers'>): Promise<string[]> {
  const out: string[] = []
  for (const writer of writers) {
    const bulk = async (node: string): Promise<string> => {
      const { body } = await mesh.get(node, `/v1/catalog/service/bulk?dc=${writer.datacenter}`)
      return JSON.stringify(
        (body as { ServiceID: string; ServicePort: number }[]).map((row) => [row.ServiceID, row.ServicePort]).sort(),
      )
    }
    const own = await bulk(writer.server)
    for (const { node } of readers) {
      const version = await new Reader(mesh, node, [writer]).look(writer)
      if (version !== writer.history.latest) out.push(`${node} has version ${version} of ${writer.datacenter}`)
      if (node !== writer.server && (await bulk(node)) !== own)
        out.push(`${node} has another bulk of ${writer.datacenter}`)
    }
  }
  return out
}
