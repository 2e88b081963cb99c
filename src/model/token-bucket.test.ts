import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TokenBucket } from './token-bucket.ts'

describe('a token bucket', () => {
  it('gives its burst at once, then its rate', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 5 })
    const taken = (nowMs: number): number => {
      let count = 0
      while (bucket.take(1, nowMs)) count++
      return count
    }
    expect(taken(0)).toBe(5)
    expect(bucket.waitMs(0)).toBeGreaterThan(0)
    expect(taken(100)).toBe(1)
    expect(taken(1100)).toBe(5)
    expect(taken(1_000_000)).toBe(5)
  })

  it('lets through what is larger than its burst, and has it paid for', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 5 })
    expect(bucket.take(25, 0)).toBe(true)
    expect(bucket.take(1, 1000)).toBe(false)
    expect(bucket.waitMs(1000)).toBe(1000)
    expect(bucket.take(1, 2001)).toBe(true)
  })

  it('never gives more than burst and rate allow, and one thing above it, whatever it is asked', () => {
    const asks = fc.array(
      fc.record({ passMs: fc.integer({ min: 0, max: 500 }), count: fc.integer({ min: 1, max: 9 }) }),
    )
    void fc.assert(
      fc.property(asks, (list) => {
        const bucket = new TokenBucket({ perSecond: 10, burst: 20 })
        let [now, given] = [0, 0]
        for (const { passMs, count } of list) {
          now += passMs
          if (bucket.take(count, now)) given += count
        }
        expect(given).toBeLessThanOrEqual(20 + now / 100 + 9)
      }),
    )
  })

  it('is not emptied by a clock that stands still or goes back', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 1 })
    expect(bucket.take(1, 1000)).toBe(true)
    expect(bucket.take(1, 0)).toBe(false)
    expect(bucket.take(1, 200)).toBe(true)
  })
})
