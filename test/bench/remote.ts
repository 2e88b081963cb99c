/**
 * Look-ups of another datacenter's service at 80 ms round trip and 500 requests a second, from a process of its own, for
 * each runtime as the asked server, and for client nodes.
 *
 *   node test/bench/remote.ts [--seconds 8] [--json]
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { eventually, type TestMesh } from '../cluster/harness.ts'
import { DATACENTERS, portOf, RUNTIME_OF, startBenchMesh } from './mesh.ts'
import type { OpenLoop, OpenLoopResult } from './open-loop.ts'
import { median, note, quantile, type Row, report, spread } from './report.ts'

const PER_SECOND = 500
const WARM_UP_SECONDS = 2
const INSTANCES = 10
const MEDIAN_MS = 1
const P99_MS = 5
const BAR = `median < ${MEDIAN_MS} ms, p99 < ${P99_MS} ms`
const PATH = '/v1/health/service/web?passing&dc='

/** Whom each datacenter is asked about. */
const ABOUT: Readonly<Record<string, string>> = { 'eu-1': 'us-1', 'us-1': 'ap-1', 'ap-1': 'eu-1' }

export async function remote(seconds: number): Promise<Row[]> {
  const mesh = await startBenchMesh({ name: 'bench-remote' })
  try {
    await registerEverywhere(mesh)
    const rows: Row[] = []
    for (const role of ['server', 'client']) {
      for (const dc of DATACENTERS) {
        const load = { port: portOf(mesh, `${dc}-${role}`), path: PATH + ABOUT[dc], perSecond: PER_SECOND }
        await run({ ...load, seconds: WARM_UP_SECONDS })
        const result = await run({ ...load, seconds, expect: `x-bench: ${ABOUT[dc]}` })
        rows.push(rowOf(`${role} on ${RUNTIME_OF[dc]}`, result))
      }
    }
    return rows
  } finally {
    await mesh.stop()
  }
}

function rowOf(asked: string, { latenciesMs, failed, lateP99Ms, fromSendP99Ms }: OpenLoopResult): Row {
  note(
    `${asked}: ${spread(latenciesMs)}, slowest ${Math.max(...latenciesMs).toFixed(1)} ms; sent late by p99 ${lateP99Ms.toFixed(2)} ms; from the sending p99 ${fromSendP99Ms.toFixed(2)} ms`,
  )
  return {
    what: `\`?dc=\` for a remote DC at 80 ms, ${PER_SECOND}/s: ${asked}`,
    measured: spread(latenciesMs) + (failed > 0 ? `, ${failed} failed` : ''),
    bar: BAR,
    met: median(latenciesMs) < MEDIAN_MS && quantile(latenciesMs, 0.99) < P99_MS && failed === 0,
  }
}

/** Ten instances in each datacenter; every node answers for all of them. */
async function registerEverywhere(mesh: TestMesh): Promise<void> {
  for (const dc of DATACENTERS) {
    for (let i = 0; i < INSTANCES; i++) {
      const { status, body } = await mesh.send(`${dc}-server`, 'PUT', '/v1/catalog/register', {
        Node: `host-${i}`,
        Address: `10.0.0.${i + 1}`,
        Service: { ID: `web-${i}`, Service: 'web', Port: 8080, Tags: ['http'], Meta: { note: `x-bench: ${dc}` } },
        Check: { CheckID: `web-${i}`, Name: 'alive', Status: 'passing', ServiceID: `web-${i}` },
      })
      if (status !== 200) throw new Error(`register: ${status} ${String(body)}`)
    }
  }
  for (const node of mesh.nodes)
    for (const dc of DATACENTERS)
      await eventually(`${node} has all of ${dc}`, async () => {
        const { body } = await mesh.get(node, PATH + dc)
        return Array.isArray(body) && body.length === INSTANCES
      })
}

function run(load: OpenLoop): Promise<OpenLoopResult> {
  const script = fileURLToPath(new URL('open-loop.ts', import.meta.url))
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [script, JSON.stringify(load)], { maxBuffer: 1 << 26 }, (error, stdout) =>
      error ? reject(error) : resolve(JSON.parse(stdout) as OpenLoopResult),
    )
  })
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '8' } }, strict: false })
  await report(() => remote(Number(values.seconds)))
}
