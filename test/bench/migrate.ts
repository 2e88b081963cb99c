/**
 * How long `atoll store migrate` takes, and in how much memory: a datacenter of so many instances, each on a node of its own and with
 * a check, from the embedded store to etcd (one member) and back.
 *
 *   node test/bench/migrate.ts [--instances 100000] [--runtime node] [--json]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import type { RuntimeName } from '../../topology/schema.ts'
import { sleep } from '../cluster/harness.ts'
import { startEtcd } from '../support/etcd.ts'
import { fill } from './repair/fill.ts'
import { note, type Row, report } from './report.ts'

/** A store in memory would take more for so many instances. */
const MEMORY_MB = 300
const POLL_MS = 20

interface Moved {
  readonly entries: number
  readonly sha256: string
  readonly tookS: number
  readonly peakMb: number
}

export async function migrate(instances: number, runtime: RuntimeName): Promise<Row[]> {
  const root = await mkdtemp(join(tmpdir(), 'atoll-bench-'))
  const etcd = await startEtcd(1, { flags: ['--quota-backend-bytes', String(4 * 2 ** 30)] })
  try {
    const [data, back, url] = [join(root, 'data'), join(root, 'back'), `etcd://${etcd.addresses[0]}`]
    await fill(join(data, 'store'), instances)
    note(`${instances} instances are there`)
    const there = await move(runtime, data, url)
    const returned = await move(runtime, url, back)
    if (there.sha256 !== returned.sha256) throw new Error('what came back is not what went')
    return [
      row(`${instances} instances from the embedded store to etcd: ${runtime}`, there),
      row(`and back: ${runtime}`, returned),
    ]
  } finally {
    await etcd.destroy()
    await rm(root, { recursive: true, force: true })
  }
}

const row = (what: string, { entries, tookS, peakMb }: Moved): Row => ({
  what,
  measured: `${tookS.toFixed(1)} s, ${entries} entries (${Math.round(entries / tookS)}/s), at most ${Math.round(peakMb)} MB`,
  bar: `< ${MEMORY_MB} MB`,
  met: peakMb < MEMORY_MB,
})

async function move(runtime: RuntimeName, from: string, to: string): Promise<Moved> {
  const args = ['store', 'migrate', '--dc', 'eu-1', '--from', from, '--to', to, '--json']
  const [file, ...rest] = commandLine(runtime, 'src/main.ts', args)
  const startMs = performance.now()
  const child = spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  let peakMb = 0
  const exited = once(child, 'close')
  while (child.exitCode === null && child.signalCode === null) {
    peakMb = Math.max(peakMb, await peakOf(child.pid!))
    await Promise.race([exited, sleep(POLL_MS)])
  }
  await exited
  if (child.exitCode !== 0) throw new Error(`atoll store migrate ended with ${child.exitCode}`)
  const told = JSON.parse(out) as { Entries: number; Sha256: string }
  return { entries: told.Entries, sha256: told.Sha256, tookS: (performance.now() - startMs) / 1000, peakMb }
}

/** The most memory that a process had resident, in MB; 0 where Linux does not tell. */
async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { instances: { type: 'string', default: '100000' }, runtime: { type: 'string', default: 'node' } },
    strict: false,
  })
  await report(() => migrate(Number(values.instances), values.runtime as RuntimeName))
}
