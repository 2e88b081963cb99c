import { describe, expect, it } from 'vitest'
import { decodeReach, encodeReach } from './reach.ts'
import { type KnownGateway, type Neighbour, Ways, type WaysEffect, type WaysView } from './ways.ts'

const datacenterOf = (peerId: string): string => peerId.replace(/\d+$/, '')

const near = (peerId: string, roundTripMs: number, rest: Partial<Neighbour> = {}): Neighbour => ({
  peerId,
  datacenter: datacenterOf(peerId),
  silentMs: 100,
  roundTripMs,
  relayed: false,
  dialled: true,
  ...rest,
})

/** `reach`: round-trip times by peer id; undefined for a gateway that never said. */
const known = (peerId: string, reach?: Readonly<Record<string, number>>, reachAgeMs = 1000): KnownGateway => ({
  peerId,
  datacenter: datacenterOf(peerId),
  boot: 1,
  reach:
    reach && decodeReach(encodeReach(Object.entries(reach).map(([to, roundTripMs]) => ({ peerId: to, roundTripMs })))),
  reachAgeMs,
})

/** One node's machine, and a clock that ticks every 200 ms. */
class Bench {
  readonly ways = new Ways()
  nowMs = 0
  neighbours: Neighbour[] = []
  gateways: KnownGateway[] = []
  readonly self: WaysView['self']

  constructor(peerId = 'eu1') {
    this.self = { peerId, datacenter: datacenterOf(peerId) }
  }

  tick(): WaysEffect[] {
    const { self, neighbours, gateways } = this
    return this.ways.tick({ self, neighbours, gateways, suspectMs: 1200 }, this.nowMs)
  }

  /** The first effects within that time, and when they came; undefined when there were none. */
  within(ms: number): { readonly effects: WaysEffect[]; readonly afterMs: number } | undefined {
    const beganMs = this.nowMs
    for (;;) {
      const effects = this.tick()
      const afterMs = this.nowMs - beganMs
      if (effects.length > 0) return { effects, afterMs }
      if (afterMs >= ms) return undefined
      this.nowMs += 200
    }
  }

  ended(peerId: string, relay: string, ok: boolean): void {
    this.ways.ended({ peerId, relay, datacenter: datacenterOf(peerId), ok }, this.nowMs)
  }

  silence(peerId: string): void {
    this.neighbours = this.neighbours.map((each) => (each.peerId === peerId ? { ...each, silentMs: 1300 } : each))
  }
}

/** eu knows us, ap and sa; all reach each other. */
function four(self = 'eu1'): Bench {
  const bench = new Bench(self)
  bench.neighbours = [near('us1', 80), near('ap1', 230), near('sa1', 200)]
  bench.gateways = [
    known('us1', { eu1: 80, ap1: 150, sa1: 120 }),
    known('ap1', { us1: 150, eu1: 230, sa1: 300 }),
    known('sa1', { us1: 120, eu1: 200, ap1: 300 }),
  ]
  bench.tick()
  return bench
}

describe('a way through', () => {
  it('is not looked for while a gateway of the datacenter answers directly', () => {
    const bench = four()
    expect(bench.within(60_000)).toBeUndefined()
    bench.gateways.push(known('us2'))
    bench.neighbours.push(near('us2', 81))
    bench.silence('us1')
    expect(bench.within(60_000)).toBeUndefined()
  })

  it('is the shortest sum of both ways, at once when the direct one falls silent', () => {
    const bench = four()
    bench.silence('us1')
    expect(bench.within(0)).toEqual({ effects: [{ type: 'dial', peerId: 'us1', relay: 'sa1' }], afterMs: 0 })
    // One dial at a time.
    expect(bench.within(30_000)).toBeUndefined()
  })

  it('is not looked for where this node only stood still: what was said is read within that moment', () => {
    const bench = four()
    const before = bench.neighbours
    bench.nowMs += 1300
    for (const { peerId } of before) bench.silence(peerId)
    expect(bench.tick()).toEqual([])
    bench.nowMs += 200
    bench.neighbours = before
    expect(bench.within(60_000)).toBeUndefined()
    // What is still silent then is so.
    bench.nowMs += 1300
    bench.silence('us1')
    expect(bench.within(5000)?.afterMs).toBe(400)
  })

  it('gives a connection that never answered as long as one that broke: it may be up on this side alone', () => {
    const bench = four()
    bench.neighbours[0] = near('us1', 80, { silentMs: 1300, roundTripMs: undefined })
    expect(bench.within(5000)?.afterMs).toBe(1600)
  })

  it('is left to the smaller of both for a moment', () => {
    const bench = four('zz1')
    bench.silence('us1')
    expect(bench.within(5000)?.afterMs).toBe(800)
  })

  it('waits for the direct one to come back where it broke, and longer where there never was one', () => {
    const broken = four()
    broken.neighbours = broken.neighbours.filter(({ peerId }) => peerId !== 'us1')
    expect(broken.within(10_000)?.afterMs).toBe(1600)
    const fresh = new Bench()
    fresh.neighbours = [near('ap1', 230)]
    fresh.gateways = [known('us1'), known('ap1', { us1: 150 })]
    expect(fresh.within(10_000)?.afterMs).toBe(3000)
  })

  it('gives one that started anew as long as one that never was there', () => {
    const bench = four()
    bench.neighbours = bench.neighbours.filter(({ peerId }) => peerId !== 'us1')
    bench.tick()
    bench.nowMs += 1000
    bench.gateways[0] = { ...bench.gateways[0]!, boot: 2 }
    expect(bench.within(10_000)?.afterMs).toBe(3000)
  })

  it('goes to any gateway of the datacenter', () => {
    const bench = four()
    bench.gateways.push(known('us2'))
    bench.gateways[2] = known('sa1', { us2: 60 })
    bench.silence('us1')
    expect(bench.within(5000)?.effects).toEqual([{ type: 'dial', peerId: 'us2', relay: 'sa1' }])
  })

  it('is tried through another relay when one fails, and again later', () => {
    const bench = four()
    bench.silence('us1')
    bench.within(5000)
    bench.ended('us1', 'sa1', false)
    expect(bench.within(0)?.effects).toEqual([{ type: 'dial', peerId: 'us1', relay: 'ap1' }])
    bench.ended('us1', 'ap1', false)
    expect(bench.within(5000)).toEqual({ effects: [{ type: 'dial', peerId: 'us1', relay: 'sa1' }], afterMs: 1000 })
    bench.ended('us1', 'sa1', false)
    bench.nowMs += 1
    bench.tick()
    bench.ended('us1', 'ap1', false)
    // Twice as long.
    expect(bench.within(5000)).toMatchObject({ effects: [{ relay: 'sa1' }], afterMs: 2000 })
  })

  it('is asked for through two relays, and later through two others: they may not know yet that the gateway died', () => {
    const bench = four()
    const relays = ['sa1', 'ap1', 'br1', 'in1', 'jp1', 'za1']
    const reach = (reached: Record<string, number>) => [known('us1'), ...relays.map((peerId) => known(peerId, reached))]
    bench.neighbours = [near('us1', 80), ...relays.map((peerId, i) => near(peerId, 100 + 10 * i))]
    bench.gateways = reach({ us1: 100 })
    bench.tick()
    bench.silence('us1')
    /** Tried until that time, all in vain. */
    const failing = (untilMs: number): string[] => {
      const tried: string[] = []
      for (; bench.nowMs <= untilMs; bench.nowMs += 200)
        for (let [effect] = bench.tick(); effect?.type === 'dial'; [effect] = bench.tick()) {
          tried.push(effect.relay)
          bench.ended('us1', effect.relay, false)
        }
      return tried
    }
    expect(failing(800)).toEqual(['sa1', 'ap1'])
    expect(failing(2800)).toEqual(['br1', 'in1'])
    bench.gateways = reach({ eu1: 100 })
    expect(failing(10_000)).toEqual([])
    // It comes back: the next time nothing waits.
    bench.neighbours[0] = near('us1', 80)
    bench.gateways = reach({ us1: 100 })
    bench.tick()
    bench.silence('us1')
    expect(failing(bench.nowMs)).toEqual(['sa1', 'ap1'])
  })

  it('is not tried through who says that it does not reach the gateway, is silent, or is relayed itself', () => {
    const bench = four()
    bench.silence('us1')
    bench.gateways[2] = known('sa1', { eu1: 200 })
    bench.silence('ap1')
    expect(bench.within(60_000)).toBeUndefined()
    bench.neighbours[1] = near('ap1', 230, { relayed: true })
    expect(bench.within(60_000)).toBeUndefined()
  })

  it('is tried last through who says nothing of whom it reaches', () => {
    const bench = four()
    bench.silence('us1')
    bench.gateways[2] = known('sa1')
    expect(bench.within(400)?.effects).toEqual([{ type: 'dial', peerId: 'us1', relay: 'ap1' }])
    bench.ended('us1', 'ap1', false)
    expect(bench.within(0)?.effects).toEqual([{ type: 'dial', peerId: 'us1', relay: 'sa1' }])
    const old = four()
    old.silence('us1')
    old.gateways[2] = known('sa1', { us1: 1 }, 31_000)
    expect(old.within(400)?.effects).toEqual([{ type: 'dial', peerId: 'us1', relay: 'ap1' }])
  })

  it('is found anew when its relay dies or falls silent', () => {
    const bench = four()
    bench.silence('us1')
    bench.within(5000)
    bench.ended('us1', 'sa1', true)
    bench.neighbours[0] = near('us1', 320, { relayed: true })
    expect(bench.within(30_000)).toBeUndefined()
    bench.neighbours = [near('us1', 320, { relayed: true, silentMs: 1300 }), near('ap1', 230)]
    expect(bench.within(0)).toEqual({ effects: [{ type: 'dial', peerId: 'us1', relay: 'ap1' }], afterMs: 0 })
  })

  it('is exchanged for one that has been clearly shorter for a while, by who dialled it', () => {
    for (const dialled of [true, false]) {
      const bench = four()
      bench.silence('us1')
      bench.tick()
      bench.ended('us1', 'sa1', true)
      bench.neighbours[0] = near('us1', 320, { relayed: true, dialled })
      bench.gateways[1] = known('ap1', { us1: 30 })
      expect(bench.within(30_000)).toBeUndefined()
      bench.gateways[1] = known('ap1', { us1: 20 })
      const expected = { effects: [{ type: 'dial', peerId: 'us1', relay: 'ap1' }], afterMs: 3000 }
      expect(bench.within(30_000)).toEqual(dialled ? expected : undefined)
    }
  })

  it('is let go by who dialled it, once the direct way has lasted', () => {
    for (const dialled of [true, false]) {
      const bench = four()
      bench.neighbours.push(near('us2', 80))
      bench.neighbours[0] = near('us1', 320, { relayed: true, dialled })
      bench.gateways.push(known('us2'))
      const released = { effects: [{ type: 'release', peerId: 'us1' }], afterMs: 10_000 }
      expect(bench.within(30_000)).toEqual(dialled ? released : undefined)
    }
  })

  it('is not looked for in the own datacenter, nor for more than 16 at once', () => {
    const bench = new Bench()
    const names = Array.from({ length: 30 }, (_, i) => `dc-${String.fromCharCode(97 + (i % 26))}${i}x1`)
    bench.gateways = [
      known('eu2'),
      ...names.map((name) => known(name)),
      known('ap1', Object.fromEntries(['eu2', ...names].map((name) => [name, 50]))),
    ]
    bench.neighbours = [near('ap1', 30)]
    const { effects } = bench.within(5000)!
    expect(effects).toHaveLength(16)
    expect(effects.some((effect) => effect.peerId === 'eu2')).toBe(false)
  })
})
