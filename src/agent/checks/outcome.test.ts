import { expect, test } from 'vitest'
import { decodeBounded, dialReason, truncateOutput } from './outcome.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test.each([
  ['abc', 3, 'abc'],
  ['abcd', 3, 'abc'],
  ['aé', 2, 'a'],
  ['a€b', 3, 'a'],
  ['a€b', 4, 'a€'],
  ['😀😀', 7, '😀'],
  ['', 0, ''],
  ['abc', 0, ''],
])('%j within %i bytes is %j', (text, max, expected) => {
  expect(decodeBounded(bytes(text), max)).toBe(expected)
})

test('bytes that are no UTF-8 do not take long, nor throw', () => {
  expect(decodeBounded(new Uint8Array(100).fill(0x80), 50).length).toBeLessThanOrEqual(50)
})

test.each([
  ['short', 100, 'short'],
  ['éé', 4, 'éé'],
  ['ééé', 4, 'éé ... (captured 4 of 6 bytes)'],
  ['a\ud800', 100, 'a\ufffd'],
])('%j truncated to %i bytes is %j', (text, max, expected) => {
  expect(truncateOutput(text, max)).toBe(expected)
})

test('reasons are found below what wraps them', () => {
  const inner = Object.assign(new Error('inner'), { code: 'EHOSTUNREACH' })
  expect(dialReason(new Error('outer', { cause: inner }), 'h', 1)).toBe('dial tcp h:1: connect: no route to host')
  expect(dialReason(Object.assign(new Error('x'), { code: 'ENOTFOUND' }), 'h', 1)).toBe(
    'dial tcp: lookup h: no such host',
  )
  expect(dialReason(new Error('something else'), 'h', 1)).toBe('something else')
  expect(dialReason('thrown', 'h', 1)).toBe('thrown')
})
