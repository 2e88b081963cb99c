/**
 * What a thousand client nodes cost the one server of their datacenter: memory and processor time while nothing happens,
 * the time until all of them know of a change, and processor time under changes without end. The clients are real as far
 * as the server notices (libp2p, signs of life, distances, summaries), many to a process.
 *
 * It ends within eight minutes: clients that are not there after two and a half are left out, and told of.
 *
 *   node test/bench/clients.ts [--clients 1000] [--processes 4] [--runtime node] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { freePorts } from '../../topology/free-ports.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import type { RuntimeName } from '../../topology/schema.ts'
import { sleep } from '../cluster/harness.ts'
import { cpuShare, cpuTimes } from './cpu.ts'
import { median, ms, note, type Row, report } from './report.ts'

/** Bars for one client, or for all of them on one core. */
const RSS_KB = 400
const IDLE_SHARE = 0.35
const KNOWN_MS = 5_000
const CHURN_SHARE = 0.75

const MESH = 'bench-clients'
const SETTLE_S = 45
const MEASURE_S = 20
const ROUNDS = 5
const CHANGES_A_SECOND = 10
/** Who has not registered by then is left out. */
const START_MS = 150_000
/** A change that is not known to all by then never is. */
const MAX_KNOWN_MS = 30_000

interface Options {
  readonly clients: number
  readonly processes: number
  readonly runtime: RuntimeName
}

export async function clients({ clients: count, processes, runtime }: Options): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-clients-'))
  const [http, libp2p] = await freePorts(2)
  const started: ChildProcess[] = []
  try {
    const server = startServer(runtime, folder, http!, libp2p!)
    started.push(server)
    const base = `http://127.0.0.1:${http}`
    await answers(base)
    await sleep(5_000)
    const emptyKb = await residentKb(server)
    const beganMs = performance.now()
    const children = Array.from({ length: processes }, (_, i) => {
      const each = Math.ceil(count / processes)
      return new Clients(i * each, Math.min(each, count - i * each), `/ip4/127.0.0.1/tcp/${libp2p}`)
    })
    started.push(...children.map(({ process }) => process))
    const registered = await untilRegistered(children, count, beganMs + START_MS)
    const connectedS = (performance.now() - beganMs) / 1000
    note(`${registered} of ${count} clients connected and registered after ${connectedS.toFixed(0)} s`)
    await sleep(SETTLE_S * 1000)
    const idle = await share(server, MEASURE_S)
    const fullKb = await residentKb(server)
    const known: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      known.push(await untilKnown(base, children, `probe-${round}`))
      note(`a change is known to all after ${ms(known.at(-1)!)} ms`)
      await sleep(3_000)
    }
    const churn = await underChurn(server, base)
    const on = `${registered} clients of one server on ${runtime}`
    const eachKb = (fullKb - emptyKb) / registered
    return [
      row(`resident memory for each client, ${on}`, `${eachKb.toFixed(0)} KB`, `< ${RSS_KB} KB`, eachKb < RSS_KB),
      { what: 'that server in all', measured: `${(fullKb / 1024).toFixed(0)} MB`, bar: '', met: undefined },
      row(`processor time while nothing happens, ${on}`, percent(idle), `< ${percent(IDLE_SHARE)}`, idle < IDLE_SHARE),
      row(
        `a change until all clients know of it, ${on}`,
        `median of ${ROUNDS} ${ms(median(known))} ms, at most ${ms(Math.max(...known))} ms`,
        `< ${KNOWN_MS} ms`,
        Math.max(...known) < KNOWN_MS,
      ),
      row(
        `processor time under ${CHANGES_A_SECOND} changes a second, ${on}`,
        percent(churn),
        `< ${percent(CHURN_SHARE)}`,
        churn < CHURN_SHARE,
      ),
      row(
        `${count} clients started at once, until registered`,
        `${registered} after ${connectedS.toFixed(0)} s`,
        `all within ${START_MS / 1000} s`,
        registered === count,
      ),
    ]
  } finally {
    await Promise.all(started.map(end))
    await rm(folder, { recursive: true, force: true })
  }
}

const row = (what: string, measured: string, bar: string, met: boolean): Row => ({ what, measured, bar, met })
const percent = (part: number): string => `${(100 * part).toFixed(0)} % of a core`

function startServer(runtime: RuntimeName, folder: string, http: number, libp2p: number): ChildProcess {
  const flags: Record<string, string> = {
    dc: 'eu-1',
    node: 'server',
    'data-dir': folder,
    'http-port': String(http),
    port: String(libp2p),
    'dns-port': '0',
    mesh: MESH,
    'log-level': 'error',
  }
  const args = ['agent', '--server', ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])]
  const [file, ...rest] = commandLine(runtime, 'src/main.ts', args)
  return spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: ['ignore', 'ignore', 'inherit'] })
}

class Clients {
  readonly process: ChildProcess
  readonly #waiting: { readonly service: string; readonly resolve: () => void }[] = []
  /** How many of them are in the catalog. */
  registered = 0

  constructor(first: number, count: number, server: string) {
    const script = 'test/bench/clients/child.ts'
    const [file, ...rest] = commandLine('node', script, [String(first), String(count), server, MESH])
    this.process = spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      const said = JSON.parse(line) as { event: string; count?: number; service?: string }
      if (said.event === 'registered') this.registered = said.count!
      const at = this.#waiting.findIndex(({ service }) => service === said.service)
      if (at >= 0) this.#waiting.splice(at, 1)[0]!.resolve()
    })
  }

  /** Resolves when all of them know of a service; never when one does not. */
  await(service: string): Promise<void> {
    const known = new Promise<void>((resolve) => this.#waiting.push({ service, resolve }))
    this.process.stdin!.write(`${service}\n`)
    return known
  }
}

async function untilRegistered(children: readonly Clients[], count: number, untilMs: number): Promise<number> {
  for (;;) {
    const registered = children.reduce((sum, child) => sum + child.registered, 0)
    if (registered === count || performance.now() > untilMs) return registered
    if (children.some(({ process }) => process.exitCode !== null)) throw new Error('clients ended early')
    await sleep(100)
  }
}

/** Milliseconds; Infinity when it is not known to all in time. */
async function untilKnown(base: string, children: readonly Clients[], service: string): Promise<number> {
  const known = Promise.all(children.map((child) => child.await(service)))
  const beganMs = performance.now()
  await put(base, service, 1)
  const inTime = await Promise.race([known.then(() => true), sleep(MAX_KNOWN_MS).then(() => false)])
  return inTime ? performance.now() - beganMs : Number.POSITIVE_INFINITY
}

/** A core's share that the server uses while one service after the other changes. */
async function underChurn(server: ChildProcess, base: string): Promise<number> {
  let port = 1
  let over = false
  const changing = (async () => {
    while (!over) {
      await put(base, `probe-${port % ROUNDS}`, port++)
      await sleep(1000 / CHANGES_A_SECOND)
    }
  })()
  const used = await share(server, MEASURE_S)
  over = true
  await changing
  return used
}

async function put(base: string, name: string, port: number): Promise<void> {
  const body = JSON.stringify({ Name: name, Port: port })
  const { status } = await fetch(`${base}/v1/agent/service/register`, { method: 'PUT', body })
  if (status !== 200) throw new Error(`registering ${name} gave a ${status}`)
}

async function answers(base: string): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const status = await fetch(`${base}/v1/status/leader`).then(
      (answer) => answer.status,
      () => 0,
    )
    if (status === 200) return
    await sleep(50)
  }
  throw new Error('the server did not answer')
}

async function residentKb({ pid }: ChildProcess): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1])
}

/** Of one core, over so many seconds, all threads of the process together. */
async function share({ pid }: ChildProcess, seconds: number): Promise<number> {
  const before = await cpuTimes([pid!])
  await sleep(seconds * 1000)
  return cpuShare(before, await cpuTimes([pid!])).processes * availableParallelism()
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  process.kill('SIGKILL')
  await once(process, 'exit')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      clients: { type: 'string', default: '1000' },
      processes: { type: 'string', default: '4' },
      runtime: { type: 'string', default: 'node' },
    },
    strict: false,
  })
  await report(() =>
    clients({
      clients: Number(values.clients),
      processes: Number(values.processes),
      runtime: values.runtime as RuntimeName,
    }),
  )
}
