/**
 * A hundred thousand instances to an empty replica, over an emulated WAN: how long it takes, and how long it holds the event
 * loops of both sides; then the start of the reader from its disk while the other side is away.
 *
 *   node test/bench/repair.ts [--instances 100000] [--rtt 80] [--mbps 100] [--runtimes node,bun,deno] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freePorts } from '../../topology/free-ports.ts'
import { LineSplitter, parseLine } from '../../topology/json-lines.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import type { RuntimeName } from '../../topology/schema.ts'
import { sleep } from '../cluster/harness.ts'
import { SERVICES, serviceOf } from './repair/fill.ts'
import type { NodeSettings } from './repair/node.ts'
import type { Watched } from './repair/watch.ts'
import { ms, note, type Row, report } from './report.ts'

const BAR_MS = 5000
const STALL_MS = 20
const GIVE_UP_MS = 120_000
const POLL_MS = 10

class Server {
  readonly settings: NodeSettings
  readonly #process: ChildProcess
  readonly #waiting = new Map<string, (event: Record<string, unknown>) => void>()

  readonly #failed = Promise.withResolvers<never>()

  constructor(runtime: RuntimeName, settings: NodeSettings) {
    this.settings = settings
    this.#failed.promise.catch(() => {})
    const [file, ...args] = commandLine(runtime, 'test/bench/repair/node.ts')
    this.#process = spawn(file!, args, { cwd: PROJECT_ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = new LineSplitter((line) => {
      const event = parseLine(line) as Record<string, unknown> | undefined
      if (event?.event === 'failed') this.#failed.reject(new Error(String(event.error)))
      if (event) this.#waiting.get(String(event.event))?.(event)
    })
    this.#process.stdout!.on('data', (chunk: Uint8Array) => lines.push(chunk))
    this.#send({ start: settings })
  }

  #send(order: object): void {
    this.#process.stdin!.write(`${JSON.stringify(order)}\n`)
  }

  event(name: string): Promise<Record<string, unknown>> {
    return Promise.race([this.#failed.promise, this.#next(name)])
  }

  #next(name: string): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no "${name}" within ${GIVE_UP_MS / 1000} s`)), GIVE_UP_MS)
      this.#waiting.set(name, (event) => {
        clearTimeout(timer)
        resolve(event)
      })
    })
  }

  async watched(): Promise<Watched> {
    const told = this.event('watched')
    this.#send({ ask: 'watched' })
    return (await told) as unknown as Watched
  }

  async get(path: string): Promise<{ status: number; body: unknown; headers: Headers }> {
    const response = await fetch(`http://127.0.0.1:${this.settings.httpPort}${path}`, {
      signal: AbortSignal.timeout(GIVE_UP_MS),
    })
    return { status: response.status, body: await response.json().catch(() => undefined), headers: response.headers }
  }

  async put(path: string): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${this.settings.httpPort}${path}`, { method: 'PUT' })
    if (!response.ok) throw new Error(`PUT ${path}: ${response.status} ${await response.text()}`)
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    this.#process.kill('SIGKILL')
    await once(this.#process, 'exit')
  }
}

interface Options {
  readonly instances: number
  readonly rttMs: number
  readonly bandwidthMbps: number
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + GIVE_UP_MS
  while (!(await condition().catch(() => false))) {
    if (performance.now() > endMs) throw new Error(`${what}: not within ${GIVE_UP_MS / 1000} s`)
    await sleep(POLL_MS)
  }
}

/** By a question whose answer is short: what the bench asks holds the event loop too. */
async function hasReplica(server: Server): Promise<boolean> {
  const { status, headers } = await server.get('/v1/health/service/no-such?dc=eu-1&stale')
  return status === 200 && headers.get('x-atoll-source') === 'replica'
}

const replicaOf = async (server: Server): Promise<{ Entries?: number } | undefined> => {
  const { body } = await server.get('/v1/mesh')
  const { Datacenters } = body as { Datacenters: { Datacenter: string; Replica?: { Entries?: number } }[] }
  return Datacenters.find(({ Datacenter }) => Datacenter === 'eu-1')?.Replica
}

/** Whether a service of the origin is answered whole. */
async function answersWhole(server: Server, instances: number): Promise<boolean> {
  const { status, body } = await server.get(`/v1/health/service/${serviceOf(7)}?dc=eu-1&stale`)
  const expected = Math.ceil((instances - 7) / SERVICES)
  return status === 200 && Array.isArray(body) && body.length === expected
}

export async function repair(runtime: RuntimeName, options: Options): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-repair-'))
  const [originHttp, originPort, readerHttp, readerPort] = await freePorts(4)
  const { instances, rttMs, bandwidthMbps } = options
  const link = { rttMs, bandwidthMbps, cut: false }
  const origin = new Server(runtime, {
    datacenter: 'eu-1',
    dataDirectory: join(folder, 'eu-1'),
    httpPort: originHttp!,
    libp2pPort: originPort!,
    join: [],
    instances,
    link,
  })
  const readerSettings: NodeSettings = {
    datacenter: 'us-1',
    dataDirectory: join(folder, 'us-1'),
    httpPort: readerHttp!,
    libp2pPort: readerPort!,
    join: [],
    instances: 0,
    link,
  }
  const servers = [origin]
  try {
    const { tookMs: originMs, address } = await origin.event('ready')
    await sleep(3000)
    const originStart = await origin.watched()
    const reader = new Server(runtime, readerSettings)
    servers.push(reader)
    await reader.event('ready')
    await sleep(2000)
    await Promise.all([reader.watched(), origin.watched()])

    const beganMs = performance.now()
    const joined = reader.put(`/v1/agent/join/${encodeURIComponent(String(address).replace(/\/p2p\/.*/, ''))}`)
    await joined
    await until('the replica', () => hasReplica(reader))
    const tookMs = performance.now() - beganMs
    const [received, sent] = await Promise.all([reader.watched(), origin.watched()])
    const entries = (await replicaOf(reader))?.Entries ?? 0
    if (entries < 3 * instances) throw new Error(`the replica holds ${entries} entries, not ${3 * instances}`)
    await until('a whole answer', () => answersWhole(reader, instances))
    const answeredMs = performance.now() - beganMs
    const answered = await reader.watched()
    note(`${runtime}: replica after ${ms(tookMs)} ms, a whole answer after ${ms(answeredMs)} ms`)

    // Until it is on the disk.
    await sleep(8000)
    const saved = await reader.watched()
    await origin.kill()
    await reader.kill()
    const again = new Server(runtime, { ...readerSettings, join: [String(address)] })
    servers.push(again)
    const { tookMs: restoredMs } = await again.event('ready')
    await until('an answer from the disk', () => answersWhole(again, instances))
    const restored = await again.watched()
    const rows: [string, Watched][] = [
      [`origin's start (${ms(Number(originMs))} ms)`, originStart],
      ['origin sending', sent],
      ['replica receiving', received],
      ['first answers from the replica', answered],
      ['replica writing to disk', saved],
      [`start from disk (${ms(Number(restoredMs))} ms)`, restored],
    ]
    return [
      {
        what: `${instances} instances (${3 * instances} entries) to an empty replica over ${rttMs} ms and ${bandwidthMbps} Mbit/s: ${runtime}`,
        measured: `${ms(tookMs)} ms, answered from after ${ms(answeredMs)} ms`,
        bar: `< ${BAR_MS} ms`,
        met: answeredMs < BAR_MS,
      },
      ...rows.map(([what, watched]) => stallRow(`${runtime}: ${what}`, watched)),
    ]
  } finally {
    await Promise.all(servers.map((server) => server.kill()))
    await rm(folder, { recursive: true, force: true })
  }
}

function stallRow(what: string, { stallMs, busyMs, over, collectMs, peakMb }: Watched): Row {
  const details = [
    ...(busyMs === undefined ? [] : [`${ms(busyMs)} ms of its own CPU`]),
    ...(collectMs === undefined ? [] : [`longest garbage collection ${ms(collectMs)} ms`]),
    `${over} above ${STALL_MS} ms`,
    `${Math.round(peakMb)} MB at most`,
  ]
  return {
    what: `longest hold of the event loop, ${what}`,
    measured: `${ms(stallMs)} ms (${details.join(', ')})`,
    bar: `< ${STALL_MS} ms`,
    met: Math.min(stallMs, busyMs ?? stallMs) < STALL_MS,
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      instances: { type: 'string', default: '100000' },
      rtt: { type: 'string', default: '80' },
      mbps: { type: 'string', default: '100' },
      runtimes: { type: 'string', default: 'node,bun,deno' },
    },
    strict: false,
  })
  const options = { instances: Number(values.instances), rttMs: Number(values.rtt), bandwidthMbps: Number(values.mbps) }
  await report(async () => {
    const rows: Row[] = []
    for (const runtime of String(values.runtimes).split(','))
      rows.push(...(await repair(runtime as RuntimeName, options)))
    return rows
  })
}
