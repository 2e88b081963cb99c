/**
 * A small mesh of real processes on three runtimes under churn and every kind of fault, judged by a model that knows each right
 * answer; test/bench/mesh-soak.ts is the large one. Once is enough: what differs is in the processes, not in the test's runtime.
 */
import { describe, expect, it } from 'vitest'
import { FAULTS } from '../soak/faults.ts'
import { soak } from '../soak/soak.ts'
import { onNode } from '../support/on-node.ts'

/** The bar is 3 s; the machine may do other things too. */
const CAUGHT_UP_MS = 3 * 3000

describe.runIf(onNode)('a mesh under churn', () => {
  it('gives no wrong answer through kills, stops, cuts and damaged disks, and is equal again soon', async () => {
    const { findings, unequal, caughtUp, answers, writes } = await soak({
      name: 'soak',
      datacenters: 3,
      runtimes: ['node', 'bun', 'deno'],
      seed: 7,
      faults: FAULTS.length,
      length: 0.3,
      calmMs: 100,
      quietMs: CAUGHT_UP_MS,
      rolling: false,
      writeEveryMs: 50,
      readEveryMs: 20,
    })
    expect(findings).toEqual([])
    expect(unequal).toEqual([])
    expect(caughtUp).toHaveLength(FAULTS.length)
    expect(caughtUp.filter(({ ms }) => ms > CAUGHT_UP_MS)).toEqual([])
    // It was looked at all along.
    expect(answers).toBeGreaterThan(500)
    expect(writes).toBeGreaterThan(50)
  }, 90_000)
})
