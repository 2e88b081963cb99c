/**
 * How soon a datacenter that is gone is out of `dc=nearest`, and back; and whether anything is called dead that lives, while other
 * processes take the CPU. Three datacenters, real processes.
 *
 *   node test/bench/liveness.ts [--rounds 4] [--minutes 30] [--burners 2] [--share 1] [--json]
 *
 * `--minutes 0` leaves the second part out, `--rounds 0` the first.
 */
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { eventually, sleep, type TestMesh } from '../cluster/harness.ts'
import { type Burners, burn } from './burners.ts'
import { cpuShare, cpuTimes } from './cpu.ts'
import { portOf, startBenchMesh } from './mesh.ts'
import { median, ms, note, type Row, report } from './report.ts'
import { headerOf, Wire } from './wire.ts'

export interface LivenessBench {
  readonly rounds: number
  readonly minutes: number
  /** Processes that take the CPU, and how much of a core each. */
  readonly burners: number
  readonly share: number
}

const LOST_MS = 3000
const BACK_MS = 2000
const GIVE_UP_MS = 30_000
/** A server that was wrong, or late, has forgiven itself by then. */
const CALM_MS = 6000
const LOOK_MS = 10
const WHERE = '/v1/health/service/api?passing&dc=nearest'
const OBSERVER = 'eu-1-server'
const VICTIM = 'us-1-server'

interface Fault {
  readonly name: string
  begin(mesh: TestMesh): Promise<void>
  end(mesh: TestMesh): Promise<void>
}
const FAULTS: readonly Fault[] = [
  {
    name: 'cut off',
    begin: async (mesh) => void (await mesh.local.cut('us-1')),
    end: async (mesh) => void (await mesh.local.heal('us-1')),
  },
  {
    name: 'SIGSTOP',
    begin: async (mesh) => void mesh.local.pause(VICTIM),
    end: async (mesh) => void mesh.local.resume(VICTIM),
  },
  {
    name: 'kill -9',
    begin: async (mesh) => void (await mesh.local.kill(VICTIM)),
    end: async (mesh) => void (await mesh.local.restart(VICTIM)),
  },
]

interface Round {
  readonly fault: string
  readonly lostMs: number
  /** From the heal, SIGCONT, or (after kill -9) the restarted process being ready. */
  readonly liveMs: number
  readonly nearestMs: number
}

export async function liveness(options: LivenessBench): Promise<Row[]> {
  const mesh = await startBenchMesh({
    name: 'bench-liveness',
    logLevel: 'info',
    links: [
      { between: ['eu-1', 'us-1'], rttMs: 80 },
      { between: ['us-1', 'ap-1'], rttMs: 150 },
      { between: ['eu-1', 'ap-1'], rttMs: 230 },
    ],
    services: [
      { name: 'web', instances: 2, checkIntervalMs: 1000 },
      { name: 'api', instances: { 'us-1': 1, 'ap-1': 1 }, checkIntervalMs: 1000 },
    ],
  })
  try {
    await answersFrom(mesh, 'us-1')
    const idle = await faults(mesh, Math.ceil(options.rounds / 2))
    return [
      ...faultRows(idle, 'the machine idle but for the mesh'),
      ...(await underLoad(mesh, options, async () => {
        const loaded = await faults(mesh, Math.floor(options.rounds / 2))
        return [
          ...faultRows(loaded, `${options.burners} burners of ${options.share * 100} %`),
          ...(options.minutes > 0 ? [await alarms(mesh, options)] : []),
        ]
      })),
    ]
  } finally {
    await mesh.stop()
  }
}

async function underLoad(
  mesh: TestMesh,
  { burners, share }: LivenessBench,
  work: () => Promise<Row[]>,
): Promise<Row[]> {
  let load: Burners | undefined
  try {
    load = burn(burners, share)
    await answersFrom(mesh, 'us-1')
    return await work()
  } finally {
    await load?.stop()
  }
}

async function faults(mesh: TestMesh, rounds: number): Promise<Round[]> {
  const out: Round[] = []
  for (let round = 0; round < rounds; round++) {
    for (const fault of FAULTS) {
      out.push(await oneRound(mesh, fault))
      note(JSON.stringify(out.at(-1)))
    }
  }
  return out
}

async function oneRound(mesh: TestMesh, fault: Fault): Promise<Round> {
  await answersFrom(mesh, 'us-1')
  await sleep(CALM_MS + Math.random() * 1000)
  const beganMs = performance.now()
  await fault.begin(mesh)
  const lostMs = (await answersFrom(mesh, 'ap-1')) - beganMs
  await sleep(2000)
  await fault.end(mesh)
  const healedMs = performance.now()
  const [liveMs, nearestMs] = await Promise.all([isLive(mesh), answersFrom(mesh, 'us-1')])
  return { fault: fault.name, lostMs, liveMs: liveMs - healedMs, nearestMs: nearestMs - healedMs }
}

/** When the observer first answered `nearest` from there. */
async function answersFrom(mesh: TestMesh, datacenter: string): Promise<number> {
  return await looking(mesh, WHERE, (head) => headerOf(head, 'x-atoll-datacenter') === datacenter, `from ${datacenter}`)
}
const isLive = (mesh: TestMesh): Promise<number> =>
  looking(mesh, '/v1/mesh', ({ body }) => stateIn(body, 'us-1') === 'live', 'us-1 live')

async function looking(
  mesh: TestMesh,
  path: string,
  fits: (answer: Awaited<ReturnType<Wire['get']>>) => boolean,
  what: string,
): Promise<number> {
  const wire = await Wire.open(portOf(mesh, OBSERVER))
  try {
    const endMs = performance.now() + GIVE_UP_MS
    for (;;) {
      const answer = await wire.get(path)
      if (fits(answer)) return answer.atMs
      if (performance.now() > endMs) throw new Error(`not within ${GIVE_UP_MS / 1000} s: ${what}`)
      await sleep(LOOK_MS)
    }
  } finally {
    wire.close()
  }
}

function stateIn(body: string, datacenter: string): string | undefined {
  const { Datacenters } = JSON.parse(body) as { Datacenters: { Datacenter: string; State: string }[] }
  return Datacenters.find((each) => each.Datacenter === datacenter)?.State
}

function faultRows(rounds: readonly Round[], load: string): Row[] {
  if (rounds.length === 0) return []
  return FAULTS.flatMap(({ name }): Row[] => {
    const own = rounds.filter(({ fault }) => fault === name)
    const lost = own.map(({ lostMs }) => lostMs)
    const live = own.map(({ liveMs }) => liveMs)
    const nearest = own.map(({ nearestMs }) => nearestMs)
    const told = (values: number[]): string => `${ms(median(values))} ms, at most ${ms(Math.max(...values))}`
    return [
      {
        what: `us-1 ${name}, ${own.length} times, ${load}: until \`dc=nearest\` avoids it`,
        measured: told(lost),
        bar: `< ${LOST_MS / 1000} s`,
        met: Math.max(...lost) < LOST_MS,
      },
      {
        what: `us-1 ${name}, then healed: until it is live, and answers \`dc=nearest\` again`,
        measured: `${told(live)}; ${told(nearest)}`,
        bar: `< ${BACK_MS / 1000} s`,
        met: Math.max(...live, ...nearest) < BACK_MS,
      },
    ]
  })
}

/** What no log may say while all live. */
const ALARMS = [/a datacenter is lost/, /a datacenter is quarantined/, /a node is not alive any more/] as const

/** By node. */
const logged = (mesh: TestMesh): Promise<string[][]> =>
  Promise.all(
    mesh.local.nodes.map(async ({ worker }) => {
      const lines = (await readFile(worker.logFile, 'utf8')).split('\n')
      return lines.filter((line) => ALARMS.some((alarm) => alarm.test(line)))
    }),
  )

/** All live, and all that is done is done by others: whatever is called dead is a false alarm. */
async function alarms(mesh: TestMesh, { minutes, burners, share }: LivenessBench): Promise<Row> {
  await sleep(CALM_MS)
  await eventually('all are well', async () => (await scores(mesh)).every(({ state }) => state === 'live'), GIVE_UP_MS)
  const before = await logged(mesh)
  const pids = mesh.local.nodes.flatMap(({ worker }) => worker.pid ?? [])
  const cpuBefore = await cpuTimes(pids)
  const endMs = performance.now() + minutes * 60_000
  let highest = 0
  let moved = 0
  let asked = 0
  const wire = await Wire.open(portOf(mesh, OBSERVER))
  while (performance.now() < endMs) {
    for (let i = 0; i < 20; i++) {
      asked++
      if (headerOf(await wire.get(WHERE), 'x-atoll-datacenter') !== 'us-1') moved++
      await sleep(100)
    }
    highest = Math.max(highest, ...(await scores(mesh)).map(({ score }) => score))
  }
  wire.close()
  const share0 = cpuShare(cpuBefore, await cpuTimes(pids))
  const said = (await logged(mesh)).flatMap((lines, i) => lines.slice(before[i]!.length))
  for (const line of said) note(line)
  const percent = (value: number): string => `${(value * 100).toFixed(0)} %`
  return {
    what: `${minutes} min, ${burners} burners of ${percent(share)}; the mesh took ${percent(share0.processes)}, all together ${percent(share0.machine)} of the machine`,
    measured: `${said.length} false alarms; ${moved} of ${asked} \`nearest\` elsewhere; highest doubt ${highest}`,
    bar: '0 false alarms',
    met: said.length === 0,
  }
}

async function scores(mesh: TestMesh): Promise<{ state: string; score: number }[]> {
  const all = await Promise.all(
    mesh.servers().map(async (node) => {
      const { body } = await mesh.get(node, '/v1/mesh', { timeoutMs: 10_000 })
      const { Datacenters, Doubt } = body as { Datacenters: { State: string }[]; Doubt: { Score: number } }
      return Datacenters.map(({ State }) => ({ state: State, score: Doubt.Score }))
    }),
  )
  return all.flat()
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '4' },
      minutes: { type: 'string', default: '30' },
      burners: { type: 'string', default: '2' },
      share: { type: 'string', default: '1' },
    },
    strict: false,
  })
  await report(() =>
    liveness({
      rounds: Number(values.rounds),
      minutes: Number(values.minutes),
      burners: Number(values.burners),
      share: Number(values.share),
    }),
  )
}
