/**
 * Health look-ups of ten instances (24 KB) over 1,000 URLs while 100 services a second change elsewhere, against a bare
 * Hono app that sends the same bytes and takes the same changes without keeping them; interleaved, on each runtime. The
 * bar: 60 %.
 *
 *   node test/bench/http.ts [--fake] [--runtimes node,deno,bun] [--rounds 3] [--seconds 3] [--changes 100]
 *
 * `--fake` measures the HTTP face alone, over a mesh that is only a map.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { LoadResult } from './http/load.ts'
import { metaOfBench } from './http/services.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const bin = (name: string): string => join(root, 'node_modules/.bin', name)
const file = (name: string): string => join(root, 'test/bench/http', name)
const RUN: Readonly<Record<string, readonly string[]>> = {
  node: [bin('node')],
  deno: [bin('deno'), 'run', '-A'],
  bun: [bin('bun')],
}
const SERVICES = 1_000
const CONNECTIONS = 32
const PATH = `/v1/health/service/web-{${SERVICES}}?passing`

const { values: flags } = parseArgs({
  options: {
    fake: { type: 'boolean', default: false },
    runtimes: { type: 'string', default: 'node,deno,bun' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    changes: { type: 'string', default: '100' },
  },
})

interface Server {
  readonly port: number
  readonly process: ChildProcess
}

async function start(
  runtime: string,
  args: readonly string[],
  portOf: (line: string) => number | undefined,
): Promise<Server> {
  const [command = '', ...first] = RUN[runtime]!
  const child = spawn(command, [...first, ...args], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      for (const line of text.split('\n')) {
        const port = portOf(line)
        if (port) resolve({ port, process: child })
      }
    })
    child.once('exit', (code) => reject(new Error(`${runtime} ${args.join(' ')} ended with ${code}: ${text}`)))
  })
}

const jsonPort = (line: string): number | undefined => (line.startsWith('{"port"') ? JSON.parse(line).port : undefined)

async function startAtoll(runtime: string): Promise<Server> {
  if (flags.fake) return start(runtime, [file('fake.ts')], jsonPort)
  const port = 18_000 + Math.floor(Math.random() * 10_000)
  const args = [
    'src/main.ts',
    'agent',
    '--dev',
    '--http-port',
    String(port),
    '--dns-port',
    '0',
    '--port',
    '0',
    '--node',
    'bench',
  ]
  const [command = '', ...first] = RUN[runtime]!
  const child = spawn(command, [...first, ...args], { cwd: root, stdio: ['pipe', 'ignore', 'inherit'] })
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/v1/status/leader`).catch(() => undefined)
    if (answer?.ok) break
    if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}`)
    await pause(50)
  }
  await registerAll(port)
  return { port, process: child }
}

async function registerAll(port: number): Promise<void> {
  const todo = Array.from({ length: SERVICES * 10 }, (_, n) => ({ service: `web-${Math.floor(n / 10)}`, i: n % 10 }))
  const worker = async (): Promise<void> => {
    for (let next = todo.pop(); next; next = todo.pop()) await register(port, next.service, next.i)
  }
  await Promise.all(Array.from({ length: 32 }, worker))
}

async function register(port: number, service: string, i: number, more: object = {}): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/catalog/register`, {
    method: 'PUT',
    body: JSON.stringify({
      Node: `node-${i}`,
      Address: `10.0.0.${i}`,
      SkipNodeUpdate: true,
      Service: { ID: `${service}-${i}`, Service: service, Port: 8080, Tags: ['v1'], Meta: metaOfBench(i), ...more },
      Check: { CheckID: `${service}-${i}`, Name: 'alive', Status: 'passing', ServiceID: `${service}-${i}` },
    }),
  })
  if (!answer.ok) throw new Error(`register: ${answer.status} ${await answer.text()}`)
  await answer.arrayBuffer()
}

/** Other services that change all the time. */
function changeElsewhere(port: number): () => Promise<void> {
  const perSecond = Number(flags.changes)
  if (flags.fake || perSecond === 0) return async () => {}
  const underWay = new Set<Promise<void>>()
  let n = 0
  const timer = setInterval(() => {
    n++
    const change = register(port, `busy-${n % 50}`, 11, { Port: n }).finally(() => underWay.delete(change))
    underWay.add(change)
  }, 1000 / perSecond)
  return async () => {
    clearInterval(timer)
    await Promise.all(underWay)
  }
}

interface Measured extends LoadResult {
  /** Processor time of the server, all of its threads, by request; NaN where the machine does not tell. */
  readonly cpuUs: number
}

async function measure(server: Server): Promise<Measured> {
  const args = [file('load.ts'), 'load', String(server.port), String(CONNECTIONS), flags.seconds, PATH]
  const before = cpuMs(server.process.pid!)
  const result = await new Promise<LoadResult>((resolve, reject) => {
    execFile(bin('node'), args, (error, stdout) => (error ? reject(error) : resolve(JSON.parse(stdout) as LoadResult)))
  })
  const requests = result.requestsPerSecond * Number(flags.seconds)
  return { ...result, cpuUs: ((cpuMs(server.process.pid!) - before) * 1000) / requests }
}

/** Both are sent the same changes: what sending them takes of the two cores is nobody's merit. The bare app forgets them. */
async function measureUnderChange(server: Server): Promise<Measured> {
  const stop = changeElsewhere(server.port)
  try {
    return await measure(server)
  } finally {
    await stop()
  }
}

/** Processor time of a process and its children, from /proc. */
function cpuMs(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
    return (
      (Number(fields[11]) + Number(fields[12])) * 10 + children.reduce((sum, child) => sum + cpuMs(Number(child)), 0)
    )
  } catch {
    return Number.NaN
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!

async function compare(runtime: string, directory: string): Promise<number> {
  const atoll = await startAtoll(runtime)
  const body = await fetch(`http://127.0.0.1:${atoll.port}${PATH.replace(/\{\d+\}/, '7')}`).then((r) => r.arrayBuffer())
  const path = join(directory, 'body.json')
  writeFileSync(path, new Uint8Array(body))
  const bare = await start(runtime, [file('bare.ts'), path, String(SERVICES)], jsonPort)
  const results: { bare: Measured[]; atoll: Measured[] } = { bare: [], atoll: [] }
  try {
    await measure(bare)
    await measure(atoll)
    for (let round = 0; round < Number(flags.rounds); round++) {
      results.bare.push(await measureUnderChange(bare))
      results.atoll.push(await measureUnderChange(atoll))
    }
  } finally {
    for (const { process } of [atoll, bare]) process.kill('SIGKILL')
  }
  const rate = (list: readonly Measured[]): number => median(list.map((result) => result.requestsPerSecond))
  const cpu = (list: readonly Measured[]): string => `${median(list.map((result) => result.cpuUs)).toFixed(1)} µs`
  const ratio = rate(results.atoll) / rate(results.bare)
  const failed = [...results.atoll, ...results.bare].reduce((sum, result) => sum + result.failed, 0)
  const p99 = median(results.atoll.map((result) => result.p99Ms))
  console.log(
    `${runtime.padEnd(5)} ${(body.byteLength / 1024).toFixed(1)} KB  bare ${rate(results.bare).toFixed(0)}/s  atoll ${rate(results.atoll).toFixed(0)}/s` +
      `  p99 ${p99.toFixed(1)} ms  CPU ${cpu(results.bare)}, ${cpu(results.atoll)}  ${(ratio * 100).toFixed(0)} %${ratio < 0.6 ? '  below the bar' : ''}${failed ? `  ${failed} failed` : ''}`,
  )
  return ratio
}

const directory = await mkdtemp(join(tmpdir(), 'atoll-bench-'))
try {
  const ratios: number[] = []
  for (const runtime of flags.runtimes.split(',')) ratios.push(await compare(runtime, directory))
  process.exitCode = ratios.every((ratio) => ratio >= 0.6) ? 0 : 1
} finally {
  await rm(directory, { recursive: true, force: true })
}
