import { describe, expect, it } from 'vitest'
import { SeededRandom, VirtualClock } from '../../runtime/virtual.ts'
import { FakeFederation, FakeRemote, FakeView, instance, server } from '../testing/fakes.ts'
import { followSummaries } from './follow.ts'
import { SummaryMirror } from './mirror.ts'
import { SummaryServer } from './serve.ts'
import { SUMMARIES } from './wire.ts'

/** A server with its own services and a replica, and clients at 1 ms from it. */
function setUp(clients = 1, maxEntries = 20_000) {
  const clock = new VirtualClock()
  const random = new SeededRandom(1)
  const own = new FakeView('eu-1')
  const usView = new FakeView('us-1')
  const us = new FakeRemote('us-1', 80)
  const federation = new FakeFederation()
  federation.list.push(us)
  const calls = { count: 0, waiting: 0 }
  const link = { up: true }
  const start = () =>
    new SummaryServer({
      federation,
      own,
      replica: (name) => (name === 'us-1' ? usView : undefined),
      afarOf: ({ service }) => service.taggedAddresses?.wan,
      clock,
      random,
      maxEntries,
    })
  const state = { server: start() }
  const mirrors = Array.from({ length: clients }, () => new SummaryMirror())
  const changed: string[][] = mirrors.map(() => [])
  const stops = mirrors.map((mirror, i) =>
    followSummaries({
      federation: {
        peers: () => (link.up ? [server] : []),
        async call(_target, method, payload, { signal }) {
          calls.count++
          calls.waiting++
          try {
            await clock.sleep(0.5)
            const peer = { datacenter: 'eu-1', peerId: `c${i}` }
            const context = { peer, signal: signal ?? new AbortController().signal } as never
            const answer = await federation.handlers.get(method)!(payload, context)
            await clock.sleep(0.5)
            return answer
          } finally {
            calls.waiting--
          }
        },
      },
      datacenter: 'eu-1',
      mirror,
      clock,
      random,
      onChanged: (keys) => changed[i]!.push(...keys),
    }),
  )
  return {
    clock,
    own,
    us,
    usView,
    federation,
    mirrors,
    mirror: mirrors[0]!,
    changed,
    calls,
    link,
    state,
    restart: () => {
      state.server.close()
      state.server = start()
    },
    async close() {
      for (const stop of stops) stop()
      state.server.close()
      await clock.advance(40_000)
      expect(clock.pendingTimers).toBe(0)
    },
  }
}

describe('summaries on their way to clients', () => {
  it('come whole, then as they change, of the own datacenter and of others', async () => {
    const { clock, own, usView, mirror, changed, close } = setUp()
    own.set('web', [instance('web', 'a'), instance('web', 'b', 'critical')])
    usView.set('web', [instance('web', 'x')])
    await clock.advance(3_000)
    expect(mirror.summary('eu-1', 'web')).toMatchObject({ instances: 2, passing: 1 })
    expect(mirror.summary('us-1', 'web')?.endpoints[0]).toMatchObject({ afar: { address: '198.51.100.9', port: 443 } })
    expect(mirror.covers('eu-1') && mirror.covers('us-1')).toBe(true)
    expect(mirror.covers('ap-1')).toBe(false)
    const before = changed[0]!.length
    own.set('web', [instance('web', 'a'), instance('web', 'b')])
    own.set('db', [instance('db', 'd')])
    await clock.advance(500)
    expect(mirror.summary('eu-1', 'web')).toMatchObject({
      passing: 2,
      index: own.topic({ kind: 'service', service: 'web' }).index,
    })
    expect(new Set(changed[0]!.slice(before))).toEqual(new Set(['s eu-1 web', 's eu-1 db']))
    own.set('db', [])
    await clock.advance(500)
    expect(mirror.summary('eu-1', 'db')).toBeUndefined()
    expect(mirror.serviceIndex('eu-1', 'db')).toBe(0)
    expect(mirror.services('eu-1')).toEqual([{ service: 'web', tags: [] }])
    await close()
  })

  it('tell of every table of the own datacenter that changed', async () => {
    const { clock, own, mirror, close } = setUp()
    await clock.advance(3_000)
    const before = mirror.tableIndex('eu-1', 'nodes')!
    own.setNode({ ...instance('x', 'n').node })
    await clock.advance(500)
    expect(mirror.tableIndex('eu-1', 'nodes')).toBeGreaterThan(before)
    await close()
  })

  it('are confirmed again and again while nothing changes, and not while the server is away', async () => {
    const { clock, mirror, calls, link, close } = setUp()
    await clock.advance(60_000)
    expect(clock.nowMs() - mirror.confirmedMs!).toBeLessThan(10_000)
    expect(calls.count).toBeLessThan(16)
    const { count } = calls
    link.up = false
    await clock.advance(60_000)
    expect(clock.nowMs() - mirror.confirmedMs!).toBeGreaterThan(45_000)
    expect(calls.count).toBeLessThanOrEqual(count + 1)
    await close()
  })

  it('survive a server that starts anew: what is known stays until all is there again', async () => {
    const { clock, own, mirror, restart, close } = setUp()
    own.set('web', [instance('web', 'a')])
    await clock.advance(3_000)
    restart()
    own.set('new', [instance('new', 'n')])
    expect(mirror.summary('eu-1', 'web')).toBeDefined()
    await clock.advance(5_000)
    expect(mirror.summary('eu-1', 'web')).toBeDefined()
    expect(mirror.summary('eu-1', 'new')).toBeDefined()
    await close()
  })

  it('of a datacenter that is gone go with it', async () => {
    const { clock, usView, federation, mirror, close } = setUp()
    usView.set('web', [instance('web', 'x')])
    await clock.advance(3_000)
    expect(mirror.summary('us-1', 'web')).toBeDefined()
    federation.list.length = 0
    federation.changed()
    await clock.advance(500)
    expect(mirror.summary('us-1', 'web')).toBeUndefined()
    expect(mirror.covers('us-1')).toBe(false)
    await close()
  })

  it('are bounded: other datacenters leave half to the own one, and what may be missing is not said to be absent', async () => {
    const { clock, own, usView, mirror, close } = setUp(1, 20)
    for (let i = 0; i < 30; i++) usView.set(`u${i}`, [instance(`u${i}`, 'a')])
    for (let i = 0; i < 4; i++) own.set(`s${i}`, [instance(`s${i}`, 'a')])
    await clock.advance(3_000)
    expect(mirror.covers('eu-1')).toBe(true)
    expect(mirror.covers('us-1')).toBe(false)
    expect(mirror.serviceIndex('us-1', 'u29')).toBeUndefined()
    for (let i = 4; i < 8; i++) own.set(`s${i}`, [instance(`s${i}`, 'a')])
    await clock.advance(1_000)
    expect(mirror.summary('eu-1', 's7')).toBeDefined()
    for (let i = 8; i < 30; i++) own.set(`s${i}`, [instance(`s${i}`, 'a')])
    await clock.advance(1_000)
    expect(mirror.covers('eu-1')).toBe(false)
    expect(mirror.size).toBeLessThan(20)
    await close()
  })

  it('of a service with too much to tell are numbers alone', async () => {
    const { clock, own, mirror, close } = setUp()
    const tags = Array.from({ length: 32 }, (_, i) => `${'t'.repeat(200)}${i}`)
    const many = Array.from({ length: 5 }, (_, i) => instance('big', `i${i}`, 'passing', { tags }))
    own.set('big', many)
    await clock.advance(3_000)
    expect(mirror.summary('eu-1', 'big')).toMatchObject({ instances: 5, passing: 5, endpoints: [] })
    await close()
  })

  it('of a very large service are counted anew rarely, though told at once that it changed', async () => {
    const { clock, own, mirror, close } = setUp()
    const many = Array.from({ length: 3_000 }, (_, i) => instance('big', `i${i}`))
    own.set('big', many)
    await clock.advance(3_000)
    own.set('big', many.slice(1))
    await clock.advance(500)
    const index = own.topic({ kind: 'service', service: 'big' }).index
    own.set('big', many.slice(2))
    await clock.advance(500)
    expect(mirror.summary('eu-1', 'big')).toMatchObject({ instances: 2_999, index: index + 1 })
    await clock.advance(4_000)
    expect(mirror.summary('eu-1', 'big')).toMatchObject({ instances: 2_998, index: index + 1 })
    await close()
  })

  it('reach a thousand clients within seconds, at a bounded rate of calls, and each is encoded once', async () => {
    const { clock, own, mirrors, calls, close } = setUp(1_000)
    for (let i = 0; i < 300; i++) own.set(`s${i}`, [instance(`s${i}`, 'a')])
    await clock.advance(20_000)
    const knows = (part: string, passing: number): boolean =>
      mirrors.every((mirror) => mirror.summary('eu-1', part)?.passing === passing)
    expect(knows('s7', 1)).toBe(true)
    // Idle: each waits 10 s, and asks again at once.
    let { count } = calls
    await clock.advance(20_000)
    expect(calls.count - count).toBeLessThan(2_600)
    // A change after a pause, and the next ones: nobody has to wait for his turn.
    for (const passing of [2, 3]) {
      own.set(
        's7',
        Array.from({ length: passing }, (_, i) => instance('s7', `n${i}`)),
      )
      const changedMs = clock.nowMs()
      while (!knows('s7', passing)) await clock.advance(50)
      expect(clock.nowMs() - changedMs).toBeLessThan(500)
    }
    // Under changes without end they take turns.
    await clock.advance(10_000)
    count = calls.count
    for (let i = 0; i < 100; i++) {
      own.set('s8', [instance('s8', `n${i}`)])
      await clock.advance(100)
    }
    expect(calls.count - count).toBeLessThan(8_500)
    expect(calls.count - count).toBeGreaterThan(6_000)
    await close()
  }, 60_000)

  it('cost nothing while no client asks, and are for nodes of the own datacenter', async () => {
    const { clock, own, federation, link, calls, close } = setUp()
    await clock.advance(3_000)
    link.up = false
    await clock.advance(180_000)
    expect(calls.waiting).toBe(0)
    own.set('web', [instance('web', 'a')])
    const timers = clock.pendingTimers
    own.set('web', [instance('web', 'b')])
    expect(clock.pendingTimers).toBe(timers)
    const ask = (payload: unknown, datacenter: string) =>
      federation.handlers.get(SUMMARIES)!(payload, {
        peer: { datacenter, peerId: 'p' },
        signal: new AbortController().signal,
      } as never)
    const request = { feed: '', since: -1, from: 0, waitMs: 0 }
    await expect(ask(request, 'us-1')).rejects.toMatchObject({ code: 'forbidden' })
    for (const payload of [null, {}, { ...request, waitMs: -1 }, { ...request, feed: 'x'.repeat(65) }])
      await expect(ask(payload, 'eu-1')).rejects.toMatchObject({ code: 'invalid' })
    await close()
  })
})
