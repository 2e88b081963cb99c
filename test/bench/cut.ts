/**
 * Bytes to and from us-1 are silently dropped: what its services are answered with elsewhere, and others' services there,
 * before, during and after. Asked every 20 ms at one node of each kind and runtime.
 *
 *   node test/bench/cut.ts [--seconds 15] [--json]
 */
import { parseArgs } from 'node:util'
import { meshSeenBy, type SeenDatacenter } from '../../topology/node-api.ts'
import { eventually, sleep, type TestMesh } from '../cluster/harness.ts'
import { portOf, RUNTIME_OF, startBenchMesh } from './mesh.ts'
import { ms, note, type Row, report, spread } from './report.ts'
import { headerOf, Wire, type WireAnswer } from './wire.ts'

const EVERY_MS = 20
const SLOWEST_MS = 50
const REFUSED_MS = 2000
/** Before the cut and after the heal. */
const CALM_MS = 3000
const ANSWER_TIMEOUT_MS = 5000
/** One link alone is cut for so long. A head comes every second. */
const BRIDGED_MS = 6000
const BRIDGED_AGE_MS = 2500

/** Who is asked about whom; us-1 is what is cut off. */
const ASKED = [
  ['eu-1-server', 'us-1'],
  ['ap-1-server', 'us-1'],
  ['us-1-server', 'eu-1'],
  ['eu-1-client', 'us-1'],
] as const

interface Answered {
  readonly atMs: number
  readonly tookMs: number
  readonly ok: boolean
  /** What it said of its age; undefined when it said nothing. */
  readonly ageMs: number | undefined
}

interface Refusal {
  readonly afterMs: number
  readonly node: string
  readonly tookMs: number
  readonly answer: WireAnswer | undefined
}

export async function cut(seconds: number): Promise<Row[]> {
  const mesh = await startBenchMesh({
    name: 'bench-cut',
    links: [
      { between: ['eu-1', 'us-1'], rttMs: 80 },
      { between: ['us-1', 'ap-1'], rttMs: 150 },
      { between: ['eu-1', 'ap-1'], rttMs: 230 },
    ],
    services: [
      { name: 'web', instances: 2, checkIntervalMs: 1000 },
      // Not in eu-1, so that `nearest` has to choose.
      { name: 'api', instances: { 'us-1': 1, 'ap-1': 1 }, checkIntervalMs: 1000 },
    ],
  })
  try {
    await settled(mesh)
    const bridge = await bridged(mesh)
    await eventually('whole again', async () => (await seen(mesh)).way === 'direct', 20_000)
    const until = { over: false }
    const sampling = ASKED.map(([node, about]) => sample(mesh, node, about, until))
    await sleep(CALM_MS)
    const began = performance.now()
    await mesh.local.cut('us-1')
    const moving = nearestMoves(mesh, began)
    const refusals = await refused(mesh, began, seconds * 1000)
    const movedMs = await moving
    const heal = await healed(mesh)
    await sleep(CALM_MS)
    until.over = true
    const samples = await Promise.all(sampling)
    return [
      ...samples.map((each, i) => answeredRow(ASKED[i]!, each)),
      ageRow(samples, began, seconds * 1000),
      refusedRow(refusals),
      nearestRow(movedMs),
      healRow(heal),
      bridgeRow(bridge),
    ]
  } finally {
    await mesh.stop()
  }
}

async function settled(mesh: TestMesh): Promise<void> {
  for (const [node, about] of ASKED)
    await eventually(`${node} has web of ${about}`, async () => {
      const { body } = await mesh.get(node, `/v1/health/service/web?passing&dc=${about}`)
      return Array.isArray(body) && body.length === 2
    })
  await eventually(
    'nearest api is in us-1',
    async () => {
      const { headers } = await mesh.get('eu-1-server', '/v1/health/service/api?passing&dc=nearest')
      return headers.get('x-atoll-datacenter') === 'us-1'
    },
    20_000,
  )
}

/** One request after the other; one that hangs is given up, and counts as failed and slow. */
async function sample(mesh: TestMesh, node: string, about: string, until: { over: boolean }): Promise<Answered[]> {
  const port = portOf(mesh, node)
  const out: Answered[] = []
  let wire = await Wire.open(port)
  while (!until.over) {
    const atMs = performance.now()
    const answer = await ask(wire, `/v1/health/service/web?passing&dc=${about}`)
    if (answer === undefined) {
      wire.close()
      wire = await Wire.open(port)
    }
    const tookMs = performance.now() - atMs
    const age = answer && headerOf(answer, 'x-atoll-age-ms')
    const ok =
      answer?.status === 200 && headerOf(answer, 'x-atoll-datacenter') === about && answer.body.includes('web-2')
    out.push({ atMs, tookMs, ok, ageMs: age === 'unknown' ? Number.POSITIVE_INFINITY : age ? Number(age) : undefined })
    await sleep(Math.max(0, EVERY_MS - tookMs))
  }
  wire.close()
  return out
}

/** undefined when there was no answer in time, or the connection broke. */
async function ask(wire: Wire, path: string): Promise<WireAnswer | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ANSWER_TIMEOUT_MS)
  })
  try {
    return await Promise.race([wire.get(path), late])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}

/** Consistent reads all along: at first nobody knows yet that the other side is gone. */
async function refused(mesh: TestMesh, beganMs: number, durationMs: number): Promise<Refusal[]> {
  const each = ASKED.map(async ([node, about]): Promise<Refusal[]> => {
    const out: Refusal[] = []
    while (performance.now() - beganMs < durationMs) {
      const wire = await Wire.open(portOf(mesh, node))
      const atMs = performance.now()
      const answer = await ask(wire, `/v1/health/service/web?passing&consistent&dc=${about}`)
      out.push({ node, afterMs: atMs - beganMs, tookMs: performance.now() - atMs, answer })
      wire.close()
      await sleep(500)
    }
    return out
  })
  return (await Promise.all(each)).flat()
}

async function nearestMoves(mesh: TestMesh, beganMs: number): Promise<number> {
  const wire = await Wire.open(portOf(mesh, 'eu-1-server'))
  try {
    await eventually('nearest api is in ap-1', async () => {
      const answer = await wire.get('/v1/health/service/api?passing&dc=nearest')
      return headerOf(answer, 'x-atoll-datacenter') === 'ap-1'
    })
    return performance.now() - beganMs
  } finally {
    wire.close()
  }
}

interface Heal {
  readonly before: SeenDatacenter
  readonly after: SeenDatacenter
  readonly caughtUpMs: number
}

interface Bridge {
  readonly highestAgeMs: number
  readonly shownMs: number
}

/** Only the link between eu-1 and us-1 is cut: ap-1 still hears both, and gossip goes through it. */
async function bridged(mesh: TestMesh): Promise<Bridge> {
  const wire = await Wire.open(portOf(mesh, 'eu-1-server'))
  const ages: number[] = []
  try {
    await mesh.local.cut('eu-1', 'us-1')
    const began = performance.now()
    while (performance.now() - began < BRIDGED_MS) {
      ages.push(Number(headerOf(await wire.get('/v1/health/service/web?dc=us-1'), 'x-atoll-age-ms')))
      await sleep(EVERY_MS)
    }
    const changed = performance.now()
    await mesh.send('us-1-server', 'PUT', '/v1/agent/service/register', { ID: 'via-1', Name: 'via', Port: 4320 })
    await eventually('shown', async () => (await wire.get('/v1/health/service/via?dc=us-1')).body.includes('via-1'))
    return { highestAgeMs: Math.max(...ages), shownMs: performance.now() - changed }
  } finally {
    wire.close()
    await mesh.local.heal('eu-1', 'us-1')
  }
}

const seen = async (mesh: TestMesh): Promise<SeenDatacenter> =>
  (await meshSeenBy(mesh.local.url('eu-1-server')))!.find(({ datacenter }) => datacenter === 'us-1')!

/** Something changes in us-1 while it is cut off; then the links heal. */
async function healed(mesh: TestMesh): Promise<Heal> {
  const before = await seen(mesh)
  await mesh.send('us-1-server', 'PUT', '/v1/agent/service/register', { ID: 'late-1', Name: 'late', Port: 4321 })
  const began = performance.now()
  await mesh.local.heal('us-1')
  await eventually(
    'caught up',
    async () => {
      const { body } = await mesh.get('eu-1-server', '/v1/health/service/late?dc=us-1')
      return Array.isArray(body) && body.length === 1
    },
    20_000,
  )
  return { before, after: await seen(mesh), caughtUpMs: performance.now() - began }
}

function answeredRow([node, about]: readonly [string, string], samples: readonly Answered[]): Row {
  const failed = samples.filter(({ ok }) => !ok).length
  const took = samples.map(({ tookMs }) => tookMs)
  const silent = samples.filter(({ ageMs }) => ageMs === undefined).length
  const slowest = Math.max(...took)
  return {
    what: `WAN cut: ${node} (${RUNTIME_OF[node.slice(0, 4)]}) asked for a service of ${about}, ${samples.length} times`,
    measured: `${failed} failed, ${silent} without age, ${spread(took)}, slowest ${ms(slowest)} ms`,
    bar: `0 failed, ages stated, slowest < ${SLOWEST_MS} ms`,
    met: failed === 0 && silent === 0 && slowest < SLOWEST_MS,
  }
}

/** Ages must grow by what the cut lasts, and be small again after it. */
function ageRow(samples: readonly (readonly Answered[])[], beganMs: number, durationMs: number): Row {
  const during = samples.map((each) =>
    Math.max(...each.filter(({ atMs }) => atMs > beganMs).map(({ ageMs }) => ageMs ?? 0)),
  )
  const after = samples.map((each) => each.at(-1)!.ageMs ?? Number.NaN)
  return {
    what: 'WAN cut: highest age stated, and age at the end',
    measured: `${during.map((each) => `${(each / 1000).toFixed(1)} s`).join(', ')}; ${after.map((each) => `${ms(each)} ms`).join(', ')}`,
    bar: `at least ${durationMs / 1000} s; young again`,
    met: during.every((each) => each > durationMs - 1500) && after.every((each) => each < 2500),
  }
}

function refusedRow(refusals: readonly Refusal[]): Row {
  const wrong = refusals.filter(({ node, answer }) => {
    const about = ASKED.find(([asked]) => asked === node)![1]
    return answer?.status !== 503 || !answer.body.includes(about)
  })
  for (const { node, afterMs, tookMs, answer } of wrong)
    note(
      `consistent at ${node}, ${ms(afterMs)} ms after the cut: ${answer?.status ?? 'no answer'} in ${ms(tookMs)} ms: ${answer?.body.slice(0, 120)}`,
    )
  const took = refusals.map(({ tookMs }) => tookMs)
  const slowest = Math.max(...took)
  return {
    what: `WAN cut: \`consistent\`, ${refusals.length} times, first at once after the cut`,
    measured: `${refusals.length - wrong.length} answered by a 503 that names the DC; ${spread(took)}, slowest ${ms(slowest)} ms`,
    bar: `all, within ${REFUSED_MS / 1000} s`,
    met: wrong.length === 0 && slowest < REFUSED_MS,
  }
}

const nearestRow = (movedMs: number): Row => ({
  what: 'WAN cut: until `dc=nearest` answers from a DC that can be reached',
  measured: `${ms(movedMs)} ms`,
  bar: '',
  met: undefined,
})

const bridgeRow = ({ highestAgeMs, shownMs }: Bridge): Row => ({
  what: `only eu-1 to us-1 cut for ${BRIDGED_MS / 1000} s, ap-1 (150 and 230 ms) between them: us-1 seen from eu-1`,
  measured: `never older than ${ms(highestAgeMs)} ms; a change shown after ${ms(shownMs)} ms`,
  bar: `younger than ${BRIDGED_AGE_MS / 1000} s`,
  met: highestAgeMs < BRIDGED_AGE_MS,
})

const healRow = ({ before, after, caughtUpMs }: Heal): Row => ({
  what: 'after the heal: caught up with what changed meanwhile',
  measured:
    `in ${ms(caughtUpMs)} ms; deltas ${before.deltas} -> ${after.deltas}, snapshots ${before.snapshots} -> ${after.snapshots},` +
    ` repairs ${before.repairs} -> ${after.repairs}`,
  bar: 'by delta',
  met: after.snapshots === before.snapshots && after.repairs === before.repairs,
})

if (import.meta.main) {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '15' } }, strict: false })
  await report(() => cut(Number(values.seconds)))
}
