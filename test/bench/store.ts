/**
 * Commits per second of the embedded store, by number of concurrent writers.
 *   node test/bench/store.ts [--seconds 2] [--value 200] [--path <directory>]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    value: { type: 'string', default: '200' },
    path: { type: 'string' },
  },
})
const runtime = await currentRuntime()
const path = values.path ?? (await mkdtemp(join(tmpdir(), 'atoll-bench-')))
const value = runtime.random.bytes(Number(values.value))
const store = await openEmbedded({ path, clock: runtime.clock, random: runtime.random })
let seen = 0
store.watch('', '', 0, {
  onRevisions: (batch) => {
    seen += batch.length
  },
  onCompacted() {},
  onEnd() {},
})

interface Result {
  readonly perSecond: number
  readonly medianMs: number
  readonly p99Ms: number
}

async function measure(writers: number, durationMs: number): Promise<Result> {
  const start = performance.now()
  const latencies: number[] = []
  const write = async (writer: number): Promise<void> => {
    for (let i = 0; performance.now() - start < durationMs; i++) {
      const before = performance.now()
      await store.txn({ then: [{ put: `e/s/node-${writer}/service-${i % 100}`, value }] })
      latencies.push(performance.now() - before)
    }
  }
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
  const seconds = (performance.now() - start) / 1000
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0
  return { perSecond: latencies.length / seconds, medianMs: at(0.5), p99Ms: at(0.99) }
}

await measure(16, 500)
console.log(`${runtime.name} ${runtime.version}, values of ${values.value} bytes, ${path}`)
console.log('writers  commits/s  median ms  p99 ms')
for (const writers of [1, 16, 64, 256]) {
  const { perSecond, medianMs, p99Ms } = await measure(writers, Number(values.seconds) * 1000)
  const cells = [String(writers).padStart(7), perSecond.toFixed(0).padStart(9), medianMs.toFixed(2), p99Ms.toFixed(2)]
  console.log(`${cells[0]}  ${cells[1]}  ${cells[2]!.padStart(9)}  ${cells[3]!.padStart(6)}`)
}
console.log(`watched ${seen} revisions, store at ${store.barrier()}`)
await store.close()
if (values.path === undefined) await rm(path, { recursive: true })
