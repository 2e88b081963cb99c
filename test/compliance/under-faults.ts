/**
 * The whole compliance suite on etcd while its members fail, again and again. A round takes about two minutes.
 *
 *   node test/compliance/under-faults.ts [--minutes 10]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PROJECT_ROOT } from '../../topology/runtimes.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } })
const untilMs = performance.now() + Number(values.minutes) * 60_000
const command = [join(PROJECT_ROOT, 'node_modules/vitest/vitest.mjs'), 'run', 'test/compliance/etcd-faults.test.ts']
let rounds = 0
let failed = 0
do {
  const env = { ...process.env, ATOLL_WHOLE_SUITE: '1' }
  const child = spawn(process.execPath, command, { cwd: PROJECT_ROOT, env, stdio: 'inherit' })
  const [code] = (await once(child, 'exit')) as [number | null]
  rounds++
  if (code !== 0) failed++
} while (performance.now() < untilMs)
console.log(`${rounds} rounds, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
