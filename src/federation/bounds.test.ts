/** What one DC, or one peer, can cost the others. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Logger } from '../runtime/ports.ts'
import { HELLO } from './greeting.ts'
import type { FrameStream } from './host.ts'
import { GOSSIP_ALLOWANCE } from './protocol/allowance.ts'
import { seal } from './protocol/head.ts'
import { encodeHello } from './protocol/hello.ts'
import type { BeaconMessage } from './protocol/messages.ts'
import { encodeFrame, TAIL_PROTOCOL } from './protocol/tail.ts'
import { allHold, holds } from './testing/compare.ts'
import type { MemoryHost } from './testing/memory-host.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'

const warnings: string[] = []
const logger: Logger = {
  debug() {},
  info() {},
  warn: (_fields, message) => warnings.push(message),
  error() {},
  child: () => logger,
}

let mesh: MemoryMesh
let eu: MemoryNode
let us: MemoryNode
let ap: MemoryNode
/** A second gateway of us-1, which says what the test wants. */
let evil: MemoryHost
beforeEach(async () => {
  mesh = new MemoryMesh(71, { link: { delayMs: 20 } })
  mesh.logger = logger
  const nodes = (await mesh.startAll('eu-1', 'us-1', 'ap-1')) as [MemoryNode, MemoryNode, MemoryNode]
  ;[eu, us, ap] = nodes
  for (const node of nodes) node.source.write({ web: node.datacenter })
  await mesh.until(() => allHold(nodes))
  const { datacenter, datacenterId } = us.host.self
  const self = { datacenter, datacenterId, node: 'evil', nodeId: 'node-evil', role: 'server' } as const
  evil = mesh.network.host({ ...self, peerId: 'peer-evil' })
  await mesh.settle(evil.join(eu.host.addresses[0]!))
  await mesh.clock.advance(2000)
  warnings.length = 0
})
afterEach(() => mesh.close())

const remote = (datacenter: string) => eu.federation.remote(datacenter)!

let said = 0
/** Beacons of `evil` as fast as may be, each newer than the last. */
function flood(
  count: number,
  change: (message: BeaconMessage, i: number) => BeaconMessage = (message) => message,
): void {
  const { datacenter, datacenterId } = us.host.self
  const { epoch } = us.source
  const revision = us.source.revision()
  const digest = new Uint8Array(Buffer.from(remote('us-1').digest, 'hex'))
  const boot = Math.floor(mesh.clock.wallMs()) * 1024
  for (let sequence = said + 1; sequence <= said + count; sequence++) {
    const head = { datacenter, datacenterId, epoch, revision, lastExported: revision, digest, boot, sequence }
    const message: BeaconMessage = { type: 'beacon', datacenter, datacenterId, head, addresses: ['/x'], suspects: [] }
    evil.publish(seal(evil, change(message, sequence)))
  }
  said += count
}

describe('a datacenter that says too much', () => {
  it('is marked and not heard beyond its allowance, others are; afterwards it is as before', async () => {
    const { burst, perSecond } = GOSSIP_ALLOWANCE.messages
    for (let i = 0; i < 10; i++) {
      flood(1000)
      await mesh.clock.advance(50)
    }
    await mesh.clock.advance(100)
    const { refused } = remote('us-1').counters
    expect(refused).toBeGreaterThan(10_000 - burst - perSecond)
    expect(refused).toBeLessThanOrEqual(10_000 - burst)
    expect([remote('us-1').limited, remote('us-1').state]).toEqual([true, 'live'])
    expect([remote('ap-1').limited, remote('ap-1').counters.refused]).toEqual([false, 0])
    expect(eu.host.peer('peer-evil')).toBeDefined()
    // ap-1 never hears of it: what is refused is not passed on.
    expect(warnings.filter((text) => text.includes('more than is accepted'))).toHaveLength(1)
    ap.source.write({ web: 'new' })
    expect(await mesh.until(() => holds(eu, ap))).toBeLessThan(50)
    // What us-1 really did comes by its tail meanwhile.
    us.source.write({ web: 'new' })
    await mesh.until(() => holds(eu, us), 3000)
    await mesh.clock.advance(11_000)
    expect([remote('us-1').limited, remote('us-1').state]).toEqual([false, 'live'])
  })

  it('is heard in full in an honest burst of 2,000 changes a second', async () => {
    for (let i = 0; i < 2000; i++) {
      us.source.write({ [`key-${i % 100}`]: `${i}` })
      if (i % 2 === 1) await mesh.clock.advance(1)
    }
    await mesh.until(() => holds(eu, us) && holds(ap, us), 1000)
    expect(remote('us-1').limited).toBe(false)
    expect(remote('us-1').counters).toMatchObject({ refused: 0, repairs: 0 })
  })

  it('cannot have others dial new addresses without end', async () => {
    let wants = 0
    const want = eu.host.want.bind(eu.host)
    eu.host.want = (peers) => {
      wants++
      want(peers)
    }
    flood(1000, (message, i) => ({ ...message, addresses: [`/ip4/10.0.0.1/tcp/${i}`] }))
    await mesh.clock.advance(1000)
    expect(wants).toBeLessThan(70)
    expect(remote('us-1').limited).toBe(true)
  })
})

describe('a peer that asks too much', () => {
  const open = async (count: number): Promise<{ streams: FrameStream[]; ended: Set<FrameStream> }> => {
    const ended = new Set<FrameStream>()
    const streams: FrameStream[] = []
    for (let i = 0; i < count; i++) {
      const stream = await mesh.settle(evil.openStream(eu.host.self.peerId, TAIL_PROTOCOL))
      streams.push(stream)
      void (async () => {
        for await (const _ of stream.frames());
      })().then(
        () => ended.add(stream),
        () => ended.add(stream),
      )
    }
    await mesh.clock.advance(200)
    return { streams, ended }
  }
  const ask = (attempt: number, datacenter = 'eu-1'): Uint8Array =>
    encodeFrame({
      type: 'ask',
      attempt,
      datacenter,
      epoch: { generation: 0, random: '' },
      since: 0,
      mode: 'snapshot',
      buckets: null,
      resumeId: '',
      resumeFrame: 0,
    })

  const PLACES = 8

  it('has so many tails, and others have theirs', async () => {
    const { ended } = await open(100)
    expect(100 - ended.size).toBe(PLACES)
    eu.source.write({ web: 'new' })
    expect(await mesh.until(() => holds(ap, eu))).toBeLessThan(50)
  })

  it('is answered at a pace, on all its tails together', async () => {
    const { streams } = await open(10)
    const { reads } = eu.source.counters
    for (let i = 1; i <= 400; i++) {
      for (const stream of streams) void stream.send(ask(i)).catch(() => {})
      await mesh.clock.advance(25)
    }
    // Nothing is read from the store for them.
    expect(eu.source.counters.reads).toBe(reads)
    const frames = mesh.network.counters.frames
    await mesh.clock.advance(1000)
    expect(mesh.network.counters.frames - frames).toBeLessThan(100)
  })

  it('leaves no place taken when it goes, however much it had asked', async () => {
    const { streams } = await open(PLACES)
    for (let i = 1; i <= 100; i++) for (const stream of streams) void stream.send(ask(i, 'ap-1')).catch(() => {})
    await mesh.clock.advance(500)
    await evil.disconnect(eu.host.self.peerId)
    await mesh.settle(evil.join(eu.host.addresses[0]!))
    await mesh.clock.advance(1200)
    const { ended } = await open(PLACES)
    expect(ended.size).toBe(0)
  })

  it('is told that it greets too often', async () => {
    const hello = encodeHello({ positions: [], records: [], proof: null })
    const outcomes = await mesh.settle(
      Promise.allSettled(
        Array.from({ length: 100 }, () => evil.call(eu.host.self.peerId, HELLO, hello, { deadlineMs: 1000 })),
      ),
    )
    const refused = outcomes.filter((each) => each.status === 'rejected' && each.reason.code === 'overloaded')
    expect(refused.length).toBeGreaterThanOrEqual(80)
  })
})
