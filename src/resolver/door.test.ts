import { describe, expect, it } from 'vitest'
import type { Command } from '../catalog/catalog.ts'
import { AtollError } from '../model/errors.ts'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import type { AgentDoor } from './agent-door.ts'
import { createMesh } from './door.ts'
import { MAX_WAITING } from './forward.ts'
import { type Answer, type AskOptions, anonymous, type Question, type RoutedInstance } from './mesh.ts'
import { MAX_ENTRIES_OF_ALL } from './routed.ts'
import {
  FakeCatalog,
  FakeFederation,
  FakeRemote,
  FakeView,
  instance,
  node,
  server as serverPeer,
} from './testing/fakes.ts'

function setUp(role: 'server' | 'client' = 'server') {
  const clock = new VirtualClock()
  const own = new FakeView('eu-1')
  const usView = new FakeView('us-1')
  const us = new FakeRemote('us-1', 80)
  const federation = new FakeFederation()
  federation.list.push(us)
  const catalog = new FakeCatalog(own)
  const mesh = createMesh({
    datacenter: 'eu-1',
    nodeName: 'n1',
    runtime: 'node',
    agent: {} as AgentDoor,
    catalog: role === 'server' ? catalog : undefined,
    federation,
    replica: (name) => (name === 'us-1' ? usView : undefined),
    clock,
    random: new SeededRandom(1),
    failover: true,
    flatNetwork: true,
    serverAddress: '127.0.0.1:8300',
  })
  return { clock, own, usView, us, federation, catalog, mesh }
}
const web: Question<'service'> = { kind: 'service', service: 'web', passing: true, tags: [] }
const everything: Question<'service'> = { ...web, passing: false }
const plain: AskOptions = { principal: anonymous, consistency: 'default' }
const ids = (answer: Answer<readonly RoutedInstance[]> | undefined): string[] =>
  answer?.value.map((found) => found.service.id) ?? []
/** Whether a promise has settled, once everything that is ready has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  promise.then(
    () => (done = true),
    () => (done = true),
  )
  for (let i = 0; i < 20; i++) await Promise.resolve()
  return done
}

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

describe('blocking', () => {
  it('waits for the service and not for others', async () => {
    const { mesh, own } = setUp()
    own.set('web', [instance('web', 'a')])
    const first = await mesh.ask(web, plain)
    const waiting = mesh.ask(web, { ...plain, index: first.index, waitMs: 10_000 })
    own.set('other', [instance('other', 'x')])
    expect(await settled(waiting)).toBe(false)
    own.set('web', [instance('web', 'b')])
    expect(ids(await waiting)).toEqual(['b'])
    expect(own.waiting({ kind: 'service', service: 'web' })).toBe(0)
    mesh.close()
  })

  it('times out with the same index, and frees its waiter when the caller goes', async () => {
    const { mesh, own, clock } = setUp()
    own.set('web', [instance('web', 'a')])
    const first = await mesh.ask(web, plain)
    const waiting = mesh.ask(web, { ...plain, index: first.index, waitMs: 1000 })
    await settled(waiting)
    await clock.advance(1100)
    expect((await waiting).index).toBe(first.index)
    const controller = new AbortController()
    const gone = mesh.ask(web, { ...plain, index: first.index, waitMs: 1000, signal: controller.signal })
    await settled(gone)
    controller.abort()
    await gone
    expect(own.waiting({ kind: 'service', service: 'web' })).toBe(0)
    mesh.close()
  })

  it('too high an index waits; one of another generation is answered at once', async () => {
    const { mesh, own, clock } = setUp()
    own.set('web', [instance('web', 'a')])
    const high = mesh.ask(web, { ...plain, index: 9999, waitMs: 1000 })
    expect(await settled(high)).toBe(false)
    await clock.advance(1100)
    expect((await high).index).toBe(11)
    expect(await settled(mesh.ask(web, { ...plain, index: 2 ** 41, waitMs: 1000 }))).toBe(true)
    mesh.close()
  })

  it('a number of a server that started anew meanwhile is not waited for as long as it is asked for', async () => {
    const { mesh, own, clock } = setUp()
    own.set('web', [instance('web', 'a')])
    const high = mesh.ask(web, { ...plain, index: 105, waitMs: 600_000 })
    const ofAll = mesh.ask(everything, { ...plain, index: 105, waitMs: 600_000 })
    await settled(high)
    await clock.advance(2_200)
    expect(ids(await high)).toEqual(['a'])
    // Where no other datacenter can answer, a number that is too high is only one that is not reached yet.
    expect(await settled(ofAll)).toBe(false)
    await clock.advance(700_000)
    await ofAll
    mesh.close()
  })

  it('wakes when another datacenter takes over, on a number that only rises, and when it is lost', async () => {
    const { mesh, own, usView, us, federation } = setUp()
    own.set('web', [instance('web', 'a')])
    usView.set('web', [instance('web', 'b')])
    const home = await mesh.ask(web, plain)
    const leaving = mesh.ask(web, { ...plain, index: home.index, waitMs: 10_000 })
    own.set('web', [instance('web', 'a', 'critical')])
    const away = await leaving
    expect(ids(away)).toEqual(['b'])
    expect(away.index).toBeGreaterThan(home.index)
    const lost = mesh.ask(web, { ...plain, index: away.index, waitMs: 10_000 })
    expect(await settled(lost)).toBe(false)
    us.fit = false
    us.state = 'lost'
    federation.changed()
    const back = await lost
    expect(ids(back)).toEqual([])
    expect(back.index).toBeGreaterThan(away.index)
    mesh.close()
  })
})

describe('forwarding', () => {
  const said = {
    datacenter: 'eu-1',
    source: 'catalog',
    ageMs: 0,
    knownLeader: true,
    consistency: 'leader',
  }
  const kv: Question<'kv'> = { kind: 'kv', key: 'a' }

  it('KV of another datacenter goes there, in bounded time', async () => {
    const { mesh, federation } = setUp()
    federation.onCall = async () => ({
      value: undefined,
      index: 7,
      datacenter: 'us-1',
      source: 'catalog',
      ageMs: 0,
      knownLeader: true,
      consistency: 'leader',
    })
    const answer = await mesh.ask(kv, { ...plain, datacenter: 'us-1' })
    expect(answer).toMatchObject({ index: 7, source: 'rpc' })
    expect(federation.calls[0]).toMatchObject({ target: 'us-1', method: 'mesh.ask' })
    expect(federation.calls[0]!.deadlineMs).toBeLessThan(2000)
    mesh.close()
  })

  it('no answer is a 503 that names the datacenter', async () => {
    const { mesh, federation } = setUp()
    federation.onCall = () => Promise.reject(new AtollError('timeout', 'late'))
    await expect(mesh.ask(web, { ...plain, consistency: 'consistent', datacenter: 'us-1' })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('us-1'),
    })
    mesh.close()
  })

  it('a question whose server goes away is asked once more, with the time that is left', async () => {
    const { mesh, federation, clock } = setUp('client')
    federation.onCall = async () => {
      if (federation.calls.length > 1) return { ...said, value: [], index: 9 }
      await clock.sleep(6_000)
      throw new AtollError('timeout', 'the connection closed')
    }
    const waiting = mesh.ask(web, { ...plain, index: 3, waitMs: 10_000 })
    await clock.advance(6_000)
    expect((await waiting).index).toBe(9)
    const [first, second] = federation.calls
    expect(second!.deadlineMs).toBe(first!.deadlineMs - 6_000)
    expect(second!.payload).toMatchObject({ options: { index: 3, waitMs: 4_000 } })
    mesh.close()
  })

  it('and no third time', async () => {
    const { mesh, federation } = setUp('client')
    federation.onCall = () => Promise.reject(new AtollError('timeout', 'the connection closed'))
    await expect(mesh.ask(web, plain)).rejects.toMatchObject({ code: 'unavailable' })
    expect(federation.calls).toHaveLength(2)
    mesh.close()
  })

  it('a lost answer is asked for again under the same request id', async () => {
    const { mesh, federation, clock } = setUp()
    let calls = 0
    federation.onCall = async () => {
      if (++calls === 1) throw new AtollError('timeout', 'late')
      return { index: 8, applied: true }
    }
    const write = mesh.execute(
      { kind: 'kv-delete', key: 'a', recurse: false },
      { principal: anonymous, datacenter: 'us-1' },
    )
    await settled(write)
    await clock.advance(500)
    expect(await write).toEqual({ index: 8, applied: true })
    const sent = federation.calls.map((call) => (call.payload as { requestId: string }).requestId)
    expect(sent).toHaveLength(2)
    expect(sent[0]).toBe(sent[1])
    mesh.close()
  })

  it('a write that nobody confirms has an unknown outcome', async () => {
    const { mesh, federation, clock } = setUp()
    federation.onCall = () => Promise.reject(new AtollError('timeout', 'late'))
    const write = mesh.execute(
      { kind: 'kv-delete', key: 'a', recurse: false },
      { principal: anonymous, datacenter: 'us-1' },
    )
    const outcome = expect(write).rejects.toMatchObject({ code: 'unknown-outcome' })
    for (let i = 0; i < 20; i++) await clock.advance(500)
    await outcome
    mesh.close()
  })

  it('a client refuses what is no name of a datacenter by itself', async () => {
    const { mesh, federation } = setUp('client')
    const asked = mesh.ask(web, { ...plain, datacenter: 'x'.repeat(100) })
    await expect(asked).rejects.toMatchObject({ code: 'invalid', field: 'dc' })
    expect(federation.calls).toHaveLength(0)
    mesh.close()
  })

  it('a client asks its servers', async () => {
    const { mesh, federation } = setUp('client')
    federation.onCall = async () => ({
      value: [],
      index: 3,
      datacenter: 'eu-1',
      source: 'catalog',
      ageMs: 0,
      knownLeader: true,
      consistency: 'leader',
    })
    expect(await mesh.ask(web, plain)).toMatchObject({ index: 3, source: 'catalog' })
    expect(federation.calls[0]?.target).toBe('eu-1')
    mesh.close()
  })

  it('a client keeps live what it was asked about another datacenter, until it writes there', async () => {
    const { mesh, federation } = setUp('client')
    const waiting = new Promise<never>(() => {})
    federation.onCall = async (method, payload) => {
      if (method === 'mesh.execute') return { index: 9, applied: true }
      const { index } = (payload as { options: AskOptions }).options
      if (index !== undefined) return waiting
      return {
        value: [instance('web', 'b')],
        index: 3,
        datacenter: 'us-1',
        source: 'replica',
        ageMs: 5,
        knownLeader: true,
        consistency: 'stale',
      }
    }
    const elsewhere = { ...plain, datacenter: 'us-1' }
    expect(mesh.prepare(web, elsewhere).now()).toBeUndefined()
    expect(ids(await mesh.ask(web, elsewhere))).toEqual(['b'])
    expect(mesh.prepare(web, elsewhere).now()).toMatchObject({ datacenter: 'us-1', source: 'replica', ageMs: 5 })
    await mesh.ask(web, elsewhere)
    expect(federation.calls).toHaveLength(2)
    await mesh.execute({ kind: 'deregister', node: 'n' }, { principal: anonymous, datacenter: 'us-1' })
    expect(mesh.prepare(web, elsewhere).now()).toBeUndefined()
    mesh.close()
  })

  it("another datacenter's question never fails over from here", async () => {
    const { mesh, federation, usView } = setUp()
    usView.set('web', [instance('web', 'b')])
    const served = (await federation.handlers.get('mesh.ask')!({ question: web, options: plain, hops: 1 }, {
      peer: { datacenter: 'ap-1' },
    } as never)) as Answer<readonly RoutedInstance[]>
    expect(ids(served)).toEqual([])
    mesh.close()
  })

  it('after its own write elsewhere a node reads there until its replica shows it', async () => {
    const { mesh, federation, usView } = setUp()
    usView.set('web', [])
    federation.onCall = async (method) =>
      method === 'mesh.execute'
        ? { index: usView.index + 1, applied: true }
        : {
            value: [instance('web', 'new')],
            index: 12,
            datacenter: 'us-1',
            source: 'catalog',
            ageMs: 0,
            knownLeader: true,
            consistency: 'leader',
          }
    await mesh.execute({ kind: 'deregister', node: 'n' }, { principal: anonymous, datacenter: 'us-1' })
    expect(mesh.prepare(web, { ...plain, datacenter: 'us-1' }).now()).toBeUndefined()
    expect(ids(await mesh.ask(web, { ...plain, datacenter: 'us-1' }))).toEqual(['new'])
    usView.set('web', [instance('web', 'new')])
    expect(await mesh.ask(web, { ...plain, datacenter: 'us-1' })).toMatchObject({ source: 'replica' })
    mesh.close()
  })

  it('a question that waits elsewhere has the time that it waits, also when it names none', async () => {
    const { mesh, federation } = setUp('client')
    const waiting = mesh.ask(web, { ...plain, index: 3 })
    await expect(waiting).rejects.toMatchObject({ code: 'unavailable' })
    expect(federation.calls[0]!.deadlineMs).toBeGreaterThan(300_000)
    mesh.close()
  })

  it('waits elsewhere for so many at once, so that there is room for everything else', async () => {
    const { mesh, federation } = setUp('client')
    const release = Promise.withResolvers<never>()
    federation.onCall = () => release.promise
    const waiting = Array.from({ length: MAX_WAITING }, () => mesh.ask(web, { ...plain, index: 3, waitMs: 10_000 }))
    await expect(mesh.ask(web, { ...plain, index: 3, waitMs: 10_000 })).rejects.toMatchObject({ code: 'overloaded' })
    void mesh.ask(web, plain).catch(() => {})
    expect(federation.calls).toHaveLength(MAX_WAITING + 1)
    release.reject(new AtollError('unavailable', 'gone'))
    await Promise.allSettled(waiting)
    const again = mesh.ask(web, { ...plain, index: 3, waitMs: 10_000 })
    await expect(again).rejects.toMatchObject({ code: 'unavailable' })
    mesh.close()
  })
})

describe('serving other nodes', () => {
  const put: Command = { kind: 'kv-put', key: 'a', value: Uint8Array.of(1), flags: 0n }
  const sync = (id: string): Command => ({
    kind: 'agent-sync',
    node: { id, node: 'n7', address: '', taggedAddresses: null, meta: null, owner: 'agent' },
    services: [],
    checks: [],
    removeServices: [],
    removeChecks: [],
    complete: true,
  })
  const client = { datacenter: 'eu-1', node: 'n7', nodeId: 'id-7' }
  const foreign = { datacenter: 'ap-1', node: 'g1', nodeId: 'id-7' }
  const execute = ({ federation }: ReturnType<typeof setUp>, peer: object, command: unknown, datacenter = 'eu-1') =>
    federation.handlers.get('mesh.execute')!({ command, datacenter, token: '', requestId: 'r-1', hops: 1 }, {
      peer,
    } as never)

  it('a write for another datacenter goes there under the request id that it came with', async () => {
    const server = setUp()
    server.federation.onCall = async () => ({ index: 8, applied: true })
    expect(await execute(server, client, put, 'us-1')).toEqual({ index: 8, applied: true })
    expect(server.federation.calls[0]).toMatchObject({ target: 'us-1', payload: { requestId: 'r-1', hops: 2 } })
    await execute(server, client, put)
    expect(server.catalog.requestIds).toEqual(['r-1'])
    server.mesh.close()
  })

  it('an agent registers for its own node alone, and no datacenter writes to a third through this one', async () => {
    const server = setUp()
    await execute(server, client, sync('ID-7'))
    await execute(server, foreign, put)
    expect(server.catalog.executed.map(({ kind }) => kind)).toEqual(['agent-sync', 'kv-put'])
    for (const attempt of [
      execute(server, client, sync('id-8')),
      execute(server, foreign, sync('id-7')),
      execute(server, foreign, put, 'us-1'),
    ]) {
      await expect(attempt).rejects.toMatchObject({ code: 'forbidden' })
    }
    server.mesh.close()
  })

  it('what makes no sense is refused, and an answer that makes none is a 503', async () => {
    const server = setUp()
    await expect(execute(server, client, { kind: 'kv-put' })).rejects.toMatchObject({ code: 'invalid' })
    for (const method of ['mesh.ask', 'mesh.explain']) {
      const served = server.federation.handlers.get(method)!(null, { peer: client } as never)
      await expect(served).rejects.toMatchObject({ code: 'invalid' })
    }
    server.mesh.close()
    const { mesh, federation } = setUp('client')
    federation.onCall = async () => 'what?'
    federation.peerList = [serverPeer]
    for (const asked of [mesh.ask(web, plain), mesh.explain('web', anonymous), mesh.status()]) {
      await expect(asked).rejects.toMatchObject({ code: 'unavailable' })
    }
    mesh.close()
  })
})
