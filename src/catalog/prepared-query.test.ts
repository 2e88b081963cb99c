import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PreparedQueryEntry } from '../model/prepared-query.ts'
import { nodeEntry, register, sessionCreate } from './testing/entries.ts'
import { type Harness, openHarness } from './testing/harness.ts'
import { queryEntry } from './testing/prepared-query.ts'

const idOf = (i: number): string => `bbbbbbbb-0000-0000-0000-${String(i).padStart(12, '0')}`
const SESSION = 'aaaaaaaa-0000-0000-0000-000000000001'

let h: Harness
beforeEach(async () => {
  h = await openHarness()
  await h.catalog.execute(register(nodeEntry('n1')))
})
afterEach(() => h.close())

const put = (i: number, more: Partial<PreparedQueryEntry> = {}, create = true) =>
  h.catalog.execute({ kind: 'query-put', query: queryEntry(idOf(i), more), create })
const remove = (i: number) => h.catalog.execute({ kind: 'query-delete', query: idOf(i) })
const template = { type: 'name_prefix_match', regexp: '', removeEmptyTags: false } as const

describe('prepared queries in the catalog', () => {
  it('are found by id, by name in any case, and come back as they were stored', async () => {
    const wanted = queryEntry(idOf(1), {
      name: 'Web-Q',
      token: 't',
      dnsTtl: '7s',
      template: { type: 'name_prefix_match', regexp: '^(.*)$', removeEmptyTags: true },
      service: {
        service: 'web',
        failover: { nearestN: 2, datacenters: ['us-1'], targets: null },
        onlyPassing: true,
        ignoreCheckIds: ['c'],
        near: '_agent',
        tags: [],
        nodeMeta: { b: '2', a: '1' },
        serviceMeta: null,
        connect: false,
        sort: 'load',
      },
    })
    const { index } = await h.catalog.execute({ kind: 'query-put', query: wanted, create: true })
    const { view } = h.catalog
    expect(view.query(idOf(1))).toEqual({ ...wanted, createIndex: index, modifyIndex: index })
    expect(view.queryFor('WEB-q')).toBe(view.query(idOf(1)))
    expect((await h.reloaded()).queries()).toEqual(view.queries())
  })

  it('have names of their own, whoever writes first', async () => {
    const results = await Promise.allSettled([put(1, { name: 'web' }), put(2, { name: 'WEB' })])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const refused = results.find((result) => result.status === 'rejected')!
    expect(refused.reason).toMatchObject({
      code: 'conflict',
      message: /name '(web|WEB)' aliases an existing query name/,
    })
    const kept = h.catalog.view.queryFor('web')!
    await put(3, { name: 'db' })
    await expect(put(3, { name: 'web' }, false)).rejects.toMatchObject({ code: 'conflict' })
    await put(Number(kept.id.at(-1)), { name: 'other' }, false)
    await put(3, { name: 'web' }, false)
    expect(h.catalog.view.queryFor('web')?.id).toBe(idOf(3))
    expect(h.catalog.view.queryFor('db')).toBeUndefined()
    await remove(3)
    await put(4, { name: 'web' })
  })

  it('refuse a name that is the id of another', async () => {
    await put(1)
    await expect(put(2, { name: idOf(1) })).rejects.toThrow(`name '${idOf(1)}' aliases an existing query ID`)
  })

  it('cannot be changed or removed when they are not there, nor created twice', async () => {
    await expect(put(1, {}, false)).rejects.toMatchObject({ code: 'not-found' })
    await expect(remove(1)).rejects.toThrow(`Cannot modify non-existent prepared query: '${idOf(1)}'`)
    await put(1)
    await expect(put(1)).rejects.toMatchObject({ code: 'conflict', field: 'ID' })
  })

  it('an equal write changes nothing', async () => {
    const { index } = await put(1)
    await put(1, {}, false)
    expect(h.catalog.view.query(idOf(1))?.modifyIndex).toBe(index)
  })

  it('templates: the longest beginning of the name counts, after the name itself', async () => {
    await put(1, { name: 'geo-', template })
    await put(2, { name: 'geo-DB-', template })
    await put(3, { name: 'geo-db-1' })
    const idFor = (name: string) => h.catalog.view.queryFor(name)?.id
    expect(idFor('geo-x')).toBe(idOf(1))
    expect(idFor('GEO-db-x')).toBe(idOf(2))
    expect(idFor('geo-db-1')).toBe(idOf(3))
    expect(idFor('geo')).toBeUndefined()
    await put(4, { name: '', template })
    expect(idFor('geo')).toBe(idOf(4))
    await expect(put(5, { name: '', template })).rejects.toThrow('a query template with an empty name already exists')
    await remove(2)
    expect(idFor('geo-db-x')).toBe(idOf(1))
  })

  it('go with their session, however many there are', async () => {
    await expect(put(1, { session: SESSION })).rejects.toThrow(`invalid session "${SESSION}"`)
    await h.catalog.execute(sessionCreate(SESSION))
    for (let i = 1; i <= 120; i++) await put(i, { name: `q${i}`, session: SESSION })
    await put(121, { name: 'stays' })
    const before = h.catalog.view.topic({ kind: 'query', id: idOf(7) }).index
    await h.catalog.execute({ kind: 'session-destroy', session: SESSION })
    expect(h.catalog.view.queries().map(({ name }) => name)).toEqual(['stays'])
    expect(h.catalog.view.session(SESSION)).toBeUndefined()
    expect(h.catalog.view.topic({ kind: 'query', id: idOf(7) }).index).toBeGreaterThan(before)
    await put(122, { name: 'q7' })
  })

  it('indexes rise with each change and each removal, also for who begins afterwards', async () => {
    const topic = h.catalog.view.topic({ kind: 'queries' })
    let woken = 0
    topic.onceChanged(() => woken++)
    const { index } = await put(1)
    expect([topic.index, woken]).toEqual([index, 1])
    const removed = await remove(1)
    expect(topic.index).toBe(removed.index)
    const again = await h.reloaded()
    expect(again.topic({ kind: 'queries' }).index).toBe(removed.index)
    expect(again.topic({ kind: 'query', id: idOf(1) }).index).toBe(removed.index)
  })

  it('are bounded', async () => {
    const many = Array.from({ length: 257 }, (_, i) => `t${i}`)
    const { service } = queryEntry(idOf(1))
    await expect(put(1, { service: { ...service, tags: many } })).rejects.toMatchObject({ field: 'Service.Tags' })
    await expect(put(1, { name: 'x'.repeat(1_025) })).rejects.toMatchObject({ field: 'Name' })
    await expect(put(1, { service: { ...service, service: '' } })).rejects.toMatchObject({ field: 'Service.Service' })
    const query = queryEntry('x')
    await expect(h.catalog.execute({ kind: 'query-put', query, create: true })).rejects.toMatchObject({ field: 'ID' })
  })
})
