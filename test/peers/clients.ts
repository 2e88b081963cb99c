/**
 * The test suites of other people's Consul clients, unchanged, against Atoll on the PATH as `consul`. Needs Go, or Python
 * with pip, and their registries; some minutes each. `debian` takes seconds, and python3-consul only.
 *
 *   node test/peers/clients.ts [--suites go,python,debian] [--run pattern] [--parallel 3] [--json]
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { consulOnPath } from './clients/consul.ts'
import { debianSuite } from './clients/debian.ts'
import { goSuite, type SuiteOptions } from './clients/go.ts'
import { pythonSuite } from './clients/python.ts'
import { killLeftovers, type Outcome, table } from './clients/suite.ts'

const SUITES: Readonly<Record<string, (options: SuiteOptions) => Promise<Outcome[]>>> = {
  go: goSuite,
  python: pythonSuite,
  debian: debianSuite,
}

const { values } = parseArgs({
  options: {
    suites: { type: 'string', default: Object.keys(SUITES).join(',') },
    run: { type: 'string', default: '.' },
    parallel: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})
const folder = await mkdtemp(join(tmpdir(), 'atoll-clients-'))
const { path, pids } = await consulOnPath(folder)
const outcomes: Outcome[] = []
try {
  for (const name of values.suites.split(',')) {
    const suite = SUITES[name]
    if (suite === undefined)
      throw new Error(`--suites: there is no ${name}; there are ${Object.keys(SUITES).join(', ')}`)
    const own = join(folder, name)
    await mkdir(own)
    outcomes.push(...(await suite({ folder: own, path, run: values.run, parallel: Number(values.parallel) })))
  }
  console.log(values.json ? JSON.stringify(outcomes) : table(outcomes))
} finally {
  await killLeftovers(pids)
  await rm(folder, { recursive: true, force: true })
}
process.exitCode = outcomes.some(({ result }) => result === 'failed') ? 1 : 0
