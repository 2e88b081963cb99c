import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../runtime/logger.ts'
import type { Disk } from '../runtime/ports.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import type { ExportedEntry, SavedReplica } from './federation.ts'
import { encode, ProtocolError } from './protocol/codec.ts'
import { Content } from './protocol/content.ts'
import { ReplicaFiles } from './replica-files.ts'
import { decodeSavedReplica, encodeSavedReplica } from './saved-replica.ts'
import { holds } from './testing/compare.ts'
import { put } from './testing/heads.ts'
import { MemoryMesh } from './testing/memory-mesh.ts'

const clock = new VirtualClock()
const content = new Content()
for (let i = 0; i < 3000; i++) content.put(put(`key-${i}`, `${i}`, i + 1) as ExportedEntry)
const saved: SavedReplica = {
  datacenter: 'eu-1',
  datacenterId: 'id-eu-1',
  epoch: { generation: 2, random: 'ab' },
  revision: 5000,
  digest: new Uint8Array(content.root()),
  pages: content.pages().map((page) => page.bytes),
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
  async writeAtomic(path: string, data: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    if (this.failing) throw new Error('no space left')
    this.files.set(path, await wholeOf(data))
  }
  async list(path: string): Promise<string[]> {
    return [...this.files.keys()]
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1))
  }
  async removeTemporary(): Promise<void> {}
  async remove(path: string): Promise<void> {
    this.files.delete(path)
  }
  join(...parts: string[]): string {
    return parts.join('/')
  }
}

async function wholeOf(data: Uint8Array | AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  if (data instanceof Uint8Array) return data
  const parts: Uint8Array[] = []
  for await (const part of data) parts.push(part)
  return new Uint8Array(Buffer.concat(parts))
}
const encoded = (replica: SavedReplica): Promise<Uint8Array> => wholeOf(encodeSavedReplica(replica, clock))

describe('a saved replica', () => {
  it('comes back as it was', async () => {
    const back = await decodeSavedReplica(await encoded(saved), clock)
    expect({ ...back, pages: [], head: [...back.head!] }).toEqual({ ...saved, pages: [], head: [1, 2, 3] })
    expect(back.pages.map((page) => Buffer.from(page).toString('hex'))).toEqual(
      saved.pages.map((page) => Buffer.from(page).toString('hex')),
    )
  })

  it('comes back without an age when nobody could tell it', async () => {
    const bytes = await encoded({ ...saved, ageMs: Number.POSITIVE_INFINITY })
    expect(await decodeSavedReplica(bytes, clock)).toMatchObject({ ageMs: Number.POSITIVE_INFINITY })
  })

  it('is refused when it is cut off anywhere, when any bit is another, and when it goes on', async () => {
    const bytes = await encoded({ ...saved, pages: saved.pages.slice(0, 2) })
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(7), async (at, bit) => {
        await expect(decodeSavedReplica(bytes.slice(0, at), clock)).rejects.toThrow(ProtocolError)
        const changed = bytes.slice()
        changed[at]! ^= 1 << bit
        await expect(decodeSavedReplica(changed, clock)).rejects.toThrow(ProtocolError)
      }),
      { numRuns: 200, seed: 1 },
    )
    await expect(decodeSavedReplica(Buffer.concat([bytes, bytes]), clock)).rejects.toThrow('goes on')
  })

  it('is refused when it is of another version', async () => {
    const header = encode(['atoll/replica', 1, 'eu-1', 'id', 0, '', 1, 0, 0, null, 0])
    const frame = Buffer.concat([Buffer.from([0, 0, 0, header.length]), header])
    await expect(decodeSavedReplica(frame, clock)).rejects.toThrow('version 1')
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
    await mesh.until(() => holds(us, eu) && replicaFiles.disk.files.has('replicas/eu-1.replica'))
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
    expect([...disk.files.keys()].sort()).toEqual(['replicas/ages', 'replicas/eu-1.replica'])
  })

  it('tell their age from when they were last known to be current, not from when they were written', async () => {
    mesh = new MemoryMesh(3)
    const replicaFiles = { disk: new MemoryDisk(), directory: 'replicas' }
    const eu = await mesh.start('eu-1')
    eu.source.write({ a: '1' })
    const us = await mesh.start('us-1', { join: [eu], replicaFiles })
    await mesh.until(() => holds(us, eu) && replicaFiles.disk.files.has('replicas/eu-1.replica'))
    await mesh.clock.advance(600_000)
    us.kill()
    mesh.network.cut('eu-1', 'us-1')
    await mesh.clock.advance(20_000)
    const again = await mesh.start('us-1', { source: us.source, join: [eu], replicaFiles })
    const ageMs = again.federation.remote('eu-1')!.ageMs()
    expect(ageMs).toBeGreaterThanOrEqual(20_000)
    expect(ageMs).toBeLessThan(28_000)
  })

  it('have no age after the restart of a node that knew none, and stay for a week all the same', async () => {
    const disk = new MemoryDisk()
    const options = { disk, directory: 'replicas', clock, logger: silentLogger }
    const digest = Buffer.from(saved.digest).toString('hex')
    const unknown = { ...saved, ageMs: Number.POSITIVE_INFINITY, savedWallMs: clock.wallMs() }
    const files = new ReplicaFiles(options)
    const savable = { datacenter: 'eu-1', digest, ageMs: () => unknown.ageMs, save: () => unknown }
    await files.flush([savable])
    await clock.advance(6 * 24 * 3_600_000)
    expect(await new ReplicaFiles(options).load()).toMatchObject([{ ageMs: Number.POSITIVE_INFINITY }])
    await files.flush([{ ...savable, ageMs: () => 1000 }])
    expect(await new ReplicaFiles(options).load()).toMatchObject([{ ageMs: 1000, savedWallMs: clock.wallMs() }])
    await clock.advance(8 * 24 * 3_600_000)
    expect(await new ReplicaFiles(options).load()).toEqual([])
  })

  it('are removed when the datacenter left, was silent for a week, or the file is damaged', async () => {
    mesh = new MemoryMesh(4)
    const disk = new MemoryDisk()
    const replicaFiles = { disk, directory: 'replicas' }
    const eu = await mesh.start('eu-1')
    eu.source.write({ a: '1' })
    const us = await mesh.start('us-1', { join: [eu], replicaFiles })
    await mesh.until(() => disk.files.has('replicas/eu-1.replica'))
    const file = disk.files.get('replicas/eu-1.replica')!
    await mesh.settle(eu.federation.leave())
    await mesh.until(() => !disk.files.has('replicas/eu-1.replica'))
    await mesh.settle(us.federation.close())

    disk.files.set('replicas/eu-1.replica', file)
    disk.files.set('replicas/xx-1.replica', file)
    disk.files.set('replicas/ap-1.replica', file.slice(0, 100))
    const load = (wallMs: number) =>
      new ReplicaFiles({ ...replicaFiles, clock: new VirtualClock({ wallMs }), logger: silentLogger }).load()
    expect(await load(mesh.clock.wallMs())).toHaveLength(1)
    expect([...disk.files.keys()].filter((name) => name.endsWith('.replica'))).toEqual(['replicas/eu-1.replica'])
    expect(await load(mesh.clock.wallMs() + 8 * 24 * 3600 * 1000)).toHaveLength(0)
    expect([...disk.files.keys()].filter((name) => name.endsWith('.replica'))).toEqual([])
  })

  it('take no more room than they may', async () => {
    const disk = new MemoryDisk()
    const files = new ReplicaFiles({ disk, directory: 'r', clock, logger: silentLogger, maxBytes: 40_000 })
    const savable = (datacenter: string) => ({
      datacenter,
      digest: 'd',
      ageMs: () => 0,
      save: () => ({ ...saved, datacenter }),
    })
    const bytes = (await encoded(saved)).length
    expect(bytes).toBeGreaterThan(20_000)
    expect(bytes).toBeLessThan(40_000)
    await files.flush(['eu-1', 'us-1'].map(savable))
    expect([...disk.files.keys()].filter((name) => name.endsWith('.replica'))).toEqual(['r/eu-1.replica'])
  })
})
