import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_REACH } from './limits.ts'
import { decodeReach, encodeReach, MAX_REACH_BYTES, OwnReach, reachOf } from './reach.ts'

describe('reach', () => {
  it('says of each peer how far it is, in six bytes', () => {
    const bytes = encodeReach([
      { peerId: 'b', roundTripMs: 79.2 },
      { peerId: 'a', roundTripMs: 100_000 },
    ])
    expect(bytes.byteLength).toBe(12)
    const reach = decodeReach(bytes)
    expect([reachOf(reach, 'a'), reachOf(reach, 'b'), reachOf(reach, 'c')]).toEqual([65_535, 80, undefined])
  })

  it('is the same bytes in whatever order, and the nearest of too many', () => {
    const many = Array.from({ length: MAX_REACH + 9 }, (_, i) => ({ peerId: `p${i}`, roundTripMs: i }))
    expect(encodeReach([...many].reverse())).toEqual(encodeReach(many))
    expect(encodeReach(many).byteLength).toBe(MAX_REACH_BYTES)
    const reach = decodeReach(encodeReach(many))
    expect(reachOf(reach, 'p0')).toBe(0)
    expect(reachOf(reach, `p${MAX_REACH}`)).toBeUndefined()
  })

  it('can be read whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(decodeReach(bytes).size).toBeLessThanOrEqual(Math.floor(bytes.length / 6))
      }),
    )
  })

  it('is no news while times change little', () => {
    const own = new OwnReach()
    const first = own.update([{ peerId: 'a', roundTripMs: 80 }])
    expect(own.update([{ peerId: 'a', roundTripMs: 95 }])).toEqual(first)
    expect(own.update([{ peerId: 'a', roundTripMs: 66 }])).toEqual(first)
    expect(own.update([{ peerId: 'a', roundTripMs: 97 }])).not.toEqual(first)
    const near = own.update([{ peerId: 'a', roundTripMs: 1 }])
    expect(own.update([{ peerId: 'a', roundTripMs: 5 }])).toEqual(near)
    expect(own.update([])).toHaveLength(0)
  })
})
