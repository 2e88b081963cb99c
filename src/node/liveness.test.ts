import { describe, expect, it } from 'vitest'
import type { CatalogView } from '../catalog/view.ts'
import type { Peer } from '../federation/host.ts'
import type { Logger } from '../runtime/ports.ts'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import { clientHeartbeat, KnownFacts, type LivenessFacts, RENEW, serverHeartbeat } from './liveness.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const self: LivenessFacts = { nodeId: 'id-1', node: 'n1', bootId: 'boot-1', runtime: 'node', version: '1' }
const peer: Peer = {
  peerId: 'p7',
  datacenter: 'eu-1',
  datacenterId: 'd',
  node: 'n7',
  nodeId: 'id-7',
  role: 'client',
  direction: 'inbound',
  address: '',
  bootId: 'boot-7',
}

function setUp() {
  const clock = new VirtualClock()
  type Handler = (payload: unknown, context: { peer: Peer; signal: AbortSignal }) => Promise<unknown>
  const handlers = new Map<string, Handler>()
  const alive: string[] = []
  const facts = new KnownFacts(2)
  const changes = { count: 0 }
  const federation = {
    answer: undefined as unknown,
    call: async () => federation.answer,
    handle: (method: string, handler: Handler) => void handlers.set(method, handler),
    onOwnPeer: () => () => {},
  }
  const common = {
    federation,
    datacenter: 'eu-1',
    clock,
    random: new SeededRandom(1),
    logger: silent,
    periodMs: 2_000,
    self,
    onServerChanged: () => changes.count++,
  }
  const server = () =>
    serverHeartbeat({
      ...common,
      facts,
      view: { node: (name: string) => (name === 'n7' ? { id: 'id-7' } : undefined) } as unknown as CatalogView,
      liveness: {
        alive: async (nodeId, node, bootId) => alive.push(`${nodeId} ${node} ${bootId}`) > 0,
        gone: () => {},
      },
    })
  const renew = (payload: unknown, from: Partial<Peer> = {}) =>
    handlers.get(RENEW)!(payload, { peer: { ...peer, ...from }, signal: new AbortController().signal })
  return { clock, federation, common, server, renew, alive, facts, changes }
}
const told = { nodeId: 'id-7', node: 'n7', bootId: 'of another', runtime: 'bun', version: '2' }

describe('signs of life at a server', () => {
  it('count for who sent them, in the life that its connection proves', async () => {
    const { server, renew, alive, facts } = setUp()
    const heartbeat = server()
    expect(await renew(told)).toEqual({ server: 'boot-1', registered: true })
    expect(alive).toEqual(['id-1 n1 boot-1', 'id-7 n7 boot-7'])
    expect(facts.get('id-7')).toEqual({ runtime: 'bun', version: '2' })
    heartbeat.stop()
  })

  it('are refused from others, from other datacenters, and when they make no sense', async () => {
    const { server, renew, alive } = setUp()
    const heartbeat = server()
    for (const attempt of [
      renew({ ...told, nodeId: 'id-8' }),
      renew({ ...told, node: 'n8' }),
      renew(told, { datacenter: 'us-1' }),
      renew(null),
      renew('x'),
    ]) {
      await expect(attempt).rejects.toMatchObject({ code: 'forbidden' })
    }
    expect(alive).toEqual(['id-1 n1 boot-1'])
    heartbeat.stop()
  })

  it('leave facts that are bounded in number and length', async () => {
    const { server, renew, facts } = setUp()
    const heartbeat = server()
    await renew({ ...told, runtime: 'x'.repeat(10_000), version: 7 })
    expect(facts.get('id-7')).toEqual({ runtime: 'x'.repeat(64), version: '' })
    for (const id of ['a', 'b', 'c']) facts.note(id, { runtime: '', version: '' })
    expect(['id-7', 'a', 'b', 'c'].filter((id) => facts.get(id))).toEqual(['b', 'c'])
    heartbeat.stop()
  })
})

describe('signs of life of a client', () => {
  it('an answer that makes no sense counts as none', async () => {
    const { clock, federation, common, changes } = setUp()
    const heartbeat = clientHeartbeat(common)
    await clock.advance(0)
    expect(changes.count).toBe(0)
    federation.answer = { server: 's1', registered: true }
    await clock.advance(1_000)
    expect(changes.count).toBe(1)
    heartbeat.stop()
    expect(clock.pendingTimers).toBe(0)
  })
})
