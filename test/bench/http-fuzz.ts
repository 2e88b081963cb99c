/**
 * A million malformed HTTP requests against a node in a process of its own, on each runtime: it neither ends, nor grows, nor
 * answers what says that something inside went wrong.
 *
 *   node test/bench/http-fuzz.ts [--runtimes node,deno,bun] [--requests 1000000] [--connections 800] [--seed 1] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { SeededRandom } from '../../src/runtime/virtual.ts'
import { freePorts } from '../../topology/free-ports.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import { RUNTIMES, type RuntimeName } from '../../topology/schema.ts'
import { sleep } from '../cluster/harness.ts'
import { httpFuzz, tidyUp } from '../support/http-fuzz.ts'
import { note, type Row, report } from './report.ts'

const BLOCKS = 10
const BAR_MB = 80
const BAR_DESCRIPTORS = 20
const SETTLE_MS = 1_000
/** Where memory is compared: garbage of what came is collected some time after it. */
const COLLECT_MS = 30_000

async function fuzzed(runtime: RuntimeName, requests: number, connections: number, seed: number): Promise<Row[]> {
  const [http, libp2p] = await freePorts(2)
  const args = ['agent', '--dev', '--node', 'fuzz', '--log-level', 'error', '--dns-port', '0']
  const [file, ...rest] = commandLine(runtime, 'src/main.ts', [
    ...args,
    '--http-port',
    `${http}`,
    '--port',
    `${libp2p}`,
  ])
  const child = spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: ['pipe', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-20_000)))
  try {
    await started(http!, child)
    const random = new SeededRandom(seed)
    const statuses = new Map<number, number>()
    const refusals = new Map<string, number>()
    const faults: string[] = []
    let sent = 0
    let before = { megabytes: 0, descriptors: 0 }
    const beganMs = performance.now()
    for (let block = 0; block < BLOCKS; block++) {
      const result = await httpFuzz({ port: http!, random, requests: requests / BLOCKS, connections })
      sent += result.sent
      faults.push(...result.faults)
      add(statuses, result.statuses)
      add(refusals, result.refusals)
      await tidyUp(http!)
      const compared = block === BLOCKS / 2 - 1 || block === BLOCKS - 1
      await sleep(compared ? COLLECT_MS : SETTLE_MS)
      const now = await held(child.pid!)
      // The first half fills what is bounded: caches, pools, the heap's own room.
      if (block === BLOCKS / 2 - 1) before = now
      note(
        `${runtime}: ${sent} sent, ${now.megabytes.toFixed(0)} MB, ${now.descriptors} descriptors, ${faults.length} faults`,
      )
    }
    const after = await held(child.pid!)
    const seconds = (performance.now() - beganMs) / 1000
    note(
      [...statuses]
        .sort(([a], [b]) => a - b)
        .map(([status, count]) => `${status}: ${count}`)
        .join(', '),
    )
    for (const [text, count] of [...refusals].sort(([, a], [, b]) => b - a)) note(`500, ${count} times: ${text}`)
    for (const fault of faults.slice(0, 10)) note(fault)
    if (log !== '') note(log.slice(-3_000))
    const alive = child.exitCode === null && (await fetch(`http://127.0.0.1:${http}/v1/status/leader`)).ok
    const grown = after.megabytes - before.megabytes
    return [
      row(
        `${sent} malformed requests in ${seconds.toFixed(0)} s, ${runtime}: lives and answers`,
        String(alive),
        'true',
        alive,
      ),
      row(`... answers of inner faults, ${runtime}`, String(faults.length), '0', faults.length === 0),
      row(
        `... growth of resident memory in the second half, ${runtime}`,
        `${grown.toFixed(0)} MB to ${after.megabytes.toFixed(0)} MB`,
        `< ${BAR_MB} MB`,
        grown < BAR_MB,
      ),
      row(
        `... open descriptors, ${runtime}`,
        `${after.descriptors} (${before.descriptors} before)`,
        `+ ${BAR_DESCRIPTORS}`,
        after.descriptors - before.descriptors <= BAR_DESCRIPTORS,
      ),
    ]
  } finally {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
}

function add<K>(to: Map<K, number>, counts: ReadonlyMap<K, number>): void {
  for (const [key, count] of counts) to.set(key, (to.get(key) ?? 0) + count)
}

const row = (what: string, measured: string, bar: string, met: boolean): Row => ({ what, measured, bar, met })

async function held(pid: number): Promise<{ megabytes: number; descriptors: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1])
  return { megabytes: (kilobytes * 1024) / 1e6, descriptors: (await readdir(`/proc/${pid}/fd`)).length }
}

async function started(port: number, child: ChildProcess): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if ((await fetch(`http://127.0.0.1:${port}/v1/status/leader`).catch(() => undefined))?.ok) return
    if (child.exitCode !== null) break
    await sleep(50)
  }
  throw new Error('the node did not start')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      runtimes: { type: 'string', default: RUNTIMES.join(',') },
      requests: { type: 'string', default: '1000000' },
      connections: { type: 'string', default: '800' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean' },
    },
  })
  await report(async () => {
    const rows: Row[] = []
    for (const runtime of values.runtimes.split(',') as RuntimeName[]) {
      rows.push(...(await fuzzed(runtime, Number(values.requests), Number(values.connections), Number(values.seed))))
    }
    return rows
  })
}
