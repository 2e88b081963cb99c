import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys } from '../model/keys.ts'
import { SortedMap } from './sorted-map.ts'

const key = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', 'c', '/'), maxLength: 4 }),
  fc.string({ unit: fc.constantFrom('a', 'é', '\uff5e', '😀'), maxLength: 3 }),
)
const step = fc.oneof(
  fc.record({ do: fc.constant('set' as const), key, value: fc.nat(100) }),
  fc.record({ do: fc.constant('delete' as const), key, value: fc.constant(0) }),
)

describe('SortedMap', () => {
  it('does as a naive one does', () => {
    void fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), key, key, (steps, from, to) => {
        const map = new SortedMap<number>((value) => value)
        const naive = new Map<string, number>()
        for (const { do: what, key, value } of steps) {
          if (what === 'set') {
            map.set(key, value)
            naive.set(key, value)
          } else expect(map.delete(key)).toBe(naive.delete(key))
        }
        const sorted = [...naive].sort(([a], [b]) => compareKeys(a, b))
        expect(map.size).toBe(naive.size)
        expect([...map.range()]).toEqual(sorted)
        const within = sorted.filter(([k]) => compareKeys(k, from) >= 0 && (to === '' || compareKeys(k, to) < 0))
        expect([...map.range(from, to)]).toEqual(within)
        expect(map.valuesIn(from, to)).toEqual(within.map(([, value]) => value))
        expect(map.rankIn(from, to)).toBe(Math.max(0, ...within.map(([, value]) => value)))
        expect(map.keyFrom(from)).toBe(sorted.find(([k]) => compareKeys(k, from) >= 0)?.[0])
        expect(map.get(from)).toBe(naive.get(from))
        expect(map.has(to)).toBe(naive.has(to))
      }),
      { numRuns: 300 },
    )
  })

  it('keeps order and ranks over many chunks, whatever the order of work', () => {
    const map = new SortedMap<number>((value) => value)
    const naive = new Map<string, number>()
    let seed = 7
    const next = (bound: number) => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff
      return seed % bound
    }
    for (let i = 0; i < 30_000; i++) {
      const key = `k${next(6000)}`
      if (next(3) === 0) expect(map.delete(key)).toBe(naive.delete(key))
      else {
        map.set(key, i)
        naive.set(key, i)
      }
    }
    const sorted = [...naive].sort(([a], [b]) => compareKeys(a, b))
    expect([...map.range()]).toEqual(sorted)
    for (let i = 0; i < 200; i++) {
      const [from, to] = [`k${next(6000)}`, `k${next(6000)}`].sort() as [string, string]
      const within = sorted.filter(([k]) => k >= from && k < to)
      expect(map.rankIn(from, to)).toBe(from === to ? 0 : Math.max(0, ...within.map(([, value]) => value)))
    }
    map.clear()
    expect(map.size).toBe(0)
    expect(map.keyFrom('')).toBeUndefined()
  })
})
