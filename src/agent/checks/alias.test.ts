import { describe, expect, it } from 'vitest'
import type { LocalCheckDefinition } from '../../model/local.ts'
import { service, startWorld, ttl } from '../testing/harness.ts'
import { type AliasedCheck, type AliasedNode, aliasOutcome } from './alias.ts'

const KEEP = { replaceExistingChecks: false }
const check = (checkId: string, status: AliasedCheck['status'], serviceId = ''): AliasedCheck => ({
  checkId,
  name: checkId,
  status,
  output: `${checkId} says so`,
  serviceId,
})
const node = (...checks: AliasedCheck[]): AliasedNode => ({ checks, hasService: (id) => id === 'web' })

describe('what an alias amounts to', () => {
  const web = { node: '', serviceId: 'web' }
  it.each([
    [web, node(), 'passing', 'No checks found.'],
    [web, node(check('a', 'passing', 'WEB'), check('b', 'critical', 'other')), 'passing', 'All checks passing.'],
    [web, node(check('a', 'warning', 'web')), 'warning', 'Aliased check "a" failing: a says so'],
    [
      web,
      node(check('a', 'warning', 'web'), check('b', 'critical', 'web')),
      'critical',
      'Aliased check "b" failing: b says so',
    ],
    [web, node(check('serfHealth', 'critical')), 'critical', 'Aliased check "serfHealth" failing: serfHealth says so'],
    [web, node(check('me', 'critical', 'web')), 'passing', 'No checks found.'],
    [{ node: '', serviceId: 'db' }, node(), 'critical', 'Service db could not be found on this node'],
    [{ node: 'n2', serviceId: 'db' }, node(), 'critical', 'Service db could not be found on node n2'],
    [{ node: 'n2', serviceId: '' }, undefined, 'critical', 'Node n2 could not be found'],
    [{ node: 'n2', serviceId: '' }, node(check('a', 'critical', 'web')), 'passing', 'No checks found.'],
  ] as const)('%j %j', (target, of, status, output) => {
    expect(aliasOutcome(target, of, 'me')).toEqual({ status, output })
  })
})

const alias = (checkId: string, target: { node?: string; serviceId?: string }, of = ''): LocalCheckDefinition => {
  const { ttlMs: _, ...rest } = ttl(checkId, { type: 'alias', serviceId: of })
  return { ...rest, alias: { node: '', serviceId: '', ...target } }
}

describe('an alias in an agent', () => {
  it('follows a service of its own node at once, also through another alias, and outlives it', async () => {
    const { agent, run, catalog } = await startWorld()
    const status = (id: string) => agent.checks().find(({ definition }) => definition.checkId === id)?.status
    await run(agent.registerService(service('web', { checks: [ttl('t', { status: 'passing' })] }), KEEP))
    await run(agent.registerService(service('side'), KEEP))
    await run(agent.registerService(service('front', { checks: [alias('second', { serviceId: 'side' })] }), KEEP))
    await run(agent.registerCheck(alias('first', { serviceId: 'web' }, 'side')))
    expect([status('first'), status('second')]).toEqual(['passing', 'passing'])
    await run(agent.updateTtl('t', 'warning', 'so so'))
    expect([status('first'), status('second')]).toEqual(['warning', 'warning'])
    expect(catalog.checks.get('second')).toMatchObject({ status: 'warning' })
    await run(agent.deregisterService('web'))
    expect(agent.checks().find(({ definition }) => definition.checkId === 'first')).toMatchObject({
      status: 'critical',
      output: 'Service web could not be found on this node',
    })
    await agent.stop()
  })

  it('of each other settle, and come to an end', async () => {
    const { agent, run } = await startWorld()
    await run(agent.registerService(service('a', { checks: [alias('x', { serviceId: 'b' })] }), KEEP))
    await run(agent.registerService(service('b', { checks: [alias('y', { serviceId: 'a' })] }), KEEP))
    expect(agent.checks().map(({ status }) => status)).toEqual(['critical', 'critical'])
    await agent.stop()
  })

  it('asks the catalog for another node, again and again', async () => {
    const known = new Map<string, AliasedNode>()
    const world = await startWorld({ readNode: async (name) => known.get(name) })
    const { agent, run, clock } = world
    await run(agent.registerCheck(alias('far', { node: 'n2', serviceId: 'web' })))
    expect(agent.checks()[0]).toMatchObject({ status: 'critical', output: 'Node n2 could not be found' })
    known.set('n2', node(check('a', 'passing', 'web')))
    await clock.advance(11_000)
    expect(agent.checks()[0]).toMatchObject({ status: 'passing', output: 'All checks passing.' })
    await agent.stop()
  })
})
