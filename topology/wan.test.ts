import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { Host } from '../src/federation/host.ts'
import {
  openTestHost,
  orderedIdentities,
  type TestHostOptions,
  trapUncaught,
  until,
  wanted,
} from '../test/support/hosts.ts'
import { type WanLink, wan } from './wan.ts'

const hosts: Host[] = []
const open = async (options: TestHostOptions): Promise<Host> => {
  const host = await openTestHost(options)
  hosts.push(host)
  host.handle('echo', async (payload) => payload)
  return host
}
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})
const idOf = (host: Host): string => host.self.peerId

interface Changing {
  rttMs: number
  cut: boolean
  oneWay?: WanLink['oneWay']
}

/** Two hosts that want each other over one link. */
async function pair(link: Changing, limits: TestHostOptions['limits'] = {}): Promise<[Host, Host]> {
  const [small, large] = await orderedIdentities(2)
  const wrapTransport: TestHostOptions['wrapTransport'] = (factory) => wan(factory, () => link)
  const a = await open({ name: 'a', identity: small, wrapTransport, limits })
  const b = await open({ name: 'b', identity: large, wrapTransport, limits })
  a.want([wanted(b)])
  b.want([wanted(a)])
  await until(() => a.peer(idOf(b)) && b.peer(idOf(a)))
  return [a, b]
}

async function timed(what: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await what()
  return performance.now() - began
}

const echo = (from: Host, to: Host, deadlineMs = 5000): Promise<unknown> =>
  from.call(idOf(to), 'echo', 1, { deadlineMs })

const works = (from: Host, to: Host): Promise<boolean> =>
  echo(from, to, 200).then(
    () => true,
    () => false,
  )

/** How late a timer comes here at best while nothing else is to do: a machine that sleeps takes its time to wake. */
async function latenessMs(): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let at = 0; at < 10; at++) least = Math.min(least, await timed(() => sleep(40)))
  return Math.max(0, least - 40)
}

/** Until one took less: other work on this machine only ever makes times longer. */
async function once(belowMs: number, what: () => Promise<unknown>): Promise<number> {
  for (let at = 0; at < 200; at++) {
    const tookMs = await timed(what)
    if (tookMs < belowMs) return tookMs
  }
  throw new Error(`never below ${belowMs} ms`)
}

describe('an emulated WAN', () => {
  it('delays what is dialled by its round trip and little more, in both directions', async () => {
    const [a, b] = await pair({ rttMs: 80, cut: false })
    // Each way hands over by a timer.
    const longestMs = 82 + 2 * (await latenessMs())
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      expect(await once(longestMs, () => echo(from, to))).toBeGreaterThanOrEqual(79.5)
      const roundTripMs = await until(() => {
        const ms = from.roundTripMs(idOf(to))
        return ms !== undefined && ms < longestMs ? ms : undefined
      })
      expect(roundTripMs).toBeGreaterThanOrEqual(79.5)
    }
  })

  it('follows changes while it is connected', async () => {
    const link = { rttMs: 10, cut: false }
    const [a, b] = await pair(link, { roundTripWindowMs: 1000, pingEveryMs: 100 })
    await once(60, () => echo(a, b))
    link.rttMs = 100
    expect(await timed(() => echo(a, b))).toBeGreaterThanOrEqual(99)
    await until(() => (a.roundTripMs(idOf(b)) ?? 0) >= 99)
    link.rttMs = 0
    await until(() => (a.roundTripMs(idOf(b)) ?? 99) < 20)
  })

  it('carries streams as fast as they are read, whole and in order', async () => {
    const [a, b] = await pair({ rttMs: 20, cut: false })
    const got = Promise.withResolvers<number>()
    b.handleStream('numbers', async (stream) => {
      let next = 0
      for await (const frame of stream.frames()) {
        if (new DataView(frame.buffer, frame.byteOffset).getUint32(0) !== next++) got.reject(new Error('out of order'))
      }
      got.resolve(next)
    })
    const stream = await a.openStream(idOf(b), 'numbers', { deadlineMs: 5000 })
    for (let at = 0; at < 200; at++) {
      const frame = new Uint8Array(64 << 10)
      new DataView(frame.buffer).setUint32(0, at)
      await stream.send(frame)
    }
    await stream.close()
    expect(await got.promise).toBe(200)
  })

  it('holds a short cut, and goes on with the same connection', async () => {
    const link = { rttMs: 20, cut: false }
    const [a, b] = await pair(link)
    const before = a.peer(idOf(b))
    link.cut = true
    const call = echo(a, b)
    expect(await works(b, a)).toBe(false)
    expect(a.peer(idOf(b))).toBe(before)
    link.cut = false
    expect(await call).toBe(1)
    expect(await echo(b, a)).toBe(1)
    expect(a.peer(idOf(b))).toBe(before)
  })

  it('lets a long cut be noticed by silence alone, and heals within two seconds', { timeout: 60_000 }, async () => {
    const uncaught = trapUncaught()
    const link = { rttMs: 40, cut: false }
    const [a, b] = await pair(link, { maxSilenceMs: 1000, pingEveryMs: 200, dialMs: 1500, dialGraceMs: 500 })
    const healedMs: number[] = []
    for (const cutMs of [1200, 2600, 4100]) {
      link.cut = true
      const cutAt = performance.now()
      await until(() => a.peer(idOf(b)) === undefined && b.peer(idOf(a)) === undefined)
      expect(performance.now() - cutAt).toBeGreaterThan(900)
      while (performance.now() - cutAt < cutMs) await new Promise((resolve) => setTimeout(resolve, 20))
      link.cut = false
      const healedAt = performance.now()
      while (!((await works(a, b)) && (await works(b, a)))) await new Promise((resolve) => setTimeout(resolve, 20))
      healedMs.push(performance.now() - healedAt)
    }
    expect(Math.min(...healedMs)).toBeLessThan(2000)
    // All of them, on a machine with nothing else to do.
    expect(Math.max(...healedMs)).toBeLessThan(6000)
    uncaught.release()
    expect(uncaught.errors).toEqual([])
  })

  it('lets no more through than the link has room for', async () => {
    const link = { rttMs: 20, cut: false, bandwidthMbps: 8 }
    const [a, b] = await pair(link)
    b.handle('sink', async () => 'taken')
    const bytes = 200_000
    const tookMs = await timed(() => a.call(idOf(b), 'sink', new Uint8Array(bytes), { deadlineMs: 5000 }))
    expect(tookMs).toBeGreaterThanOrEqual((bytes * 8) / 8000)
    link.bandwidthMbps = 800
    await once((bytes * 8) / 8000, () => a.call(idOf(b), 'sink', new Uint8Array(bytes), { deadlineMs: 5000 }))
  })

  it('makes dials hang during a cut, and lets them through afterwards', async () => {
    const link = { rttMs: 0, cut: true }
    const wrapTransport: TestHostOptions['wrapTransport'] = (factory) => wan(factory, () => link)
    const a = await open({ name: 'a', wrapTransport })
    const b = await open({ name: 'b' })
    const short = await timed(() => a.join(b.addresses[0]!, { deadlineMs: 200 }).catch(() => {}))
    expect(short).toBeGreaterThanOrEqual(190)
    const joining = a.join(b.addresses[0]!, { deadlineMs: 5000 })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(a.peers()).toEqual([])
    link.cut = false
    expect((await joining).node).toBe('b')
  })

  it('asks for the link by the address that was dialled, and leaves others alone', async () => {
    const asked = new Set<string>()
    const far: WanLink = { rttMs: 60, cut: false }
    const near: WanLink = { rttMs: 0, cut: false }
    const b = await open({ name: 'b' })
    const c = await open({ name: 'c' })
    const address = b.addresses[0]!.replace(/\/p2p\/.*/, '')
    const a = await open({
      name: 'a',
      wrapTransport: (factory) =>
        wan(factory, (remote) => {
          asked.add(remote)
          return remote === address ? far : near
        }),
    })
    await a.join(b.addresses[0]!, { deadlineMs: 5000 })
    await a.join(c.addresses[0]!, { deadlineMs: 5000 })
    expect(await timed(() => echo(a, b))).toBeGreaterThanOrEqual(59)
    await once(50, () => echo(a, c))
    expect(asked).toEqual(new Set([address, c.addresses[0]!.replace(/\/p2p\/.*/, '')]))
    // Dialled from outside of the emulation: not its to delay.
    const d = await open({ name: 'd' })
    await d.join(a.addresses[0]!, { deadlineMs: 5000 })
    await once(50, () => echo(d, a))
  })
})

describe('a connection through a third', () => {
  const SUSPECT_MS = 600
  /** a and b, 20 ms apart, and r, 60 ms from a and 40 ms from b. Links by whom they join. */
  async function triangle() {
    const links: Record<string, Changing> = {
      'a b': { rttMs: 20, cut: false },
      'a r': { rttMs: 60, cut: false },
      'b r': { rttMs: 40, cut: false },
    }
    const names = new Map<string, string>()
    const [first, second] = await orderedIdentities(2)
    const start = async (name: string, identity?: TestHostOptions['identity']): Promise<Host> => {
      const wrapTransport: TestHostOptions['wrapTransport'] = (factory) =>
        wan(factory, (remote) => links[[name, names.get(remote)].sort().join(' ')]!)
      const limits = { pingEveryMs: 100, suspectMs: SUSPECT_MS }
      const host = await open({ name, datacenter: name, wrapTransport, limits, ...(identity && { identity }) })
      names.set(wanted(host).addresses[0]!, name)
      return host
    }
    const [a, b, r] = [await start('a', first), await start('b', second), await start('r')]
    a.want([wanted(b), wanted(r)])
    b.want([wanted(a), wanted(r)])
    await until(() => [a, b, r].every((host) => host.peers().length === 2))
    return { a, b, r, links }
  }

  it('pays both links, and takes over and gives way without losing a call', { timeout: 60_000 }, async () => {
    const { a, b, r, links } = await triangle()
    links['a b']!.cut = true
    // As soon as the silence is long enough, and whoever of both begins.
    await until(() => (a.silentMs(idOf(b)) ?? 0) > SUSPECT_MS && (b.silentMs(idOf(a)) ?? 0) > SUSPECT_MS)
    const peer = await b.dialVia(idOf(a), idOf(r), { deadlineMs: 5000 })
    expect(peer.via?.node).toBe('r')
    await until(() => a.peer(idOf(b))?.via?.node === 'r')
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      expect(await once(105, () => echo(from, to))).toBeGreaterThanOrEqual(99.5)
      await until(() => (from.roundTripMs(idOf(to)) ?? 0) >= 99.5)
    }
    b.handle('slow', async () => {
      await new Promise((resolve) => setTimeout(resolve, 700))
      return 'done'
    })
    const slow = a.call(idOf(b), 'slow', null, { deadlineMs: 10_000 })
    links['a b']!.cut = false
    await until(() => a.peer(idOf(b))?.via === undefined && b.peer(idOf(a))?.via === undefined)
    expect(await slow).toBe('done')
    expect(await once(30, () => echo(a, b))).toBeGreaterThanOrEqual(19.5)
  })

  it('goes round a link that is cut one way, whichever side is deaf', { timeout: 60_000 }, async () => {
    for (const oneWay of ['to', 'from'] as const) {
      const { a, b, r, links } = await triangle()
      // The smaller id dials and elects: a is deaf to b, or b to a.
      links['a b']!.oneWay = oneWay
      const [deaf, other] = oneWay === 'to' ? [b, a] : [a, b]
      await until(() => (deaf.silentMs(idOf(other)) ?? 0) > SUSPECT_MS)
      expect(other.silentMs(idOf(deaf))).toBeLessThan(SUSPECT_MS)
      expect((await deaf.dialVia(idOf(other), idOf(r), { deadlineMs: 5000 })).via?.node).toBe('r')
      await until(() => other.peer(idOf(deaf))?.via?.node === 'r')
      expect(await echo(a, b)).toBe(1)
      expect(await echo(b, a)).toBe(1)
      links['a b'] = { rttMs: 20, cut: false }
      await until(() => a.peer(idOf(b))?.via === undefined && b.peer(idOf(a))?.via === undefined)
      await Promise.all([a.close(), b.close(), r.close()])
    }
  })

  it('is cut where one of its links is, and goes on when that heals soon', async () => {
    const { a, b, r, links } = await triangle()
    links['a b']!.cut = true
    await until(() => (a.silentMs(idOf(b)) ?? 0) > SUSPECT_MS)
    await a.dialVia(idOf(b), idOf(r), { deadlineMs: 5000 })
    const before = a.peer(idOf(b))
    expect(before?.via?.node).toBe('r')
    links['b r']!.cut = true
    const call = echo(a, b)
    expect(await works(a, b)).toBe(false)
    links['b r']!.cut = false
    expect(await call).toBe(1)
    expect(a.peer(idOf(b))).toBe(before)
  })
})
