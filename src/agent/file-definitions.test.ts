import { expect, test } from 'vitest'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'
import { http, service, startWorld, ttl, type World } from './testing/harness.ts'

const check = (definition: LocalCheckDefinition): LocalCheckDefinition => ({ ...definition, fromFile: true })
const fileService = (id: string, more: Partial<LocalServiceDefinition> = {}) =>
  service(id, { ...more, fromFile: true, checks: (more.checks ?? []).map(check) })
const KEEP = { replaceExistingChecks: false }

const ids = ({ agent, catalog }: World) => ({
  services: agent.services().map(({ id }) => id),
  checks: agent.checks().map(({ definition }) => definition.checkId),
  catalog: [...catalog.services.keys(), ...catalog.checks.keys()].filter((id) => id !== 'serfhealth').sort(),
})

test('what files define is registered, changed and removed with them; what came by the API stays', async () => {
  const world = await startWorld()
  const { agent, run } = world
  await run(agent.registerService(service('by-api', { checks: [ttl('a')] }), KEEP))
  const first = {
    services: [fileService('web', { checks: [http('w1'), ttl('w2')] }), fileService('db')],
    checks: [check(ttl('node'))],
  }
  await run(agent.applyDefinitions(first))
  await run(agent.registerCheck(ttl('mine', { serviceId: 'web' })))
  expect(ids(world)).toEqual({
    services: ['by-api', 'web', 'db'],
    checks: ['a', 'w1', 'w2', 'node', 'mine'],
    catalog: ['a', 'by-api', 'db', 'mine', 'node', 'w1', 'w2', 'web'],
  })
  const second = { services: [fileService('web', { port: 81, checks: [http('w1')] })], checks: [] }
  await run(agent.applyDefinitions(second))
  expect(ids(world)).toEqual({
    services: ['by-api', 'web'],
    checks: ['a', 'w1', 'mine'],
    catalog: ['a', 'by-api', 'mine', 'w1', 'web'],
  })
  expect(world.catalog.services.get('web')?.port).toBe(81)
  await agent.stop()
})

test('what did not change is left alone: nothing is written, and a TTL does not start over', async () => {
  const world = await startWorld()
  const { agent, run, catalog, clock } = world
  const defined = { services: [fileService('web', { checks: [ttl('t', { ttlMs: 10_000 })] })], checks: [] }
  await run(agent.applyDefinitions(defined))
  await run(agent.updateTtl('t', 'passing', 'fine'))
  const commands = catalog.commands.length
  await clock.advance(6_000)
  await run(agent.applyDefinitions(defined))
  expect(catalog.commands.length).toBe(commands)
  await clock.advance(4_000)
  expect(agent.checks()[0]).toMatchObject({ status: 'critical', output: expect.stringContaining('TTL expired') })
  await agent.stop()
})

test('after a restart it is gone when no file defines it any more, also from the catalog', async () => {
  const world = await startWorld()
  await world.run(world.agent.registerService(service('by-api'), KEEP))
  await world.run(world.agent.applyDefinitions({ services: [fileService('web', { checks: [ttl('t')] })], checks: [] }))
  expect(ids(world).catalog).toEqual(['by-api', 't', 'web'])
  await world.restart()
  await world.clock.advance(1_500)
  expect(ids(world)).toEqual({ services: ['by-api'], checks: [], catalog: ['by-api'] })
  await world.agent.stop()
})

test('a definition that cannot be says so, and what came before it is done', async () => {
  const world = await startWorld()
  const wrong = { services: [fileService('web')], checks: [check(ttl('c', { serviceId: 'nobody' }))] }
  await expect(world.run(world.agent.applyDefinitions(wrong))).rejects.toMatchObject({
    code: 'invalid',
    field: 'ServiceID',
  })
  expect(world.agent.service('web')).toBeDefined()
  await world.agent.stop()
})
