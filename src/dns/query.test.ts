import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RCODE, readQuery, TYPE } from './query.ts'
import { queryFor } from './testing/queries.ts'

describe('readQuery', () => {
  test('header, question and EDNS', () => {
    const data = queryFor('web.service.consul', {
      type: 'SRV',
      udpBytes: 1232,
      dnssecOk: true,
      subnet: [0, 1, 24, 0, 192, 0, 2],
    })
    expect(readQuery(data)).toEqual({
      type: TYPE.SRV,
      nameEnd: 12 + 20,
      end: 12 + 24,
      recursionDesired: true,
      edns: { version: 0, dnssecOk: true, udpBytes: 1232, subnet: Uint8Array.from([0, 1, 24, 0, 192, 0, 2]) },
    })
  })

  test('a size below 512 counts as 512', () => {
    expect(readQuery(queryFor('a.consul', { udpBytes: 0 }))).toMatchObject({ edns: { udpBytes: 512 } })
  })

  const change = (data: Uint8Array, at: number, ...bytes: number[]): Uint8Array => {
    const changed = data.slice()
    changed.set(bytes, at)
    return changed
  }
  const plain = queryFor('web.service.consul')
  const withEdns = queryFor('a', { udpBytes: 512 })

  test.each<[string, Uint8Array, unknown]>([
    ['less than a header', plain.subarray(0, 11), 'drop'],
    ['an answer', change(plain, 2, 0x80), 'drop'],
    ['far too long', new Uint8Array(5000), 'drop'],
    ['another operation', change(plain, 2, 0x20), RCODE.NOTIMP],
    ['no question', change(plain, 4, 0, 0), RCODE.FORMERR],
    ['two questions', change(plain, 4, 0, 2), RCODE.FORMERR],
    ['a name that does not end', plain.subarray(0, 20), RCODE.FORMERR],
    ['a name with a pointer', change(plain, 12, 0xc0, 12), RCODE.FORMERR],
    ['no type', plain.subarray(0, plain.length - 3), RCODE.FORMERR],
    ['records that are not there', change(plain, 10, 0, 1), RCODE.FORMERR],
    ['thousands of them', change(plain, 6, 0xff, 0xff), RCODE.FORMERR],
    ['EDNS as an answer', change(withEdns, 6, 0, 1, 0, 0, 0, 0), RCODE.FORMERR],
    ['EDNS with a length beyond the end', change(withEdns, withEdns.length - 2, 0, 9), RCODE.FORMERR],
    ['a subnet longer than it says', queryFor('a', { udpBytes: 512, subnet: [0, 1, 8, 0, 1, 2, 3] }), RCODE.FORMERR],
  ])('%s', (_, data, expected) => {
    expect(readQuery(data)).toBe(expected)
  })

  test('a name of more than 255 bytes', () => {
    const label = 'a'.repeat(63)
    expect(readQuery(queryFor([label, label, label, 'a'.repeat(61)].join('.')))).toMatchObject({ type: TYPE.A })
    expect(readQuery(queryFor([label, label, label, 'a'.repeat(62)].join('.')))).toBe(RCODE.FORMERR)
  })

  test('whatever comes, what is read lies within it', () => {
    const mutated = fc
      .tuple(
        fc.constantFrom(plain, withEdns),
        fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 6 }),
        fc.nat(60),
      )
      .map(([data, changes, cut]) => {
        const copy = data.slice(0, Math.max(0, data.length - (cut > 50 ? cut - 50 : 0)))
        for (const [at, byte] of changes) if (at < copy.length) copy[at] = byte
        return copy
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), mutated), (data) => {
        const query = readQuery(data)
        if (typeof query !== 'object') return
        expect(query.nameEnd).toBeLessThanOrEqual(query.end)
        expect(query.end).toBeLessThanOrEqual(data.length)
        expect(data[query.nameEnd - 1]).toBe(0)
      }),
      { numRuns: 3_000 },
    )
  })
})
