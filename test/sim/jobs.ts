/** Seeds on several processes at once. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Coverage } from './coverage.ts'
import type { SeedsReport } from './seeds.ts'
import { hashOfHashes } from './trace.ts'

export interface JobsOptions {
  readonly jobs: number
  readonly from: number
  readonly seeds: number
  readonly coverage: Coverage
  /** Of run.ts, beside the seeds. */
  readonly args: readonly string[]
}

type JobReport = SeedsReport & { readonly coverage: Readonly<Record<string, number>> }

/** Small, so that progress shows and no job is left with much when the others are done. */
const SLICE = 50

export async function runJobs({ jobs, from, seeds, coverage, args }: JobsOptions): Promise<SeedsReport> {
  const starts = Array.from({ length: Math.ceil(seeds / SLICE) }, (_, i) => from + i * SLICE)
  const reports: JobReport[] = new Array(starts.length)
  let next = 0
  let done = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < starts.length; i = next++) {
      const count = Math.min(SLICE, from + seeds - starts[i]!)
      reports[i] = await runJob([...args, '--from', `${starts[i]}`, '--seeds', `${count}`, '--json'])
      coverage.add(reports[i]!.coverage)
      done += count
      const failed = reports.reduce((sum, report) => sum + (report?.failures.length ?? 0), 0)
      console.log(`${done}/${seeds} seeds, ${failed} failed`)
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
  return sumOf(reports)
}

function runJob(args: readonly string[]): Promise<JobReport> {
  return new Promise((resolve, reject) => {
    const program = fileURLToPath(new URL('run.ts', import.meta.url))
    const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.on('error', reject)
    child.on('close', () => {
      try {
        resolve(JSON.parse(output) as JobReport)
      } catch (cause) {
        reject(new Error('a job ended without a report', { cause }))
      }
    })
  })
}

function sumOf(reports: readonly SeedsReport[]): SeedsReport {
  const sum = (of: (report: SeedsReport) => number): number => reports.reduce((total, report) => total + of(report), 0)
  return {
    seeds: sum(({ seeds }) => seeds),
    steps: sum(({ steps }) => steps),
    events: sum(({ events }) => events),
    virtualMs: sum(({ virtualMs }) => virtualMs),
    longestSettleMs: Math.max(...reports.map(({ longestSettleMs }) => longestSettleMs)),
    failures: reports.flatMap(({ failures }) => failures),
    hash: hashOfHashes(reports.map(({ hash }) => hash)),
  }
}
