/**
 * Twelve datacenters on one machine, started at once: churn, faults in turns, a rolling restart of every node, with a model beside
 * them that knows each right answer. The mesh must not take more than half of the machine, or it is the scheduler that is measured.
 *
 *   node test/bench/mesh-soak.ts [--dcs 12] [--faults 21] [--seed 1] [--write-ms 1000] [--read-ms 200] [--calm-ms 3000] [--only 'cut off']
 *     [--rolling=false] [--debug] [--json]
 */
import { parseArgs } from 'node:util'
import type { TestMesh } from '../cluster/harness.ts'
import { type SoakResult, soak } from '../soak/soak.ts'
import { type CpuShare, type CpuTimes, cpuShareWithEnded, cpuTimes } from './cpu.ts'
import { median, ms, note, type Row, report } from './report.ts'

const CAUGHT_UP_MS = 3000
const CPU_SHARE = 0.5

export interface MeshSoakOptions {
  readonly datacenters: number
  readonly faults: number
  readonly seed: number
  readonly writeEveryMs: number
  readonly readEveryMs: number
  /** Between one fault or restart and the next. */
  readonly calmMs: number
  readonly only?: string
  readonly rolling: boolean
  readonly logLevel: 'debug' | 'info'
}

export async function meshSoak(options: MeshSoakOptions): Promise<Row[]> {
  let from: CpuTimes | undefined
  let share: CpuShare | undefined
  const pids = (mesh: TestMesh): number[] => mesh.local.nodes.flatMap(({ worker }) => worker.pid ?? [])
  const result = await soak({
    name: 'mesh-soak',
    runtimes: ['node', 'bun', 'deno'],
    length: 1,
    quietMs: CAUGHT_UP_MS,
    ...options,
    onStep: note,
    async onPart(part, mesh) {
      const now = await cpuTimes(pids(mesh))
      if (part === 'begin') from = now
      else share = cpuShareWithEnded(from!, now)
    },
  })
  for (const finding of result.findings) note(JSON.stringify(finding))
  for (const line of result.unequal) note(line)
  return rowsOf(options, result, share!)
}

function rowsOf({ datacenters }: MeshSoakOptions, result: SoakResult, share: CpuShare): Row[] {
  const { findings, caughtUp, unequal, answers, writes, oldestMs, formedMs } = result
  const times = caughtUp.map((each) => each.ms)
  const slowest = caughtUp.reduce((most, each) => (each.ms > most.ms ? each : most), caughtUp[0]!)
  const wrong = findings.filter(({ what }) => what !== 'failed')
  const failed = findings.filter(({ what }) => what === 'failed')
  return [
    {
      what: `${datacenters} datacenters on three runtimes, started at once: until every node answers for all`,
      measured: `${(formedMs / 1000).toFixed(1)} s`,
      bar: '',
      met: undefined,
    },
    {
      what: `${caughtUp.length} faults and restarts, ${writes} changes, ${answers} answers judged: wrong ones`,
      measured: `${wrong.length}; ${failed.length} failed at nodes that were well; highest age ${(oldestMs / 1000).toFixed(1)} s`,
      bar: '0 wrong, 0 failed',
      met: findings.length === 0,
    },
    {
      what: 'after the end of a fault, until every node has everything',
      measured: `median ${ms(median(times))} ms, slowest ${ms(slowest.ms)} ms (${slowest.after}; event loops stood still for ${ms(slowest.stalledMs)} ms of it)`,
      bar: `${CAUGHT_UP_MS / 1000} s`,
      met: times.every((each) => each < CAUGHT_UP_MS),
    },
    {
      what: 'replicas that differ once all is quiet',
      measured: String(unequal.length),
      bar: '0',
      met: unequal.length === 0,
    },
    {
      what: 'CPU of the mesh meanwhile, of the whole machine, killed and restarted processes included',
      measured: `${(share.processes * 100).toFixed(0)} %; with all else ${(share.machine * 100).toFixed(0)} %`,
      bar: `< ${CPU_SHARE * 100} %`,
      met: share.processes < CPU_SHARE,
    },
  ]
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      dcs: { type: 'string', default: '12' },
      faults: { type: 'string', default: '21' },
      seed: { type: 'string', default: '1' },
      'write-ms': { type: 'string', default: '1000' },
      'read-ms': { type: 'string', default: '200' },
      'calm-ms': { type: 'string', default: '3000' },
      only: { type: 'string', default: '' },
      rolling: { type: 'string', default: 'true' },
      debug: { type: 'boolean', default: false },
    },
    strict: false,
  })
  await report(() =>
    meshSoak({
      datacenters: Number(values.dcs),
      faults: Number(values.faults),
      seed: Number(values.seed),
      writeEveryMs: Number(values['write-ms']),
      readEveryMs: Number(values['read-ms']),
      calmMs: Number(values['calm-ms']),
      only: String(values.only),
      rolling: values.rolling !== 'false',
      logLevel: values.debug === true ? 'debug' : 'info',
    }),
  )
}
