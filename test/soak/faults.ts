/** What is done to a mesh during a soak. Each resolves when it is over, with the nodes that have to catch up from then on. */
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { SeededRandom } from '../../src/runtime/virtual.ts'
import { sleep, type TestMesh } from '../cluster/harness.ts'
import type { Reader } from './reader.ts'
import type { Writer } from './writer.ts'

export interface World {
  readonly mesh: TestMesh
  readonly writers: readonly Writer[]
  readonly readers: readonly Reader[]
  readonly random: SeededRandom
  /** How long a fault lasts, of what it lasts at its full length. */
  readonly length: number
}

export interface Fault {
  readonly name: string
  run(world: World): Promise<void>
}

const LANES = 8

const pick = <T>({ random }: World, from: readonly T[]): T => from[Math.floor(random.float() * from.length)]!
const readerOf = ({ readers }: World, node: string): Reader => readers.find((reader) => reader.node === node)!
const fileOf = (world: World, node: string): string => join(world.mesh.folder, 'data', node, 'replicas')

async function kill(world: World, node: string): Promise<void> {
  readerOf(world, node).disturbed(true)
  await world.mesh.local.kill(node)
}
async function restart(world: World, node: string): Promise<void> {
  readerOf(world, node).disturbed(true)
  await world.mesh.local.restart(node)
  readerOf(world, node).disturbed(true)
}
async function paused(world: World, node: string, forMs: number): Promise<void> {
  readerOf(world, node).disturbed(false)
  world.mesh.local.pause(node)
  await sleep(forMs * world.length)
  world.mesh.local.resume(node)
  readerOf(world, node).disturbed(false)
}

/** Many changes that one node does not hear of: it has to repair when it hears again. */
async function gap(world: World, writer: Writer, changes: number): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    for (let i = next++; i < changes; i = next++) {
      await writer.put('/v1/catalog/register', {
        Node: `bulk-${writer.datacenter}-${i % 50}`,
        Address: '10.8.8.8',
        Service: { ID: `bulk-${i}`, Service: 'bulk', Port: 1 + Math.floor(world.random.float() * 60_000) },
      })
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

const two = (world: World): [Writer, Writer] => {
  const one = pick(world, world.writers)
  return [
    one,
    pick(
      world,
      world.writers.filter((other) => other !== one),
    ),
  ]
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill -9 of a gateway',
    async run(world) {
      const { server } = pick(world, world.writers)
      await kill(world, server)
      await sleep(1000)
      await restart(world, server)
    },
  },
  {
    name: 'SIGSTOP of a gateway for 4 s',
    run: (world) => paused(world, pick(world, world.writers).server, 4000),
  },
  {
    name: 'a link cut for 5 s',
    async run(world) {
      const { mesh, length } = world
      const [a, b] = two(world)
      await mesh.local.cut(a.datacenter, b.datacenter)
      await sleep(5000 * length)
      await mesh.local.heal(a.datacenter, b.datacenter)
    },
  },
  {
    name: 'a datacenter cut off for 5 s',
    async run(world) {
      const { datacenter } = pick(world, world.writers)
      await world.mesh.local.cut(datacenter)
      await sleep(5000 * world.length)
      await world.mesh.local.heal(datacenter)
    },
  },
  {
    name: 'kill -9 of a gateway during its repair',
    async run(world) {
      const [cutOff, busy] = two(world)
      await world.mesh.local.cut(cutOff.datacenter)
      await gap(world, busy, 300)
      await world.mesh.local.heal(cutOff.datacenter)
      await sleep(50 + 200 * world.random.float())
      await kill(world, cutOff.server)
      await restart(world, cutOff.server)
    },
  },
  {
    name: 'SIGSTOP of the origin during a repair',
    async run(world) {
      const [cutOff, busy] = two(world)
      await world.mesh.local.cut(cutOff.datacenter)
      await gap(world, busy, 300)
      await world.mesh.local.heal(cutOff.datacenter)
      await sleep(50 + 200 * world.random.float())
      await paused(world, busy.server, 3000)
    },
  },
  {
    name: 'a replica damaged on disk',
    async run(world) {
      const { server } = pick(world, world.writers)
      await kill(world, server)
      await damage(fileOf(world, server))
      await restart(world, server)
    },
  },
]

/** Turns bytes in the middle of every file around. */
async function damage(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const file = await open(join(folder, name), 'r+')
    try {
      const { size } = await file.stat()
      const bytes = Buffer.alloc(16, 0xa5)
      if (size > 64) await file.write(bytes, 0, bytes.length, Math.floor(size / 2))
    } finally {
      await file.close()
    }
  }
}
