import { describe, expect, it } from 'vitest'
import { del, digestAfter, EPOCH, put } from '../testing/heads.ts'
import { Content } from './content.ts'
import { Publisher, type PublisherEffect } from './publisher.ts'

const open = (revision = 10): Publisher => {
  const publisher = new Publisher({ datacenter: 'eu-1', datacenterId: 'id-eu-1', boot: 5 })
  publisher.load(EPOCH, revision, revision, new Content())
  publisher.start(0)
  publisher.tick(0, revision)
  return publisher
}
const write = (revision: number, key = 'a') => ({ revision, changes: [put(key, `${revision}`, revision)] })
const shape = (effects: readonly PublisherEffect[]) =>
  effects.map(({ message }) =>
    message.type === 'delta' ? `${message.from}..${message.head.revision} (${message.changes.length})` : message.type,
  )

describe('publisher', () => {
  it('tells nothing before it may, and a beacon as soon as it may', () => {
    const publisher = new Publisher({ datacenter: 'eu-1', datacenterId: 'id', boot: 1 })
    expect(publisher.receive([write(1)], 0)).toEqual([])
    expect(publisher.tick(0, 1)).toEqual([])
    publisher.load(EPOCH, 0, 0, new Content())
    expect(publisher.receive([write(1)], 5)).toEqual([])
    publisher.start(10)
    expect(publisher.wakeAtMs()).toBe(10)
    const [first] = publisher.tick(10, 1)
    expect(first!.message).toMatchObject({ type: 'beacon', head: { revision: 1, lastExported: 1 } })
  })

  it('tells the first change at once and gathers those that follow, ever longer', () => {
    const publisher = open()
    const sentAt: number[] = []
    for (let now = 0; now <= 100; now++) {
      const effects = [...publisher.receive([write(11 + now)], now), ...publisher.tick(now, 11 + now)]
      if (effects.length > 0) sentAt.push(now)
    }
    expect(sentAt).toEqual([0, 5, 15, 35, 55, 75, 95])
    // After a pause the next one is a first one again.
    publisher.tick(115, 111)
    expect(shape(publisher.receive([write(200)], 300))).toEqual(['111..200 (1)'])
  })

  it('cuts its head at the end of a batch', () => {
    const publisher = open()
    const [effect] = publisher.receive([write(12), { revision: 14, changes: [put('b', 'x', 14), del('a', 14)] }], 0)
    expect(effect!.message).toMatchObject({
      from: 10,
      head: { epoch: EPOCH, revision: 14, lastExported: 14, digest: digestAfter(put('b', 'x', 14)), boot: 5 },
    })
  })

  it('leaves out revisions that it has told', () => {
    const publisher = open()
    publisher.receive([write(11), write(12)], 0)
    publisher.receive([write(12), write(13)], 1)
    expect(shape(publisher.tick(10, 13))).toEqual(['12..13 (1)'])
  })

  it('says the revision of the store in beacons, also of what is not exported', () => {
    const publisher = open()
    publisher.receive([write(11)], 0)
    const [effect] = publisher.tick(1000, 40)
    expect(effect!.message).toMatchObject({ type: 'beacon', head: { revision: 40, lastExported: 11 } })
    expect(publisher.wakeAtMs()).toBe(2000)
  })

  it('does not speak for changes that it has not told', () => {
    const publisher = open()
    publisher.receive([write(11)], 998)
    publisher.receive([write(12)], 999)
    const [effect] = publisher.tick(1000, 12)
    expect(effect!.message).toMatchObject({ type: 'beacon', head: { revision: 11, lastExported: 11 } })
  })

  it('rises in sequence with every message, and in boot above a former life', () => {
    const publisher = open()
    const one = publisher.beacon().head
    const two = publisher.beacon().head
    expect(two.sequence).toBe(one.sequence + 1)
    publisher.seen({ boot: 5, sequence: two.sequence })
    expect(publisher.beacon().head.boot).toBe(5)
    publisher.seen({ boot: 900, sequence: 1 })
    expect(publisher.beacon().head).toMatchObject({ boot: 901, sequence: 1 })
  })

  it('keeps what is large out of gossip, tells its head there, and cuts between revisions', () => {
    const publisher = open()
    const big = (revision: number, size: number) => ({
      revision,
      changes: [{ key: `k${revision}`, value: new Uint8Array(size), createRevision: revision, modRevision: revision }],
    })
    const effects = publisher.receive([big(11, 30_000), big(12, 30_000), big(13, 100_000), big(14, 600_000)], 0)
    expect(shape(effects)).toEqual(['10..11 (1)', '11..12 (1)', '12..13 (1)', 'beacon', 'beacon'])
    expect(effects.map((effect) => effect.type === 'delta' && effect.gossip)).toEqual([true, true, false, false, false])
    expect(effects.at(-1)!.message).toMatchObject({ head: { revision: 14 } })
  })

  it('folds a flood in slices', () => {
    const publisher = open()
    const flood = Array.from({ length: 10_000 }, (_, i) => write(11 + i, `k${i}`))
    publisher.receive(flood, 0)
    expect(publisher.revision).toBeLessThan(3500)
    let now = 0
    while (publisher.wakeAtMs() <= now) publisher.tick(now, 10_010)
    expect(publisher.revision).toBe(10_010)
    now = 1000
    expect(publisher.tick(now, 10_010)).toHaveLength(1)
  })

  it('is silent in gossip while another gateway speaks, but not on its tails', () => {
    const publisher = open()
    publisher.setSpeaking(false)
    expect(publisher.receive([write(11)], 0)).toMatchObject([{ type: 'delta', gossip: false }])
  })

  it('begins a new epoch with a beacon', () => {
    const publisher = open()
    publisher.receive([write(11)], 100)
    const content = new Content()
    const entry = { key: 'z', value: new Uint8Array(1), createRevision: 2, modRevision: 2 }
    content.put(entry)
    publisher.unload()
    expect(publisher.wakeAtMs()).toBe(Number.POSITIVE_INFINITY)
    publisher.load({ generation: 1, random: 'bb' }, 3, 2, content)
    const [effect] = publisher.tick(101, 3)
    expect(effect!.message).toMatchObject({
      type: 'beacon',
      head: { epoch: { generation: 1 }, revision: 3, lastExported: 2 },
    })
  })

  it('says whom it reaches when that changed, and every ten seconds', () => {
    const publisher = open()
    let nowMs = 0
    const told = (count: number) =>
      Array.from({ length: count }, () => {
        nowMs += 1000
        const [effect] = publisher.tick(nowMs, 10)
        return (effect?.message.type === 'beacon' && effect.message.reach?.length) || '-'
      }).join(' ')
    expect(told(12)).toBe('- - - - - - - - - - - -')
    publisher.setReach(new Uint8Array(6))
    expect(told(11)).toBe('6 - - - - - - - - - 6')
    publisher.setReach(new Uint8Array(6))
    expect(told(2)).toBe('- -')
    publisher.setReach(new Uint8Array(12))
    expect(told(2)).toBe('12 -')
  })

  it('says whom it suspects, and before its time when it matters, but not twice at once', () => {
    const publisher = open()
    publisher.tick(0, 10)
    publisher.setSuspects(['us-1'])
    publisher.hasten(500)
    expect(publisher.tick(500, 10)).toMatchObject([{ type: 'beacon', message: { suspects: ['us-1'] } }])
    publisher.hasten(510)
    expect(publisher.tick(699, 10)).toEqual([])
    expect(publisher.wakeAtMs()).toBe(700)
    expect(publisher.tick(700, 10)).toHaveLength(1)
    expect(publisher.wakeAtMs()).toBe(1700)
    publisher.setSuspects(Array.from({ length: 1000 }, (_, i) => `dc-${i}`))
    expect(publisher.beacon().suspects).toHaveLength(64)
  })
})

describe('publisher with heartbeats', () => {
  const types = (publisher: Publisher, fromMs: number, beats: number, revision = 10): string[] =>
    Array.from({ length: beats }, (_, i) => publisher.tick(fromMs + 1000 * i, revision)[0]?.type ?? 'nothing')
  const openBeating = (): Publisher => {
    const heartbeats = { peerId: 'p1', seed: new Uint8Array(32) }
    const publisher = new Publisher({ datacenter: 'eu-1', datacenterId: 'id-eu-1', boot: 5, heartbeats })
    publisher.setHeartbeats(true)
    publisher.load(EPOCH, 10, 10, new Content())
    publisher.start(0)
    return publisher
  }
  const times = (type: string, count: number): string[] => new Array<string>(count).fill(type)

  it('repeats itself in short: two beacons, then nineteen heartbeats for each', () => {
    const expected = [...times('beacon', 2), ...times('heartbeat', 19), 'beacon', ...times('heartbeat', 19), 'beacon']
    expect(types(openBeating(), 0, 42)).toEqual(expected)
  })

  it('begins a new chain, told twice, before the old one is used up', () => {
    const publisher = openBeating()
    const effects = Array.from({ length: 200 }, (_, i) => publisher.tick(1000 * i, 10)[0]!)
    const anchors = new Map<string, number>()
    let heartbeats = 0
    for (const { type, message } of effects) {
      const anchor = message.type === 'beacon' ? Buffer.from(message.anchor!).toString('hex') : ''
      if (type === 'beacon') anchors.set(anchor, (anchors.get(anchor) ?? 0) + 1)
      // Never one that was told once only.
      else expect(anchors.get(anchor)).toBeGreaterThanOrEqual(2)
      if (type === 'heartbeat') heartbeats++
    }
    expect(anchors.size).toBe(4)
    expect(heartbeats).toBeGreaterThan(180)
  })

  it('says in full what is new: a revision, an address, another epoch', () => {
    const publisher = openBeating()
    types(publisher, 0, 3)
    publisher.receive([write(11)], 2500)
    expect(types(publisher, 3000, 3, 11)).toEqual(['beacon', 'beacon', 'heartbeat'])
    // Of the store, though nothing exported changed.
    expect(types(publisher, 6000, 3, 12)).toEqual(['beacon', 'beacon', 'heartbeat'])
    publisher.setAddresses(['/ip4/10.0.0.1/tcp/8300'])
    expect(types(publisher, 9000, 3, 12)).toEqual(['beacon', 'beacon', 'heartbeat'])
    publisher.setAddresses(['/ip4/10.0.0.1/tcp/8300'])
    expect(types(publisher, 12_000, 1, 12)).toEqual(['heartbeat'])
    publisher.load({ ...EPOCH, generation: 1 }, 12, 12, new Content())
    expect(types(publisher, 13_000, 3, 12)).toEqual(['beacon', 'beacon', 'heartbeat'])
  })

  it('says all in full while somebody would not understand, or it learned of a former life', () => {
    const publisher = openBeating()
    publisher.setHeartbeats(false)
    expect(types(publisher, 0, 5)).toEqual(times('beacon', 5))
    publisher.setHeartbeats(true)
    expect(types(publisher, 5000, 1)).toEqual(['heartbeat'])
    publisher.seen({ boot: 99, sequence: 1 })
    expect(types(publisher, 6000, 3)).toEqual(['beacon', 'beacon', 'heartbeat'])
  })
})
