/**
 * What the store's tests count: acknowledged writes that 30 kills lost, and requests acknowledged before a sync.
 *
 *   node test/bench/durability.ts [--json]
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../topology/runtimes.ts'
import { note, type Row, report } from './report.ts'

interface Outcome {
  readonly title: string
  readonly status: string
  readonly failureMessages: readonly string[]
  readonly meta: { readonly kills?: number; readonly acknowledged?: number; readonly requests?: number }
}

export async function durability(): Promise<Row[]> {
  const outcomes = await runTests('test/store/kill.test.ts', 'test/store/sync.test.ts')
  for (const { title, failureMessages } of outcomes) for (const message of failureMessages) note(`${title}: ${message}`)
  const find = (field: 'kills' | 'requests', title: RegExp): Outcome | undefined =>
    outcomes.find(({ meta }) => meta[field] !== undefined) ?? outcomes.find((outcome) => title.test(outcome.title))
  const kills = find('kills', /kills/)
  const syncs = find('requests', /a sync of the log/)
  return [
    {
      what: 'acknowledged writes lost in 30 kills',
      measured: measured(kills, ({ meta }) => `0 of ${meta.acknowledged} in ${meta.kills} kills`),
      bar: '0',
      met: metOf(kills),
    },
    {
      what: 'requests acknowledged before a sync',
      measured: measured(syncs, ({ meta }) => `0 of ${meta.requests}`),
      bar: '0',
      met: metOf(syncs),
    },
  ]
}

const measured = (outcome: Outcome | undefined, counts: (outcome: Outcome) => string): string =>
  outcome?.status === 'passed' ? counts(outcome) : skipped(outcome) ? 'not measured: no strace' : 'the test failed'

const skipped = (outcome: Outcome | undefined): boolean =>
  outcome?.status === 'skipped' || outcome?.status === 'pending'

const metOf = (outcome: Outcome | undefined): boolean | undefined =>
  skipped(outcome) ? undefined : outcome?.status === 'passed'

async function runTests(...files: string[]): Promise<Outcome[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-bench-'))
  try {
    const output = join(folder, 'tests.json')
    const vitest = join(PROJECT_ROOT, 'node_modules', 'vitest', 'vitest.mjs')
    const args = [vitest, 'run', '--reporter=json', `--outputFile=${output}`, ...files]
    // Failures are in the file.
    await new Promise<void>((resolve) =>
      execFile(process.execPath, args, { cwd: PROJECT_ROOT, env: { ...process.env, ATOLL_KILLS: '30' } }, () =>
        resolve(),
      ),
    )
    const { testResults } = JSON.parse(await readFile(output, 'utf8')) as {
      testResults: readonly { readonly assertionResults: readonly Outcome[] }[]
    }
    return testResults.flatMap(({ assertionResults }) => assertionResults)
  } finally {
    await rm(folder, { recursive: true })
  }
}

if (import.meta.main) await report(durability)
