import fc from 'fast-check'
import { Packr, pack, unpack } from 'msgpackr'
import { expect, it } from 'vitest'
import { packCopy } from './packing.ts'

const packr = new Packr({ useRecords: false })
const other = new Packr({ useRecords: false, mapsAsObjects: false })

it('gives bytes of their own, whatever is packed beside and after them', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.jsonValue(), fc.nat(3))), (values) => {
      const packed = values.map(([value, by]) => {
        if (by === 3) return pack(value)
        return packCopy(by === 0 ? packr : other, value)
      })
      for (const [i, bytes] of packed.entries()) expect(unpack(bytes)).toEqual(unpack(pack(values[i]![0])))
      for (const [i, bytes] of packed.entries()) {
        if (values[i]![1] !== 3) expect(bytes.buffer.byteLength).toBe(bytes.byteLength)
      }
    }),
  )
})

it('of a value that cannot be packed nothing is left over', () => {
  const before = packCopy(packr, [1, 2, 3])
  expect(() =>
    packCopy(packr, [
      4,
      {
        toJSON: undefined,
        get x(): never {
          throw new Error('no')
        },
      },
    ]),
  ).toThrow('no')
  expect([...packCopy(packr, [5])]).toEqual([0x91, 5])
  expect([...before]).toEqual([0x93, 1, 2, 3])
})

it('makes no new buffers for large values that follow each other, and keeps none that is very large', () => {
  const large = Array.from({ length: 10_000 }, (_, i) => `value ${i} of many that are all alike`)
  const sharedBytes = (): number => packr.pack(0).buffer.byteLength
  packCopy(packr, large)
  const bytes = sharedBytes()
  expect(bytes).toBeGreaterThan(300_000)
  for (let i = 0; i < 20; i++) packCopy(packr, large)
  expect(sharedBytes()).toBe(bytes)
  packCopy(
    packr,
    Array.from({ length: 10 }, () => large),
  )
  expect(sharedBytes()).toBeLessThan(10_000)
})
