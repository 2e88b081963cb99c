/**
 * Debian's python3-consul. Its package and its source package carry no tests, so that this project's own script (`debian.py`)
 * drives every group of its API.
 */
import { join } from 'node:path'
import { startNode } from '../../../src/node.ts'
import { pathOf } from '../process.ts'
import type { SuiteOptions } from './go.ts'
import { type Outcome, output } from './suite.ts'

const SUITE = 'python3-consul (Debian)'

export async function debianSuite({ folder, run }: SuiteOptions): Promise<Outcome[]> {
  const python = pathOf('python3')
  if (python === undefined) throw new Error('python3-consul is not there: apt-get install python3-consul')
  const node = await startNode({
    node: 'n1',
    datacenter: 'dc1',
    dataDirectory: join(folder, 'data'),
    server: true,
    http: { port: 0 },
    dns: { port: 0 },
    federation: { port: 0 },
    log: { level: 'error' },
  })
  try {
    const script = join(import.meta.dirname, 'debian.py')
    const told = await output(python, [script, new URL(node.httpAddress).port], { cwd: folder, timeoutMs: 120_000 })
    const outcomes = outcomesOf(told)
    if (outcomes.length === 0) throw new Error(told)
    return outcomes.filter(({ test }) => new RegExp(run).test(test))
  } finally {
    await node.stop()
  }
}

const outcomesOf = (told: string): Outcome[] =>
  [...told.matchAll(/^(PASSED|FAILED) (\S+) ?(.*)$/gm)].map(([, result, test, reason]) => ({
    suite: SUITE,
    test: test!,
    result: result === 'PASSED' ? 'passed' : 'failed',
    reason: reason!,
  }))
