import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ageAsContact, ageFromWire, ageSince, ageToWire } from './age.ts'

const UNKNOWN = Number.POSITIVE_INFINITY

describe('an age', () => {
  it('that is unknown comes over the wire as such, as a number that older nodes can read', () => {
    expect(Number.isSafeInteger(ageToWire(UNKNOWN))).toBe(true)
    expect(ageFromWire(ageToWire(UNKNOWN))).toBe(UNKNOWN)
  })

  it('that is known comes over the wire to the millisecond', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), (ageMs) => {
        expect(ageFromWire(ageToWire(ageMs))).toBe(Math.round(ageMs))
      }),
    )
  })

  it('goes on while a node is down, and is unknown when the wall clock went back', () => {
    expect(ageSince(500, 10_000, 70_000)).toBe(60_500)
    expect(ageSince(500, 10_000, 9_999)).toBe(UNKNOWN)
    expect(ageSince(UNKNOWN, 10_000, 70_000)).toBe(UNKNOWN)
  })

  it('is a number for Consul clients in any case, which Go can hold as nanoseconds in 64 bits', () => {
    expect(ageAsContact(12.4)).toBe(12)
    expect(ageAsContact(UNKNOWN)).toBe(2_147_483_647)
    expect(BigInt(ageAsContact(UNKNOWN)) * 1_000_000n).toBeLessThan(2n ** 63n)
  })
})
