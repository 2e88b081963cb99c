/** A client node between a server that answers, one that is gone, and one that is back. */
import { describe, expect, it } from 'vitest'
import { AtollError } from '../model/errors.ts'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import { addressFromAfar } from './choose.ts'
import { ClientSide } from './client-side.ts'
import { type Answer, type AskOptions, anonymous, type Question, type RoutedInstance } from './mesh.ts'
import { SummaryServer } from './summaries/serve.ts'
import { FakeFederation, FakeRemote, FakeView, instance, server } from './testing/fakes.ts'

const plain: AskOptions = { principal: anonymous, consistency: 'default' }
const web: Question<'service'> = { kind: 'service', service: 'web', passing: true, tags: [] }
const everything: Question<'service'> = { ...web, passing: false }

function setUp({ up = true } = {}) {
  const clock = new VirtualClock()
  const random = new SeededRandom(1)
  const own = new FakeView('eu-1')
  const usView = new FakeView('us-1')
  const us = new FakeRemote('us-1', 80)
  const federation = new FakeFederation()
  federation.list.push(us)
  federation.peerList = [server]
  const state = { up, asked: 0 }
  const gone = () => new AtollError('unavailable', 'datacenter "eu-1" cannot be reached: no server of it is connected')
  const summaries = new SummaryServer({
    federation,
    own,
    replica: () => usView,
    afarOf: (found) => addressFromAfar(found, false),
    clock,
    random,
  })
  federation.onCall = async (method, payload) => {
    if (!state.up) throw gone()
    const context = { peer: { datacenter: 'eu-1', peerId: 'c' }, signal: new AbortController().signal } as never
    const answer = await federation.handlers.get(method)!(payload, context)
    if (!state.up) throw gone()
    return answer
  }
  /** As the server's own door would: whole entries, linearizable. */
  const ask = async (question: Question, options: AskOptions): Promise<Answer<unknown>> => {
    state.asked++
    await clock.sleep(1)
    if (!state.up) throw gone()
    const base = { ageMs: 0, knownLeader: true, source: 'catalog', consistency: 'leader', datacenter: 'eu-1' } as const
    if (question.kind === 'kv') return { ...base, value: own.kv(question.key), index: 7 }
    if (question.kind !== 'service') return { ...base, value: [], index: 3 }
    const view = options.datacenter === 'us-1' ? usView : own
    const topic = view.topic({ kind: 'service', service: question.service })
    while (options.index === topic.index && state.up) await clock.sleep(10, options.signal)
    if (!state.up) throw gone()
    const value = view.instances(question.service).filter(({ status }) => !question.passing || status === 'passing')
    return { ...base, value, index: topic.index, datacenter: view.datacenter }
  }
  const client = new ClientSide({ federation, datacenter: 'eu-1', clock, random, failover: true, ask })
  const run = async <T>(promise: Promise<T>): Promise<T> => {
    let done = false
    promise.then(
      () => (done = true),
      () => (done = true),
    )
    for (let i = 0; i < 200_000 && !done; i++) await clock.advance(10)
    return promise
  }
  return {
    clock,
    own,
    us,
    usView,
    federation,
    state,
    down() {
      state.up = false
      federation.peerList = []
    },
    back() {
      state.up = true
      federation.peerList = [server]
    },
    ask: (question: Question, options: AskOptions = plain) =>
      run(client.answer(client.keyOf(question, options), question, options)),
    async close() {
      client.close()
      summaries.close()
      await clock.advance(700_000)
      expect(clock.pendingTimers).toBe(0)
    },
  }
}

const ids = ({ value }: Answer<unknown>): string[] => (value as RoutedInstance[]).map(({ service }) => service.id)

describe('a client node whose servers are gone', () => {
  it('answers with what it was told, whole and with its age, refuses only consistent reads, and is fresh again', async () => {
    const { clock, own, down, back, ask, close } = setUp()
    own.set('web', [instance('web', 'a', 'passing', { meta: { k: 'v' } }), instance('web', 'b', 'critical')])
    expect(await ask(web)).toMatchObject({ source: 'catalog', ageMs: 0, knownLeader: true })
    await clock.advance(60_000)
    down()
    await clock.advance(5_000)
    const answer = await ask(web)
    expect(answer).toMatchObject({ source: 'kept', knownLeader: false, consistency: 'stale', datacenter: 'eu-1' })
    expect((answer.value as RoutedInstance[])[0]!.service.meta).toEqual({ k: 'v' })
    // A minute after it was asked for: the summaries said until a few seconds ago that nothing had changed.
    expect(answer.ageMs).toBeGreaterThanOrEqual(5_000)
    expect(answer.ageMs).toBeLessThan(15_000)
    expect(await ask(web, { ...plain, consistency: 'stale' })).toMatchObject({ source: 'kept' })
    await expect(ask(web, { ...plain, consistency: 'consistent' })).rejects.toMatchObject({ code: 'unavailable' })
    own.set('web', [instance('web', 'c')])
    back()
    expect(await ask(web)).toMatchObject({ source: 'catalog', ageMs: 0, knownLeader: true })
    expect(ids(await ask(web))).toEqual(['c'])
    await close()
  })

  it('has asked anew for what changed since it was asked for', async () => {
    const { clock, own, state, down, ask, close } = setUp()
    own.set('web', [instance('web', 'a')])
    own.set('other', [instance('other', 'x')])
    await clock.advance(3_000)
    await ask(web)
    const before = state.asked
    own.set('other', [instance('other', 'y')])
    await clock.advance(5_000)
    expect(state.asked).toBe(before)
    own.set('web', [instance('web', 'b')])
    await clock.advance(5_000)
    expect(state.asked).toBe(before + 1)
    down()
    const answer = await ask(web)
    expect(answer).toMatchObject({ source: 'kept' })
    expect(ids(answer)).toEqual(['b'])
    // What nobody asked for in ten minutes is not followed any more.
    await close()
  })

  it('answers what it never was asked before from summaries', async () => {
    const { clock, own, usView, down, ask, close } = setUp()
    own.set('web', [
      ...Array.from({ length: 8 }, (_, i) => instance('web', `p${i}`, 'passing', { tags: ['v1'] })),
      instance('web', 'bad', 'critical', { tags: ['v2'] }),
    ])
    usView.set('far', [instance('far', 'f')])
    await clock.advance(3_000)
    down()
    const answer = await ask(web)
    expect(answer).toMatchObject({ source: 'summary', knownLeader: false, datacenter: 'eu-1' })
    expect(answer.index).toBe(own.topic({ kind: 'service', service: 'web' }).index)
    const found = answer.value as RoutedInstance[]
    expect(found).toHaveLength(5)
    expect(found[0]).toMatchObject({
      status: 'passing',
      node: { address: '10.0.0.1' },
      service: { service: 'web', address: '10.0.0.9', port: 80, tags: ['v1'] },
      checks: [{ status: 'passing' }],
    })
    expect(ids(await ask({ ...web, tags: ['V1'] }))).toHaveLength(5)
    // There may be some with this tag, which the summary does not hold.
    await expect(ask({ ...everything, tags: ['v2'] })).rejects.toMatchObject({ code: 'unavailable' })
    await expect(ask({ ...web, nodeMeta: { a: 'b' } })).rejects.toMatchObject({ code: 'unavailable' })
    expect(ids(await ask({ ...web, service: 'far' }, { ...plain, datacenter: 'us-1' }))).toEqual(['f'])
    expect(await ask({ ...web, service: 'nowhere' })).toMatchObject({ value: [], source: 'summary' })
    const services = await ask({ kind: 'services' })
    expect(services.value).toEqual([{ service: 'web', tags: ['v1', 'v2'] }])
    expect(await ask({ kind: 'datacenters' })).toMatchObject({ value: ['eu-1', 'us-1'] })
    await expect(ask({ kind: 'nodes' })).rejects.toMatchObject({ code: 'unavailable' })
    await expect(ask({ kind: 'kv', key: 'a' }, { ...plain, datacenter: 'us-1' })).rejects.toMatchObject({
      code: 'unavailable',
    })
    await close()
  })

  it('fails over by summaries as its server would, to instances that can be used from here', async () => {
    const { clock, own, us, usView, down, ask, close } = setUp()
    own.set('web', [instance('web', 'a', 'critical')])
    usView.set('web', [instance('web', 'u'), instance('web', 'inside', 'passing', { taggedAddresses: null })])
    own.set('home', [instance('home', 'h', 'critical', { failover: false })])
    usView.set('home', [instance('home', 'u')])
    await clock.advance(3_000)
    down()
    const answer = await ask(web)
    expect(answer).toMatchObject({ source: 'summary', datacenter: 'us-1', failover: { from: 'eu-1', to: 'us-1' } })
    expect(ids(answer)).toEqual(['u'])
    expect((answer.value as RoutedInstance[])[0]!.remote).toMatchObject({
      address: '198.51.100.9',
      port: 443,
      distanceMs: 80,
    })
    expect(ids(await ask(everything))).toEqual(['a'])
    expect(await ask({ ...web, service: 'home' })).toMatchObject({ value: [], datacenter: 'eu-1' })
    expect(ids(await ask(web, { ...plain, noFailover: true }))).toEqual([])
    expect(await ask(web, { ...plain, datacenter: 'nearest' })).toMatchObject({ datacenter: 'us-1' })
    us.state = 'lost'
    expect(await ask(web)).toMatchObject({ value: [], datacenter: 'eu-1' })
    await close()
  })

  it('keeps KV that it was asked for, and lets who waits wait, for a server too', async () => {
    const { clock, own, down, back, ask, close } = setUp()
    const row = {
      key: 'a',
      value: Uint8Array.of(1),
      flags: 0n,
      lockIndex: 0,
      session: '',
      createIndex: 1,
      modifyIndex: 1,
    }
    own.setKv(row)
    own.set('web', [instance('web', 'a')])
    await ask({ kind: 'kv', key: 'a' })
    await clock.advance(3_000)
    const { index } = await ask(web)
    down()
    expect(await ask({ kind: 'kv', key: 'a' })).toMatchObject({ value: row, source: 'kept', knownLeader: false })
    const startMs = clock.nowMs()
    expect(await ask(web, { ...plain, index, waitMs: 10_000 })).toMatchObject({ index, source: 'kept' })
    expect(clock.nowMs() - startMs).toBeGreaterThanOrEqual(10_000)
    expect((await ask(web, { ...plain, index: index - 1, waitMs: 10_000 })).index).toBe(index)
    const waiting = ask(web, { ...plain, index, waitMs: 60_000 })
    back()
    own.set('web', [instance('web', 'b')])
    const answer = await waiting
    expect(answer).toMatchObject({ source: 'catalog', knownLeader: true })
    expect(ids(answer)).toEqual(['b'])
    await close()
  })

  it('knows nothing as long as it never reached a server', async () => {
    const { ask, close } = setUp({ up: false })
    await expect(ask(web)).rejects.toMatchObject({ code: 'unavailable' })
    await close()
  })
})
