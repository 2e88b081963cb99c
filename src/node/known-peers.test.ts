import { describe, expect, it } from 'vitest'
import type { Disk, Logger } from '../runtime/ports.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { type KnownPeer, keepKnownPeers, loadKnownPeers } from './known-peers.ts'

const peer = (peerId: string): KnownPeer => ({ peerId, datacenter: 'us-1', addresses: ['/ip4/10.0.0.1/tcp/1'] })

function setUp() {
  const clock = new VirtualClock()
  const files = new Map<string, Uint8Array>()
  const seen = { writes: 0, warnings: 0, full: false }
  const disk: Disk = {
    makeDirectory: async () => {},
    read: async (path) => files.get(path),
    async writeAtomic(path, data) {
      if (seen.full) throw new Error('no space left')
      seen.writes++
      files.set(path, data as Uint8Array)
    },
    list: async () => [],
    removeTemporary: async () => {},
    remove: async () => {},
    join: (...parts) => parts.join('/'),
  }
  const logger: Logger = { debug() {}, info() {}, warn: () => seen.warnings++, error() {}, child: () => logger }
  const federation = {
    peers: [] as KnownPeer[],
    listeners: new Set<() => void>(),
    knownPeers: () => federation.peers,
    onChange(listener: () => void) {
      federation.listeners.add(listener)
      return () => federation.listeners.delete(listener)
    },
    change(...ids: string[]) {
      federation.peers = ids.map(peer)
      for (const listener of federation.listeners) listener()
    },
  }
  const kept = keepKnownPeers({ disk, directory: 'data', federation, clock, logger })
  const load = () => loadKnownPeers(disk, 'data', logger)
  return { clock, files, seen, disk, federation, kept, load }
}

describe('known peers', () => {
  it('are on disk soon after they changed, before the node stops', async () => {
    const { clock, seen, federation, load, kept } = setUp()
    federation.change('a')
    federation.change('a', 'b')
    await clock.advance(1_000)
    expect(await load()).toEqual([peer('a'), peer('b')])
    expect(seen.writes).toBe(1)
    federation.change('a', 'b')
    await clock.advance(1_000)
    expect(seen.writes).toBe(1)
    await kept.stop()
    expect([clock.pendingTimers, federation.listeners.size]).toEqual([0, 0])
  })

  it('are written when the node stops, and kept when there is nobody any more', async () => {
    const { federation, load, kept, clock } = setUp()
    federation.change('a')
    await kept.stop()
    expect(await load()).toEqual([peer('a')])
    const again = setUp()
    again.federation.change('a')
    await again.clock.advance(1_000)
    again.federation.change()
    await again.kept.stop()
    expect(await again.load()).toEqual([peer('a')])
    expect(clock.pendingTimers).toBe(0)
  })

  it('that cannot be written hold nothing up', async () => {
    const { federation, clock, seen, kept, load } = setUp()
    seen.full = true
    federation.change('a')
    await clock.advance(1_000)
    await kept.stop()
    expect(seen.warnings).toBe(2)
    expect(await load()).toEqual([])
  })

  it('that make no sense are left out', async () => {
    const { files, load } = setUp()
    const write = (value: unknown) =>
      files.set('data/peers.json', new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)))
    for (const damaged of ['{', 'null', { version: 9, peers: [peer('a')] }, { version: 1, peers: 'x' }]) {
      write(damaged)
      expect(await load()).toEqual([])
    }
    write({ version: 1, peers: [null, { peerId: 1 }, peer('a'), { ...peer('b'), addresses: [1] }] })
    expect(await load()).toEqual([peer('a')])
  })
})
