import { describe, expect, it } from 'vitest'
import { AtollError } from '../model/errors.ts'
import { anonymous } from './mesh.ts'
import { MAX_ENTRIES_OF_ALL } from './routed.ts'
import { everything, ids, plain, settled, setUp, web } from './testing/door.ts'
import { instance, node } from './testing/fakes.ts'

describe('coordinates between datacenters', () => {
  it('are those of the gateways that told, the own DC first, whatever DC is named', async () => {
    const { mesh, federation } = setUp()
    const coordinate = { vec: [0, 0, 0, 0, 0, 0, 0, 0], error: 1.5, adjustment: 0, height: 1e-5 }
    const told = (datacenter: string, node: string) => ({ datacenter, node, coordinate })
    const rows = (node: string) => ({ node, segment: '', coordinate })
    federation.coordinateList = [told('eu-1', 'n1'), told('us-1', 'm1'), told('us-1', 'm2')]
    const wanted = [
      { datacenter: 'eu-1', coordinates: [rows('n1')] },
      { datacenter: 'us-1', coordinates: [rows('m1'), rows('m2')] },
    ]
    for (const datacenter of [undefined, 'us-1', 'nowhere'])
      expect((await mesh.ask({ kind: 'coordinate-datacenters' }, { ...plain, datacenter })).value).toEqual(wanted)
  })
})

describe('answers from memory', () => {
  it('keeps the same value until something changes', () => {
    const { mesh, own } = setUp()
    own.set('web', [instance('web', 'a')])
    const prepared = mesh.prepare(web, plain)
    const first = prepared.now()
    expect(prepared.now()?.value).toBe(first?.value)
    own.set('other', [instance('other', 'x')])
    expect(prepared.now()?.value).toBe(first?.value)
    own.set('web', [instance('web', 'a'), instance('web', 'b')])
    expect(ids(prepared.now())).toEqual(['a', 'b'])
    mesh.close()
  })

  it('says when only a barrier stands before it, and is of the tables behind that', async () => {
    const { mesh, own, catalog } = setUp()
    own.set('web', [instance('web', 'a')])
    const prepared = mesh.prepare(web, plain)
    expect(prepared.soon()).toEqual(prepared.now())
    const waits: { pass: () => void; fail: (error: Error) => void }[] = []
    const remote = catalog as { barrier(): Promise<void> | undefined }
    remote.barrier = () => new Promise((pass, fail) => waits.push({ pass, fail }))
    const soon = prepared.soon()
    expect(await settled(Promise.resolve(soon))).toBe(false)
    own.set('web', [instance('web', 'a'), instance('web', 'b')])
    waits[0]!.pass()
    expect(ids(await soon)).toEqual(['a', 'b'])
    expect(prepared.now()).toBeUndefined()
    const failing = prepared.soon()
    waits.at(-1)!.fail(new AtollError('unavailable', 'no majority'))
    await expect(failing).rejects.toMatchObject({ code: 'unavailable' })
    expect(mesh.prepare(web, { ...plain, consistency: 'stale' }).soon()).toMatchObject({ consistency: 'stale' })
    expect(mesh.prepare(web, { ...plain, index: 5 }).soon()).toBeUndefined()
    mesh.close()
  })

  it('the registrations of all services on some nodes, here and elsewhere, until a service or a node changes', async () => {
    const { mesh, own, usView } = setUp()
    own.set('web', [instance('web', 'a'), { ...instance('web', 'b'), node: node('m', { meta: { rack: '1' } }) }])
    own.set('db', [instance('db', 'd')])
    usView.set('web', [instance('web', 'u')])
    const of = (question: { nodeMeta?: Record<string, string> }, datacenter?: string) =>
      mesh.prepare({ kind: 'registrations', ...question }, { ...plain, ...(datacenter && { datacenter }) })
    const idsOf = (prepared: ReturnType<typeof of>) => prepared.now()?.value.map(({ service }) => service.id)
    expect(idsOf(of({}))).toEqual(['a', 'b', 'd'])
    expect(idsOf(of({ nodeMeta: { rack: '1' } }))).toEqual(['b'])
    expect(idsOf(of({}, 'us-1'))).toEqual(['u'])
    const first = of({}).now()
    const woken = of({}).answer({ index: first!.index, waitMs: 60_000 })
    expect(await settled(woken)).toBe(false)
    own.setNode(node('m'))
    expect((await woken).index).toBeGreaterThan(first!.index)
    mesh.close()
  })

  it('a remote datacenter from its replica, with its age', () => {
    const { mesh, usView, us } = setUp()
    usView.set('web', [instance('web', 'b')])
    us.age = 120
    const answer = mesh.prepare(web, { ...plain, datacenter: 'us-1' }).now()
    expect(answer).toMatchObject({ datacenter: 'us-1', source: 'replica', ageMs: 120, consistency: 'stale' })
    expect(answer?.failover).toBeUndefined()
    mesh.close()
  })

  it('fails over on the plain name, names where to, and shows the address to use', () => {
    const { mesh, usView } = setUp()
    usView.set('web', [instance('web', 'b')])
    const answer = mesh.prepare(web, plain).now()
    expect(answer).toMatchObject({ datacenter: 'us-1', failover: { from: 'eu-1', to: 'us-1' } })
    expect(answer?.value[0]?.remote).toMatchObject({
      datacenter: 'us-1',
      address: '198.51.100.9',
      port: 443,
      distanceMs: 80,
    })
    mesh.close()
  })

  it('never fails over when the question asked for all, named a datacenter, or is filtered', () => {
    const { mesh, usView } = setUp()
    usView.set('web', [instance('web', 'b')])
    expect(ids(mesh.prepare(everything, plain).now())).toEqual([])
    expect(ids(mesh.prepare(web, { ...plain, datacenter: 'eu-1' }).now())).toEqual([])
    expect(ids(mesh.prepare(web, { ...plain, noFailover: true }).now())).toEqual([])
    expect(ids(mesh.prepare({ ...web, nodeMeta: { a: 'b' } }, plain).now())).toEqual([])
    mesh.close()
  })

  it('dc=* has all, own first', () => {
    const { mesh, own, usView } = setUp()
    own.set('web', [instance('web', 'a', 'critical')])
    usView.set('web', [instance('web', 'b')])
    const answer = mesh.prepare(everything, { ...plain, datacenter: '*' }).now()
    expect(ids(answer)).toEqual(['a', 'b'])
    expect(answer?.value.map((found) => found.remote?.datacenter)).toEqual(['eu-1', 'us-1'])
    mesh.close()
  })

  it('dc=* is bounded, however many there are in one datacenter', () => {
    const { mesh, usView } = setUp()
    const one = instance('web', 'b')
    usView.set('web', new Array(200_000).fill(one))
    const answer = mesh.prepare(web, { ...plain, datacenter: '*' }).now()
    expect(answer?.value).toHaveLength(MAX_ENTRIES_OF_ALL)
    mesh.close()
  })

  it('dc=nearest with node-meta has those that match', () => {
    const { mesh, usView } = setUp()
    const [b, c] = [instance('web', 'b'), instance('web', 'c')]
    usView.set('web', [b, { ...c, node: { ...c.node, meta: { rack: '1' } } }])
    expect(ids(mesh.prepare({ ...web, nodeMeta: { rack: '1' } }, { ...plain, datacenter: 'nearest' }).now())).toEqual([
      'c',
    ])
    mesh.close()
  })

  it('a tag that is asked for a thousand times costs no more than once', () => {
    const { mesh, own } = setUp()
    let looked = 0
    const tags = new Proxy(['V1', 'v2'], {
      get: (target, key, receiver) => {
        if (key === '0') looked++
        return Reflect.get(target, key, receiver)
      },
    })
    own.set('web', [instance('web', 'a', 'passing', { tags })])
    const asked = { ...everything, tags: new Array(1000).fill('v1') }
    expect(ids(mesh.prepare(asked, plain).now())).toEqual(['a'])
    expect(looked).toBeLessThan(10)
    expect(ids(mesh.prepare({ ...asked, tags: ['v1', 'V2', 'v2'] }, plain).now())).toEqual(['a'])
    expect(ids(mesh.prepare({ ...asked, tags: ['v1', 'v3'] }, plain).now())).toEqual([])
    mesh.close()
  })

  it('an unknown datacenter is an error, and so is a write to many', async () => {
    const { mesh } = setUp()
    expect(() => mesh.prepare(web, { ...plain, datacenter: 'mars' })).toThrow(AtollError)
    await expect(mesh.ask(web, { ...plain, datacenter: 'mars' })).rejects.toMatchObject({ code: 'no-path' })
    await expect(
      mesh.execute({ kind: 'kv-delete', key: 'a', recurse: false }, { principal: anonymous, datacenter: '*' }),
    ).rejects.toMatchObject({ code: 'invalid' })
    mesh.close()
  })
})

describe('what an answer depends on', () => {
  const id = '11111111-2222-3333-4444-555555555555'

  it('an id that nobody had is found once a node has it, under any name', async () => {
    const { mesh, own } = setUp()
    own.setNode(node('other'))
    const prepared = mesh.prepare({ kind: 'node', node: id }, plain)
    const absent = prepared.now()!
    expect(absent.value).toBeUndefined()
    const waiting = prepared.answer({ index: absent.index, waitMs: 10_000 })
    expect(await settled(waiting)).toBe(false)
    own.setNode(node('n7', { id }))
    expect((await waiting).value?.node.node).toBe('n7')
    expect(prepared.now()?.value?.node.node).toBe('n7')
    own.setNode(node('n8', { id }))
    expect(prepared.now()?.value?.node.node).toBe('n8')
    mesh.close()
  })

  it('the order by distance follows the distances, and wakes nobody', async () => {
    const { mesh, own, clock } = setUp()
    own.set('web', [instance('web', 'a'), instance('web', 'b')])
    own.places.set('n1', 0).set('node-a', 10).set('node-b', 20)
    for (const near of ['_agent', 'n1']) {
      for (const question of [
        { ...web, near },
        { ...everything, near },
      ]) {
        own.places.set('node-a', 10)
        await clock.advance(1_100)
        const prepared = mesh.prepare(question, plain)
        const first = prepared.now()!
        expect(ids(first)).toEqual(['a', 'b'])
        own.places.set('node-a', 30)
        await clock.advance(1_100)
        expect(ids(prepared.now())).toEqual(['b', 'a'])
        expect(prepared.now()?.index).toBe(first.index)
      }
    }
    expect(ids(mesh.prepare({ ...web, near: '_agent' }, { ...plain, datacenter: 'nearest' }).now())).toEqual(['b', 'a'])
    mesh.close()
  })

  it('the list of datacenters is in the order of the moment', () => {
    const { mesh, federation } = setUp()
    const prepared = mesh.prepare({ kind: 'datacenters' }, plain)
    expect(prepared.now()?.value).toEqual(['eu-1', 'us-1'])
    federation.datacenters = () => ['eu-1', 'ap-1', 'us-1']
    expect(prepared.now()?.value).toEqual(['eu-1', 'ap-1', 'us-1'])
    mesh.close()
  })
})
