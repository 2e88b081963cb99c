/**
 * From the start of one node's process until its first answer, on each runtime in turn, and its memory when idle.
 *
 *   node test/bench/start.ts [--rounds 7] [--idle 10] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { freePorts } from '../../topology/free-ports.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import { RUNTIMES, type RuntimeName } from '../../topology/schema.ts'
import { sleep } from '../cluster/harness.ts'
import { median, ms, note, type Row, report } from './report.ts'
import { Wire } from './wire.ts'

const START_MS = 1000
const IDLE_MB = 160
const GIVE_UP_MS = 20_000
const POLL_MS = 2

interface Started {
  readonly process: ChildProcess
  readonly tookMs: number
}

export async function start(rounds: number, idleSeconds: number): Promise<Row[]> {
  const took = new Map<RuntimeName, number[]>(RUNTIMES.map((runtime) => [runtime, []]))
  // In turns: what others do on the machine hits all alike. The first of each fills caches and does not count.
  for (let round = 0; round <= rounds; round++) {
    for (const runtime of RUNTIMES) {
      const node = await startNode(runtime)
      await end(node.process)
      if (round === 0) note(`${runtime}, first: ${ms(node.tookMs)} ms`)
      else took.get(runtime)!.push(node.tookMs)
    }
  }
  const rows: Row[] = []
  for (const [runtime, values] of took) {
    note(`${runtime}: ${values.map((each) => ms(each)).join(', ')} ms`)
    rows.push({
      what: `start of one node to its first answer: ${runtime}`,
      measured: `median of ${rounds} ${ms(median(values))} ms (${ms(Math.min(...values))} to ${ms(Math.max(...values))})`,
      bar: `< ${START_MS} ms`,
      met: median(values) < START_MS,
    })
  }
  return [...rows, ...(await idle(idleSeconds))]
}

async function idle(seconds: number): Promise<Row[]> {
  const nodes = await Promise.all(RUNTIMES.map((runtime) => startNode(runtime)))
  try {
    await sleep(seconds * 1000)
    return await Promise.all(
      nodes.map(async ({ process }, i) => {
        const status = await readFile(`/proc/${process.pid}/status`, 'utf8')
        const megabytes = (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024) / 1e6
        return {
          what: `resident memory of an idle node after ${seconds} s: ${RUNTIMES[i]}`,
          measured: `${megabytes.toFixed(0)} MB`,
          bar: `< ${IDLE_MB} MB`,
          met: megabytes < IDLE_MB,
        }
      }),
    )
  } finally {
    await Promise.all(nodes.map(({ process }) => end(process)))
  }
}

/** A node as a user starts it, but for its ports. */
async function startNode(runtime: RuntimeName): Promise<Started> {
  const [http, libp2p] = await freePorts(2)
  const args = [
    'agent',
    '--dev',
    '--node',
    'bench',
    '--http-port',
    String(http),
    '--dns-port',
    '0',
    '--port',
    String(libp2p),
  ]
  const [file, ...rest] = commandLine(runtime, 'src/main.ts', args)
  const beganMs = performance.now()
  const process = spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: 'ignore' })
  try {
    await answers(http!, process)
    return { process, tookMs: performance.now() - beganMs }
  } catch (error) {
    process.kill('SIGKILL')
    throw error
  }
}

async function answers(port: number, process: ChildProcess): Promise<void> {
  const deadlineMs = performance.now() + GIVE_UP_MS
  for (;;) {
    try {
      const wire = await Wire.open(port)
      const { status } = await wire.get('/v1/health/service/none?passing')
      wire.close()
      if (status === 200) return
    } catch {}
    if (process.exitCode !== null) throw new Error(`the node ended with code ${process.exitCode}`)
    if (performance.now() > deadlineMs) throw new Error(`the node did not answer within ${GIVE_UP_MS / 1000} s`)
    await sleep(POLL_MS)
  }
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  process.kill('SIGKILL')
  await once(process, 'exit')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '7' }, idle: { type: 'string', default: '10' } },
    strict: false,
  })
  await report(() => start(Number(values.rounds), Number(values.idle)))
}
