// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates of queries are written so
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { queryEntry } from '../../catalog/testing/prepared-query.ts'
import type { CheckRow } from '../../model/entries.ts'
import type { PreparedQueryEntry, QueryService } from '../../model/prepared-query.ts'
import { SeededRandom, VirtualClock } from '../../runtime/virtual.ts'
import type { AgentDoor } from '../agent-door.ts'
import { createMesh, type RunningMesh } from '../door.ts'
import { type Answer, anonymous, type Execution, type Question } from '../mesh.ts'
import { FakeCatalog, FakeFederation, FakeRemote, FakeView, instance, node } from '../testing/fakes.ts'

const ID = 'bbbbbbbb-0000-0000-0000-000000000001'
const plain = { principal: anonymous, consistency: 'default' } as const

let clock: VirtualClock
let own: FakeView
let views: Record<string, FakeView>
let remotes: Record<string, FakeRemote>
let federation: FakeFederation
let mesh: RunningMesh

beforeEach(() => {
  clock = new VirtualClock()
  own = new FakeView('eu-1')
  federation = new FakeFederation()
  views = {}
  remotes = {}
  for (const [name, ms] of [
    ['us-1', 80],
    ['uk-1', 10],
    ['ap-1', 200],
  ] as const) {
    views[name] = new FakeView(name)
    remotes[name] = new FakeRemote(name, ms)
    federation.list.push(remotes[name])
  }
  mesh = createMesh({
    datacenter: 'eu-1',
    nodeName: 'n1',
    runtime: 'node',
    agent: {} as AgentDoor,
    catalog: new FakeCatalog(own),
    federation,
    replica: (name) => views[name],
    clock,
    random: new SeededRandom(1),
    failover: true,
    flatNetwork: false,
    serverAddress: '127.0.0.1:8300',
  })
})
afterEach(() => mesh.close())

const store = (more: Partial<Omit<PreparedQueryEntry, 'service'>> = {}, service: Partial<QueryService> = {}) =>
  own.setQuery({ ...queryEntry(ID, { name: 'q', ...more, service }), createIndex: 1, modifyIndex: 1 })
const execute = (more: Partial<Question<'query-execute'>> = {}, options: object = {}) =>
  mesh.ask({ kind: 'query-execute', query: 'q', ...more }, { ...plain, ...options })
const ids = (answer: Answer<Execution | undefined>): string[] | undefined =>
  answer.value?.instances.map(({ service }) => service.id)
const failover = (nearestN: number, datacenters: string[] | null = null, targets: string[] | null = null) => ({
  failover: { nearestN, datacenters, targets },
})
const check = (checkId: string, status: CheckRow['status']) => ({ checkId, status }) as CheckRow

describe('a prepared query', () => {
  it('is missing by any name until it is stored', async () => {
    expect((await execute()).value).toBeUndefined()
    store()
    expect(ids(await execute())).toEqual([])
    expect((await execute({ query: ID })).value?.query.name).toBe('q')
    expect((await mesh.ask({ kind: 'query', id: ID }, plain)).value?.name).toBe('q')
    own.deleteQuery(ID)
    expect((await execute()).value).toBeUndefined()
  })

  it('puts the least busy first where it says so, or who executes it does; here and where it fails over to', async () => {
    const busy = (id: string, load?: number) => instance('web', id, 'passing', load === undefined ? {} : { load })
    const all = [busy('a', 0.9), busy('b', 0.1), busy('c'), busy('d', 0.1)]
    own.set('web', all)
    store({}, failover(1))
    expect(ids(await execute())).toEqual(['a', 'b', 'c', 'd'])
    const answer = await execute({ sort: 'load' })
    expect([ids(answer), answer.value?.isOrdered]).toEqual([['b', 'd', 'c', 'a'], true])
    store({}, { ...failover(1), sort: 'load' })
    expect(ids(await execute())).toEqual(['b', 'd', 'c', 'a'])
    own.set('web', [busy('a'), busy('b')])
    expect((await execute()).value?.isOrdered).toBe(false)
    own.set('web', [])
    views['uk-1']!.set('web', all)
    expect(ids(await execute())).toEqual(['b', 'd', 'c', 'a'])
  })

  it('selects by health, with checks that do not count', async () => {
    const c = { ...instance('web', 'c', 'critical'), checks: [check('disk', 'critical'), check('up', 'warning')] }
    own.set('web', [instance('web', 'a'), instance('web', 'b', 'warning'), c])
    store()
    expect(ids(await execute())).toEqual(['a', 'b'])
    store({}, { onlyPassing: true })
    expect(ids(await execute())).toEqual(['a'])
    store({}, { ignoreCheckIds: ['disk'] })
    expect(ids(await execute())).toContain('c')
    store({}, { ignoreCheckIds: ['disk', 'up'], onlyPassing: true })
    expect(ids(await execute())).toContain('c')
  })

  it('selects by tags, those that must not be there too, and by meta data', async () => {
    own.set('web', [
      {
        ...instance('web', 'a', 'passing', { tags: ['V1', 'x'], meta: { i: '1' } }),
        node: node('n2', { meta: { r: '1' } }),
      },
      instance('web', 'b', 'passing', { tags: ['v1', 'old'] }),
    ])
    const selected = async (service: Partial<QueryService>) => {
      store({}, service)
      return ids(await execute())
    }
    expect(await selected({ tags: ['v1'] })).toEqual(['a', 'b'])
    expect(await selected({ tags: ['v1', '!OLD'] })).toEqual(['a'])
    expect(await selected({ tags: ['!v1'] })).toEqual([])
    expect(await selected({ nodeMeta: { r: '1' } })).toEqual(['a'])
    expect(await selected({ serviceMeta: { i: '2' } })).toEqual([])
    expect(await selected({ connect: true })).toEqual([])
  })

  it('orders by nearness to the node that asks or is named', async () => {
    const on = (name: string) => ({ ...instance('web', name), node: node(name) })
    own.set('web', [on('far'), on('close')])
    for (const [name, ms] of Object.entries({ n1: 0, close: 1, far: 50 })) own.places.set(name, ms)
    store({}, { near: '_agent' })
    expect((await execute()).value).toMatchObject({ isOrdered: true })
    expect(ids(await execute())).toEqual(['close', 'far'])
    expect(ids(await execute({ agent: 'far' }))).toEqual(['far', 'close'])
    expect(ids(await execute({ near: 'far' }))).toEqual(['far', 'close'])
    store()
    expect((await execute()).value).toMatchObject({ isOrdered: false })
  })

  it('is rendered where a template stands for the name, and cannot be asked for by its id then', async () => {
    own.set('web-eu', [instance('web-eu', 'a')])
    const template = { type: 'name_prefix_match', regexp: '^q-(.*)$', removeEmptyTags: false } as const
    store({ template }, { service: 'web-${match(1)}' })
    expect(ids(await execute({ query: 'q-eu' }))).toEqual(['a'])
    expect((await mesh.ask({ kind: 'query-explain', query: 'Q-eu' }, plain)).value?.service.service).toBe('web-')
    await expect(execute({ query: ID })).rejects.toThrow('can only be resolved up by name')
  })
})

describe('failover of a prepared query', () => {
  it('goes to the nearest, then to those that are named; unknown ones are passed over', async () => {
    views['us-1']!.set('web', [instance('web', 'us')])
    views['ap-1']!.set('web', [instance('web', 'ap')])
    store({}, failover(1, ['nowhere', 'ap-1', 'us-1', 'uk-1']))
    const answer = await execute()
    expect(ids(answer)).toEqual(['ap'])
    expect(answer).toMatchObject({ datacenter: 'ap-1', source: 'replica', failover: { from: 'eu-1', to: 'ap-1' } })
    expect(answer.value).toMatchObject({
      failovers: 2,
      instances: [{ remote: { datacenter: 'ap-1', distanceMs: 200 } }],
    })
    store({}, failover(2))
    expect((await execute()).datacenter).toBe('us-1')
    store({}, failover(0, null, ['us-1']))
    expect((await execute()).value?.failovers).toBe(1)
    store({}, failover(1))
    expect((await execute()).value).toMatchObject({ failovers: 1, instances: [] })
    store()
    expect((await execute()).value).toMatchObject({ failovers: 0, instances: [] })
  })

  it('stays home while anything is selected here, and away from datacenters that are lost', async () => {
    for (const name of ['us-1', 'uk-1']) views[name]!.set('web', [instance('web', name)])
    store({}, { onlyPassing: true, ...failover(3) })
    expect((await execute()).datacenter).toBe('uk-1')
    remotes['uk-1']!.fit = false
    federation.changed()
    expect((await execute()).datacenter).toBe('us-1')
    own.set('web', [instance('web', 'home')])
    expect((await execute()).datacenter).toBe('eu-1')
    own.set('web', [instance('web', 'home', 'warning')])
    expect((await execute()).datacenter).toBe('us-1')
  })

  it('tells the wan address where there is one, else the own', async () => {
    const taggedAddresses = { wan: { address: '203.0.113.7', port: 8443 } }
    views['uk-1']!.set('web', [
      instance('web', 'a', 'passing', { taggedAddresses }),
      instance('web', 'b', 'passing', { taggedAddresses: null, address: '10.9.0.1' }),
    ])
    store({}, failover(1))
    expect((await execute()).value?.instances.map(({ remote }) => remote?.address)).toEqual(['203.0.113.7', '10.9.0.1'])
  })
})

describe('waiting for a prepared query', () => {
  const waiting = async (change: () => void): Promise<Answer<Execution | undefined>> => {
    const { index } = await execute()
    let done = false
    const answer = execute({}, { index, waitMs: 60_000 }).finally(() => (done = true))
    await clock.advance(1_500)
    expect(done).toBe(false)
    change()
    return answer
  }

  it('ends with a change of its instances, of the query, and of the datacenter that answers', async () => {
    store({}, failover(1))
    expect(ids(await waiting(() => own.set('web', [instance('web', 'a')])))).toEqual(['a'])
    expect(ids(await waiting(() => store({}, { service: 'api', ...failover(1) })))).toEqual([])
    expect((await waiting(() => views['uk-1']!.set('api', [instance('api', 'b')]))).datacenter).toBe('uk-1')
    expect((await waiting(() => own.deleteQuery(ID))).value).toBeUndefined()
  })

  it('goes on when another query changes', async () => {
    store()
    own.set('web', [instance('web', 'a')])
    const before = await execute()
    let done = false
    const answer = execute({}, { index: before.index, waitMs: 60_000 }).finally(() => (done = true))
    await clock.advance(0)
    own.setQuery({ ...queryEntry(ID.replace(/1$/, '2'), { name: 'other' }), createIndex: 1, modifyIndex: 1 })
    await clock.advance(1_000)
    expect(done).toBe(false)
    expect((await execute()).value).toBe(before.value)
    own.set('web', [])
    expect((await answer).index).toBeGreaterThan(before.index)
  })
})
