import { describe, expect, it } from 'vitest'
import type { Command } from '../catalog/catalog.ts'
import { AtollError } from '../model/errors.ts'
import { MAX_WAITING } from './forward.ts'
import { type Answer, type AskOptions, anonymous, type Question, type RoutedInstance } from './mesh.ts'
import { ids, plain, settled, setUp, web } from './testing/door.ts'
import { instance, server as serverPeer } from './testing/fakes.ts'

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
