import { expect, it } from 'vitest'
import { pick } from './pick.ts'
import type { CheckJson, ServiceJson, Status } from './types.ts'

const entry = (id: string, service: Partial<ServiceJson> = {}, status: Status = 'passing') => ({
  Service: { ID: id, ...service } as ServiceJson,
  Checks: [{ Status: status } as CheckJson],
})

/** How often each is picked, in a thousand even draws. */
function shares(entries: ReturnType<typeof entry>[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < 1_000; i++) {
    const id = pick(entries, () => i / 1_000)!.Service.ID
    counts[id] = (counts[id] ?? 0) + 1
  }
  return counts
}

it('shares by weights, by state and by the room that is left', () => {
  expect(shares([entry('a'), entry('b')])).toEqual({ a: 500, b: 500 })
  expect(shares([entry('a', { Load: 0.8 }), entry('b', { Load: 0.2 })])).toEqual({ a: 200, b: 800 })
  expect(shares([entry('full', { Load: 1 }), entry('silent')])).toEqual({ full: 10, silent: 990 })
  const Weights = { Passing: 9, Warning: 1 }
  expect(shares([entry('a', { Weights }), entry('b', { Weights }, 'warning')])).toEqual({ a: 900, b: 100 })
})

it('picks none where there is none, or none with a weight', () => {
  expect(pick([])).toBeUndefined()
  expect(pick([entry('a', { Weights: { Passing: 0, Warning: 0 } })])).toBeUndefined()
  expect(pick([entry('a', { Weights: { Passing: 0, Warning: 1 } }), entry('b')], () => 0)!.Service.ID).toBe('b')
})
