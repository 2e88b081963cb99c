import { describe, expect, it } from 'vitest'
import { RoundTrips } from './round-trips.ts'

describe('round trips', () => {
  it('are unknown before the first', () => {
    expect(new RoundTrips(10_000).smallest(0)).toBeUndefined()
  })

  it('are the smallest of the window: load hides, a longer way shows', () => {
    const times = new RoundTrips(10_000)
    for (const [at, ms] of [
      [0, 81],
      [500, 80],
      [1000, 300],
      [1500, 90],
    ] as const) {
      times.add(at, ms)
    }
    expect(times.smallest(1500)).toBe(80)
    expect(times.smallest(10_500)).toBe(80)
    expect(times.smallest(10_501)).toBe(90)
    times.add(11_000, 85)
    expect(times.smallest(11_000)).toBe(85)
  })

  it('keep the last one, however old', () => {
    const times = new RoundTrips(10_000)
    times.add(0, 80)
    expect(times.smallest(1e9)).toBe(80)
  })
})
