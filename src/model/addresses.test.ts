import { isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressBytes, canonicalAddress, hexOf } from './addresses.ts'

describe('addressBytes', () => {
  test.each([
    ['10.11.9.9', '0a0b0909'],
    ['fd00::6', 'fd000000000000000000000000000006'],
    ['::', '00000000000000000000000000000000'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:10.0.0.1', '00000000000000000000ffff0a000001'],
    ['FE80::1:0:0', 'fe800000000000000000000100000000'],
  ])('%s', (text, hex) => {
    expect(hexOf(addressBytes(text)!)).toBe(hex)
  })

  test.each(['', 'host.example.com', '10.0.0', '10.0.0.256', '1::2::3', '1:2:3', '12345::', ':1', '1:2:3:4:5:6:7:8:9'])(
    'not %j',
    (text) => {
      expect(addressBytes(text)).toBeUndefined()
    },
  )

  test('agrees with the runtime on what an address is', () => {
    const like = fc.string({ unit: fc.constantFrom(...'0123456789af:.'), maxLength: 20 })
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), like), (text) => {
        fc.pre(!/(^|[.:])0\d/.test(text))
        expect(addressBytes(text) !== undefined).toBe(isIP(text) !== 0)
      }),
    )
  })

  test('one spelling for each', () => {
    expect(canonicalAddress('fd00::6')).toBe(canonicalAddress('FD00:0:0:0:0:0:0:6'))
    expect(canonicalAddress('10.0.0.1')).toBe('10.0.0.1')
    expect(canonicalAddress('nine')).toBeUndefined()
  })
})
