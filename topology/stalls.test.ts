import { expect, it } from 'vitest'
import { Stalls } from './stalls.ts'

it('tells how much of a time a loop stood still', () => {
  const stalls = new Stalls()
  stalls.add({ endedWallMs: 1000, ms: 200 })
  stalls.add({ endedWallMs: 2000, ms: 500 })
  expect(stalls.within(0, 3000)).toBe(700)
  expect(stalls.within(900, 1600)).toBe(100 + 100)
  expect(stalls.within(1100, 1400)).toBe(0)
})
