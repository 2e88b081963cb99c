/**
 * From a change in one datacenter until another's server shows it, and until a blocking query there wakes; ten changes a
 * second, each counted from the moment its request is sent (so with the store's sync in it). All ends are on one machine,
 * so one clock is read.
 *
 *   node test/bench/propagation.ts [--changes 150] [--json]
 */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { eventually, sleep, type TestMesh } from '../cluster/harness.ts'
import { portOf, RUNTIME_OF, startBenchMesh } from './mesh.ts'
import { median, ms, note, quantile, type Row, report, spread } from './report.ts'
import { headerOf, Wire } from './wire.ts'

const RTT_MS = 80
const EVERY_MS = 100
const MEDIAN_MS = RTT_MS / 2 + 10
const P99_MS = RTT_MS / 2 + 25
const BAR = `median < ${MEDIAN_MS} ms, p99 < ${P99_MS} ms`
/** A change that is not seen by then is told as this late. */
const LOST_MS = 2000
const POLL_MS = 1

/** From and to: each runtime once as either. */
const WAYS = [
  ['eu-1', 'us-1'],
  ['us-1', 'ap-1'],
  ['ap-1', 'eu-1'],
] as const

interface Change {
  readonly atMs: number
  ackMs: number
  shownMs: number | undefined
  wokenMs: number | undefined
}

/** Something that can be in two states, and a request for each. */
interface Subject {
  readonly name: string
  readonly path: string
  prepare(wire: Wire): Promise<void>
  turn(wire: Wire, on: boolean): Promise<{ status: number; body: string; atMs: number }>
  isOn(body: string): boolean
}

const registration: Subject = {
  name: 'register and deregister',
  path: '/v1/health/service/moving',
  async prepare() {},
  turn: (wire, on) =>
    on
      ? wire.put('/v1/agent/service/register', { ID: 'moving-1', Name: 'moving', Port: 4000 })
      : wire.put('/v1/agent/service/deregister/moving-1'),
  isOn: (body) => body.includes('moving-1'),
}

const ttl: Subject = {
  name: 'a TTL check turns',
  path: '/v1/health/service/pulse?passing',
  async prepare(wire) {
    const { status, body } = await wire.put('/v1/agent/service/register', {
      ID: 'pulse-1',
      Name: 'pulse',
      Port: 4001,
      Check: { CheckID: 'pulse-ttl', TTL: '600s' },
    })
    if (status !== 200) throw new Error(`register: ${status} ${body}`)
  },
  turn: (wire, on) => wire.put(`/v1/agent/check/${on ? 'pass' : 'fail'}/pulse-ttl`),
  isOn: (body) => body.includes('pulse-1'),
}

export async function propagation(changes: number): Promise<Row[]> {
  const mesh = await startBenchMesh({ name: 'bench-propagation', clients: 0 })
  try {
    const rows: Row[] = []
    const disk = probeDisk(mesh.folder)
    for (const subject of [registration, ttl]) {
      for (const [from, to] of WAYS) {
        const seen = await measure(mesh, subject, from, to, changes)
        const shown = seen.map(({ atMs, shownMs }) => (shownMs ?? atMs + LOST_MS) - atMs)
        const woken = seen.map(({ atMs, wokenMs }) => (wokenMs ?? atMs + LOST_MS) - atMs)
        const acked = seen.map(({ atMs, ackMs }) => ackMs - atMs)
        note(
          `${subject.name}, ${from} (${RUNTIME_OF[from]}) to ${to} (${RUNTIME_OF[to]}): acknowledged ${spread(acked)};` +
            ` shown ${spread(shown)}; woken ${spread(woken)}, slowest ${ms(Math.max(...woken))} ms`,
        )
        rows.push(rowOf(`${RUNTIME_OF[from]} to ${RUNTIME_OF[to]}, ${subject.name}`, shown, woken, acked))
      }
    }
    return [...rows, diskRow(await disk.stop())]
  } finally {
    await mesh.stop()
  }
}

function rowOf(what: string, shown: readonly number[], woken: readonly number[], acked: readonly number[]): Row {
  const met = [shown, woken].every((each) => median(each) < MEDIAN_MS && quantile(each, 0.99) < P99_MS)
  return {
    what: `change in one DC until shown in another, ${RTT_MS} ms, 10/s: ${what}`,
    measured: `shown ${spread(shown)}; blocking query woken ${spread(woken)} (in it the write itself: ${spread(acked)})`,
    bar: BAR,
    met,
  }
}

/** What the disk itself takes, meanwhile, to make a few bytes durable: every write waits for that at least once. */
function probeDisk(folder: string): { stop(): Promise<readonly number[]> } {
  let over = false
  const probing = (async () => {
    const took: number[] = []
    const file = await open(join(folder, 'probe'), 'w')
    while (!over) {
      const beganMs = performance.now()
      await file.write(Buffer.alloc(4096), 0, 4096, took.length * 4096)
      await file.datasync()
      took.push(performance.now() - beganMs)
      await sleep(EVERY_MS)
    }
    await file.close()
    return took
  })()
  return {
    stop() {
      over = true
      return probing
    },
  }
}

const diskRow = (took: readonly number[]): Row => ({
  what: 'for comparison: 4 KB written and synced on the same disk meanwhile',
  measured: spread(took),
  bar: '',
  met: undefined,
})

async function measure(mesh: TestMesh, subject: Subject, from: string, to: string, count: number): Promise<Change[]> {
  const [writer, poller, waiter] = await Promise.all([
    Wire.open(portOf(mesh, `${from}-server`)),
    Wire.open(portOf(mesh, `${to}-server`)),
    Wire.open(portOf(mesh, `${to}-server`)),
  ])
  const path = `${subject.path}${subject.path.includes('?') ? '&' : '?'}dc=${from}`
  const changes: Change[] = []
  let over = false
  try {
    await subject.prepare(writer)
    // An even start: off, and known to be off.
    await subject.turn(writer, true)
    await eventually('on', async () => subject.isOn((await poller.get(path)).body))
    await subject.turn(writer, false)
    await eventually('off', async () => !subject.isOn((await poller.get(path)).body))
    const watching = watch(waiter, path, subject, changes, () => over)
    for (let n = 0; n < count; n++) {
      const on = n % 2 === 0
      const nextMs = performance.now() + EVERY_MS
      const change: Change = { atMs: performance.now(), ackMs: 0, shownMs: undefined, wokenMs: undefined }
      changes.push(change)
      const { status, body, atMs } = await subject.turn(writer, on)
      if (status !== 200) throw new Error(`${subject.name}: ${status} ${body}`)
      change.ackMs = atMs
      await poll(poller, path, (text) => subject.isOn(text) === on, change)
      await sleep(Math.max(0, nextMs - performance.now()))
    }
    over = true
    // Wakes the last wait.
    await subject.turn(writer, count % 2 === 0)
    await watching
    return changes
  } finally {
    over = true
    for (const wire of [writer, poller, waiter]) wire.close()
  }
}

/** Asks until it shows; not before it can, so that asking does not slow what is asked. */
async function poll(wire: Wire, path: string, shows: (body: string) => boolean, change: Change): Promise<void> {
  await sleep(Math.max(0, change.atMs + RTT_MS / 2 - 5 - performance.now()))
  while (performance.now() - change.atMs < LOST_MS) {
    const { body, atMs } = await wire.get(path)
    if (shows(body)) {
      change.shownMs = atMs
      return
    }
    await sleep(POLL_MS)
  }
}

/** One blocking query after the other; an answer in the state that a change asked for is that change's. */
async function watch(
  wire: Wire,
  path: string,
  subject: Subject,
  changes: Change[],
  isOver: () => boolean,
): Promise<void> {
  let index = headerOf(await wire.get(path), 'x-consul-index')
  while (!isOver()) {
    const answer = await wire.get(`${path}&index=${index}&wait=5s`)
    index = headerOf(answer, 'x-consul-index')
    const change = changes.at(-1)
    const isOn = changes.length % 2 === 1
    if (change !== undefined && change.wokenMs === undefined && subject.isOn(answer.body) === isOn)
      change.wokenMs = answer.atMs
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { changes: { type: 'string', default: '150' } }, strict: false })
  await report(() => propagation(Number(values.changes)))
}
