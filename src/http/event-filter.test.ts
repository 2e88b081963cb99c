import { expect, test } from 'vitest'
import { filterFault, isFor } from './event-filter.ts'

const event = (nodeFilter = '', serviceFilter = '', tagFilter = '') => ({
  id: '',
  name: 'e',
  payload: new Uint8Array(0),
  nodeFilter,
  serviceFilter,
  tagFilter,
  time: 2,
})
const target = {
  node: 'web-1',
  services: [
    { service: 'api', tags: ['v2'] },
    { service: 'db', tags: [] },
  ],
}

test.each([
  [event(), true],
  [event('^web-\\d$'), true],
  [event('^web$'), false],
  [event('', 'ap'), true],
  [event('', 'ap', 'v[12]'), true],
  [event('', 'db', 'v[12]'), false],
  [event('zzz', 'api'), false],
])('an event is for whom its filters match: %o', async (given, expected) => {
  expect(await isFor(given, target)).toBe(expected)
})

test('an expression that would keep other engines busy for years takes no time', async () => {
  const node = `${'a'.repeat(4_000)}b`
  const startMs = performance.now()
  expect(await isFor(event('^(a+)+$'), { node, services: [] })).toBe(false)
  expect(performance.now() - startMs).toBeLessThan(5_000)
})

test("what is wrong is told in the words of Go's engine", async () => {
  expect(await filterFault('(')).toBe('error parsing regexp: missing closing ): `(`')
  expect(await filterFault('a.*b')).toBeUndefined()
})
