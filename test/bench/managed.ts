/**
 * Three commands to a highly available datacenter: how long after they were given a first write is acknowledged, and one through each
 * of the servers. New data directories in each round; all on this machine.
 *
 *   node test/bench/managed.ts [--rounds 5] [--runtime node] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freePorts } from '../../topology/free-ports.ts'
import { ask } from '../../topology/node-api.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import type { RuntimeName } from '../../topology/schema.ts'
import { sleep } from '../cluster/harness.ts'
import { median, note, type Row, report } from './report.ts'

const SERVERS = 3
const BAR_S = 10
const GIVE_UP_S = 120
const POLL_MS = 50

interface Took {
  readonly firstS: number
  readonly allS: number
}

export async function managed(rounds: number, runtime: RuntimeName): Promise<Row[]> {
  const took: Took[] = []
  for (let i = 0; i < rounds; i++) {
    took.push(await round(runtime))
    note(`round ${i + 1}: ${took.at(-1)!.firstS.toFixed(1)} s, all ${took.at(-1)!.allS.toFixed(1)} s`)
  }
  return [
    row(
      `three commands to the first write: ${runtime}`,
      took.map(({ firstS }) => firstS),
    ),
    row(
      `and to a write through each server: ${runtime}`,
      took.map(({ allS }) => allS),
    ),
  ]
}

const row = (what: string, seconds: readonly number[]): Row => ({
  what,
  measured: `median of ${seconds.length}: ${median(seconds).toFixed(1)} s (${Math.min(...seconds).toFixed(1)} to ${Math.max(...seconds).toFixed(1)})`,
  bar: `< ${BAR_S} s`,
  met: median(seconds) < BAR_S,
})

async function round(runtime: RuntimeName): Promise<Took> {
  const root = await mkdtemp(join(tmpdir(), 'atoll-bench-'))
  const ports = await freePorts(SERVERS * 4)
  const children: ChildProcess[] = []
  try {
    const startMs = performance.now()
    const servers = Array.from({ length: SERVERS }, (_, i) => {
      const [http, libp2p, client, peer] = ports.slice(i * 4).map(String) as [string, string, string, string]
      const own = ['--server', '--dc', 'eu-1', '--node', `s${i}`, '--data-dir', join(root, `s${i}`), '--dns-port', '-1']
      const store = ['--store', 'etcd:managed', '--servers', String(SERVERS)]
      const listen = ['--http-port', http, '--port', libp2p, '--etcd-client-port', client, '--etcd-peer-port', peer]
      const joins = i === 0 ? [] : ['--join', `127.0.0.1:${ports[1]}`]
      const [file, ...args] = commandLine(runtime, 'src/main.ts', ['agent', ...own, ...store, ...listen, ...joins])
      children.push(spawn(file!, args, { cwd: PROJECT_ROOT, stdio: ['ignore', 'ignore', 'inherit'] }))
      return `http://127.0.0.1:${http}/v1/kv/s${i}`
    })
    const writes = servers.map(async (url) => {
      while (!(await isWritten(url))) {
        if (performance.now() - startMs > GIVE_UP_S * 1_000) throw new Error(`no write within ${GIVE_UP_S} s: ${url}`)
        await sleep(POLL_MS)
      }
      return (performance.now() - startMs) / 1_000
    })
    const seconds = await Promise.all(writes)
    return { firstS: Math.min(...seconds), allS: Math.max(...seconds) }
  } finally {
    for (const child of children) child.kill('SIGTERM')
    await Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')))
    await rm(root, { recursive: true, force: true })
  }
}

/** Whether a write was acknowledged. */
const isWritten = (url: string): Promise<boolean> =>
  ask(url, { method: 'PUT', body: 'x', timeoutMs: 2_000 }).then(
    ({ status }) => status === 200,
    () => false,
  )

if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '5' }, runtime: { type: 'string', default: 'node' } },
    strict: false,
  })
  await report(() => managed(Number(values.rounds), values.runtime as RuntimeName))
}
