/**
 * Bench of the federation without a network: `node test/bench/federation.ts [entries]` (deno run -A, bun). Rates of digest,
 * publisher and replica; a snapshot of everything between two nodes, and how long it holds the event loop.
 */

import { openFederation } from '../../src/federation/open.ts'
import { Content } from '../../src/federation/protocol/content.ts'
import { decodeMessage, encodeMessage, type KnownMessage } from '../../src/federation/protocol/messages.ts'
import { Publisher } from '../../src/federation/protocol/publisher.ts'
import { Replica } from '../../src/federation/protocol/replica.ts'
import { MemoryNetwork } from '../../src/federation/testing/memory-network.ts'
import { MemorySink, MemorySource } from '../../src/federation/testing/memory-source.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { systemRandom } from '../../src/runtime/random.ts'

const ENTRIES = Number(process.argv[2] ?? 100_000)
const value = (i: number): Uint8Array => new Uint8Array(250).fill(i & 255)
const key = (i: number): string => `e/s/node-${i % 5000}/web-${i}`
const show = (what: string, text: string): void => console.log(what.padEnd(56), text)
const perSecond = (count: number, ms: number): string => `${Math.round((count / ms) * 1000).toLocaleString('en')} /s`
const epoch = { generation: 0, random: '0000000000000000' }

/** Of this process, so that what else runs on the machine does not matter. */
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function timed(count: number, fn: () => void): string {
  const startMs = cpuMs()
  fn()
  return perSecond(count, cpuMs() - startMs)
}

function digests(): void {
  const content = new Content()
  const entries = Array.from({ length: ENTRIES }, (_, i) => ({
    key: key(i),
    value: value(i),
    createRevision: i + 1,
    modRevision: i + 1,
  }))
  show(
    `content of ${ENTRIES} entries of 250 B, in no order`,
    timed(ENTRIES, () => {
      for (const entry of entries) content.put(entry)
    }),
  )
  show(
    'one change and the root',
    timed(20_000, () => {
      for (let i = 0; i < 20_000; i++) {
        const entry = entries[i % ENTRIES]!
        content.put({ ...entry, modRevision: ENTRIES + i })
        content.root()
      }
    }),
  )
}

function machines(perBatch: number): void {
  const publisher = new Publisher({ datacenter: 'eu-1', datacenterId: 'id', boot: 1 })
  publisher.load(epoch, 0, 0, new Content())
  publisher.start(0)
  const messages: KnownMessage[] = publisher.tick(0, 0).map(({ message }) => message)
  const total = 40_000
  let now = 0
  let revision = 0
  show(
    `publisher, ${perBatch} changes a delta`,
    timed(total, () => {
      while (revision < total) {
        const batch = Array.from({ length: perBatch }, () => {
          revision++
          return {
            revision,
            changes: [
              { key: key(revision % 20_000), value: value(revision), createRevision: 1, modRevision: revision },
            ],
          }
        })
        now += 30
        for (const { message } of publisher.receive(batch, now)) messages.push(message)
      }
    }),
  )
  let bodies: Uint8Array[] = []
  show(
    '  encoded',
    timed(total, () => {
      bodies = messages.map(encodeMessage)
    }),
  )
  let decoded: ReturnType<typeof decodeMessage>[] = []
  show(
    '  decoded strictly',
    timed(total, () => {
      decoded = bodies.map(decodeMessage)
    }),
  )
  const replica = new Replica({ datacenter: 'eu-1' })
  show(
    '  verified and applied',
    timed(total, () => {
      for (const message of decoded)
        if (message.type === 'delta' || message.type === 'beacon') replica.hear(message, new Uint8Array(), true, now)
    }),
  )
  if (replica.revision !== revision) throw new Error(`the replica is at ${replica.revision}, not ${revision}`)
}

/** The most CPU time that was used without a timer being able to run. */
function watchLoop(): () => number {
  let worstMs = 0
  let lastMs = cpuMs()
  const timer = systemClock.every(1, () => {
    const nowMs = cpuMs()
    worstMs = Math.max(worstMs, nowMs - lastMs)
    lastMs = nowMs
  })
  return () => {
    timer.cancel()
    return worstMs
  }
}

async function snapshot(): Promise<void> {
  const network = new MemoryNetwork({ clock: systemClock, random: systemRandom, link: { delayMs: 0 } })
  const source = new MemorySource(epoch)
  for (let i = 0; i < ENTRIES; i++) source.write({ [key(i)]: value(i) })
  const start = (datacenter: string, own: MemorySource, sink: MemorySink, joinAddresses: readonly string[]) =>
    openFederation({
      host: network.host({
        peerId: `peer-${datacenter}`,
        datacenter,
        datacenterId: datacenter,
        node: datacenter,
        nodeId: datacenter,
        role: 'server',
      }),
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
      source: own,
      sinkFor: () => sink,
      joinAddresses,
    })
  const sink = new MemorySink()
  const eu = await start('eu-1', source, new MemorySink(), [])
  // The origin digests its own content first.
  await systemClock.sleep(1500)
  const startMs = cpuMs()
  const worst = watchLoop()
  const us = await start('us-1', new MemorySource({ generation: 0, random: '1' }), sink, eu.addresses)
  while (sink.entries.size < ENTRIES) await systemClock.sleep(5)
  show(`snapshot of ${ENTRIES} entries, both ends in one process`, `${Math.round(cpuMs() - startMs)} ms of CPU`)
  show('  longest hold of the event loop', `${worst().toFixed(1)} ms of CPU, garbage collection included`)
  await us.close()
  await eu.close()
}

digests()
for (const perBatch of [1, 20]) machines(perBatch)
await snapshot()
process.exit(0)
