/** The recordings of Consul, replayed against Atoll nodes in processes of their own, on the runtime that runs this. */
import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { type Deviation, deviations, deviationsTable, expectedHere, explain } from './deviations.ts'
import { startScenario } from './node-process.ts'
import { loadRecording, SCENARIOS, type Scenario } from './recording.ts'
import { replay } from './replay.ts'

const used = new Set<Deviation>()
let replayed = 0

/** Most of a scenario is waiting, so several run side by side, but not so many that they wait for the processor. */
const AT_ONCE = 3
/** Those that wait longest begin first. */
const LONGEST: readonly Scenario[] = ['sessions-locks', 'blocking', 'multi-dc', 'coordinates']
const inOrder = [...LONGEST, ...SCENARIOS.filter((scenario) => !LONGEST.includes(scenario))]
const running = new Set<Promise<unknown>>()

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  while (running.size >= AT_ONCE) await Promise.race(running)
  const promise = work()
  const settled = promise.catch(() => {}).finally(() => running.delete(settled))
  running.add(settled)
  return promise
}

describe.concurrent('recordings of Consul', () => {
  test.each(inOrder)('%s', { timeout: 240_000 }, (scenario) => inTurn(() => check(scenario)))
})

async function check(scenario: Scenario): Promise<void> {
  const agents = await startScenario(scenario)
  try {
    const differences = await replay(loadRecording(scenario), { agents })
    const explained = explain(scenario, differences)
    for (const deviation of explained.used) used.add(deviation)
    replayed++
    expect(explained.unexplained).toEqual([])
  } finally {
    await Promise.all(Object.values(agents).map((agent) => agent.stop()))
  }
}

afterAll(() => {
  // With all scenarios replayed, a deviation that none shows is listed for nothing.
  if (replayed < SCENARIOS.length) return
  const idle = deviations.filter((deviation) => expectedHere(deviation) && !used.has(deviation))
  expect(idle.map(({ what }) => what)).toEqual([])
})

test('the page about compatibility shows the deviations that the replay accepts', () => {
  const page = readFileSync(new URL('../../docs/consul-compatibility.md', import.meta.url), 'utf8')
  expect(page).toContain(deviationsTable())
})
