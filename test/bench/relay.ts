/**
 * The link between eu-1 and us-1 is cut while ap-1, and further off sa-1, reach both: consistent reads across it, both ways,
 * from servers and from a client node; then ap-1 dies, and at last the link heals. One read every 50 ms at each.
 *
 *   node test/bench/relay.ts [--seconds 10] [--json]
 */
import { parseArgs } from 'node:util'
import { meshSeenBy } from '../../topology/node-api.ts'
import { eventually, quantile, sleep, startMesh, type TestMesh } from '../cluster/harness.ts'
import { portOf } from './mesh.ts'
import { ms, note, type Row, report, spread } from './report.ts'
import { headerOf, Wire } from './wire.ts'

const EVERY_MS = 50
const ANSWER_TIMEOUT_MS = 5000
/** Reads that are on their way when the relay is killed end with it. */
const IN_FLIGHT_MS = 1000
/** What may come on top of both ways. */
const MARGIN_MS = 20
const RTT_MS = {
  'eu-1 us-1': 80,
  'us-1 ap-1': 150,
  'eu-1 ap-1': 230,
  'eu-1 sa-1': 250,
  'us-1 sa-1': 260,
  'ap-1 sa-1': 300,
}
const THROUGH_AP_MS = RTT_MS['eu-1 ap-1'] + RTT_MS['us-1 ap-1']
const THROUGH_SA_MS = RTT_MS['eu-1 sa-1'] + RTT_MS['us-1 sa-1']

/** Who asks about whom. */
const ASKED = [
  ['eu-1-server', 'us-1'],
  ['us-1-server', 'eu-1'],
  ['eu-1-client', 'us-1'],
] as const

interface Asked {
  readonly atMs: number
  readonly tookMs: number
  readonly ok: boolean
}

export async function relay(seconds: number): Promise<Row[]> {
  const mesh = await start()
  try {
    const until = { over: false }
    const asking = ASKED.map(([node, about]) => ask(mesh, node, about, until))
    await sleep(2000)
    const cutAt = performance.now()
    await mesh.local.cut('eu-1', 'us-1')
    await allWay(mesh, 'relayed', 'ap-1')
    await sleep(seconds * 1000)
    const killedAt = performance.now()
    await mesh.local.kill('ap-1-server')
    await allWay(mesh, 'relayed', 'sa-1')
    await sleep(seconds * 1000)
    const healedAt = performance.now()
    await mesh.local.heal('eu-1', 'us-1')
    await allWay(mesh, 'direct')
    await sleep(2000)
    until.over = true
    const asked = await Promise.all(asking)
    const throughAp = asked.map((each) => within(each, cutAt, killedAt - IN_FLIGHT_MS))
    const throughSa = asked.map((each) => within(each, killedAt, healedAt))
    return [
      ...ASKED.flatMap(([node, about], i) => [
        steadyRow(`${node} asks ${about} through ap-1`, throughAp[i]!, THROUGH_AP_MS),
        steadyRow(`${node} asks ${about} through sa-1`, throughSa[i]!, THROUGH_SA_MS),
      ]),
      gapRow('the link is cut', throughAp),
      gapRow('the relay is killed', throughSa),
      healRow(asked.map((each) => within(each, healedAt, Number.POSITIVE_INFINITY))),
    ]
  } finally {
    await mesh.stop()
  }
}

async function start(): Promise<TestMesh> {
  const mesh = await startMesh({
    name: 'bench-relay',
    flatNetwork: true,
    datacenters: [
      { name: 'eu-1', runtime: 'node', clients: 1 },
      { name: 'us-1', runtime: 'bun', clients: 0 },
      { name: 'ap-1', runtime: 'deno', clients: 0 },
      { name: 'sa-1', runtime: 'node', clients: 0 },
    ],
    links: Object.entries(RTT_MS).map(([pair, rttMs]) => ({ between: pair.split(' ') as [string, string], rttMs })),
    logLevel: 'warn',
  })
  try {
    for (const [node, about] of ASKED) {
      await eventually(`${node} reads in ${about}`, async () => (await mesh.get(node, pathOf(about))).status === 200)
    }
    // Until everybody has said whom it reaches, and times settled.
    await sleep(11_000)
    return mesh
  } catch (error) {
    await mesh.stop()
    throw error
  }
}

const pathOf = (about: string): string => `/v1/catalog/nodes?consistent&dc=${about}`

/** Both ends say so. */
async function allWay(mesh: TestMesh, way: string, via?: string): Promise<void> {
  for (const [node, other] of ASKED.slice(0, 2)) {
    await eventually(
      `${node} reaches ${other}: ${way} ${via ?? ''}`,
      async () => {
        const seen = (await meshSeenBy(mesh.local.url(node)))?.find(({ datacenter }) => datacenter === other)
        return seen?.way === way && seen.via === via
      },
      20_000,
    )
  }
}

/** A read every so often, whatever became of those before. */
async function ask(mesh: TestMesh, node: string, about: string, until: { over: boolean }): Promise<Asked[]> {
  const port = portOf(mesh, node)
  const asked: Promise<Asked>[] = []
  while (!until.over) {
    asked.push(askOnce(port, about))
    await sleep(EVERY_MS)
  }
  return Promise.all(asked)
}

async function askOnce(port: number, about: string): Promise<Asked> {
  const wire = await Wire.open(port)
  const atMs = performance.now()
  const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), ANSWER_TIMEOUT_MS).unref())
  try {
    const answer = await Promise.race([wire.get(pathOf(about)), late])
    const ok = answer?.status === 200 && headerOf(answer, 'x-atoll-source') === 'rpc'
    return { atMs, tookMs: performance.now() - atMs, ok }
  } catch {
    return { atMs, tookMs: performance.now() - atMs, ok: false }
  } finally {
    wire.close()
  }
}

const within = (asked: readonly Asked[], fromMs: number, toMs: number): Asked[] =>
  asked.filter(({ atMs }) => atMs >= fromMs && atMs < toMs)

/** From the last refusal on. */
const steady = (asked: readonly Asked[]): Asked[] => asked.slice(asked.findLastIndex(({ ok }) => !ok) + 1)

function steadyRow(what: string, asked: readonly Asked[], bothWaysMs: number): Row {
  const took = steady(asked).map(({ tookMs }) => tookMs)
  const barMs = bothWaysMs + MARGIN_MS
  return {
    what: `direct link cut: ${what}, consistent, ${took.length} times`,
    measured: `${spread(took)}, slowest ${ms(Math.max(...took))} ms`,
    bar: `both ways (${bothWaysMs} ms) + ${MARGIN_MS} ms at p99`,
    met: took.length > 0 && quantile(took, 0.99) <= barMs,
  }
}

/** What was not answered: from the event to the end of the last refusal. */
function gapRow(what: string, each: readonly (readonly Asked[])[]): Row {
  const gaps = each.map((asked) => {
    const last = asked.findLast(({ ok }) => !ok)
    return last === undefined ? 0 : last.atMs - asked[0]!.atMs
  })
  const refused = each.map((asked) => asked.filter(({ ok }) => !ok).length)
  return {
    what: `${what}: asked for so long without an answer (${ASKED.map(([node]) => node).join(', ')})`,
    measured: `${gaps.map((gap) => `${ms(gap)} ms`).join(', ')}; refused ${refused.join(', ')} reads`,
    bar: '',
    met: undefined,
  }
}

function healRow(each: readonly (readonly Asked[])[]): Row {
  const refused = each.map((asked) => asked.filter(({ ok }) => !ok).length)
  return {
    what: 'the link heals: reads that were not answered',
    measured: refused.join(', '),
    bar: '0',
    met: refused.every((count) => count === 0),
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '10' } }, strict: false })
  note(`through ap-1 ${THROUGH_AP_MS} ms, through sa-1 ${THROUGH_SA_MS} ms`)
  await report(() => relay(Number(values.seconds)))
}
