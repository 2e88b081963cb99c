/** One round: clients use fresh keys of a datacenter under faults; then everything is healed, and what they saw is judged. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SeededRandom } from '../../src/runtime/virtual.ts'
import type { Datacenter } from './datacenter.ts'
import { type Fault, pick } from './faults.ts'
import { type History, type Overlap, overlapOf } from './history.ts'
import { type Judgement, judge } from './judge.ts'
import { type Counts, KvClient, type Nodes, nodesOf } from './kv-client.ts'
import { LockClient } from './lock-client.ts'
import { SequenceClient } from './sequence-client.ts'
import type { Row } from './watch-log.ts'
import { listRows, PollWatcher, StreamWatcher } from './watchers.ts'

export interface RoundOptions {
  readonly datacenter: Datacenter
  readonly seed: number
  /** How long clients run. */
  readonly ms: number
  /** Chosen from, at random. None: nothing is disturbed. */
  readonly faults: readonly Fault[]
  readonly keys?: number
  readonly kvClients?: number
  readonly locks?: number
  readonly clientsPerLock?: number
}

export interface Round extends Judgement {
  readonly seed: number
  readonly history: History
  /** What was done, in order. */
  readonly disturbed: readonly string[]
  readonly kvOverlap: Overlap
  readonly lockOverlap: Overlap
  readonly counts: Counts
  readonly open: number
  readonly changes: number
  readonly polls: number
  readonly resumes: number
}

const CALM_MS = 600
/** Watches get so long to be told of the end. */
const TOLD_MS = 30_000

export async function runRound(options: RoundOptions): Promise<Round> {
  const { datacenter, seed } = options
  const random = new SeededRandom(seed)
  const nodes = nodesOf(datacenter.agents)
  const prefix = `round-${seed}/`
  const counts: Counts = { stale: 0, failed: 0 }
  let over = false
  const clientOptions = (name: string, i: number) => ({
    name,
    nodes,
    home: i % nodes.clients.length,
    random: fork(random),
    counts,
    isOver: () => over,
  })
  const since = (await listRows(nodes.clients[0]!, prefix, { consistent: true })).index
  const watcher = (name: string) => ({ name, nodes, prefix, random: fork(random), since })
  const streams = ['stream-1', 'stream-2'].map((name) => new StreamWatcher(watcher(name)))
  const polls = ['poll-1', 'poll-2'].map((name) => new PollWatcher(watcher(name)))
  const { keys = 4, kvClients = 10, locks = 2, clientsPerLock = 3 } = options
  const names = Array.from({ length: keys }, (_, i) => `${prefix}key-${i}`)
  const kv = Array.from({ length: kvClients }, (_, i) => new KvClient(clientOptions(`k${i}`, i), names))
  const lockers = Array.from({ length: locks * clientsPerLock }, (_, i) => {
    return new LockClient(clientOptions(`l${i}`, i), `${prefix}lock-${i % locks}`)
  })
  const sequencers = Array.from({ length: 3 }, (_, i) => new SequenceClient(clientOptions(`s${i}`, i), `${prefix}seq/`))
  for (const each of [...streams, ...polls]) each.start()
  const clients = [...kv, ...lockers, ...sequencers]
  const working = Promise.all(clients.map((client) => client.run()))
  const disturbed = await disturb(options, random)
  over = true
  await working
  await Promise.all(datacenter.agents.map((agent) => agent.ready()))
  for (let node = 0; node < nodes.clients.length; node++) {
    await kv[0]!.readAll(node)
    for (const locker of lockers) await locker.readAll(node)
  }
  const { final, index } = await settle(nodes, prefix)
  const untilMs = performance.now() + TOLD_MS
  while ([...streams, ...polls].some(({ position }) => position < index) && performance.now() < untilMs) await sleep(20)
  await Promise.all([...streams, ...polls].map((each) => each.stop()))

  const history: History = {
    kv: kv.flatMap(({ recorded }) => recorded),
    locks: lockers.flatMap(({ recorded }) => recorded),
    sequences: sequencers.flatMap(({ recorded }) => recorded),
    watches: {
      since,
      acknowledged: clients.flatMap(({ acknowledged }) => acknowledged),
      refused: clients.flatMap(({ refused }) => refused),
      streams: streams.map((stream) => stream.upTo(index)),
      polls: polls.flatMap((poll) => poll.polls.filter((each) => each.index <= index)),
      final,
    },
  }
  return {
    seed,
    history,
    disturbed,
    ...judge(history),
    kvOverlap: overlapOf(history.kv),
    lockOverlap: overlapOf(history.locks),
    counts,
    open: [...history.kv, ...history.locks].filter(({ returnMs }) => returnMs === Number.POSITIVE_INFINITY).length,
    changes: history.watches.streams[0]?.changes.length ?? 0,
    polls: history.watches.polls.length,
    resumes: streams.reduce((sum, { resumes }) => sum + resumes, 0),
  }
}

async function disturb({ datacenter, faults, ms }: RoundOptions, random: SeededRandom): Promise<string[]> {
  const untilMs = performance.now() + ms
  const disturbed: string[] = []
  while (performance.now() < untilMs) {
    await sleep(Math.min(CALM_MS * (0.3 + 1.7 * random.float()), untilMs - performance.now()))
    if (faults.length === 0 || performance.now() >= untilMs) continue
    const fault = pick(random, faults)
    disturbed.push(fault.name)
    await fault.run(datacenter, random)
  }
  return disturbed
}

/** What there is in the end, and the index at which it is so: that of a last write, when nothing came after it. */
async function settle({ clients }: Nodes, prefix: string): Promise<{ final: Row[]; index: number }> {
  const client = clients[0]!
  for (let attempt = 0; attempt < 50; attempt++) {
    await client.kv.put(`${prefix}end`, `end-${attempt}`)
    const { rows, index } = await listRows(client, prefix, { consistent: true })
    const end = rows.find(({ key }) => key === `${prefix}end`)
    if (end && end.index === index) return { final: rows, index }
    await sleep(100)
  }
  throw new Error(`the keys under ${prefix} change on and on after the last client ended`)
}

/** Another sequence, fixed by this one. */
const fork = (random: SeededRandom): SeededRandom => new SeededRandom(Math.floor(random.float() * 2 ** 32))
