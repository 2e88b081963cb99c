import { afterEach, describe, expect, it } from 'vitest'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'
import { contentOf, MemorySource } from './testing/memory-source.ts'

let mesh: MemoryMesh
afterEach(() => mesh.close())

const equal = (replica: MemoryNode, origin: MemoryNode): boolean => {
  const sink = replica.sinks.get(origin.datacenter)
  return sink !== undefined && contentOf(sink.entries).join() === contentOf(origin.source.entries).join()
}
const allEqual = (nodes: readonly MemoryNode[]): boolean =>
  nodes.every((a) => nodes.every((b) => a.datacenter === b.datacenter || equal(a, b)))

describe('a mesh', () => {
  it('replicates what each datacenter exports to all others', async () => {
    mesh = new MemoryMesh()
    const nodes = await mesh.startAll('eu-1', 'us-1', 'ap-1')
    nodes.forEach((node, i) => {
      node.source.write({ a: `${i}`, b: 'x' })
      node.source.write({ b: null })
    })
    await mesh.until(() => allEqual(nodes))
    for (const node of nodes) {
      expect(node.federation.datacenters()).toHaveLength(3)
      for (const remote of node.federation.remotes()) expect(remote.fit).toBe(true)
    }
  })
})
