import fc from 'fast-check'
import { Uint8ArrayList } from 'uint8arraylist'
import { describe, expect, it } from 'vitest'
import { compact, PackedList } from './packed-list.ts'

/** What the pieces of a list keep in memory. */
const keptBytes = (list: Uint8ArrayList): number => {
  const buffers = new Set([...list].map(({ buffer }) => buffer))
  return [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/** A piece of a larger buffer, as they are cut out of what a socket gave. */
const cutOut = (bytes: Uint8Array, ofBytes = 64 << 10): Uint8Array => {
  const whole = new Uint8Array(Math.max(ofBytes, bytes.byteLength))
  whole.set(bytes)
  return whole.subarray(0, bytes.byteLength)
}

describe('packed list', () => {
  it('is a list like any other, whatever is done to it', () => {
    const length = fc.oneof(fc.nat(40), fc.nat(2000), fc.nat(40_000))
    const action = fc.oneof(
      fc.record({ append: fc.array(length, { maxLength: 4 }), asList: fc.boolean() }),
      fc.record({ consume: fc.nat(30_000) }),
      fc.record({ consume: fc.constant(Number.MAX_SAFE_INTEGER) }),
      fc.record({ prepend: fc.nat(100) }),
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const packed = new PackedList()
        const plain = new Uint8ArrayList()
        const taken: [Uint8ArrayList, Uint8Array][] = []
        let next = 1
        const bytes = (count: number): Uint8Array => cutOut(new Uint8Array(count).fill(next++ & 255))
        for (const one of actions) {
          if ('append' in one) {
            const pieces = one.append.map(bytes)
            if (one.asList) packed.append(new Uint8ArrayList(...pieces))
            else packed.append(...pieces)
            plain.append(...pieces)
          } else if ('prepend' in one) {
            const piece = bytes(one.prepend)
            packed.prepend(piece)
            plain.prepend(piece)
          } else {
            const count = Math.min(one.consume, plain.byteLength)
            // As streams hand it over; nothing that comes later may change it.
            taken.push([packed.sublist(0, count), plain.slice(0, count)])
            packed.consume(count)
            plain.consume(count)
          }
          expect(packed.byteLength).toBe(plain.byteLength)
          expect(Buffer.compare(packed.subarray(), plain.subarray())).toBe(0)
        }
        for (const [list, as] of taken) expect(Buffer.compare(list.subarray(), as)).toBe(0)
      }),
    )
  })

  it('keeps little more than its bytes when it is filled with tiny pieces of large buffers', () => {
    const list = new PackedList()
    for (let i = 0; i < 12_800; i++) list.append(cutOut(new Uint8Array(20)))
    expect(list.byteLength).toBe(256_000)
    expect([...list].length).toBeLessThan(20)
    expect(keptBytes(list)).toBeLessThan(300_000)
  })

  it('keeps pieces that fill their buffers, and what is alone in it, as they are', () => {
    const first = cutOut(new Uint8Array(20))
    const list = new PackedList()
    list.append(first)
    expect([...list]).toEqual([first])
    expect([...list][0]).toBe(first)
    list.consume(20)
    const large = new Uint8Array(30_000)
    list.append(first, large)
    list.append(large)
    expect([...list].map(({ buffer }) => buffer === large.buffer)).toEqual([false, true, true])
  })
})

it('what is compact does not keep a large buffer', () => {
  const small = compact(cutOut(Uint8Array.of(1, 2, 3)))
  expect([...small]).toEqual([1, 2, 3])
  expect(small.buffer.byteLength).toBe(3)
  const large = cutOut(new Uint8Array(20_000))
  expect(compact(large)).toBe(large)
})
