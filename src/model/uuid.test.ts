import { expect, it } from 'vitest'
import { uuidFault } from './uuid.ts'

it.each([
  ['6f9c2b9e-5a54-4d7c-8c63-0123456789ab', undefined],
  ['6F9C2B9E-5A54-4D7C-8C63-0123456789AB', undefined],
  ['1'.repeat(36), undefined],
  ['', 'UUID must be 36 characters'],
  ['1'.repeat(37), 'UUID must be 36 characters'],
  ['-'.repeat(6) + '1'.repeat(30), 'UUID should have maximum of 4 "-"; got 6'],
  [`-${'1'.repeat(35)}`, 'UUID (without hyphens) must be even length'],
  ['x'.repeat(36), 'Invalid UUID: its characters are hexadecimal digits and hyphens'],
])('%s: %s', (text, fault) => {
  expect(uuidFault(text)).toBe(fault)
})
