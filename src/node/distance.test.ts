import { describe, expect, it } from 'vitest'
import type { Peer } from '../federation/host.ts'
import { type Coordinate, coordinateDistanceMs, coordinateToNumbers } from '../model/coordinate.ts'
import { AtollError } from '../model/errors.ts'
import { originCoordinate } from '../model/vivaldi.ts'
import { silentLogger } from '../runtime/logger.ts'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import { COORDINATE, type DistanceOptions, NodeDistance } from './distance.ts'

type Handler = Parameters<DistanceOptions['federation']['handle']>[1]

/** Nodes of one DC, some of them servers; clients are connected to all servers, and visit each other. */
function network(
  roundTripMs: (a: string, b: string) => number,
  servers: readonly string[],
  clients: readonly string[],
) {
  const clock = new VirtualClock()
  const random = new SeededRandom(1)
  const names = [...servers, ...clients]
  const handlers = new Map<string, Handler>()
  const visiting = new Set<string>()
  const told = new Map<string, Coordinate>()
  const calls = { count: 0, visits: 0 }
  const state = { oldPeers: false, visits: true }
  const peerOf = (name: string): Peer => ({
    peerId: name,
    datacenter: name.startsWith('far') ? 'us-1' : 'eu-1',
    datacenterId: '',
    node: name,
    nodeId: `id-${name}`,
    role: servers.includes(name) ? 'server' : 'client',
    direction: 'outbound',
    address: '',
    bootId: '',
  })
  const isConnected = (a: string, b: string): boolean =>
    a !== b && (servers.includes(a) || servers.includes(b) || visiting.has(`${a} ${b}`) || visiting.has(`${b} ${a}`))
  const federationOf = (name: string): DistanceOptions['federation'] => ({
    peerId: name,
    addresses: [`/ip4/127.0.0.1/tcp/1/p2p/${name}`],
    peers: () => names.filter((other) => isConnected(name, other)).map(peerOf),
    roundTripMs: (other) => (isConnected(name, other) ? roundTripMs(name, other) : undefined),
    async call({ peerId }, method, payload) {
      calls.count++
      if (state.oldPeers) throw new AtollError('unsupported', 'this node answers no such thing')
      await clock.sleep(roundTripMs(name, peerId!))
      return handlers.get(`${peerId} ${method}`)!(payload, { peer: peerOf(name), signal: new AbortController().signal })
    },
    handle: (method, handler) => void handlers.set(`${name} ${method}`, handler),
    onOwnPeer: () => () => {},
    async visit(peer, _deadlineMs, use) {
      if (!state.visits) throw new AtollError('unavailable', 'a firewall')
      calls.visits++
      visiting.add(`${name} ${peer.peerId}`)
      try {
        return await use(peerOf(peer.peerId))
      } finally {
        visiting.delete(`${name} ${peer.peerId}`)
      }
    },
  })
  const nodes = new Map(
    names.map((name) => [
      name,
      new NodeDistance({
        federation: federationOf(name),
        datacenter: 'eu-1',
        self: { node: name, nodeId: `id-${name}` },
        clock,
        random,
        logger: silentLogger,
        ...(servers.includes(name) && { report: (node, _, coordinate) => void told.set(node, coordinate) }),
      }),
    ]),
  )
  const estimate = (a: string, b: string): number => coordinateDistanceMs(told.get(a)!, told.get(b)!)
  const byDistanceFrom = (from: string): string[] =>
    [...told.keys()].filter((name) => name !== from).sort((a, b) => estimate(from, a) - estimate(from, b))
  const ask = (name: string, from: string, payload: unknown) =>
    handlers.get(`${name} ${COORDINATE}`)!(payload, { peer: peerOf(from), signal: new AbortController().signal })
  return {
    clock,
    calls,
    state,
    told,
    estimate,
    byDistanceFrom,
    ask,
    async close() {
      for (const node of nodes.values()) node.close()
      // What is under way ends.
      await clock.advance(5_000)
    },
  }
}

/** Three zones, 0.4 ms inside of one and 3 to 8 ms between them, by the first letter. */
const zones = (a: string, b: string): number => {
  if (a[0] === b[0]) return 0.4
  return { ab: 3, ac: 6, bc: 8 }[[a[0], b[0]].sort().join('')]!
}

describe('distances inside a datacenter', () => {
  it('one server and its clients: who is near the server is told within a minute', async () => {
    const { clock, byDistanceFrom, estimate, close } = network(
      (a, b) => Math.abs(Number(a.slice(1)) - Number(b.slice(1))),
      ['s0'],
      ['c1', 'c5', 'c20'],
    )
    await clock.advance(60_000)
    expect(byDistanceFrom('s0')).toEqual(['c1', 'c5', 'c20'])
    for (const [client, ms] of [
      ['c5', 5],
      ['c20', 20],
    ] as const)
      expect(Math.abs(estimate('s0', client) - ms)).toBeLessThan(0.25 * ms)
    await close()
    expect(clock.pendingTimers).toBe(0)
  })

  it('clients of one zone find each other, though their only server is in another', async () => {
    const { clock, byDistanceFrom, close } = network(zones, ['a0'], ['b1', 'b2', 'c1', 'c2', 'a1'])
    await clock.advance(30 * 60_000)
    expect(byDistanceFrom('b1')[0]).toBe('b2')
    expect(byDistanceFrom('c2')[0]).toBe('c1')
    expect(byDistanceFrom('a1')[0]).toBe('a0')
    expect(new Set(byDistanceFrom('b1').slice(1, 3))).toEqual(new Set(['a0', 'a1']))
    await close()
  })

  it('a steady network is asked rarely', async () => {
    const { clock, calls, close } = network(zones, ['a0'], ['a1', 'b1', 'c1'])
    await clock.advance(20 * 60_000)
    const before = { ...calls }
    await clock.advance(10 * 60_000)
    // Three clients, each 10 min / 15 s exchanges, at most twice that, and three calls for each visit.
    expect(calls.count - before.count).toBeLessThan(3 * (80 + 3 * 6))
    expect(calls.visits - before.visits).toBeLessThanOrEqual(3 * 6)
    await close()
  })

  it('works without visits, and beside peers that know nothing of it', async () => {
    const { clock, calls, state, told, close } = network(zones, ['a0'], ['b1', 'c1'])
    state.oldPeers = true
    await clock.advance(10 * 60_000)
    expect(told.size).toBe(0)
    expect(calls.count).toBeLessThan(2 * (40 + 80))
    state.oldPeers = false
    state.visits = false
    await clock.advance(5 * 60_000)
    expect(new Set(told.keys())).toEqual(new Set(['a0', 'b1', 'c1']))
    await close()
  })

  it('takes nothing from another datacenter, and nothing that makes no sense', async () => {
    const { clock, told, ask, close } = network(zones, ['a0'], ['b1'])
    await clock.advance(0)
    const good = coordinateToNumbers(originCoordinate())
    await expect(ask('a0', 'far-1', { coordinate: good })).rejects.toMatchObject({ code: 'forbidden' })
    for (const coordinate of [undefined, null, 'x', [1, 2], good.map(() => Number.NaN), good.map(() => 1e9), {}])
      expect(await ask('a0', 'b1', { coordinate })).toEqual({ coordinate: good })
    expect(await ask('a0', 'b1', undefined)).toEqual({ coordinate: good })
    expect(told.size).toBe(0)
    expect(
      await ask('a0', 'b1', { coordinate: good, addresses: ['x', 1, '/ip4/1.2.3.4/tcp/1'], meet: true }),
    ).not.toHaveProperty('meet')
    expect(await ask('a0', 'b2', { coordinate: good, meet: true })).toMatchObject({
      meet: { peerId: 'b1', addresses: ['/ip4/1.2.3.4/tcp/1'] },
    })
    await close()
  })
})
