/** Which datacenters live, as whole nodes see it of each other. */
import { afterEach, describe, expect, it } from 'vitest'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'

let mesh: MemoryMesh
afterEach(() => mesh.close())

const remote = (node: MemoryNode, datacenter: string) => node.federation.remote(datacenter)!

async function meshOf(seed: number, ...names: string[]): Promise<MemoryNode[]> {
  mesh = new MemoryMesh(seed, { link: { delayMs: 40, jitterMs: 10 } })
  const nodes = await mesh.startAll(...names)
  await mesh.until(() => nodes.every((a) => nodes.every((b) => a === b || a.federation.remote(b.datacenter)?.fit)))
  return nodes
}

/** Milliseconds from now until `node` takes the datacenter for lost. */
const untilLost = (node: MemoryNode, datacenter: string): Promise<number> =>
  mesh.until(() => remote(node, datacenter).state === 'lost')

describe('a datacenter that dies', () => {
  it('is lost sooner where several can agree, and within three seconds where nobody can', async () => {
    const tookMs = { two: 0, five: 0 }
    for (const [name, names] of [
      ['two', ['eu-1', 'us-1']],
      ['five', ['eu-1', 'us-1', 'ap-1', 'sa-1', 'af-1']],
    ] as const) {
      const nodes = await meshOf(1, ...names)
      await mesh.clock.advance(5000)
      // Just after a beacon, so that both wait equally long.
      await mesh.until(() => remote(nodes[0]!, 'us-1').ageMs() < 5)
      nodes[1]!.kill()
      tookMs[name] = await untilLost(nodes[0]!, 'us-1')
      await mesh.close()
    }
    expect(tookMs.two).toBeLessThan(3000)
    expect(tookMs.five).toBeLessThan(2500)
    expect(tookMs.five).toBeLessThan(tookMs.two - 200)
  })

  it('is suspected first, and back at its first beacon', async () => {
    const [eu, us] = (await meshOf(2, 'eu-1', 'us-1', 'ap-1')) as [MemoryNode, MemoryNode]
    us.kill()
    await mesh.until(() => remote(eu, 'us-1').suspected)
    expect(remote(eu, 'us-1')).toMatchObject({ state: 'live', fit: true })
    await untilLost(eu, 'us-1')
    expect(remote(eu, 'us-1')).toMatchObject({ suspected: false, fit: false })
    const again = await mesh.start('us-1', { source: us.source, join: [eu] })
    expect(again.federation.awareness.score).toBe(0)
    expect(await mesh.until(() => remote(eu, 'us-1').fit)).toBeLessThan(2000)
  })
})

describe('a datacenter that lives', () => {
  it('is never lost nor suspected, in ten minutes with loss, jitter and changes', async () => {
    const nodes = await meshOf(3, 'eu-1', 'us-1', 'ap-1', 'sa-1')
    for (const a of nodes)
      for (const b of nodes) if (a !== b) mesh.network.setLink(a.datacenter, b.datacenter, { loss: 0.2, jitterMs: 150 })
    const alarms: string[] = []
    for (let second = 0; second < 600; second++) {
      nodes[second % 4]!.source.write({ [`k-${second % 50}`]: `${second}` })
      await mesh.clock.advance(1000)
      for (const node of nodes)
        for (const { datacenter, state, suspected } of node.federation.remotes())
          if (state !== 'live' || suspected) alarms.push(`${second} s: ${node.datacenter} on ${datacenter}: ${state}`)
    }
    expect(alarms).toEqual([])
  })

  it('is alive for all while one of its links is cut: it is heard through a third', async () => {
    const [eu, us, ap] = (await meshOf(4, 'eu-1', 'us-1', 'ap-1')) as [MemoryNode, MemoryNode, MemoryNode]
    mesh.network.cut('eu-1', 'us-1')
    for (let second = 0; second < 30; second++) {
      await mesh.clock.advance(1000)
      expect([remote(eu, 'us-1').state, remote(us, 'eu-1').state, remote(ap, 'us-1').state]).toEqual(
        Array(3).fill('live'),
      )
    }
    expect(remote(eu, 'us-1').way().kind).toBe('relayed')
  })

  it('answers at once when it hears that it is suspected', async () => {
    const [eu, us, ap] = (await meshOf(5, 'eu-1', 'us-1', 'ap-1')) as [MemoryNode, MemoryNode, MemoryNode]
    // eu-1 is deaf for a while; what it says gets out.
    mesh.network.cut('us-1', 'eu-1', true)
    mesh.network.cut('ap-1', 'eu-1', true)
    await mesh.until(() => remote(eu, 'us-1').suspected)
    mesh.network.heal('us-1', 'eu-1')
    mesh.network.heal('ap-1', 'eu-1')
    expect(await mesh.until(() => !remote(eu, 'us-1').suspected)).toBeLessThan(400)
    expect(remote(ap, 'us-1').state).toBe('live')
    expect(remote(eu, 'us-1').state).toBe('live')
    expect(us.federation.awareness.score).toBe(0)
  })
})
