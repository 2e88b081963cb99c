import { describe, expect, it } from 'vitest'
import { Allowance, GOSSIP_ALLOWANCE } from './allowance.ts'

const load = { messages: 1, bytes: 400, changes: 0, moves: 0 }

describe('an allowance', () => {
  it('lets an honest datacenter have its worst hour: 2,000 changes a second in deltas of 20 ms, with three gateways', () => {
    const allowance = new Allowance()
    for (let nowMs = 0; nowMs < 60_000; nowMs += 20) {
      expect(allowance.take({ messages: 1, bytes: 40 * 300, changes: 40, moves: 0 }, nowMs).accepted).toBe(true)
      if (nowMs % 1000 === 0) for (let i = 0; i < 3; i++) expect(allowance.take(load, nowMs).accepted).toBe(true)
    }
    expect([allowance.refused, allowance.isLimited(60_000)]).toEqual([0, false])
  })

  it('lets a burst of 20,000 changes pass at once', () => {
    const allowance = new Allowance()
    for (let i = 0; i < 20; i++)
      expect(allowance.take({ messages: 1, bytes: 48_000, changes: 1000, moves: 0 }, i).accepted).toBe(true)
  })

  it.each([
    ['messages', load],
    ['bytes', { ...load, bytes: 48_000 }],
    ['changes', { ...load, changes: 160 }],
    ['moves', { ...load, moves: 1 }],
  ] as const)('bounds the %s of a flood, counts what it refuses, and says once when it began', (what, each) => {
    const allowance = new Allowance()
    let [accepted, began] = [0, 0]
    for (let i = 0; i < 100_000; i++) {
      const taken = allowance.take(each, i / 10)
      if (taken.accepted) accepted++
      if (taken.began) began++
    }
    const { perSecond, burst } = GOSSIP_ALLOWANCE[what]
    const size = what === 'messages' ? 1 : each[what]
    expect(accepted * size).toBeLessThanOrEqual(burst + 10 * perSecond + size)
    expect(accepted * size).toBeGreaterThan(0.9 * (burst + 9 * perSecond))
    expect(allowance.refused).toBe(100_000 - accepted)
    expect(began).toBe(1)
    expect(allowance.isLimited(10_000)).toBe(true)
    expect(allowance.isLimited(21_000)).toBe(false)
  })

  it('takes nothing of the others when one is used up', () => {
    const allowance = new Allowance({ ...GOSSIP_ALLOWANCE, moves: { perSecond: 1, burst: 1 } })
    allowance.take({ ...load, moves: 1 }, 0)
    for (let i = 0; i < 10_000; i++) allowance.take({ ...load, moves: 1 }, 0)
    expect(allowance.take(load, 0).accepted).toBe(true)
  })
})
