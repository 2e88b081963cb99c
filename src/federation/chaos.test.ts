/** Whole meshes under random faults: whatever happened, once links are whole again everyone holds what everyone exports. */
import { afterEach, describe, expect, it } from 'vitest'
import { SeededRandom } from '../runtime/virtual.ts'
import { holds } from './testing/compare.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'
import { MemorySource } from './testing/memory-source.ts'

let mesh: MemoryMesh
afterEach(() => mesh.close())

class Chaos {
  readonly random: SeededRandom
  readonly nodes = new Map<string, MemoryNode>()
  readonly down = new Map<string, MemoryNode>()
  /** Epochs given out, so that a new life never takes an old one's. */
  #lives = 0

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random.float() * list.length)]!
  }
  names(): string[] {
    return [...this.nodes.keys(), ...this.down.keys()]
  }

  async start(name: string, source: MemorySource): Promise<void> {
    const former = this.down.get(name)
    this.down.delete(name)
    const join = this.nodes.size > 0 ? [this.pick([...this.nodes.values()])] : []
    const knownPeers = former?.federation.knownPeers() ?? []
    const onOwnDatacenterAhead = async ({ generation }: { generation: number }) => {
      source.epoch = { generation: generation + 1, random: `${++this.#lives}`.padStart(16, 'e') }
      return undefined
    }
    this.nodes.set(name, await mesh.start(name, { source, join, knownPeers, onOwnDatacenterAhead }))
  }

  kill(name: string): void {
    const node = this.nodes.get(name)!
    node.kill()
    this.nodes.delete(name)
    this.down.set(name, node)
  }

  write(): void {
    const { source } = this.pick([...this.nodes.values()])
    const values: Record<string, string | null> = {}
    for (let i = this.random.float() * 3; i > 0; i--) {
      values[`k${Math.floor(this.random.float() * 8)}`] = this.random.float() < 0.3 ? null : `${this.random.float()}`
    }
    source.write({ ...values, ...(this.random.float() < 0.02 && { big: this.random.bytes(120_000) }) })
    if (this.random.float() < 0.02) source.compact()
  }

  async fault(): Promise<void> {
    const a = this.pick(this.names())
    const b = this.pick(this.names())
    const dice = this.random.float()
    if (dice < 0.3) mesh.network.cut(a, b, this.random.float() < 0.4)
    else if (dice < 0.6) mesh.network.heal(a, b)
    else if (dice < 0.75 && this.nodes.size > 1 && this.nodes.has(a)) this.kill(a)
    else if (this.down.has(a)) await this.start(a, this.#sourceAfter(this.down.get(a)!))
  }

  /** Mostly the same store, at times one that lost its end, or everything. */
  #sourceAfter({ source }: MemoryNode): MemorySource {
    const dice = this.random.float()
    if (dice < 0.7) return source
    if (dice < 0.85) return source.copyAt(Math.floor(source.revision() * this.random.float()))
    return new MemorySource({ generation: 0, random: `${++this.#lives}`.padStart(16, 'd') })
  }

  async settle(): Promise<void> {
    for (const a of this.names()) for (const b of this.names()) mesh.network.heal(a, b)
    for (const [name, node] of [...this.down]) await this.start(name, node.source)
    const nodes = [...this.nodes.values()]
    // Whoever was always cut off from all whom he was told of may be known to nobody: the operator names a peer.
    for (const node of nodes.slice(1)) await mesh.settle(node.federation.join([nodes[0]!.host.addresses[0]!]))
    await mesh.until(
      () =>
        nodes.every((a) =>
          nodes.every((b) => a === b || (holds(a, b) && a.federation.remote(b.datacenter)?.state === 'live')),
        ),
      90_000,
    )
  }
}

const SEEDS = Number(process.env.ATOLL_CHAOS_SEEDS ?? 6)
const FIRST = Number(process.env.ATOLL_CHAOS_FIRST ?? 1)

describe('chaos', () => {
  it.each(Array.from({ length: SEEDS }, (_, i) => FIRST + i))('seed %i', async (seed) => {
    const chaos = new Chaos(seed)
    const link = { delayMs: 5 + chaos.random.float() * 100, jitterMs: 20, loss: 0.1, duplication: 0.1 }
    mesh = new MemoryMesh(seed, { link })
    const size = 3 + (seed % 6)
    for (let i = 0; i < size; i++) await chaos.start(`dc-${i}`, new MemorySource())
    for (let step = 0; step < 150; step++) {
      chaos.write()
      if (chaos.random.float() < 0.15) await chaos.fault()
      await mesh.clock.advance(chaos.random.float() < 0.1 ? 2000 * chaos.random.float() : 20)
    }
    await chaos.settle()
    expect(chaos.nodes.size).toBe(size)
  })
})
