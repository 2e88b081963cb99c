/**
 * Runs seeds of the simulation: `node test/sim/run.ts --seeds 10000 --steps 5000 [--from 1] [--jobs 2]`. One seed again, step
 * by step: `--seed 17 --trace`. With a planted bug: `--bug NAME`. See docs/simulation.md. Exits with 1 when an invariant broke.
 */
import { parseArgs } from 'node:util'
import { loadBug, runEdited } from './bugs.ts'
import { Coverage } from './coverage.ts'
import { runJobs } from './jobs.ts'
import { machines } from './machines.ts'
import { runSeeds, type SeedsReport } from './seeds.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    steps: { type: 'string', default: '5000' },
    datacenters: { type: 'string', default: '20' },
    gateways: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    bug: { type: 'string' },
    'first-failure': { type: 'boolean', default: false },
    /** One line of JSON in place of words. */
    json: { type: 'boolean', default: false },
  },
})

const startedMs = performance.now()
process.exitCode = await main()

async function main(): Promise<number> {
  if (values.bug !== undefined) {
    const { edits, patch } = await loadBug(values.bug)
    if (edits) {
      const at = process.argv.findIndex((arg) => arg === '--bug' || arg.startsWith('--bug='))
      const length = process.argv[at] === '--bug' ? 2 : 1
      return runEdited(edits, process.argv.slice(2).toSpliced(at - 2, length))
    }
    patch?.(machines)
  }
  const coverage = new Coverage()
  const report = await run(coverage)
  if (values.json) console.log(JSON.stringify({ ...report, coverage: coverage.counts }))
  else print(report, coverage)
  return report.failures.length > 0 ? 1 : 0
}

function run(coverage: Coverage): SeedsReport | Promise<SeedsReport> {
  const seeds = values.seed === undefined ? Number(values.seeds) : 1
  const from = Number(values.seed ?? values.from)
  const jobs = Number(values.jobs)
  const mesh = { datacenters: Number(values.datacenters), gateways: Number(values.gateways) }
  if (jobs > 1) return runJobs({ jobs, seeds, from, coverage, args: forwarded() })
  return runSeeds({
    from,
    seeds,
    steps: Number(values.steps),
    ...mesh,
    coverage,
    ...(values['first-failure'] && { maxFailures: 1 }),
    ...(values.trace && { print: (line: string) => console.log(line) }),
    ...(!values.json && !values.trace && { onSeed: progress(from, seeds) }),
  })
}

/** What every job is started with. */
function forwarded(): string[] {
  const args = ['--steps', values.steps, '--datacenters', values.datacenters, '--gateways', values.gateways]
  if (values.bug !== undefined) args.push('--bug', values.bug)
  return args
}

function progress(from: number, seeds: number): (seed: number, failures: number) => void {
  const every = Math.max(1, Math.floor(seeds / 20))
  return (seed, failures) => {
    const done = seed - from + 1
    if (done % every > 0) return
    const seconds = (performance.now() - startedMs) / 1000
    console.log(`${done}/${seeds} seeds, ${seconds.toFixed(0)} s, ${failures} failed`)
  }
}

function print(report: SeedsReport, coverage: Coverage): void {
  const { seeds, steps, events, virtualMs, longestSettleMs, failures, hash } = report
  const microseconds = ((performance.now() - startedMs) * 1000) / Math.max(1, steps)
  console.log(`\n${coverage.table()}\n`)
  console.log(
    `${seeds} seeds, ${steps} steps (${microseconds.toFixed(0)} us each), ${events} events, ` +
      `${(virtualMs / 3_600_000).toFixed(2)} h of virtual time; in order again within ${(longestSettleMs / 1000).toFixed(1)} s`,
  )
  console.log(`trace hash ${hash}`)
  for (const { seed, atMs, message } of failures) console.log(`\nseed ${seed} FAILED at ${atMs} ms: ${message}`)
  const missing = coverage.missing()
  if (missing.length > 0) console.log(`\nnever occurred: ${missing.join(', ')}`)
  console.log(failures.length === 0 ? '\nno invariant broken' : `\n${failures.length} seeds FAILED`)
}
