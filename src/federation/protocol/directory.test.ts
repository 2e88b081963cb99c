import { describe, expect, it } from 'vitest'
import { beacon, head } from '../testing/heads.ts'
import { EMPTY_DIGEST } from './digest.ts'
import { Directory, type DirectoryOptions, type Via } from './directory.ts'
import type { Opened } from './head.ts'
import type { KnownMessage } from './messages.ts'

interface Who {
  readonly peer?: string
  readonly datacenter?: string
  readonly id?: string
  readonly boot?: number
  readonly sequence?: number
  readonly addresses?: readonly string[]
}
const opened = (kind: KnownMessage['type'], who: Who): Opened => {
  const { peer = 'p1', datacenter = 'eu-1', id = 'id-eu-1', boot = 1, sequence = 1, addresses = ['/x'] } = who
  const about = { datacenter, datacenterId: id }
  const at = head(5, EMPTY_DIGEST, { ...about, boot, sequence })
  const message: KnownMessage =
    kind === 'beacon'
      ? { ...beacon(at), addresses }
      : kind === 'delta'
        ? { type: 'delta', ...about, head: at, from: 1, changes: [] }
        : kind === 'gateway'
          ? { type: 'gateway', ...about, boot, sequence, addresses }
          : { type: 'leave', ...about, boot, sequence }
  return {
    message,
    identity: { peerId: peer, ...about, node: `node-${peer}`, nodeId: peer, role: 'server' },
    bytes: new Uint8Array([sequence]),
  }
}
class Harness {
  readonly directory: Directory
  constructor(options: DirectoryOptions = {}) {
    this.directory = new Directory(options)
  }
  hear(kind: KnownMessage['type'], who: Who, now: number, via: Via = 'gossip') {
    return this.directory.hear(opened(kind, who), via, now)
  }
  /** Ticks every 200 ms in between; returns what was forgotten. */
  pass(from: number, to: number): string[] {
    const forgotten: string[] = []
    for (let now = from; now <= to; now += 200) forgotten.push(...this.directory.tick(now))
    return forgotten
  }
}

describe('directory', () => {
  it('takes for a sign of life only what is strictly newer', () => {
    const h = new Harness()
    const hear = h.hear.bind(h)
    expect(hear('beacon', { sequence: 5 }, 0)).toMatchObject({ fresh: true, newGateway: true, newDatacenter: true })
    expect(hear('beacon', { sequence: 5 }, 100)).toMatchObject({ fresh: false })
    expect(hear('beacon', { sequence: 4 }, 100)).toMatchObject({ fresh: false })
    expect(hear('delta', { sequence: 6 }, 100)).toMatchObject({ fresh: true, newGateway: false })
    expect(hear('beacon', { boot: 2, sequence: 1 }, 200)).toMatchObject({ fresh: true })
    expect(hear('beacon', { boot: 1, sequence: 99 }, 300)).toMatchObject({ fresh: false })
  })

  it('loses a datacenter within three seconds, and finds it again', () => {
    const h = new Harness()
    h.hear('beacon', { sequence: 1 }, 0)
    h.pass(0, 2400)
    expect(h.directory.isLive('eu-1', 2400)).toBe(true)
    h.pass(2600, 2800)
    expect(h.directory.isLive('eu-1', 2800)).toBe(false)
    h.hear('beacon', { sequence: 1 }, 2900)
    expect(h.directory.isLive('eu-1', 2900)).toBe(false)
    h.hear('beacon', { sequence: 2 }, 3000)
    expect(h.directory.isLive('eu-1', 3000)).toBe(true)
  })

  it('does not blame others for a stall of its own', () => {
    const h = new Harness()
    h.hear('beacon', { sequence: 1 }, 0)
    h.pass(0, 400)
    h.directory.tick(20_000)
    expect(h.directory.isLive('eu-1', 20_000)).toBe(true)
    h.pass(20_200, 23_000)
    expect(h.directory.isLive('eu-1', 23_000)).toBe(false)
  })

  it('counts what is told from memory as known, not as alive', () => {
    const h = new Harness()
    expect(h.hear('beacon', { sequence: 5 }, 0, 'hearsay')).toMatchObject({ fresh: false, newGateway: true })
    expect(h.directory.isLive('eu-1', 0)).toBe(false)
    expect(h.hear('beacon', { sequence: 6 }, 0, 'hearsay')).toMatchObject({ fresh: false })
    expect(h.hear('beacon', { sequence: 6 }, 0)).toMatchObject({ fresh: false })
    expect(h.hear('beacon', { sequence: 7 }, 0)).toMatchObject({ fresh: true })
  })

  it('does not take a record without a head for life', () => {
    const h = new Harness()
    expect(h.hear('gateway', {}, 0, 'direct')).toMatchObject({ newGateway: true })
    expect(h.directory.isLive('eu-1', 0)).toBe(false)
  })

  it('keeps the newest addresses', () => {
    const h = new Harness()
    h.hear('beacon', { sequence: 5, addresses: ['/new'] }, 0)
    expect(h.hear('beacon', { sequence: 4, addresses: ['/old'] }, 1)).toMatchObject({ moved: false })
    expect(h.directory.gateways('eu-1')[0]!.addresses).toEqual(['/new'])
    expect(h.hear('beacon', { sequence: 6, addresses: ['/newer'] }, 2)).toMatchObject({ moved: true })
    expect(h.directory.records()).toEqual([new Uint8Array([6])])
  })

  it('gives a name to the first who has it', () => {
    const h = new Harness()
    h.hear('beacon', {}, 0)
    expect(h.hear('beacon', { id: 'id-other', peer: 'p2' }, 1)).toEqual({ type: 'conflict' })
    expect(h.directory.gateways('eu-1')).toHaveLength(1)
    h.directory.pin('us-1', 'id-us-1')
    expect(h.hear('beacon', { datacenter: 'us-1', id: 'id-us-2' }, 1)).toEqual({ type: 'conflict' })
  })

  it('removes a gateway that leaves, and does not take it back before it starts anew', () => {
    const h = new Harness()
    h.hear('beacon', { sequence: 5 }, 0)
    h.hear('beacon', { peer: 'p2' }, 0)
    expect(h.hear('leave', { sequence: 6 }, 1)).toEqual({ type: 'left', gone: true, datacenterGone: false })
    expect(h.hear('beacon', { sequence: 7 }, 2)).toEqual({ type: 'ignored' })
    expect(h.hear('leave', { peer: 'p2', sequence: 9 }, 3)).toMatchObject({ datacenterGone: true })
    expect(h.directory.datacenters()).toEqual([])
    expect(h.hear('beacon', { boot: 2 }, 4)).toMatchObject({ newGateway: true, newDatacenter: true })
    // The goodbye of the former life, replayed.
    expect(h.hear('leave', { sequence: 6 }, 5)).toEqual({ type: 'ignored' })
    expect(h.directory.gateways('eu-1')).toHaveLength(1)
  })

  it('forgets gateways after a long silence, and their datacenter with the last', () => {
    const h = new Harness({ forgetAfterMs: 10_000 })
    h.hear('beacon', {}, 0)
    h.hear('beacon', { peer: 'p2', datacenter: 'us-1', id: 'us' }, 0)
    expect(h.pass(0, 5000)).toEqual([])
    h.hear('beacon', { peer: 'p2', datacenter: 'us-1', id: 'us', sequence: 2 }, 5000)
    expect(h.pass(5200, 14_000)).toEqual(['eu-1'])
    expect(h.directory.datacenters()).toEqual(['us-1'])
  })

  it('bounds datacenters and gateways', () => {
    const h = new Harness()
    for (let i = 0; i < 2000; i++) h.hear('beacon', { datacenter: `dc-${i}`, id: `id-${i}` }, 0)
    expect(h.directory.datacenters()).toHaveLength(1024)
    for (let i = 0; i < 100; i++) h.hear('beacon', { datacenter: 'dc-0', id: 'id-0', peer: `q${i}` }, 0)
    expect(h.directory.gateways('dc-0')).toHaveLength(64)
    expect(h.hear('beacon', { datacenter: 'dc-0', id: 'id-0', peer: 'late' }, 61_000)).toMatchObject({
      newGateway: true,
    })
    expect(h.directory.gateways('dc-0')).toHaveLength(64)
  })
})
