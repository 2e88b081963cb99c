import { expect, test } from 'vitest'
import { AtollError } from '../model/errors.ts'
import type { AgentDoor } from '../resolver/agent-door.ts'
import type { LocalAgent } from './agent.ts'
import { http, service, startWorld, ttl } from './testing/harness.ts'

const KEEP = { replaceExistingChecks: false }
const REPLACE = { replaceExistingChecks: true }

/** The agent is what the door asks for, by its shape alone. */
const fitsTheDoor = (
  agent: LocalAgent,
): Pick<
  AgentDoor,
  | 'services'
  | 'service'
  | 'checks'
  | 'registerService'
  | 'deregisterService'
  | 'registerCheck'
  | 'deregisterCheck'
  | 'updateTtl'
  | 'setServiceMaintenance'
  | 'setNodeMaintenance'
> => agent

test('the node and its serfHealth are in the catalog after the start', async () => {
  const { agent, catalog } = await startWorld()
  expect(fitsTheDoor(agent)).toBe(agent)
  expect(catalog.node).toMatchObject({ id: 'n-1', node: 'n1', owner: 'agent' })
  expect(catalog.checks.get('serfhealth')).toMatchObject({ status: 'passing', output: 'Agent alive and reachable' })
  expect(catalog.syncs.map(({ complete }) => complete)).toEqual([true])
})

test('a service and its checks get ids and names as Consul gives them, and go in one command', async () => {
  const { agent, catalog, run } = await startWorld()
  const checks = [ttl('', { name: '' }), ttl('b', { status: 'warning' }), ttl('', { name: 'c' })]
  await run(agent.registerService(service('', { checks, tags: ['v1'], address: '10.0.0.9' }), KEEP))
  expect(agent.checks().map(({ definition: d, status }) => [d.checkId, d.name, status])).toEqual([
    ['service:web:1', "Service 'web' check", 'critical'],
    ['b', 'b', 'warning'],
    ['service:web:3', 'c', 'critical'],
  ])
  const sync = catalog.syncs.at(-1)!
  expect(sync.complete).toBe(false)
  expect(sync.services[0]).toMatchObject({
    node: 'n1',
    id: 'web',
    owner: 'agent',
    taggedAddresses: { lan_ipv4: { address: '10.0.0.9', port: 80 }, wan_ipv4: { address: '10.0.0.9', port: 80 } },
  })
  expect(sync.checks.map(({ checkId }) => checkId).sort()).toEqual(['b', 'service:web:1', 'service:web:3'])
  expect(sync.checks[0]).toMatchObject({ serviceId: 'web', serviceName: 'web', serviceTags: ['v1'] })
  expect(agent.service('WEB')?.checks).toHaveLength(3)

  await run(agent.registerService(service('one', { checks: [ttl('', { name: '' })] }), KEEP))
  expect(agent.service('one')?.checks[0]?.checkId).toBe('service:one')
})

test('registering again keeps the checks and their status; replacing drops those that are not given', async () => {
  const { agent, catalog, run } = await startWorld()
  await run(agent.registerService(service('web', { checks: [ttl('a'), ttl('b')], tags: ['x'] }), KEEP))
  await run(agent.updateTtl('a', 'passing', 'fine'))
  await run(agent.setServiceMaintenance('web', true, ''))

  await run(agent.registerService(service('web', { port: 81 }), KEEP))
  expect(agent.checks().map(({ definition, status }) => [definition.checkId, status])).toEqual([
    ['a', 'passing'],
    ['b', 'critical'],
    ['_service_maintenance:web', 'critical'],
  ])
  expect(catalog.services.get('web')).toMatchObject({ port: 81, tags: [] })
  expect(catalog.checks.get('a')).toMatchObject({ status: 'passing', output: 'fine', serviceTags: [] })

  const again = ttl('a', { status: 'critical', name: 'a, renamed' })
  await run(agent.registerService(service('web', { checks: [again] }), REPLACE))
  expect(agent.checks().map(({ definition, status }) => [definition.name, status])).toEqual([
    ['a, renamed', 'passing'],
    ['Service Maintenance Mode', 'critical'],
  ])
  expect([...catalog.checks.keys()].sort()).toEqual(['_service_maintenance:web', 'a', 'serfhealth'])
})

test('deregistering a service takes its checks along; unknown ones have their errors', async () => {
  const { agent, catalog, run } = await startWorld()
  await run(agent.registerService(service('web', { checks: [ttl('a')] }), KEEP))
  await run(agent.registerCheck(ttl('of-node')))
  await run(agent.deregisterService('web'))
  expect(agent.checks().map(({ definition }) => definition.checkId)).toEqual(['of-node'])
  expect([...catalog.services.keys()]).toEqual([])
  expect([...catalog.checks.keys()].sort()).toEqual(['of-node', 'serfhealth'])
  await run(agent.deregisterCheck('of-node'))
  expect([...catalog.checks.keys()]).toEqual(['serfhealth'])

  await expect(agent.deregisterService('web')).rejects.toMatchObject({ code: 'not-found' })
  await expect(agent.deregisterCheck('nope')).resolves.toBeUndefined()
  await expect(agent.registerCheck(ttl('x', { serviceId: 'nope' }))).rejects.toMatchObject({
    code: 'invalid',
    message: 'ServiceID "nope" does not exist',
  })
  await expect(agent.updateTtl('nope', 'passing', '')).rejects.toMatchObject({
    code: 'not-found',
    message: 'CheckID "nope" does not have associated TTL',
  })
  await expect(agent.setServiceMaintenance('nope', true, '')).rejects.toMatchObject({
    code: 'not-found',
    message: 'No service registered with ID "nope"',
  })
  await run(agent.registerCheck(http('h')))
  await expect(agent.updateTtl('h', 'passing', '')).rejects.toMatchObject({ code: 'invalid' })
})

test('maintenance of a service and of the node, on and off', async () => {
  const { agent, catalog, run } = await startWorld()
  await run(agent.registerService(service('web'), KEEP))
  await run(agent.setServiceMaintenance('web', true, ''))
  await run(agent.setServiceMaintenance('web', true, 'a later reason'))
  expect(catalog.checks.get('_service_maintenance:web')).toMatchObject({
    status: 'critical',
    serviceId: 'web',
    type: 'maintenance',
    notes: 'Maintenance mode is enabled for this service, but no reason was provided. This is a default message.',
  })
  await run(agent.setNodeMaintenance(true, 'upgrade'))
  expect(catalog.checks.get('_node_maintenance')).toMatchObject({ notes: 'upgrade', serviceId: '' })
  await run(agent.setServiceMaintenance('web', false, ''))
  await run(agent.setNodeMaintenance(false, ''))
  await run(agent.setNodeMaintenance(false, ''))
  expect([...catalog.checks.keys()]).toEqual(['serfhealth'])
})

test('a TTL check lapses, with what it last said, and comes back', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  await run(agent.registerCheck(ttl('mem')))
  await run(agent.updateTtl('mem', 'passing', 'y'.repeat(5000)), 9000)
  expect(agent.checks()[0]).toMatchObject({
    status: 'passing',
    output: `${'y'.repeat(4096)} ... (captured 4096 of 5000 bytes)`,
  })
  await run(agent.updateTtl('mem', 'passing', 'good'), 9999)
  expect(agent.checks()[0]?.status).toBe('passing')
  await clock.advance(1)
  expect(catalog.checks.get('mem')).toMatchObject({
    status: 'critical',
    output: 'TTL expired (last output before timeout follows): good',
  })
  await run(agent.updateTtl('mem', 'warning', ''))
  expect(catalog.checks.get('mem')).toMatchObject({ status: 'warning', output: '' })
})

test('a service that stays critical for too long is deregistered, one that recovers is not', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  const reaped = ttl('a', { deregisterCriticalServiceAfterMs: 5000, ttlMs: 1e9 })
  await run(agent.registerService(service('web', { checks: [reaped] }), KEEP))
  await run(agent.registerService(service('db', { checks: [{ ...reaped, checkId: 'd' }] }), KEEP))
  await run(agent.updateTtl('d', 'passing', ''), 50_000)
  // The least is a minute; to register again does not begin it anew.
  await run(agent.registerService(service('web', { checks: [reaped] }), KEEP), 1000)
  expect(agent.service('web')).toBeDefined()
  await clock.advance(10_000)
  expect(agent.services().map(({ id }) => id)).toEqual(['db'])
  expect([...catalog.services.keys()]).toEqual(['db'])
})

test('what cannot be taken is refused, and changes nothing', async () => {
  const { agent, disk, run } = await startWorld({ limits: { services: 2, checks: 2, definitionBytes: 2000 } })
  const writes = disk.writes
  const cases: [() => Promise<void>, string, string][] = [
    [() => agent.registerService(service('', { service: '' }), KEEP), 'invalid', 'Missing service name'],
    [() => agent.registerService(service('x'.repeat(513)), KEEP), 'invalid', '513 bytes'],
    [() => agent.registerService(service('\ud800'), KEEP), 'invalid', 'surrogate'],
    [() => agent.registerService(service('m', { meta: { k: 'x'.repeat(2000) } }), KEEP), 'too-large', 'Meta'],
    [
      () => agent.registerService(service('c', { checks: [ttl('1'), ttl('2'), ttl('3')] }), KEEP),
      'overloaded',
      'checks',
    ],
    [() => agent.registerCheck(ttl('', { name: '' })), 'invalid', 'Missing check name'],
    [() => agent.registerCheck(ttl('SerfHealth')), 'invalid', 'serfHealth'],
    [() => agent.registerCheck(ttl('t', { ttlMs: 0 })), 'invalid', 'TTL must be > 0'],
    [() => agent.registerCheck(ttl('t', { ttlMs: undefined })), 'invalid', 'TTL must be > 0'],
    [() => agent.registerCheck(http('h', { intervalMs: 0 })), 'invalid', 'Interval must be > 0'],
    [() => agent.registerCheck(http('h', { ttlMs: 1000 })), 'invalid', 'of one kind'],
  ]
  for (const [attempt, code, message] of cases) {
    const error = await run(
      attempt().then(
        () => undefined,
        (e: unknown) => e,
      ),
      0,
    )
    expect(error).toBeInstanceOf(AtollError)
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) })
  }
  expect([agent.services(), agent.checks(), disk.writes - writes]).toEqual([[], [], 0])
  await run(agent.registerService(service('a'), KEEP))
  await run(agent.registerService(service('b'), KEEP))
  await expect(run(agent.registerService(service('c'), KEEP))).rejects.toMatchObject({ code: 'overloaded' })
  await run(agent.registerService(service('A', { port: 1 }), KEEP))
})

test('a disk that fails refuses the registration and leaves all as it was', async () => {
  const { agent, catalog, disk, run } = await startWorld()
  await run(agent.registerService(service('web', { checks: [ttl('a')] }), KEEP))
  disk.failWith = new Error('no space left on device')
  await expect(run(agent.registerService(service('web', { port: 81 }), KEEP))).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('no space left'),
  })
  await expect(run(agent.deregisterService('web'))).rejects.toMatchObject({ code: 'unavailable' })
  expect(agent.service('web')?.port).toBe(80)
  expect(catalog.services.get('web')?.port).toBe(80)
  disk.failWith = undefined
  await run(agent.deregisterService('web'))
  expect(agent.services()).toEqual([])
})

test('too many changes at once are turned away', async () => {
  const { agent, run } = await startWorld({ limits: { pendingChanges: 3 } })
  const attempts = ['a', 'b', 'c', 'd'].map((id) => agent.registerService(service(id), KEEP))
  const results = await run(Promise.allSettled(attempts))
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected'])
  expect(agent.services()).toHaveLength(3)
})

test('a stopped agent leaves no timer behind and refuses changes', async () => {
  const { agent, clock, catalog, run } = await startWorld()
  await run(agent.registerService(service('web', { checks: [ttl('a'), http('h')] }), KEEP))
  await run(agent.updateTtl('a', 'passing', 'one'))
  await run(agent.updateTtl('a', 'passing', 'two'))
  catalog.before = () => new Promise(() => {})
  const hanging = agent.registerCheck(ttl('x'))
  await clock.advance(10)
  await agent.stop()
  await hanging
  expect(clock.pendingTimers).toBe(0)
  await expect(agent.registerCheck(ttl('y'))).rejects.toMatchObject({ code: 'unavailable' })
  await agent.stop()
})

test('a node that leaves is taken out after what was in flight, and nothing is sent afterwards', async () => {
  const { agent, catalog, clock, run } = await startWorld()
  await run(agent.registerService(service('web'), KEEP))
  const gate = Promise.withResolvers<void>()
  catalog.before = (command) => (command.kind === 'agent-sync' ? gate.promise : undefined)
  const registered = agent.registerService(service('late'), KEEP)
  await clock.advance(5)
  const left = agent.deregisterNode()
  await clock.advance(5)
  gate.resolve()
  await run(Promise.all([left, registered]))
  agent.resync()
  await clock.advance(120_000)
  expect(catalog.commands.at(-1)).toEqual({ kind: 'deregister', node: 'n1' })
  expect(catalog.node).toBeUndefined()
  await agent.stop()
})
