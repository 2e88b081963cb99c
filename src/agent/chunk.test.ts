import { expect, test } from 'vitest'
import type { CheckEntry, ServiceEntry, Status } from '../model/entries.ts'
import { type Item, itemKey, type LocalEntries, nextChunk } from './chunk.ts'

const items = (...list: Item[]): Map<string, Item> => new Map(list.map((item) => [itemKey(item), item]))
const service = (id: string): Item => ({ kind: 'service', id })
const check = (id: string): Item => ({ kind: 'check', id })

/** Local entries from "service: check status, ..." */
function local(layout: Record<string, Record<string, Status>>, padding = ''): LocalEntries {
  const checks = new Map<string, CheckEntry>()
  for (const [serviceId, of] of Object.entries(layout)) {
    for (const [checkId, status] of Object.entries(of)) {
      checks.set(checkId, { checkId, serviceId, status, output: padding } as CheckEntry)
    }
  }
  return {
    service: (id) => (id in layout ? ({ id } as ServiceEntry) : undefined),
    check: (id) => checks.get(id),
    checkIdsOf: (id) => Object.keys(layout[id] ?? {}),
  }
}

const ids = (chunk: ReturnType<typeof nextChunk>) => ({
  services: chunk.services.map(({ id }) => id),
  checks: chunk.checks.map(({ checkId }) => checkId),
  removed: [...chunk.removeServices, ...chunk.removeChecks],
  last: chunk.last,
})

test('a service takes its changed checks along, the worst first, and a check its service', () => {
  const entries = local({
    web: { ok: 'passing', bad: 'critical', meh: 'warning', same: 'passing' },
    '': { node: 'passing' },
  })
  const dirty = items(check('ok'), check('node'), service('web'), check('bad'), check('meh'), check('gone'))
  expect(ids(nextChunk(dirty, entries))).toEqual({
    services: ['web'],
    checks: ['bad', 'meh', 'ok', 'node'],
    removed: ['gone'],
    last: true,
  })
})

test('the bounds hold; what does not fit is for the next one', () => {
  const entries = local({ a: { a1: 'passing', a2: 'critical' }, b: { b1: 'passing' } })
  const dirty = items(service('a'), check('a1'), check('a2'), service('b'), check('b1'))
  expect(ids(nextChunk(dirty, entries, { items: 2, bytes: 1e6 }))).toEqual({
    services: ['a'],
    checks: ['a2'],
    removed: [],
    last: false,
  })
  expect(ids(nextChunk(dirty, local({ a: { a1: 'passing' } }, 'x'.repeat(500)), { items: 9, bytes: 400 }))).toEqual({
    services: ['a'],
    checks: [],
    removed: [],
    last: false,
  })
})

test('one that is too large by itself goes all the same: the catalog says so', () => {
  const entries = local({ '': { big: 'passing' } }, 'x'.repeat(500))
  expect(ids(nextChunk(items(check('big')), entries, { items: 9, bytes: 10 }))).toMatchObject({
    checks: ['big'],
    last: true,
  })
})

test('nothing to carry is the last chunk', () => {
  expect(ids(nextChunk(new Map(), local({})))).toEqual({ services: [], checks: [], removed: [], last: true })
})
