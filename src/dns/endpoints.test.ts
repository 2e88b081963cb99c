import { expect, it } from 'vitest'
import { type Endpoint, weighedByLoad } from './endpoints.ts'

const endpoint = (weight: number, load?: number): Endpoint => ({
  address: undefined,
  port: 1,
  weight,
  load,
  priority: 1,
  target: 'a',
  meta: null,
})
const weights = (...all: Endpoint[]) => weighedByLoad(all).map(({ weight }) => weight)

it('weights are as registered while nobody says how busy it is', () => {
  expect(weights(endpoint(1), endpoint(7), endpoint(0))).toEqual([1, 7, 0])
})

it('weights follow the room that is left, and stay within what a record holds', () => {
  expect(weights(endpoint(1, 0), endpoint(1, 0.75), endpoint(1, 1), endpoint(1), endpoint(0, 0.5))).toEqual([
    100, 25, 1, 100, 0,
  ])
  expect(weights(endpoint(65_535, 0), endpoint(65_535, 0.5), endpoint(1, 0.5))).toEqual([65_535, 32_768, 1])
})
