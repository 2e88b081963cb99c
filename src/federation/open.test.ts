import { afterEach, describe, expect, it } from 'vitest'
import { allHold, holds } from './testing/compare.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'
import { MemorySource } from './testing/memory-source.ts'

let mesh: MemoryMesh
afterEach(() => mesh.close())

const remote = (node: MemoryNode, datacenter: string) => node.federation.remote(datacenter)!

async function three(): Promise<[MemoryNode, MemoryNode, MemoryNode]> {
  const nodes = (await mesh.startAll('eu-1', 'us-1', 'ap-1')) as [MemoryNode, MemoryNode, MemoryNode]
  for (const node of nodes) node.source.write({ web: node.datacenter })
  await mesh.until(() => allHold(nodes) && nodes.every((a) => a.federation.remotes().every(({ fit }) => fit)))
  return nodes
}

describe('joining', () => {
  it('replicates what each datacenter exports to all others', async () => {
    mesh = new MemoryMesh()
    const nodes = await mesh.startAll('eu-1', 'us-1', 'ap-1', 'sa-1', 'af-1')
    nodes.forEach((node, i) => {
      node.source.write({ a: `${i}`, b: 'x' })
      node.source.write({ b: null })
    })
    await mesh.until(() => allHold(nodes))
    for (const node of nodes) {
      expect([...node.federation.datacenters()].sort()).toEqual(['af-1', 'ap-1', 'eu-1', 'sa-1', 'us-1'])
      expect(node.federation.datacenters()[0]).toBe(node.datacenter)
    }
  })

  it('makes a new datacenter known everywhere within two seconds, by one peer', async () => {
    mesh = new MemoryMesh(2, { link: { delayMs: 75 } })
    const nodes = await three()
    const source = new MemorySource()
    source.write({ db: 'sa' })
    const joined = await mesh.start('sa-1', { join: [nodes[2]], source })
    const tookMs = await mesh.until(() => nodes.every((node) => holds(node, joined) && remote(node, 'sa-1').fit))
    expect(tookMs).toBeLessThan(2000)
    await mesh.until(() => nodes.every((node) => holds(joined, node)))
  })

  it('goes on looking for as long as nobody answers', async () => {
    mesh = new MemoryMesh(3)
    mesh.network.cut('eu-1', 'us-1')
    const eu = await mesh.start('eu-1')
    const us = await mesh.start('us-1', { join: [eu] })
    await mesh.clock.advance(60_000)
    expect(us.federation.datacenters()).toEqual(['us-1'])
    mesh.network.heal('eu-1', 'us-1')
    expect(await mesh.until(() => us.federation.remote('eu-1')?.fit === true)).toBeLessThan(10_000)
  })

  it('finds the mesh again by the peers that it knew', async () => {
    mesh = new MemoryMesh(4)
    const [eu, us] = await three()
    const knownPeers = us.federation.knownPeers()
    us.kill()
    const again = await mesh.start('us-1', { source: us.source, knownPeers })
    await mesh.until(() => holds(again, eu) && eu.federation.remote('us-1')!.reachable())
  })

  it('orders datacenters by distance, unknown ones last', async () => {
    mesh = new MemoryMesh(5)
    mesh.network.setLink('eu-1', 'us-1', { delayMs: 40 })
    mesh.network.setLink('eu-1', 'ap-1', { delayMs: 20 })
    const [eu] = await three()
    expect(eu.federation.datacenters()).toEqual(['eu-1', 'ap-1', 'us-1'])
    expect(remote(eu, 'us-1').roundTripMs()).toBe(80)
  })
})

describe('a change', () => {
  it('is there after one way, when it is the first after a pause', async () => {
    mesh = new MemoryMesh(6, { link: { delayMs: 40 } })
    const [eu, us, ap] = await three()
    await mesh.clock.advance(500)
    eu.source.write({ web: 'new' })
    expect(await mesh.until(() => holds(us, eu) && holds(ap, eu))).toBeLessThanOrEqual(41)
  })

  it('is gathered with others when they come thick and fast', async () => {
    mesh = new MemoryMesh(7)
    const [eu, us] = await three()
    const before = remote(us, 'eu-1').counters.deltas
    for (let i = 0; i < 1000; i++) {
      eu.source.write({ web: `${i}` })
      await mesh.clock.advance(1)
    }
    expect(await mesh.until(() => holds(us, eu))).toBeLessThanOrEqual(31)
    const deltas = remote(us, 'eu-1').counters.deltas - before
    expect(deltas).toBeGreaterThan(40)
    expect(deltas).toBeLessThan(120)
    expect(remote(us, 'eu-1').counters).toMatchObject({ repairs: 0, rejected: 0 })
  })

  it('that gossip cannot carry comes by the stream', async () => {
    mesh = new MemoryMesh(8)
    const [eu, us, ap] = await three()
    eu.source.write({ big: new Uint8Array(200_000).fill(7) })
    expect(await mesh.until(() => holds(us, eu) && holds(ap, eu))).toBeLessThan(50)
    eu.source.write(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`huge-${i}`, new Uint8Array(500_000)])))
    expect(await mesh.until(() => holds(us, eu) && holds(ap, eu))).toBeLessThan(2000)
    expect(remote(us, 'eu-1').counters.snapshots).toBeLessThanOrEqual(1)
  })

  it('that is not exported shows in the revision within about a second', async () => {
    mesh = new MemoryMesh(9)
    const [eu, us] = await three()
    const revision = eu.source.write({})
    expect(await mesh.until(() => remote(us, 'eu-1').revision === revision)).toBeLessThan(1100)
  })
})

describe('a cut', () => {
  it('is answered through, and healed by delta', async () => {
    mesh = new MemoryMesh(10)
    const eu = await mesh.start('eu-1')
    const us = await mesh.start('us-1', { join: [eu] })
    for (let i = 0; i < 50; i++) eu.source.write({ [`s-${i}`]: 'x' })
    await mesh.until(() => holds(us, eu) && remote(us, 'eu-1').fit && Number.isFinite(remote(us, 'eu-1').ageMs()))
    const { snapshots } = remote(us, 'eu-1').counters
    mesh.network.cut('eu-1', 'us-1')
    const lostMs = await mesh.until(() => remote(us, 'eu-1').state === 'lost')
    expect(lostMs).toBeLessThan(3000)
    expect(remote(us, 'eu-1').loaded).toBe(true)
    expect(remote(us, 'eu-1').fit).toBe(false)
    for (let i = 0; i < 50; i++) eu.source.write({ [`s-${i}`]: i % 2 ? null : 'y' })
    await mesh.clock.advance(60_000)
    expect(remote(us, 'eu-1').ageMs()).toBeGreaterThan(60_000)
    expect(remote(us, 'eu-1').reachable()).toBe(false)
    mesh.network.heal('eu-1', 'us-1')
    expect(await mesh.until(() => holds(us, eu) && remote(us, 'eu-1').fit)).toBeLessThan(3000)
    expect(remote(us, 'eu-1').counters.snapshots).toBe(snapshots)
    expect(remote(us, 'eu-1').counters.repairs).toBe(0)
    expect(await mesh.until(() => remote(us, 'eu-1').ageMs() < 100)).toBeLessThan(2200)
  })

  it('has an age that nobody can tell, at a node that began with a copy from another', async () => {
    mesh = new MemoryMesh(23)
    const eu = await mesh.start('eu-1')
    const us = await mesh.start('us-1', { join: [eu] })
    eu.source.write({ web: 'x' })
    await mesh.until(() => holds(us, eu))
    mesh.network.cut('eu-1', 'ap-1')
    mesh.network.cut('eu-1', 'us-1')
    await mesh.until(() => remote(us, 'eu-1').state === 'lost')
    const ap = await mesh.start('ap-1', { join: [us] })
    await mesh.until(() => holds(ap, eu), 10_000)
    expect(remote(ap, 'eu-1').ageMs()).toBe(Number.POSITIVE_INFINITY)
    expect(remote(ap, 'eu-1').fit).toBe(false)
    mesh.network.heal('eu-1', 'ap-1')
    mesh.network.heal('eu-1', 'us-1')
    await mesh.until(() => remote(ap, 'eu-1').ageMs() < 100, 10_000)
  })

  it('heals by delta too when it was too short to break the connection', async () => {
    mesh = new MemoryMesh(11)
    const eu = await mesh.start('eu-1')
    const us = await mesh.start('us-1', { join: [eu] })
    eu.source.write({ a: '1' })
    await mesh.until(() => holds(us, eu))
    const { snapshots } = remote(us, 'eu-1').counters
    mesh.network.cut('eu-1', 'us-1')
    eu.source.write({ a: '2' })
    await mesh.clock.advance(1500)
    eu.source.write({ a: '3' })
    mesh.network.heal('eu-1', 'us-1')
    await mesh.until(() => holds(us, eu), 3000)
    expect(remote(us, 'eu-1').counters).toMatchObject({ snapshots, repairs: 0, rejected: 0 })
  })

  it('between two is bridged by a third: gossip keeps the replica young', async () => {
    mesh = new MemoryMesh(12)
    const [eu, us] = await three()
    mesh.network.cut('eu-1', 'us-1')
    await mesh.clock.advance(10_000)
    expect(remote(us, 'eu-1').state).toBe('live')
    expect(remote(us, 'eu-1').way()).toMatchObject({ kind: 'relayed', via: { datacenter: 'ap-1' } })
    expect(remote(us, 'eu-1').ageMs()).toBeLessThan(1500)
    eu.source.write({ web: 'while cut' })
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(100)
  })

  it('is bridged too when the tail brings everything to the third before gossip does', async () => {
    mesh = new MemoryMesh(19)
    const [eu, us] = await three()
    mesh.network.gossipFilter = (message, from, to) => {
      mesh.clock.after(5, () => to.gossiped(message, from))
      return false
    }
    mesh.network.cut('eu-1', 'us-1')
    await mesh.clock.advance(10_000)
    expect(remote(us, 'eu-1').state).toBe('live')
    expect(remote(us, 'eu-1').ageMs()).toBeLessThan(1500)
    eu.source.write({ web: 'while cut' })
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(100)
  })

  it('with a gap behind it is repaired from a third datacenter', async () => {
    mesh = new MemoryMesh(13)
    mesh.network.relaying = false
    const [eu, us, ap] = await three()
    mesh.network.cut('eu-1', 'us-1')
    await mesh.clock.advance(6000)
    // This delta reaches ap-1, but not us-1.
    mesh.network.gossipFilter = (_message, _from, to) => to !== us.host
    eu.source.write({ web: 'missed', other: 'too' })
    await mesh.until(() => holds(ap, eu))
    await mesh.clock.advance(100)
    mesh.network.gossipFilter = () => true
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(4000)
    expect(remote(us, 'eu-1').counters.repairs).toBe(1)
  })

  it('one way is seen on the deaf side', async () => {
    mesh = new MemoryMesh(14)
    const eu = await mesh.start('eu-1')
    const us = await mesh.start('us-1', { join: [eu] })
    await mesh.until(() => remote(us, 'eu-1')?.fit && remote(eu, 'us-1')?.fit)
    mesh.network.cut('eu-1', 'us-1', true)
    await mesh.until(() => remote(us, 'eu-1').state === 'lost', 3000)
    mesh.network.heal('eu-1', 'us-1')
    await mesh.until(() => remote(us, 'eu-1').state === 'live' && remote(eu, 'us-1').state === 'live', 8000)
  })
})

describe('coming and going', () => {
  it('drops the datacenter of a gateway that left at once', async () => {
    mesh = new MemoryMesh(15)
    const [eu, us, ap] = await three()
    await mesh.settle(ap.federation.leave())
    await mesh.clock.advance(50)
    for (const node of [eu, us]) expect(node.federation.datacenters()).not.toContain('ap-1')
    await mesh.clock.advance(5000)
    for (const node of [eu, us]) expect(node.federation.datacenters()).toHaveLength(2)
    const again = await mesh.start('ap-1', { join: [eu], source: ap.source })
    await mesh.until(() => allHold([eu, us, again]), 5000)
  })

  it('tells listeners of what changed, and not of every delta', async () => {
    mesh = new MemoryMesh(16)
    const [eu, us, ap] = await three()
    let changes = 0
    const off = eu.federation.onChange(() => changes++)
    for (let i = 0; i < 20; i++) {
      us.source.write({ web: `${i}` })
      await mesh.clock.advance(100)
    }
    expect(changes).toBe(0)
    ap.kill()
    await mesh.until(() => remote(eu, 'ap-1').state === 'lost', 3000)
    await mesh.clock.advance(300)
    expect(changes).toBeGreaterThanOrEqual(1)
    expect(changes).toBeLessThanOrEqual(4)
    off()
  })

  it('leaves no timer and no listener behind', async () => {
    mesh = new MemoryMesh(17)
    const before = mesh.clock.pendingTimers
    const nodes = await three()
    for (const node of nodes) await mesh.settle(node.federation.close())
    await mesh.clock.advance(30_000)
    expect(mesh.clock.pendingTimers).toBe(before)
  })

  it('survives loss, doubling and disorder of gossip', async () => {
    mesh = new MemoryMesh(18, { link: { delayMs: 10, jitterMs: 30, loss: 0.3, duplication: 0.3 } })
    const nodes = await mesh.startAll('eu-1', 'us-1', 'ap-1', 'sa-1')
    for (let i = 0; i < 300; i++) {
      const node = nodes[i % 4]!
      node.source.write({ [`k-${i % 7}`]: i % 5 === 0 ? null : `${i}`, index: `${i}` })
      await mesh.clock.advance(7)
    }
    await mesh.until(() => allHold(nodes), 3000)
    for (const node of nodes)
      for (const { counters } of node.federation.remotes()) expect(counters).toMatchObject({ repairs: 0, rejected: 0 })
  })
})

describe('an idle mesh', () => {
  const sizes: number[] = []
  const watch = (): void => {
    sizes.length = 0
    mesh.network.gossipFilter = (message) => {
      sizes.push(message.length)
      return true
    }
  }

  it('lives by heartbeats, and knows a lost datacenter as soon as with beacons', async () => {
    mesh = new MemoryMesh(41, { link: { delayMs: 40 } })
    const [eu, us, ap] = await three()
    await mesh.clock.advance(3000)
    watch()
    let lost = 0
    const off = eu.federation.onChange(() => {
      if (remote(eu, 'us-1').state !== 'live') lost++
    })
    for (let i = 0; i < 600; i++) {
      await mesh.clock.advance(100)
      expect(remote(eu, 'us-1').ageMs()).toBeLessThan(1200)
    }
    expect(lost).toBe(0)
    off()
    expect(sizes.filter((size) => size < 64).length / sizes.length).toBeGreaterThan(0.75)
    us.kill()
    expect(
      await mesh.until(() => remote(eu, 'us-1').state === 'lost' && remote(ap, 'us-1').state === 'lost'),
    ).toBeLessThan(3000)
  })

  it('hears by heartbeats of a datacenter that it reaches through a third one', async () => {
    mesh = new MemoryMesh(42, { link: { delayMs: 40 } })
    // By gossip alone.
    mesh.network.relaying = false
    const [eu] = await three()
    await mesh.clock.advance(5000)
    mesh.network.cut('eu-1', 'us-1')
    for (let i = 0; i < 300; i++) {
      await mesh.clock.advance(100)
      expect(remote(eu, 'us-1').state).toBe('live')
    }
    expect(remote(eu, 'us-1').reachable()).toBe(false)
  })
})
