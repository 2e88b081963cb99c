/** Any interleaving of registrations, check updates, outages and restarts ends with the catalog equal to the agent. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ServiceEntry } from '../model/entries.ts'
import { AtollError, type ErrorCode } from '../model/errors.ts'
import { checkEntry, serfHealthEntry } from './entries.ts'
import { service, startWorld, ttl, type World } from './testing/harness.ts'

type Step =
  | {
      readonly do: 'register'
      readonly id: string
      readonly port: number
      readonly checks: number
      readonly replace: boolean
    }
  | { readonly do: 'deregister' | 'maintain' | 'unmaintain'; readonly id: string }
  | { readonly do: 'check' | 'uncheck'; readonly id: string; readonly of: string }
  | {
      readonly do: 'ttl'
      readonly id: string
      readonly status: 'passing' | 'warning' | 'critical'
      readonly output: string
    }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'outage'; readonly how: Outage }
  | { readonly do: 'resync' | 'restart' | 'forget' | 'tamper' }

const OUTAGES = ['none', 'unavailable', 'overloaded', 'conflict', 'lost-answer', 'hang', 'slow'] as const
type Outage = (typeof OUTAGES)[number]

const id = fc.constantFrom('web', 'db', 'Web', 'cache')
const checkId = fc.constantFrom('c1', 'c2', 'web:0', 'web:1', 'db:0')
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('register' as const),
      id,
      port: fc.nat(3),
      checks: fc.nat(2),
      replace: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('deregister' as const, 'maintain' as const, 'unmaintain' as const),
      id,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('check' as const, 'uncheck' as const),
      id: checkId,
      of: fc.constantFrom('', 'web', 'db'),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('ttl' as const),
      id: checkId,
      status: fc.constantFrom('passing' as const, 'warning' as const, 'critical' as const),
      output: fc.constantFrom('', 'x', 'y'),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 1, 50, 700, 5000, 70_000) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('outage' as const), how: fc.constantFrom(...OUTAGES) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('resync' as const, 'restart' as const, 'forget' as const, 'tamper' as const),
    }),
  },
)

function setOutage({ catalog, clock }: World, how: Outage): void {
  catalog.before = () => {}
  catalog.after = () => {}
  const fail = (code: ErrorCode) => () => {
    throw new AtollError(code, how)
  }
  if (how === 'unavailable' || how === 'overloaded' || how === 'conflict') catalog.before = fail(how)
  if (how === 'lost-answer') catalog.after = fail('unknown-outcome')
  if (how === 'hang') catalog.before = () => new Promise(() => {})
  if (how === 'slow') catalog.before = () => clock.sleep(300)
}

async function take(world: World, step: Step): Promise<void> {
  const { agent, catalog, clock } = world
  // Whether it is refused, and when it is acknowledged, is not what this is about.
  const change = (promise: Promise<void>): void => void promise.catch(() => {})
  switch (step.do) {
    case 'register': {
      const checks = Array.from({ length: step.checks }, (_, i) =>
        ttl(`${step.id.toLowerCase()}:${i}`, { ttlMs: 20_000 }),
      )
      change(
        agent.registerService(service(step.id, { port: step.port, checks }), { replaceExistingChecks: step.replace }),
      )
      break
    }
    case 'deregister':
      change(agent.deregisterService(step.id))
      break
    case 'maintain':
    case 'unmaintain':
      change(agent.setServiceMaintenance(step.id, step.do === 'maintain', ''))
      break
    case 'check':
      change(agent.registerCheck(ttl(step.id, { serviceId: step.of, ttlMs: 30_000 })))
      break
    case 'uncheck':
      change(agent.deregisterCheck(step.id))
      break
    case 'ttl':
      change(agent.updateTtl(step.id, step.status, step.output))
      break
    case 'wait':
      await clock.advance(step.ms)
      break
    case 'outage':
      setOutage(world, step.how)
      break
    case 'resync':
      agent.resync()
      break
    case 'restart':
      await world.restart()
      break
    case 'forget':
      catalog.services.clear()
      catalog.checks.clear()
      break
    case 'tamper':
      catalog.services.set('ghost', { ...service('ghost'), node: 'n1', owner: 'agent' } as ServiceEntry)
      catalog.services.set('foreign', { ...service('foreign'), node: 'n1', owner: 'catalog' } as ServiceEntry)
      break
  }
}

test('the catalog ends up equal to the agent', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const world = await startWorld({ commandTimeoutMs: 2000, checkUpdateIntervalMs: 10_000 })
      for (const next of steps) await take(world, next)
      setOutage(world, 'none')
      // A full sync, a deferred output, and the longest backoff.
      await world.clock.advance(100_000)
      assertEqual(world)
      // A restart finds the same on the disk.
      const before = registrations(world)
      await world.restart()
      expect(registrations(world)).toEqual(before)
      await world.clock.advance(100)
      assertEqual(world)
      await world.agent.stop()
      expect(world.clock.pendingTimers).toBe(0)
    }),
    { numRuns: 150 },
  )
})

const registrations = ({ agent }: World) =>
  agent
    .services()
    .map((service) => ({ ...service, checks: service.checks.map(({ checkId }) => checkId).sort() }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))

function assertEqual({ agent, catalog }: World): void {
  const own = [...catalog.services.values()].filter(({ owner }) => owner === 'agent')
  const byId = <T extends { id: string }>(list: readonly T[]): T[] => [...list].sort((a, b) => (a.id < b.id ? -1 : 1))
  expect(byId(own)).toEqual(
    byId(agent.services().map(({ checks: _, ...fields }) => ({ ...fields, node: 'n1', owner: 'agent' as const }))),
  )
  const expected = agent
    .checks()
    .map((check) =>
      checkEntry(
        'n1',
        { ...check, catalogOutput: check.output, criticalSinceMs: undefined, validUntilWallMs: undefined },
        agent.service(check.definition.serviceId),
      ),
    )
  expect(Object.fromEntries(catalog.checks)).toEqual(
    Object.fromEntries([...expected, serfHealthEntry('n1')].map((check) => [check.checkId.toLowerCase(), check])),
  )
  expect(agent.syncStatus()).toMatchObject({ inSync: true, pending: 0, refused: [] })
}
