import { afterEach, describe, expect, it } from 'vitest'
import { holds } from './testing/compare.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'
import { MemorySource } from './testing/memory-source.ts'

let mesh: MemoryMesh
afterEach(() => mesh.close())

const remote = (node: MemoryNode, datacenter: string) => node.federation.remote(datacenter)!
const wayOf = (node: MemoryNode, datacenter: string): string => {
  const way = node.federation.remote(datacenter)?.way()
  if (way === undefined) return 'unknown'
  return way.kind === 'relayed' ? `via ${way.via.datacenter}` : way.kind
}
const connectedGateways = (node: MemoryNode, datacenter: string): number =>
  (node.federation.remote(datacenter)?.gateways() ?? []).filter(({ connected }) => connected).length
const CALL = { deadlineMs: 1700 }

/** One gateway for each DC; eu-1 to us-1 80 ms, ap-1 150 ms to both, sa-1 200 ms to all. Calls are echoed. */
async function four(seed: number): Promise<[MemoryNode, MemoryNode, MemoryNode, MemoryNode]> {
  mesh = new MemoryMesh(seed, { link: { delayMs: 100 } })
  mesh.network.setLink('eu-1', 'us-1', { delayMs: 40 })
  mesh.network.setLink('eu-1', 'ap-1', { delayMs: 75 })
  mesh.network.setLink('us-1', 'ap-1', { delayMs: 75 })
  const nodes = (await mesh.startAll('eu-1', 'us-1', 'ap-1', 'sa-1')) as [
    MemoryNode,
    MemoryNode,
    MemoryNode,
    MemoryNode,
  ]
  for (const node of nodes) {
    node.federation.handle('echo', async (payload) => payload)
    node.source.write({ web: node.datacenter })
  }
  const all = (): boolean => nodes.every((a) => nodes.every((b) => a === b || wayOf(a, b.datacenter) === 'direct'))
  await mesh.until(all)
  // Until everybody has told whom it reaches.
  await mesh.clock.advance(3000)
  return nodes
}

async function timedCall(from: MemoryNode, datacenter: string): Promise<number> {
  const beganMs = mesh.clock.nowMs()
  expect(await mesh.settle(from.federation.call({ datacenter }, 'echo', 'x', CALL))).toBe('x')
  return mesh.clock.nowMs() - beganMs
}

describe('a cut link', () => {
  it('is gone round, both ways, in the time that both links take, over the nearest relay', async () => {
    const [eu, us] = await four(1)
    expect(await timedCall(eu, 'us-1')).toBeLessThanOrEqual(82)
    mesh.network.cut('eu-1', 'us-1')
    const tookMs = await mesh.until(() => wayOf(eu, 'us-1') === 'via ap-1' && wayOf(us, 'eu-1') === 'via ap-1')
    // 1.2 s of silence, then the request and the handshake through ap-1.
    expect(tookMs).toBeLessThan(3000)
    expect(await timedCall(eu, 'us-1')).toBeLessThanOrEqual(302)
    expect(await timedCall(us, 'eu-1')).toBeLessThanOrEqual(302)
    expect(remote(eu, 'us-1').roundTripMs()).toBe(300)
    expect(remote(eu, 'us-1').gateways()[0]).toMatchObject({ connected: true, via: { datacenter: 'ap-1' } })
    us.source.write({ web: 'while cut' })
    expect(await mesh.until(() => holds(eu, us))).toBeLessThan(400)
    mesh.network.heal('eu-1', 'us-1')
    expect(await mesh.until(() => wayOf(eu, 'us-1') === 'direct' && wayOf(us, 'eu-1') === 'direct')).toBeLessThan(1000)
    expect(await timedCall(eu, 'us-1')).toBeLessThanOrEqual(82)
    expect(remote(eu, 'us-1').counters).toMatchObject({ repairs: 0, rejected: 0 })
  })

  it('costs no call that is on its way when it heals', async () => {
    const [eu, us] = await four(2)
    mesh.network.cut('eu-1', 'us-1')
    await mesh.until(() => wayOf(eu, 'us-1') === 'via ap-1')
    us.federation.handle('slow', async (payload) => {
      await mesh.clock.sleep(600)
      return payload
    })
    const slow = eu.federation.call({ datacenter: 'us-1' }, 'slow', 'x', CALL)
    mesh.network.heal('eu-1', 'us-1')
    await mesh.until(() => wayOf(eu, 'us-1') === 'direct')
    expect(await mesh.settle(slow)).toBe('x')
  })

  it('is gone round another way when the relay dies, or is cut off itself', async () => {
    const [eu, us, ap] = await four(3)
    mesh.network.cut('eu-1', 'us-1')
    await mesh.until(() => wayOf(eu, 'us-1') === 'via ap-1')
    mesh.network.cut('ap-1', 'us-1')
    await mesh.until(() => wayOf(eu, 'us-1') === 'via sa-1', 6000)
    expect(await timedCall(eu, 'us-1')).toBeLessThanOrEqual(402)
    mesh.network.heal('ap-1', 'us-1')
    // Shorter again, and it stays so.
    await mesh.until(() => wayOf(eu, 'us-1') === 'via ap-1' && wayOf(us, 'eu-1') === 'via ap-1', 20_000)
    ap.kill()
    await mesh.until(() => wayOf(eu, 'us-1') === 'via sa-1', 6000)
    expect(await timedCall(us, 'eu-1')).toBeLessThanOrEqual(402)
  })

  it('one way is gone round too, by both sides', async () => {
    for (const [deaf, other] of [
      ['eu-1', 'us-1'],
      ['us-1', 'eu-1'],
    ] as const) {
      const [eu, us] = await four(4)
      mesh.network.cut(other, deaf, true)
      await mesh.until(() => wayOf(eu, 'us-1') === 'via ap-1' && wayOf(us, 'eu-1') === 'via ap-1', 6000)
      await timedCall(eu, 'us-1')
      await timedCall(us, 'eu-1')
      await mesh.clock.advance(20_000)
      expect([wayOf(eu, 'us-1'), wayOf(us, 'eu-1')]).toEqual(['via ap-1', 'via ap-1'])
      if (deaf === 'eu-1') await mesh.close()
    }
  })

  it('from everybody leaves no way, and nobody passes on what he cannot', async () => {
    const [eu, us, ap, sa] = await four(5)
    for (const other of [eu, ap, sa]) mesh.network.cut('us-1', other.datacenter)
    await mesh.until(() => remote(eu, 'us-1').state === 'lost', 4000)
    await mesh.clock.advance(30_000)
    expect([wayOf(eu, 'us-1'), wayOf(us, 'eu-1')]).toEqual(['none', 'none'])
    await expect(mesh.settle(eu.federation.call({ datacenter: 'us-1' }, 'echo', 1, CALL))).rejects.toMatchObject({
      code: 'unavailable',
    })
    for (const other of [eu, ap, sa]) mesh.network.heal('us-1', other.datacenter)
    await mesh.until(() => wayOf(eu, 'us-1') === 'direct', 3000)
  })
})

describe('who reaches whom', () => {
  it('is told to all, and again to who comes later', async () => {
    const [eu, us, ap] = await four(6)
    const told = (node: MemoryNode, about: MemoryNode): Record<string, number> => {
      const reaches = node.federation.remote(about.datacenter)?.reaches(about.host.self.peerId) ?? []
      return Object.fromEntries(reaches.map(({ datacenter, roundTripMs }) => [datacenter, roundTripMs]))
    }
    expect(told(eu, us)).toEqual({ 'eu-1': 80, 'ap-1': 150, 'sa-1': 200 })
    mesh.network.cut('us-1', 'ap-1')
    await mesh.until(() => told(eu, us)['ap-1'] === undefined, 4000)
    // Through a relay is not reached directly.
    await mesh.clock.advance(5000)
    expect(wayOf(us, 'ap-1')).toBe('via eu-1')
    expect(told(eu, us)).toEqual({ 'eu-1': 80, 'sa-1': 200 })
    const late = await mesh.start('af-1', { join: [ap] })
    await mesh.until(() => Object.keys(told(late, us)).length === 3, 12_000)
    expect(told(late, us)).toEqual({ 'eu-1': 80, 'sa-1': 200, 'af-1': 200 })
  })
})

describe('several gateways of one datacenter', () => {
  it('speak one after the other, and the rest is found by any of them', async () => {
    mesh = new MemoryMesh(7)
    const source = new MemorySource()
    const eu = await mesh.start('eu-1')
    const us: MemoryNode[] = []
    for (const node of ['us-1-a', 'us-1-b', 'us-1-c'])
      us.push(await mesh.start('us-1', { node, source, join: [eu, ...us] }))
    const ap = await mesh.start('ap-1', { join: [eu] })
    source.write({ web: 'v0' })
    const all = [eu, ap]
    await mesh.until(() => all.every((node) => holds(node, us[0]!) && connectedGateways(node, 'us-1') === 3))
    await mesh.clock.advance(2000)
    const before = mesh.network.counters.gossip
    source.write({ web: 'v1' })
    await mesh.until(() => all.every((node) => holds(node, us[0]!)))
    // One of the three speaks: a delta reaches the five others by at most twenty copies, and beacons come in between.
    expect(mesh.network.counters.gossip - before).toBeLessThan(30)
    const living = [...us]
    for (const version of ['v2', 'v3']) {
      // Whoever speaks, after two deaths it has been gone once at least.
      living.shift()!.kill()
      source.write({ web: version })
      expect(await mesh.until(() => all.every((node) => holds(node, living[0]!)))).toBeLessThan(2500)
    }
    expect(remote(eu, 'us-1').state).toBe('live')
  })

  it('need one way through for all of them', async () => {
    mesh = new MemoryMesh(8)
    const source = new MemorySource()
    const eu = await mesh.start('eu-1')
    const ap = await mesh.start('ap-1', { join: [eu] })
    const us: MemoryNode[] = []
    for (const node of ['us-1-a', 'us-1-b', 'us-1-c'])
      us.push(await mesh.start('us-1', { node, source, join: [eu, ap, ...us] }))
    await mesh.until(() => connectedGateways(eu, 'us-1') === 3)
    await mesh.clock.advance(3000)
    mesh.network.cut('eu-1', 'us-1')
    await mesh.until(() => wayOf(eu, 'us-1') === 'via ap-1', 4000)
    await mesh.clock.advance(20_000)
    // Each of theirs needs one, to one of ours; eu-1 has only one gateway.
    const relayed = eu.federation.peers().filter((peer) => peer.via !== undefined)
    expect(relayed.length).toBeLessThanOrEqual(3)
    expect(us.every((node) => wayOf(node, 'eu-1') === 'via ap-1')).toBe(true)
    // The one that the calls go to dies: another is called.
    for (const node of us.slice(0, 2)) node.kill()
    us[2]!.federation.handle('echo', async (payload) => payload)
    await mesh.until(() => wayOf(eu, 'us-1') === 'via ap-1', 6000)
    expect(await mesh.settle(eu.federation.call({ datacenter: 'us-1' }, 'echo', 1, CALL))).toBe(1)
  })
})
