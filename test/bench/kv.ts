/**
 * Writes and reads of keys over HTTP by 64 clients, every write fsynced before it is acknowledged, against a bare Hono app
 * that keeps them in a map; interleaved, on each runtime. The bars are 1.5 times what a single Consul 1.10 server did on
 * such a machine (10,400 writes a second, 32,000 reads) for writes, and for reads as much as it on Node, 1.5 times on Bun.
 *
 *   node test/bench/kv.ts [--runtimes node,deno,bun] [--rounds 3] [--seconds 3] [--json]
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freePorts } from '../../topology/free-ports.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import { RUNTIMES, type RuntimeName } from '../../topology/schema.ts'
import { sleep } from '../cluster/harness.ts'
import { cpuTimes } from './cpu.ts'
import type { LoadResult } from './http/load.ts'
import { median, note, type Row, report } from './report.ts'

const CLIENTS = 64
const KEYS = 1_000
const VALUE = 'x'.repeat(64)
const CONSUL = { put: 10_400, get: 32_000 }
const FACTOR: Readonly<Record<'put' | 'get', Partial<Record<RuntimeName, number>>>> = {
  put: { node: 1.5, deno: 1.5, bun: 1.5 },
  get: { node: 1, bun: 1.5 },
}
const START_TIMEOUT_MS = 30_000

interface Measured extends LoadResult {
  /** Processor time of the server, all of its threads, by request: what the load of others leaves alone. */
  readonly cpuUs: number
}

interface Server {
  readonly port: number
  readonly process: ChildProcess
}

export async function kv(runtimes: readonly RuntimeName[], rounds: number, seconds: number): Promise<Row[]> {
  const rows: Row[] = []
  for (const runtime of runtimes) rows.push(...(await compare(runtime, rounds, seconds)))
  return rows
}

async function compare(runtime: RuntimeName, rounds: number, seconds: number): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-kv-'))
  const servers: Server[] = []
  try {
    const atoll = await startAtoll(runtime, folder)
    servers.push(atoll)
    const bare = await startBare(runtime)
    servers.push(bare)
    const measured = { atoll: { put: [], get: [] }, bare: { put: [], get: [] } } as Record<
      'atoll' | 'bare',
      Record<'put' | 'get', Measured[]>
    >
    for (let round = 0; round <= rounds; round++) {
      for (const what of ['put', 'get'] as const) {
        for (const [name, server] of [
          ['bare', bare],
          ['atoll', atoll],
        ] as const) {
          const result = await measure(server, what, seconds)
          // The first of each warms up.
          if (round > 0) measured[name][what].push(result)
        }
      }
    }
    return (['put', 'get'] as const).map((what) => rowOf(runtime, what, measured.atoll[what], measured.bare[what]))
  } finally {
    for (const { process } of servers) {
      process.kill('SIGKILL')
      if (process.exitCode === null && process.signalCode === null) await once(process, 'exit')
    }
    await rm(folder, { recursive: true, force: true })
  }
}

function rowOf(runtime: RuntimeName, what: 'put' | 'get', atoll: Measured[], bare: Measured[]): Row {
  const rate = (list: readonly Measured[]): number => median(list.map(({ requestsPerSecond }) => requestsPerSecond))
  const factor = FACTOR[what][runtime]
  const bar = factor === undefined ? undefined : CONSUL[what] * factor
  const failed = [...atoll, ...bare].reduce((sum, result) => sum + result.failed, 0)
  const [ours, theirs] = [rate(atoll), rate(bare)]
  const p99Ms = median(atoll.map((result) => result.p99Ms))
  const cpu = (list: readonly Measured[]): string => `${median(list.map(({ cpuUs }) => cpuUs)).toFixed(0)} µs`
  const measured = `${ours.toFixed(0)}/s, p99 ${p99Ms.toFixed(1)} ms, CPU ${cpu(atoll)} (bare Hono ${theirs.toFixed(0)}/s, ${cpu(bare)})${failed ? `, ${failed} failed` : ''}`
  note(`${runtime} ${what}: ${measured}`)
  return {
    what: `KV ${what}, ${CLIENTS} clients${what === 'put' ? ', fsynced' : ''}: ${runtime}`,
    measured,
    bar: bar === undefined ? '' : `${bar.toFixed(0)}/s`,
    met: bar === undefined ? undefined : ours >= bar && failed === 0,
  }
}

async function measure(server: Server, what: 'put' | 'get', seconds: number): Promise<Measured> {
  const pid = server.process.pid!
  const usedS = async (): Promise<number> => (await cpuTimes([pid])).seconds.get(pid) ?? Number.NaN
  const before = await usedS()
  const result = await load(server.port, what, seconds)
  return { ...result, cpuUs: (((await usedS()) - before) * 1e6) / (result.requestsPerSecond * seconds) }
}

function load(port: number, what: 'put' | 'get', seconds: number): Promise<LoadResult> {
  const args = [join(PROJECT_ROOT, 'test/bench/http/load.ts'), 'load', String(port), String(CLIENTS), String(seconds)]
  args.push(`/v1/kv/bench/{${KEYS}}`)
  if (what === 'put') args.push('PUT', VALUE)
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, (error, stdout) =>
      error ? reject(error) : resolve(JSON.parse(stdout) as LoadResult),
    )
  })
}

async function startAtoll(runtime: RuntimeName, folder: string): Promise<Server> {
  const [http, libp2p] = await freePorts(2)
  const args = ['agent', '--server', '--node', 'bench', '--data-dir', join(folder, 'data')]
  args.push('--http-port', String(http), '--dns-port', '0', '--port', String(libp2p))
  const [file, ...rest] = commandLine(runtime, 'src/main.ts', args)
  const child = spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: ['pipe', 'ignore', 'inherit'] })
  const deadlineMs = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${http}/v1/status/leader`).catch(() => undefined)
    if (answer?.ok && (await answer.json()) !== '') return { port: http!, process: child }
    if (child.exitCode !== null || performance.now() > deadlineMs) {
      child.kill('SIGKILL')
      throw new Error(`the ${runtime} node did not start`)
    }
    await sleep(50)
  }
}

function startBare(runtime: RuntimeName): Promise<Server> {
  const [file, ...rest] = commandLine(runtime, 'test/bench/kv/bare.ts', [])
  const child = spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const port = /"port":(\d+)/.exec(text)?.[1]
      if (port !== undefined) resolve({ port: Number(port), process: child })
    })
    child.once('exit', (code) => reject(new Error(`the bare app on ${runtime} ended with ${code}`)))
  })
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      runtimes: { type: 'string', default: RUNTIMES.join(',') },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      json: { type: 'boolean' },
    },
  })
  const runtimes = values.runtimes.split(',') as RuntimeName[]
  await report(() => kv(runtimes, Number(values.rounds), Number(values.seconds)))
}
