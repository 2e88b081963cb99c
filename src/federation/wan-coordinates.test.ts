import { afterEach, describe, expect, it } from 'vitest'
import { coordinateDistanceMs } from '../model/coordinate.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'

let mesh: MemoryMesh
afterEach(() => mesh?.close())

/** Where sites stand on a plane, in milliseconds of round trip. */
const SITES: Record<string, [number, number]> = {
  'eu-1': [0, 0],
  'us-1': [80, 10],
  'ap-1': [-120, 40],
  'sa-1': [60, 110],
  'af-1': [-30, 70],
}
const roundTripMs = (a: string, b: string): number =>
  Math.hypot(SITES[a]![0] - SITES[b]![0], SITES[a]![1] - SITES[b]![1])

async function start(
  unlinked: readonly (readonly [string, string])[],
  names = Object.keys(SITES),
): Promise<MemoryNode[]> {
  mesh = new MemoryMesh(7)
  // What goes through a relay is measured, the longer way.
  mesh.network.relaying = false
  for (const a of names)
    for (const b of names) if (a < b) mesh.network.setLink(a, b, { delayMs: roundTripMs(a, b) / 2 })
  for (const [a, b] of unlinked) mesh.network.cut(a, b)
  return mesh.startAll(...names)
}

describe('places of gateways', () => {
  it('estimate a datacenter that can only be reached through others, and are known to all', async () => {
    const nodes = await start([['ap-1', 'us-1']])
    await mesh.clock.advance(5 * 60_000)
    const [eu, us, ap] = nodes
    const seen = ap!.federation.remote('us-1')!
    expect(seen.reachable()).toBe(false)
    expect(seen.loaded).toBe(true)
    expect(seen.isRoundTripEstimated()).toBe(true)
    const truth = roundTripMs('ap-1', 'us-1')
    // What nobody measured is further off than the rest: other places fit the measured pairs as well.
    expect(Math.abs(seen.roundTripMs()! - truth) / truth).toBeLessThan(0.2)
    expect(us!.federation.remote('ap-1')!.isRoundTripEstimated()).toBe(true)
    expect(us!.federation.remote('eu-1')!.isRoundTripEstimated()).toBe(false)
    expect(ap!.federation.datacenters().slice(0, 3)).toEqual(['ap-1', 'af-1', 'eu-1'])

    const places = new Map(eu!.federation.coordinates().map(({ datacenter, coordinate }) => [datacenter, coordinate]))
    expect([...places.keys()][0]).toBe('eu-1')
    expect(places.size).toBe(5)
    const errors = Object.keys(SITES).flatMap((a, i, all) =>
      all.slice(i + 1).map((b) => {
        const estimated = coordinateDistanceMs(places.get(a)!, places.get(b)!)
        return Math.abs(estimated - roundTripMs(a, b)) / roundTripMs(a, b)
      }),
    )
    expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(0.075)
  })

  it('are told rarely once they stand', async () => {
    await start([], ['eu-1', 'us-1', 'ap-1'])
    await mesh.clock.advance(5 * 60_000)
    let places = 0
    const tag = new TextEncoder().encode('atoll/federation')
    mesh.network.gossipFilter = (message) => {
      // Kind 5 follows the tag, the version and the capabilities.
      const at = Buffer.from(message).indexOf(tag)
      if (at >= 0 && message[at + tag.length + 2] === 5) places++
      return true
    }
    await mesh.clock.advance(4 * 60_000)
    // Three gateways, twice in four minutes each, to two others that pass it on to each other; twice that when one moved.
    expect(places).toBeGreaterThan(0)
    expect(places).toBeLessThan(2 * 3 * 2 * 4)
  })

  it('go with their gateways', async () => {
    const [eu, us] = await start([], ['eu-1', 'us-1'])
    await mesh.until(() => eu!.federation.coordinates().length === 2)
    await mesh.settle(us!.federation.leave())
    await mesh.until(() => eu!.federation.coordinates().length === 1)
    expect(eu!.federation.coordinates()[0]).toMatchObject({ datacenter: 'eu-1', node: 'eu-1-1' })
  })

  it('are learned soon by a gateway that comes later', async () => {
    const [eu, us] = await start([], ['eu-1', 'us-1'])
    await mesh.clock.advance(60_000)
    const late = await mesh.start('af-1', { join: [us!] })
    const learned = (): boolean =>
      [eu, us].every((node) =>
        late.federation
          .coordinates()
          .some(({ datacenter, coordinate }) => datacenter === node!.datacenter && coordinate.error < 1),
      )
    expect(await mesh.until(learned)).toBeLessThan(10_000)
  })
})
