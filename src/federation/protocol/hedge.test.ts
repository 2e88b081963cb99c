import { describe, expect, it } from 'vitest'
import { HedgeBudget, Latencies } from './hedge.ts'

describe('when to hedge', () => {
  const measured = (took: readonly number[]): Latencies => {
    const latencies = new Latencies()
    for (const [i, each] of took.entries()) latencies.add(each, i)
    return latencies
  }

  it('is after the 95th percentile of what a peer took lately', () => {
    expect(measured(Array.from({ length: 40 }, (_, i) => 40 + i)).hedgeAfterMs(40)).toBe(78)
    expect(measured([...Array<number>(60).fill(50), 900, 900]).hedgeAfterMs(70)).toBe(51)
  })

  it('is not told by a handful of answers, nor by old ones', () => {
    expect(measured([50, 60, 70]).hedgeAfterMs(10)).toBeUndefined()
    expect(measured(Array<number>(40).fill(50)).hedgeAfterMs(61_000)).toBeUndefined()
    expect(new Latencies().hedgeAfterMs(0)).toBeUndefined()
  })

  it('is bounded below and above', () => {
    expect(measured(Array<number>(40).fill(0.3)).hedgeAfterMs(40)).toBe(5)
    expect(measured(Array<number>(40).fill(1900)).hedgeAfterMs(40)).toBe(500)
  })

  it('follows a peer that becomes slower', () => {
    const latencies = measured(Array<number>(64).fill(20))
    expect(latencies.hedgeAfterMs(64)).toBe(21)
    for (let i = 0; i < 64; i++) latencies.add(90, 100 + i)
    expect(latencies.hedgeAfterMs(200)).toBe(91)
  })
})

describe('the budget of hedges', () => {
  it('is a few percent of the calls, however slow they are', () => {
    const budget = new HedgeBudget()
    let hedged = 0
    for (let i = 0; i < 10_000; i++) {
      budget.earn()
      if (budget.spend()) hedged++
    }
    expect(hedged / 10_000).toBeLessThan(0.052)
    expect(hedged / 10_000).toBeGreaterThan(0.045)
  })

  it('lets some in a row after a quiet time, and no more', () => {
    const budget = new HedgeBudget()
    for (let i = 0; i < 1000; i++) budget.earn()
    let hedged = 0
    while (budget.spend()) hedged++
    expect(hedged).toBe(10)
  })
})
