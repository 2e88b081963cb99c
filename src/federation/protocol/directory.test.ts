import { describe, expect, it } from 'vitest'
import { beacon, head } from '../testing/heads.ts'
import { EMPTY_DIGEST } from './digest.ts'
import { Directory, type DirectoryOptions, type Via } from './directory.ts'
import type { Opened } from './head.ts'
import { HeartbeatChain, heartbeatRef } from './heartbeat.ts'
import type { KnownMessage } from './messages.ts'

interface Who {
  readonly peer?: string
  readonly datacenter?: string
  readonly id?: string
  readonly boot?: number
  readonly sequence?: number
  readonly addresses?: readonly string[]
  readonly suspects?: readonly string[]
}
const opened = (kind: KnownMessage['type'], who: Who): Opened => {
  const {
    peer = 'p1',
    datacenter = 'eu-1',
    id = 'id-eu-1',
    boot = 1,
    sequence = 1,
    addresses = ['/x'],
    suspects = [],
  } = who
  const about = { datacenter, datacenterId: id }
  const at = head(5, EMPTY_DIGEST, { ...about, boot, sequence })
  const message: KnownMessage =
    kind === 'beacon'
      ? { ...beacon(at), addresses, suspects }
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
  /** Whether eu-1 lives, by a tick of this moment. */
  live(now: number): boolean {
    this.directory.tick(now)
    return this.directory.isLive('eu-1')
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

  it('takes nothing for news that it heard, and could not count, before it knew the gateway', () => {
    const h = new Harness()
    h.hear('beacon', { sequence: 5 }, 0)
    expect(h.hear('delta', { peer: 'p2', sequence: 9 }, 100)).toEqual({ type: 'ignored' })
    expect(h.hear('beacon', { peer: 'p2', sequence: 3 }, 200, 'hearsay')).toMatchObject({ newGateway: true })
    expect(h.hear('delta', { peer: 'p2', sequence: 9 }, 5000)).toMatchObject({ fresh: false })
    expect(h.hear('delta', { peer: 'p2', sequence: 8 }, 5000)).toMatchObject({ fresh: false })
    expect(h.hear('delta', { peer: 'p2', sequence: 10 }, 5000)).toMatchObject({ fresh: true })
  })

  it('takes nothing for news that it heard, and could not count, of a life without a record', () => {
    const h = new Harness()
    h.hear('beacon', { sequence: 5 }, 0)
    expect(h.hear('delta', { boot: 2, sequence: 9 }, 100)).toMatchObject({ fresh: false })
    expect(h.hear('beacon', { boot: 2, sequence: 3 }, 200, 'hearsay')).toMatchObject({ fresh: false })
    expect(h.hear('delta', { boot: 2, sequence: 9 }, 5000)).toMatchObject({ fresh: false })
    expect(h.hear('delta', { boot: 2, sequence: 10 }, 5000)).toMatchObject({ fresh: true })
  })

  it('listens to a gateway whose clock was set back, though it heard more of a life without a record', () => {
    const h = new Harness()
    h.hear('delta', { boot: 9, sequence: 9 }, 0)
    expect(h.hear('beacon', { boot: 2, sequence: 1 }, 100)).toMatchObject({ fresh: true })
    h.hear('delta', { boot: 9, sequence: 10 }, 200)
    expect(h.hear('beacon', { boot: 2, sequence: 2 }, 300)).toMatchObject({ fresh: true })
  })

  it('loses a datacenter within three seconds, and finds it again', () => {
    const h = new Harness()
    h.hear('beacon', { sequence: 1 }, 0)
    h.pass(0, 2400)
    expect(h.directory.isLive('eu-1')).toBe(true)
    h.pass(2600, 2800)
    expect(h.directory.isLive('eu-1')).toBe(false)
    h.hear('beacon', { sequence: 1 }, 2900)
    expect(h.directory.isLive('eu-1')).toBe(false)
    h.hear('beacon', { sequence: 2 }, 3000)
    expect(h.directory.isLive('eu-1')).toBe(true)
  })

  it('counts what is told from memory as known, not as alive', () => {
    const h = new Harness()
    expect(h.hear('beacon', { sequence: 5 }, 0, 'hearsay')).toMatchObject({ fresh: false, newGateway: true })
    expect(h.directory.isLive('eu-1')).toBe(false)
    expect(h.hear('beacon', { sequence: 6 }, 0, 'hearsay')).toMatchObject({ fresh: false })
    expect(h.hear('beacon', { sequence: 6 }, 0)).toMatchObject({ fresh: false })
    expect(h.hear('beacon', { sequence: 7 }, 0)).toMatchObject({ fresh: true })
  })

  it('does not take a record without a head for life', () => {
    const h = new Harness()
    expect(h.hear('gateway', {}, 0, 'direct')).toMatchObject({ newGateway: true })
    expect(h.directory.isLive('eu-1')).toBe(false)
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

describe('a gateway whose key two processes use', () => {
  it('is noticed when its former life goes on, and not when that is only late', () => {
    const h = new Harness()
    h.hear('beacon', { boot: 1, sequence: 10 }, 0)
    expect(h.hear('beacon', { boot: 2, sequence: 1 }, 1000)).toMatchObject({ fresh: true, twin: false })
    const hear = (sequence: number, now: number, via?: Via) => h.hear('beacon', { boot: 1, sequence }, now, via)
    expect(hear(11, 1100)).toMatchObject({ fresh: false, twin: false })
    expect([12, 13, 14, 15].map((sequence) => hear(sequence, 9000, 'hearsay'))).not.toContainEqual(
      expect.objectContaining({ twin: true }),
    )
    const twins = [16, 17, 18, 19].map((sequence, i) => hear(sequence, 10_000 + i * 1000))
    expect(twins.map((heard) => heard.type === 'heard' && heard.twin)).toEqual([false, false, true, true])
    expect(h.hear('beacon', { boot: 2, sequence: 2 }, 15_000)).toMatchObject({ fresh: true, twin: false })
  })
})

describe('a directory that misses signs of life', () => {
  /** Beacons of these DCs every second up to `to`, ticks every 200 ms. */
  function mesh(datacenters: readonly string[], to: number, options: DirectoryOptions = {}) {
    const h = new Harness(options)
    const say = (datacenter: string, now: number, suspects: readonly string[] = []): void => {
      h.hear('beacon', { datacenter, id: datacenter, peer: `p-${datacenter}`, sequence: now + 1, suspects }, now)
    }
    const pass = (from: number, until: number, speaking: readonly string[], suspects: readonly string[] = []): void => {
      for (let now = from; now <= until; now += 200) {
        if (now % 1000 === 0) for (const datacenter of speaking) say(datacenter, now, suspects)
        h.directory.tick(now)
      }
    }
    pass(0, to, datacenters)
    return { directory: h.directory, say, pass }
  }
  /** Milliseconds from the last sign of life of eu-1 until it was lost. */
  function lostAfterMs(
    { directory, pass }: ReturnType<typeof mesh>,
    from: number,
    speaking: string[],
    suspects: string[],
  ) {
    for (let now = from + 200; now < from + 30_000; now += 200) {
      pass(now, now, speaking, now - from > 1600 ? suspects : [])
      if (!directory.isLive('eu-1')) return now - from
    }
    return undefined
  }

  it.each([
    ['alone with it', ['eu-1'], [], 2600],
    ['one other hears it still', ['eu-1', 'us-1'], [], 2600],
    ['the one other agrees', ['eu-1', 'us-1'], ['eu-1'], 2200],
    ['several others agree', ['eu-1', 'us-1', 'ap-1', 'sa-1'], ['eu-1'], 2200],
    ['several others suspect somebody else', ['eu-1', 'us-1', 'ap-1', 'sa-1'], ['xx-1'], 2600],
  ])('loses it sooner when others agree: %s', (_, datacenters, suspects, expected) => {
    const m = mesh(datacenters, 4000)
    const others = datacenters.filter((name) => name !== 'eu-1')
    expect(lostAfterMs(m, 4000, others, suspects)).toBe(expected)
  })

  it('suspects before it loses, and tells whom', () => {
    const m = mesh(['eu-1', 'us-1'], 2000)
    m.pass(2200, 3400, ['us-1'])
    expect(m.directory.suspects()).toEqual([])
    m.pass(3600, 4400, ['us-1'])
    expect(m.directory.suspects()).toEqual(['eu-1'])
    expect([m.directory.isSuspected('eu-1'), m.directory.isLive('eu-1')]).toEqual([true, true])
    m.pass(4600, 4800, ['us-1'])
    expect([m.directory.isSuspected('eu-1'), m.directory.isLive('eu-1')]).toEqual([false, false])
  })

  it('never suspects its own datacenter', () => {
    const m = mesh(['eu-1', 'us-1'], 2000, { own: 'eu-1' })
    m.pass(2200, 20_000, ['us-1'])
    expect(m.directory.suspects()).toEqual([])
    expect(m.directory.isLive('eu-1')).toBe(true)
  })

  it('does not count what itself says, nor what was said before the suspect was heard', () => {
    const m = mesh(['eu-1', 'us-1', 'ap-1'], 4000, { own: 'ap-1', self: 'p-ap-1' })
    m.say('us-1', 4100, ['eu-1'])
    m.say('eu-1', 4200)
    let now = 4000
    while (m.directory.isLive('eu-1')) {
      now += 200
      if (now % 1000 === 0) m.say('ap-1', now, ['eu-1'])
      m.directory.tick(now)
    }
    // us-1 is silent as well, so that nobody is left: it may be this node that is deaf.
    expect(now).toBe(4200 + 2 * 1600 + 1000)
  })

  it('gives everyone more time when it hears nobody at all: it may be deaf', () => {
    expect(lostAfterMs(mesh(['eu-1', 'us-1', 'ap-1'], 4000), 4000, [], [])).toBe(4200)
  })

  it('does not blame others for a stall of its own, nor for many small ones', () => {
    const m = mesh(['eu-1', 'us-1'], 2000)
    m.directory.tick(20_000)
    expect(m.directory.isLive('eu-1')).toBe(true)
    let now = 20_000
    // Timers that are always late: 700 ms instead of 200. What comes is read, late as well.
    for (let i = 0; i < 20; i++) {
      now += 700
      m.directory.tick(now)
      if (i % 3 === 0) for (const datacenter of ['eu-1', 'us-1']) m.say(datacenter, now)
    }
    expect(['eu-1', 'us-1'].map((name) => m.directory.isLive(name))).toEqual([true, true])
    expect(m.directory.awareness.score).toBe(4)
    // It really goes: that takes longer now, and not for ever.
    const began = now
    while (m.directory.isLive('eu-1')) {
      now += 200
      m.directory.tick(now)
      if (now % 1000 < 200) m.say('us-1', now)
    }
    expect(now - began).toBeGreaterThan(4000)
    expect(now - began).toBeLessThan(10_000)
  })

  it('trusts enough others more than its own eyes', () => {
    const m = mesh(['eu-1', 'us-1', 'ap-1', 'sa-1'], 4000)
    m.directory.tick(8000)
    expect(m.directory.awareness.score).toBe(2)
    for (const name of ['eu-1', 'us-1', 'ap-1', 'sa-1']) m.say(name, 8000)
    expect(lostAfterMs(m, 8000, ['us-1', 'ap-1', 'sa-1'], ['eu-1'])).toBeLessThan(2600)
  })

  it('does not bring back what was lost by doubting itself later; and doubts itself when refuted', () => {
    const m = mesh(['eu-1', 'us-1'], 4000)
    m.pass(4200, 7000, ['us-1'])
    expect(m.directory.isLive('eu-1')).toBe(false)
    m.directory.tick(8000)
    expect(m.directory.isLive('eu-1')).toBe(false)
    const { score } = m.directory.awareness
    m.say('eu-1', 8100)
    expect(m.directory.isLive('eu-1')).toBe(true)
    expect(m.directory.awareness.score).toBe(score + 1)
  })
})

describe('heartbeats', () => {
  const chained = (harness: Harness, who: Who, now: number, seed = who.sequence ?? 1) => {
    const chain = new HeartbeatChain(new Uint8Array([seed]), 9)
    const one = opened('beacon', who)
    const message = { ...one.message, anchor: chain.anchor } as KnownMessage
    harness.directory.hear({ ...one, message }, 'gossip', now)
    return { chain, ref: heartbeatRef(who.peer ?? 'p1', who.boot ?? 1, chain.anchor) }
  }

  it('keep a datacenter alive, each once, as the beacon that they repeat', () => {
    const harness = new Harness()
    const { chain, ref } = chained(harness, {}, 0)
    for (let now = 1000; now <= 9000; now += 1000) {
      const heartbeat = chain.next(ref)!
      expect(harness.directory.heartbeat(heartbeat, now)).toMatchObject({ type: 'heard', fresh: true })
      expect(harness.directory.heartbeat(heartbeat, now + 1)).toMatchObject({ type: 'heard', fresh: false })
      harness.pass(now, now + 800)
      expect(harness.directory.suspects()).toEqual([])
    }
    harness.pass(10_000, 11_800)
    expect(harness.live(12_000)).toBe(false)
  })

  it('of a beacon that is not known, was followed by another, or left, are ignored', () => {
    const harness = new Harness()
    const first = chained(harness, {}, 0)
    const second = chained(harness, { sequence: 2 }, 1000)
    expect(harness.directory.heartbeat(first.chain.next(first.ref)!, 2000).type).toBe('ignored')
    expect(harness.directory.heartbeat(second.chain.next(second.ref)!, 2000).type).toBe('heard')
    // An older beacon that comes late takes nothing away.
    harness.hear('beacon', { sequence: 1 }, 2000)
    expect(harness.directory.heartbeat(second.chain.next(second.ref)!, 3000).type).toBe('heard')
    harness.hear('leave', { sequence: 9 }, 3500)
    expect(harness.directory.heartbeat(second.chain.next(second.ref)!, 4000).type).toBe('ignored')
  })

  it('follow whichever of the beacons with their anchor was heard', () => {
    const harness = new Harness()
    const { chain, ref } = chained(harness, { sequence: 1 }, 0, 7)
    const [first, second, third] = [chain.next(ref)!, chain.next(ref)!, chain.next(ref)!]
    expect(harness.directory.heartbeat(first, 1000)).toMatchObject({ fresh: true })
    chained(harness, { sequence: 2 }, 2000, 7)
    expect(harness.directory.heartbeat(first, 2100)).toMatchObject({ fresh: false })
    expect(harness.directory.heartbeat(third, 3000)).toMatchObject({
      fresh: true,
      beacon: { bytes: new Uint8Array([2]) },
    })
    expect(harness.directory.heartbeat(second, 3100)).toEqual({ type: 'ignored' })
  })

  it('that are made up are told from those', () => {
    const harness = new Harness()
    const { ref } = chained(harness, {}, 0)
    const forged = new HeartbeatChain(new Uint8Array([99]), 9).next(ref)!
    expect(harness.directory.heartbeat(forged, 2000).type).toBe('false')
    harness.pass(0, 2800)
    expect(harness.live(3000)).toBe(false)
  })

  it('cannot be kept for later', () => {
    const harness = new Harness()
    const { chain, ref } = chained(harness, {}, 0)
    expect(harness.directory.heartbeat(chain.next(ref)!, 91_000).type).toBe('ignored')
  })

  it('are sent once every living gateway has shown that it understands them', () => {
    const harness = new Harness({ self: 'self' })
    const understood = (now: number): boolean => harness.directory.heartbeatsUnderstood(now)
    expect(understood(0)).toBe(true)
    harness.hear('beacon', { peer: 'self', sequence: 1 }, 0)
    expect(understood(0)).toBe(true)
    harness.hear('beacon', { peer: 'old' }, 0)
    chained(harness, { peer: 'new' }, 0)
    expect(understood(1000)).toBe(false)
    expect(understood(61_000)).toBe(true)
  })
})

describe('a new life of a gateway', () => {
  it('counts from its first record on, which can be shown to it when it goes back behind it', () => {
    const { directory } = new Harness()
    directory.hear(opened('beacon', { boot: 5 }), 'gossip', 0)
    expect(directory.hear(opened('delta', { boot: 9 }), 'gossip', 1)).toMatchObject({ fresh: false })
    expect(directory.gateway('eu-1', 'p1')?.stamp.boot).toBe(5)
    const first = opened('beacon', { boot: 9, sequence: 2 })
    expect(directory.hear(first, 'gossip', 2)).toMatchObject({ fresh: true })
    expect(directory.gateway('eu-1', 'p1')).toMatchObject({ stamp: { boot: 9 }, record: first.bytes })
  })
})

describe('the farewell of a gateway', () => {
  it('is kept, to be told when it is back with a lower boot: until it knows, nobody listens', () => {
    const { directory } = new Harness()
    const leave = opened('leave', { boot: 9, sequence: 3 })
    directory.hear(opened('beacon', { boot: 9 }), 'gossip', 0)
    directory.hear(leave, 'gossip', 1)
    expect(directory.hear(opened('beacon', { boot: 5 }), 'direct', 2)).toEqual({ type: 'ignored' })
    expect(directory.farewell('eu-1', 'p1')).toBe(leave.bytes)
    expect(directory.farewell('eu-1', 'p2')).toBeUndefined()
  })
})
