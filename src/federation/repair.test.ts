import { afterEach, describe, expect, it } from 'vitest'
import type { ExportedEntry } from './federation.ts'
import type { Remote } from './remotes.ts'
import { holds } from './testing/compare.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'

let mesh: MemoryMesh
afterEach(() => mesh.close())

const ENTRIES = 5000
const replicaOf = (node: MemoryNode, datacenter: string) => (node.federation.remote(datacenter) as Remote).replica!

/** A content that differs from the origin's, as a fault of this node would leave it: in the replica and in what it shows. */
function plant(node: MemoryNode, datacenter: string, wrong: Readonly<Record<string, string | null>>): void {
  const sink = node.sinks.get(datacenter)!
  for (const [key, value] of Object.entries(wrong)) {
    const { content, revision } = replicaOf(node, datacenter)
    if (value === null) {
      content.delete(key)
      sink.entries.delete(key)
      continue
    }
    const entry: ExportedEntry = { key, value: Buffer.from(value), createRevision: 1, modRevision: revision }
    content.put(entry)
    sink.entries.set(key, entry)
  }
}

async function two(seed: number): Promise<[MemoryNode, MemoryNode]> {
  mesh = new MemoryMesh(seed, { link: { delayMs: 40 } })
  const [eu, us] = (await mesh.startAll('eu-1', 'us-1')) as [MemoryNode, MemoryNode]
  for (let i = 0; i < ENTRIES; i += 100) {
    eu.source.write(Object.fromEntries(Array.from({ length: 100 }, (_, j) => [`e/s/n${i + j}/web`, `${i + j}`])))
  }
  await mesh.until(() => holds(us, eu))
  return [eu, us]
}

describe('a replica that has gone wrong', () => {
  it('is repaired by itself within three seconds, by what differs alone', async () => {
    const [eu, us] = await two(1)
    const { snapshots } = us.federation.remote('eu-1')!.counters
    plant(us, 'eu-1', { 'e/s/n7/web': 'wrong', 'e/s/n8/web': null, 'e/s/nowhere/web': 'more' })
    expect(holds(us, eu)).toBe(false)
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(3000)
    expect(us.federation.remote('eu-1')!.counters).toMatchObject({ repairs: 1, snapshots })
    expect(us.sinks.get('eu-1')!.counters).toMatchObject({ repaired: 3 })
  })

  it('is repaired while the origin goes on writing', async () => {
    const [eu, us] = await two(2)
    plant(us, 'eu-1', { 'e/s/n7/web': 'wrong' })
    for (let i = 0; i < 40; i++) {
      eu.source.write({ [`e/s/n${i}/web`]: `again ${i}` })
      await mesh.clock.advance(20)
    }
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(3000)
    expect(us.federation.remote('eu-1')!.counters.repairs).toBeGreaterThan(0)
  })

  it('gets everything where most of it differs', async () => {
    const [eu, us] = await two(3)
    const { snapshots } = us.federation.remote('eu-1')!.counters
    plant(us, 'eu-1', Object.fromEntries(Array.from({ length: ENTRIES }, (_, i) => [`e/s/n${i}/web`, 'wrong'])))
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(3000)
    expect(us.federation.remote('eu-1')!.counters).toMatchObject({ snapshots: snapshots + 1 })
  })
})
