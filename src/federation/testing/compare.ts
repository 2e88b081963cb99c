import type { MemoryNode } from './memory-mesh.ts'
import { sameContent } from './memory-source.ts'

/** Whether what `replica` holds of the DC of `origin` is what that DC exports. */
export function holds(replica: MemoryNode, origin: MemoryNode): boolean {
  const sink = replica.sinks.get(origin.datacenter)
  return sink !== undefined && sameContent(sink.entries, origin.source.entries)
}

export const allHold = (nodes: readonly MemoryNode[]): boolean =>
  nodes.every((a) => nodes.every((b) => a.datacenter === b.datacenter || holds(a, b)))
