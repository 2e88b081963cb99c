import { afterEach, describe, expect, it } from 'vitest'
import type { Disk } from '../runtime/ports.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import type { SavedReplica } from './federation.ts'
import { ProtocolError } from './protocol/codec.ts'
import { decodeSavedReplica, encodeSavedReplica } from './replica-files.ts'
import { holds } from './testing/compare.ts'
import { put } from './testing/heads.ts'
import { MemoryMesh } from './testing/memory-mesh.ts'

const clock = new VirtualClock()
const saved: SavedReplica = {
  datacenter: 'eu-1',
  datacenterId: 'id-eu-1',
  epoch: { generation: 2, random: 'ab' },
  revision: 5000,
  entries: Array.from({ length: 3000 }, (_, i) => put(`key-${i}`, `${i}`, i + 1) as SavedReplica['entries'][number]),
  head: new Uint8Array([1, 2, 3]),
  ageMs: 12,
  savedWallMs: 1_700_000_000_000,
}

class MemoryDisk implements Disk {
  readonly files = new Map<string, Uint8Array>()
  failing = false
  async makeDirectory(): Promise<void> {}
  async read(path: string): Promise<Uint8Array | undefined> {
    return this.files.get(path)
  }
  async writeAtomic(path: string, data: Uint8Array): Promise<void> {
    if (this.failing) throw new Error('no space left')
    this.files.set(path, data)
  }
  async list(path: string): Promise<string[]> {
    return [...this.files.keys()]
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1))
  }
  async remove(path: string): Promise<void> {
    this.files.delete(path)
  }
  join(...parts: string[]): string {
    return parts.join('/')
  }
}

describe('a saved replica', () => {
  it('comes back as it was', async () => {
    const back = await decodeSavedReplica(await encodeSavedReplica(saved, clock), clock)
    expect({ ...back, entries: back.entries.length, head: [...back.head!] }).toEqual({
      ...saved,
      entries: 3000,
      head: [1, 2, 3],
    })
    expect(
      back.entries.map(({ key, modRevision, value }) => [key, modRevision, Buffer.from(value).toString()]),
    ).toEqual(saved.entries.map(({ key, modRevision, value }) => [key, modRevision, Buffer.from(value).toString()]))
  })

  it('is refused when it is cut off anywhere, or changed', async () => {
    const bytes = await encodeSavedReplica({ ...saved, entries: saved.entries.slice(0, 3) }, clock)
    for (let length = 0; length < bytes.length; length++)
      await expect(decodeSavedReplica(bytes.slice(0, length), clock)).rejects.toThrow(ProtocolError)
    const changed = bytes.slice()
    const at = Buffer.from(changed).indexOf('key-1')
    changed[at + 4] = '7'.charCodeAt(0)
    await expect(decodeSavedReplica(changed, clock)).rejects.toThrow('digest')
  })
})

describe('replicas on disk', () => {
  let mesh: MemoryMesh
  afterEach(() => mesh.close())

  it('let a node that starts while the WAN is cut answer, and catch up by delta', async () => {
    mesh = new MemoryMesh(1)
    const replicaFiles = { disk: new MemoryDisk(), directory: 'replicas' }
    const eu = await mesh.start('eu-1')
    eu.source.write({ a: '1', b: '1' })
    const us = await mesh.start('us-1', { join: [eu], replicaFiles })
    await mesh.until(() => holds(us, eu) && replicaFiles.disk.files.size === 1)
    eu.source.write({ a: '2' })
    await mesh.clock.advance(7000)
    us.kill()
    mesh.network.cut('eu-1', 'us-1')
    replicaFiles.disk.files.set('replicas/ap-1.replica', new Uint8Array([1, 2, 3]))
    const again = await mesh.start('us-1', { source: us.source, join: [eu], replicaFiles })
    expect(holds(again, eu)).toBe(true)
    expect(again.federation.remotes()).toHaveLength(1)
    expect(again.federation.remote('eu-1')).toMatchObject({ loaded: true, fit: false, state: 'lost' })
    eu.source.write({ b: '2' })
    mesh.network.heal('eu-1', 'us-1')
    await mesh.until(() => holds(again, eu) && again.federation.remote('eu-1')!.fit, 10_000)
    expect(again.federation.remote('eu-1')!.counters).toMatchObject({ snapshots: 0, repairs: 0 })
  })

  it('are written when the node closes, and a disk that is full does no harm', async () => {
    mesh = new MemoryMesh(2)
    const disk = new MemoryDisk()
    disk.failing = true
    const eu = await mesh.start('eu-1')
    const us = await mesh.start('us-1', { join: [eu], replicaFiles: { disk, directory: 'replicas' } })
    eu.source.write({ a: '1' })
    await mesh.until(() => holds(us, eu))
    await mesh.clock.advance(10_000)
    expect(disk.files.size).toBe(0)
    disk.failing = false
    await mesh.settle(us.federation.close())
    expect([...disk.files.keys()]).toEqual(['replicas/eu-1.replica'])
  })
})
