import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { suspicionMs } from './suspicion.ts'

const BOUNDS = { maxMs: 1000, minMs: 600 }

describe('suspicion', () => {
  it.each([
    [0, 0, 1000],
    [3, 0, 1000],
    [0, 2, 1000],
    [1, 1, 600],
    [1, 2, 748],
    [2, 2, 600],
    [7, 2, 600],
    [1, 3, 800],
    [2, 3, 683],
    [3, 3, 600],
  ])('%i confirmations of %i: %i ms', (confirmations, enough, expected) => {
    expect(Math.round(suspicionMs(BOUNDS, confirmations, enough))).toBe(expected)
  })

  it('gets shorter with each, by less each time, and stays within its bounds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), (enough) => {
        const steps = Array.from({ length: enough + 3 }, (_, n) => suspicionMs(BOUNDS, n, enough))
        for (const [n, ms] of steps.entries()) {
          if (ms > BOUNDS.maxMs || ms < BOUNDS.minMs - 1e-9) return false
          if (n > 0 && ms > steps[n - 1]!) return false
          if (n > 1 && steps[n - 1]! - ms > steps[n - 2]! - steps[n - 1]! + 1e-9) return false
        }
        return Math.abs(steps.at(-1)! - BOUNDS.minMs) < 1e-9
      }),
    )
  })
})
