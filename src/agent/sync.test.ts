import { expect, test } from 'vitest'
import type { CheckEntry, ServiceEntry } from '../model/entries.ts'
import { AtollError, type ErrorCode } from '../model/errors.ts'
import { MAX_SYNC_ITEMS } from '../model/sync.ts'
import { http, service, startWorld, ttl } from './testing/harness.ts'

const KEEP = { replaceExistingChecks: false }
const fail = (code: ErrorCode) => () => {
  throw new AtollError(code, `${code}, said the test`)
}

test('one command is in flight, what changes meanwhile goes in the next one', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  const before = catalog.syncs.length
  const gate = Promise.withResolvers<void>()
  catalog.before = () => gate.promise
  const first = agent.registerService(service('a'), KEEP)
  await clock.advance(1)
  const more = Promise.all(['b', 'c', 'd'].map((id) => agent.registerService(service(id), KEEP)))
  await clock.advance(1)
  expect(catalog.inFlight).toBe(1)
  gate.resolve()
  await run(Promise.all([first, more]), 1)
  expect(catalog.syncs.slice(before).map(({ services }) => services.map(({ id }) => id))).toEqual([
    ['a'],
    ['b', 'c', 'd'],
  ])
})

test('without a server a registration resolves after a second, and is in the catalog later', async () => {
  const { agent, catalog, clock, log } = await startWorld()
  catalog.before = fail('unavailable')
  let done = false
  const registered = agent.registerService(service('web'), KEEP).then(() => {
    done = true
  })
  await clock.advance(999)
  expect(done).toBe(false)
  await clock.advance(1)
  await registered
  expect(agent.syncStatus()).toMatchObject({ inSync: false, pending: 1, error: { code: 'unavailable' } })
  await clock.advance(600_000)
  const attempts = catalog.commands.length
  // Not more often than every few seconds in the long run, and said only once.
  expect(attempts).toBeLessThan(130)
  expect(log.filter(({ level }) => level === 'warn')).toHaveLength(1)
  catalog.before = () => {}
  await clock.advance(10_000)
  expect(catalog.services.has('web')).toBe(true)
  expect(agent.syncStatus()).toMatchObject({ inSync: true, pending: 0, error: undefined })
})

test('a server that never answers is given up, and the outcome taken for unknown: a full sync follows', async () => {
  const { agent, catalog, clock } = await startWorld({ commandTimeoutMs: 2000 })
  const gate = Promise.withResolvers<void>()
  catalog.before = () => gate.promise
  const registered = agent.registerService(service('web'), KEEP)
  await clock.advance(1000)
  await registered
  catalog.before = () => {}
  await clock.advance(1500)
  expect(catalog.syncs.at(-1)).toMatchObject({ complete: true })
  expect(catalog.services.has('web')).toBe(true)
  gate.resolve()
})

test('resync does not wait for the backoff, and sends all', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  await run(agent.registerService(service('web', { checks: [ttl('a')] }), KEEP))
  catalog.before = fail('unavailable')
  const registered = agent.registerService(service('db'), KEEP)
  await clock.advance(30_000)
  await registered
  catalog.before = () => {}
  catalog.services.clear()
  catalog.checks.clear()
  agent.resync()
  await clock.advance(0)
  expect([...catalog.services.keys()].sort()).toEqual(['db', 'web'])
  expect([...catalog.checks.keys()].sort()).toEqual(['a', 'serfhealth'])
})

test('a resync while a full sync is under way starts over', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  await run(agent.registerService(service('web'), KEEP))
  const gate = Promise.withResolvers<void>()
  catalog.after = () => gate.promise
  agent.resync()
  await clock.advance(1)
  // The server forgets what it was told, and answers all the same.
  catalog.services.clear()
  catalog.checks.clear()
  agent.resync()
  catalog.after = () => {}
  gate.resolve()
  await clock.advance(1)
  expect([...catalog.services.keys()]).toEqual(['web'])
  expect([...catalog.checks.keys()]).toEqual(['serfhealth'])
})

test('the full sync restores what was changed behind its back, and leaves the entries of the catalog API', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  await run(agent.registerService(service('web', { checks: [ttl('a', { ttlMs: 1e9 })] }), KEEP))
  const mine = catalog.services.get('web')!
  const stray: ServiceEntry = { ...mine, id: 'stray', service: 'stray' }
  const theirs: ServiceEntry = { ...mine, id: 'theirs', service: 'theirs', owner: 'catalog' }
  const theirCheck: CheckEntry = { ...catalog.checks.get('a')!, checkId: 'c', serviceId: 'theirs', owner: 'catalog' }
  catalog.services
    .set('web', { ...mine, port: 1 })
    .set('stray', stray)
    .set('theirs', theirs)
  catalog.checks.delete('a')
  catalog.checks.set('c', theirCheck)
  await clock.advance(66_000)
  expect([...catalog.services.keys()].sort()).toEqual(['theirs', 'web'])
  expect(catalog.services.get('web')).toEqual(mine)
  expect([...catalog.checks.keys()].sort()).toEqual(['a', 'c', 'serfhealth'])
})

test('a conflict rejects those who wait, at once and later, until the name is free', async () => {
  const { agent, catalog, clock, run, log } = await startWorld()
  catalog.before = fail('conflict')
  const many = Array.from({ length: 2 * MAX_SYNC_ITEMS }, (_, i) => agent.registerService(service(`s${i}`), KEEP))
  const results = await run(Promise.allSettled(many), 999)
  expect(results.every((result) => result.status === 'rejected' && result.reason.code === 'conflict')).toBe(true)
  await clock.advance(60_000)
  await expect(run(agent.registerService(service('later'), KEEP), 300)).rejects.toMatchObject({ code: 'conflict' })
  expect(log.filter(({ level }) => level === 'error')).toHaveLength(1)
  catalog.before = () => {}
  await clock.advance(10_000)
  expect(catalog.services.size).toBe(2 * MAX_SYNC_ITEMS + 1)
})

test('an entry that the catalog refuses does not hold up the others, and is tried again with the full sync', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  catalog.before = (command) => {
    if (command.kind === 'agent-sync' && command.services.some(({ id }) => id === 'bad')) fail('invalid')()
  }
  const ids = ['a', 'bad', 'b', 'c']
  const results = await run(Promise.allSettled(ids.map((id) => agent.registerService(service(id), KEEP))), 10)
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
  expect(agent.syncStatus()).toMatchObject({ inSync: false, refused: ['service:bad'] })
  await clock.advance(66_000)
  expect([...catalog.services.keys()].sort()).toEqual(['a', 'b', 'c'])
  catalog.before = () => {}
  await clock.advance(66_000)
  expect(catalog.services.size).toBe(4)
  expect(agent.syncStatus()).toMatchObject({ inSync: true, refused: [] })
})

test('a large agent is synced in bounded commands, each service with its checks, removals last', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  catalog.before = fail('unavailable')
  const ids = Array.from({ length: 150 }, (_, i) => `s${i}`)
  await run(Promise.all(ids.map((id) => agent.registerService(service(id, { checks: [ttl('')] }), KEEP))))
  catalog.before = () => {}
  const stray = { node: 'n1', owner: 'agent' } as ServiceEntry
  for (let i = 0; i < 35; i++) catalog.services.set(`old${i}`, { ...stray, id: `old${i}` })
  const before = catalog.syncs.length
  agent.resync()
  await clock.advance(0)
  const syncs = catalog.syncs.slice(before)
  expect(catalog.services.size).toBe(150)
  expect(catalog.checks.size).toBe(151)
  // 300 entries in tens of commands; 35 removals at ten each.
  expect(syncs.map(({ complete }) => complete)).toEqual([...Array(9).fill(false), ...Array(4).fill(true)])
  expect(syncs.filter(({ checks }) => checks.some(({ checkId }) => checkId === 'serfHealth'))).toHaveLength(1)
  for (const { services, checks } of syncs) {
    for (const { serviceId } of checks) if (serviceId !== '') expect(services.map(({ id }) => id)).toContain(serviceId)
  }
})

test('a change of the output alone waits, a change of the status takes it along at once', async () => {
  const { agent, catalog, clock, run, backends } = await startWorld({ checkUpdateIntervalMs: 300_000 })
  await run(agent.registerCheck(http('h')), 2000)
  expect(catalog.checks.get('h')).toMatchObject({ status: 'passing', output: expect.stringContaining('asked 1 times') })
  await clock.advance(140_000)
  expect(agent.checks()[0]?.output).not.toContain('asked 1 times')
  // Two full syncs have passed, and did not bring it.
  expect(catalog.checks.get('h')?.output).toContain('asked 1 times')
  await clock.advance(310_000)
  expect(catalog.checks.get('h')?.output).not.toContain('asked 1 times')
  backends.codes.set('h', 500)
  await clock.advance(11_000)
  expect(catalog.checks.get('h')).toMatchObject({ status: 'critical', output: agent.checks()[0]?.output })
})
