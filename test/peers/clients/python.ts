/**
 * The tests of py-consul, the Python client that is kept up (Debian's python3-consul is its older self), as its source
 * distribution carries them. They start Consul by Docker: `docker/` starts Atoll in its place. None of the tests is changed.
 */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SuiteOptions } from './go.ts'
import { type Outcome, output, type Skips, skipOf } from './suite.ts'

const PACKAGE = 'py-consul==1.8.0'
const PACKAGES = [PACKAGE, 'pytest', 'pytest-asyncio', 'pytest-rerunfailures', 'requests', 'aiohttp', 'packaging']
const SUITE = 'py-consul'

const SKIPS: Skips = [
  [/acl|token/i, 'access control'],
  [/test_connect|test_config|test_discovery_chain|service_connect|gateway_services/, 'service mesh'],
  [/_peer\b/, 'peering'],
  [/test_operator/, 'steers Raft, or counts what is in it'],
]

export async function pythonSuite({ folder, path, run }: SuiteOptions): Promise<Outcome[]> {
  const cwd = folder
  const python = join(folder, 'venv/bin/python')
  await output('python3', ['-m', 'venv', 'venv'], { cwd, timeoutMs: 120_000 })
  await output(python, ['-m', 'pip', 'install', '-q', ...PACKAGES], { cwd, timeoutMs: 300_000 })
  await output(python, ['-m', 'pip', 'download', '-q', '--no-deps', '--no-binary', ':all:', PACKAGE], {
    cwd,
    timeoutMs: 300_000,
  })
  const archive = (await readdir(folder)).find((name) => name.endsWith('.tar.gz'))
  if (archive === undefined) throw new Error(`pip download ${PACKAGE} gave no source distribution`)
  await output('tar', ['xzf', archive], { cwd, timeoutMs: 60_000 })
  const source = join(folder, archive.replace('.tar.gz', ''))
  // The suite runs every test on three versions of Consul: here there is one.
  await writeFile(join(folder, 'pytest.ini'), '[pytest]\nasyncio_mode = auto\n')
  const env = { PATH: `${path}:${process.env.PATH}`, PYTHONPATH: join(import.meta.dirname) }
  const args = ['-m', 'pytest', '-c', join(folder, 'pytest.ini'), '--rootdir', source, 'tests', '-v', '--tb=short']
  const told = await output(python, [...args, '-k', run === '.' ? FIRST_VERSION : `${FIRST_VERSION} and (${run})`], {
    cwd: source,
    env,
    timeoutMs: 1_800_000,
  })
  return outcomesOf(told)
}

/** Tests that have no version at all run, too. */
const FIRST_VERSION = 'not 1.20.6 and not 1.22.0'

function outcomesOf(told: string): Outcome[] {
  const outcomes: Outcome[] = []
  for (const [, test, result] of told.matchAll(/^(tests\/\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED|RERUN)/gm)) {
    const skip = skipOf(test!, SKIPS)
    if (skip !== undefined && result !== 'PASSED') {
      outcomes.push({ suite: SUITE, test: test!, result: 'skipped', reason: skip })
    } else if (result !== 'RERUN') {
      const name = test!.split('::').at(-1)!.replace(/\[.*/, '')
      const at = told.indexOf(`_ ${name}`) < 0 ? told.indexOf(`.${name}`) : told.indexOf(`_ ${name}`)
      const failed = result === 'FAILED' || result === 'ERROR'
      outcomes.push({
        suite: SUITE,
        test: test!,
        result: failed ? 'failed' : result === 'SKIPPED' ? 'skipped' : 'passed',
        reason: failed ? told.slice(at, at + 1_200) : result === 'SKIPPED' ? 'the suite skips it itself' : '',
      })
    }
  }
  if (outcomes.length === 0) throw new Error(told.slice(-2_000))
  return outcomes
}
