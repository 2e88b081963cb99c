import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AtollError } from '../model/errors.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { Calls } from './calls.ts'
import type { Host, Peer } from './host.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'
import { MemorySource } from './testing/memory-source.ts'

let mesh: MemoryMesh
let eu: MemoryNode
let usA: MemoryNode
let usB: MemoryNode

beforeEach(async () => {
  mesh = new MemoryMesh(1, { link: { delayMs: 40 } })
  eu = await mesh.start('eu-1')
  const source = new MemorySource()
  usA = await mesh.start('us-1', { node: 'a', source, join: [eu] })
  usB = await mesh.start('us-1', { node: 'b', source, join: [eu] })
  for (const node of [usA, usB])
    node.federation.handle('echo', async (payload) => `${node.host.self.node}: ${String(payload)}`)
  await mesh.until(
    () =>
      eu.federation
        .remote('us-1')
        ?.gateways()
        .filter(({ connected }) => connected).length === 2,
  )
})
afterEach(() => mesh.close())

// biome-ignore lint/suspicious/noExplicitAny: answers and errors alike
const call = (target = { datacenter: 'us-1' }, deadlineMs = 1000): Promise<any> =>
  mesh.settle(eu.federation.call(target, 'echo', 'hi', { deadlineMs }))
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    (value) => `answered ${String(value)}`,
    (error) => (error instanceof AtollError ? error.code : String(error)),
  )

describe('a call', () => {
  it('goes to a gateway of the datacenter, or to the peer named', async () => {
    expect(await call()).toMatch(/^[ab]: hi$/)
    expect(
      await mesh.settle(eu.federation.call({ peerId: usB.federation.peerId }, 'echo', 1, { deadlineMs: 500 })),
    ).toBe('b: 1')
  })

  it('goes to no other datacenter that took the name', async () => {
    const source = new MemorySource()
    const imposter = await mesh.start('us-1', { node: 'x', datacenterId: 'id-imposter', source, join: [eu] })
    imposter.federation.handle('echo', async () => 'the wrong one')
    await mesh.until(() => eu.host.peer(imposter.host.self.peerId) !== undefined)
    usA.kill()
    usB.kill()
    await mesh.clock.advance(10)
    expect(await codeOf(call())).toBe('unavailable')
  })

  it('tells a datacenter that nobody knows from one that cannot be reached', async () => {
    expect(await codeOf(call({ datacenter: 'xx-1' }))).toBe('no-path')
    usA.kill()
    usB.kill()
    await mesh.clock.advance(10)
    const error = await call().catch((reason) => reason)
    expect(error.code).toBe('unavailable')
    expect(error.message).toContain('us-1')
  })

  it('goes to the next gateway when the first surely did not carry it out', async () => {
    const first = String(await call()).startsWith('a') ? usA : usB
    first.federation.handle('echo', () => Promise.reject(new AtollError('unavailable', 'store without majority')))
    expect(await call()).toMatch(first === usA ? /^b/ : /^a/)
  })

  it('is not sent again when the outcome is unknown', async () => {
    usA.host.hung = usB.host.hung = true
    const startMs = mesh.clock.nowMs()
    const error = await call().catch((reason) => reason)
    expect(error.code).toBe('timeout')
    expect(error.message).toContain('us-1')
    expect(mesh.clock.nowMs() - startMs).toBeLessThan(1010)
  })

  it('gives back the error of the handler', async () => {
    for (const node of [usA, usB])
      node.federation.handle('echo', () => Promise.reject(new AtollError('conflict', 'taken', { field: 'Name' })))
    const error = await call().catch((reason) => reason)
    expect(error).toMatchObject({ code: 'conflict', field: 'Name' })
  })

  it('fails at once when the link has been silent for two seconds, and in flight about then', async () => {
    mesh.network.cut('eu-1', 'us-1')
    const startMs = mesh.clock.nowMs()
    expect(await codeOf(call(undefined, 30_000))).toBe('timeout')
    expect(mesh.clock.nowMs() - startMs).toBeLessThan(2500)
    const laterMs = mesh.clock.nowMs()
    expect(await codeOf(call())).toBe('unavailable')
    expect(mesh.clock.nowMs() - laterMs).toBeLessThan(2)
    mesh.network.heal('eu-1', 'us-1')
    await mesh.clock.advance(12_000)
    expect(await call()).toMatch(/hi$/)
  })

  it('goes on when it was this node that stood still: what was said meanwhile is read first', async () => {
    const clock = new VirtualClock()
    const answer = Promise.withResolvers<unknown>()
    let heardMs = 0
    const peer = { peerId: 'us', datacenter: 'us-1', role: 'server' } as Peer
    const calls = new Calls({
      clock,
      host: {
        peers: () => [peer],
        silentMs: () => clock.nowMs() - heardMs,
        roundTripMs: () => 1,
        async call(_peer, _method, _payload, { signal }) {
          signal?.addEventListener('abort', () => answer.reject(signal.reason))
          return answer.promise
        },
      } as Partial<Host> as Host,
      datacenter: 'eu-1',
      isKnown: () => true,
      isOf: () => true,
      silentMs: 2000,
      maxInFlight: 8,
    })
    calls.tick()
    const asked = codeOf(calls.call({ peerId: 'us' }, 'echo', 1, { deadlineMs: 60_000 }))
    await clock.advance(3000)
    calls.tick()
    heardMs = clock.nowMs()
    await clock.advance(200)
    calls.tick()
    answer.resolve(1)
    expect(await asked).toBe('answered 1')
  })

  it('is refused by the breaker after timeouts in a row, until a probe is answered', async () => {
    usA.host.hung = usB.host.hung = true
    for (let i = 0; i < 6; i++) expect(await codeOf(call(undefined, 100))).toBe('timeout')
    const startMs = mesh.clock.nowMs()
    expect(await codeOf(call())).toBe('unavailable')
    expect(mesh.clock.nowMs() - startMs).toBeLessThan(2)
    usA.host.hung = usB.host.hung = false
    await mesh.clock.advance(1100)
    expect(await call()).toMatch(/hi$/)
  })

  it('is bounded in number', async () => {
    usB.kill()
    await mesh.until(() => eu.host.peers().length === 1)
    usA.host.hung = true
    const calls = Array.from({ length: 1030 }, () =>
      codeOf(eu.federation.call({ datacenter: 'us-1' }, 'echo', 1, { deadlineMs: 300 })),
    )
    const codes = await mesh.settle(Promise.all(calls))
    expect(codes.filter((code) => code === 'overloaded')).toHaveLength(6)
    expect(codes.filter((code) => code === 'timeout')).toHaveLength(1024)
  })

  it('ends with the signal of its caller', async () => {
    usA.host.hung = usB.host.hung = true
    const controller = new AbortController()
    const pending = eu.federation.call({ datacenter: 'us-1' }, 'echo', 1, {
      deadlineMs: 9000,
      signal: controller.signal,
    })
    const outcome = codeOf(pending)
    await mesh.clock.advance(50)
    controller.abort(new AtollError('unavailable', 'gone'))
    expect(await mesh.settle(outcome)).toBe('unavailable')
  })
})

describe('a read that may be hedged', () => {
  /** Calls that each gateway was given, and ended before they were answered. */
  const given = new Map<string, number>()
  let slow: (node: string) => number

  beforeEach(async () => {
    given.clear()
    slow = () => 1
    for (const node of [usA, usB]) {
      const { node: name } = node.host.self
      node.federation.handle('read', async () => {
        given.set(name, (given.get(name) ?? 0) + 1)
        await mesh.clock.sleep(slow(name))
        return name
      })
    }
  })
  const read = async (hedge = true): Promise<{ node: string; tookMs: number }> => {
    const startMs = mesh.clock.nowMs()
    const options = { deadlineMs: 1700, hedge }
    const node = String(await mesh.settle(eu.federation.call({ datacenter: 'us-1' }, 'read', 0, options)))
    return { node, tookMs: mesh.clock.nowMs() - startMs }
  }
  const total = (): number => [...given.values()].reduce((sum, count) => sum + count, 0)

  it('is sent to the next gateway when the first takes longer than it mostly does', async () => {
    let first = ''
    for (let i = 0; i < 40; i++) first = (await read()).node
    expect(total()).toBe(40)
    slow = (node) => (node === first ? 1500 : 1)
    const { node, tookMs } = await read()
    expect(node).not.toBe(first)
    // Two ways to each, and the wait between them.
    expect(tookMs).toBeLessThan(200)
    expect(total()).toBe(42)
    expect(eu.federation.hedges).toBe(1)
  })

  it('costs a few more calls at most, also when everything is slow', async () => {
    for (let i = 0; i < 40; i++) await read()
    given.clear()
    let calls = 0
    slow = () => 100 + 17 * (calls++ % 40)
    const before = calls
    for (let i = 0; i < 300; i++) await read()
    expect(total() - 300).toBeLessThanOrEqual(10 + 0.05 * 300)
    expect(calls - before).toBe(total())
  })

  it('is not hedged when it must not be, or while too little is known', async () => {
    slow = () => 400
    for (let i = 0; i < 5; i++) await read()
    expect(total()).toBe(5)
    slow = () => 1
    for (let i = 0; i < 40; i++) await read()
    given.clear()
    slow = () => 600
    await read(false)
    expect(total()).toBe(1)
  })

  it('ends with the answer of whoever answers, though one of the two fails; an error is an answer too', async () => {
    let first = ''
    for (let i = 0; i < 40; i++) first = (await read()).node
    const [lead, other] = first === 'a' ? [usA, usB] : [usB, usA]
    lead.federation.handle('read', async () => {
      await mesh.clock.sleep(300)
      throw new AtollError('unavailable', 'went away')
    })
    slow = () => 600
    expect((await read()).node).toBe(other.host.self.node)
    other.federation.handle('read', () => Promise.reject(new AtollError('not-found', 'nothing there')))
    expect(await codeOf(read())).toBe('not-found')
    other.federation.handle('read', () => Promise.reject(new AtollError('unavailable', 'no store')))
    expect(await codeOf(read())).toBe('unavailable')
  })
})

describe('a client', () => {
  it('dials servers of its datacenter alone, learns of the others, and calls its servers', async () => {
    const client = await mesh.start('us-1', { node: 'client', role: 'client', join: [usA] })
    await mesh.until(() => client.host.peers().length === 2 && client.federation.remote('eu-1')?.state === 'live')
    expect(client.federation.datacenters()).toEqual(['us-1', 'eu-1'])
    expect(client.federation.remote('eu-1')).toMatchObject({ loaded: false, fit: false })
    expect(client.sinks.size).toBe(0)
    const answer = await mesh.settle(client.federation.call({ datacenter: 'us-1' }, 'echo', 'c', { deadlineMs: 500 }))
    expect(answer).toMatch(/: c$/)
    usA.kill()
    await mesh.clock.advance(100)
    expect(await mesh.settle(client.federation.call({ datacenter: 'us-1' }, 'echo', 'd', { deadlineMs: 500 }))).toBe(
      'b: d',
    )
  })

  it('is seen by its servers coming and going', async () => {
    const events: string[] = []
    usA.federation.onOwnPeer(({ type, peer }) => events.push(`${type} ${peer.node}`))
    const client = await mesh.start('us-1', { node: 'client', role: 'client', join: [usA] })
    await mesh.until(() => events.includes('up client'))
    client.kill()
    await mesh.until(() => events.includes('down client'))
  })

  it('that joined a server of another datacenter finds its own', async () => {
    const client = await mesh.start('us-1', { node: 'client', role: 'client', join: [eu] })
    await mesh.until(() => client.host.peers().filter(({ datacenter }) => datacenter === 'us-1').length === 2, 5000)
  })
})
