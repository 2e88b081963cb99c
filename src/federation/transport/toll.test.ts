import type { Uint8ArrayList } from 'uint8arraylist'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../runtime/logger.ts'
import type { Logger } from '../../runtime/ports.ts'
import { VirtualClock } from '../../runtime/virtual.ts'
import type { PeerIdentity } from '../host.ts'
import type { FrameHeader } from './muxer.ts'
import { PeerBuckets } from './peer-buckets.ts'
import { type Charged, Toll } from './toll.ts'

const peer = (peerId: string, datacenter = 'us-1'): PeerIdentity => ({
  peerId,
  datacenter,
  datacenterId: 'id',
  node: peerId,
  nodeId: peerId,
  role: 'server',
})
const OWN = { perSecond: 1000, burst: 1000 }
const FOREIGN = { perSecond: 100, burst: 100 }
const DATA = 0
const PING = 2
const BROKEN = 9

interface Message {
  readonly byteLength: number
  readonly frames?: readonly FrameHeader[]
}

/** A connection with a muxer on it, which hands over messages as libp2p does. */
class Connected implements Charged {
  readStatus: Charged['readStatus'] = 'readable'
  readonly muxer = new Frames()
  #waiting: Message[] = []
  #onClose: () => void = () => {}

  pause(): void {
    this.readStatus = 'paused'
  }
  /** What waited is handed over at once, and a pause meanwhile is undone. */
  resume(): void {
    this.readStatus = 'readable'
    for (const message of this.#waiting.splice(0)) this.muxer.onData(message as never)
    this.readStatus = 'readable'
  }
  addEventListener(_type: 'close', listener: () => void): void {
    this.#onClose = listener
  }
  close(): void {
    this.readStatus = 'closed'
    this.#onClose()
  }
  abort(): void {
    this.close()
  }
  onData(message: Message): void {
    if (message.byteLength === 0) return
    if (this.readStatus === 'paused') this.#waiting.push(message)
    else if (this.readStatus === 'readable') this.muxer.onData(message as never)
  }
  receive(type: number, streamID: number): void {
    this.onData({ byteLength: 30, frames: [{ type, flag: 0, streamID, length: 0 }] })
  }
}

class Frames {
  readonly streams = [{ streamId: 7 }]
  readonly opened: number[] = []
  readonly handled: number[] = []
  resets = 0
  aborted = false
  readonly #here: { readonly header: FrameHeader }[] = []
  readonly decoder = {
    buffer: {
      append: ({ frames = [] }: Message) => void this.#here.push(...frames.map((header) => ({ header }))),
    } as unknown as Uint8ArrayList,
    readFrame: () => this.#here.shift(),
  }
  onData(_data: unknown): void {
    throw new Error('not charged')
  }
  handleFrame({ header }: { readonly header: FrameHeader }): void {
    if (header.type === BROKEN) throw new Error('a frame of no type')
    this.handled.push(header.streamID)
  }
  incomingStream(streamID: number): void {
    this.opened.push(streamID)
  }
  sendFrame(): void {
    this.resets++
  }
  abort(): void {
    this.aborted = true
  }
}

function setUp(logger: Logger = silentLogger) {
  const clock = new VirtualClock()
  const limits = { ownFrames: OWN, foreignFrames: FOREIGN, newStreams: { perSecond: 1, burst: 5 } }
  const toll = new Toll({ selfDatacenter: 'eu-1', limits, buckets: new PeerBuckets(clock), clock, logger })
  const connect = (identity: PeerIdentity): Connected => {
    const connected = new Connected()
    toll.identified(connected, identity)
    toll.charge(connected.muxer, connected)
    return connected
  }
  return { clock, toll, connect }
}

/** What microtasks have to do. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function sendUntilUnread(connected: Connected, send: () => void, most = 5000): Promise<number> {
  for (let sent = 1; sent <= most; sent++) {
    send()
    await Promise.resolve()
    if (connected.readStatus !== 'readable') return sent
  }
  return most
}

describe('frames are paid for', () => {
  it.each([
    ['a ping', 100, (one: Connected) => one.receive(PING, 0)],
    ['a frame of a stream that is not open', 100, (one: Connected) => one.receive(DATA, 9)],
    ['an empty message', 100, (one: Connected) => one.onData({ byteLength: 0 })],
    ['a small part of a frame', 100, (one: Connected) => one.onData({ byteLength: 5 })],
    ['a frame of an open stream: a tenth', 1000, (one: Connected) => one.receive(DATA, 7)],
    ['a large part of a frame: nothing', 5000, (one: Connected) => one.onData({ byteLength: 1024 })],
  ])('%s', async (_name, expected, send) => {
    const { connect } = setUp()
    const connected = connect(peer('a'))
    expect(Math.abs((await sendUntilUnread(connected, () => send(connected))) - expected)).toBeLessThanOrEqual(1)
  })

  it('at another rate in the own DC', async () => {
    const connected = setUp().connect(peer('a', 'eu-1'))
    expect(await sendUntilUnread(connected, () => connected.receive(PING, 0))).toBeGreaterThanOrEqual(1000)
  })

  it('and a connection that was not identified is left as it is', () => {
    const { toll } = setUp()
    const connected = new Connected()
    toll.charge(connected.muxer, connected)
    expect(() => connected.receive(PING, 0)).toThrow('not charged')
  })
})

/** Pings, told apart by what stands for a stream. */
const pings = (count: number): FrameHeader[] =>
  Array.from({ length: count }, (_, i) => ({ type: PING, flag: 0, streamID: 1000 + i, length: 0 }))

it.each([
  ['one by one', 1],
  ['many in a message', 400],
])('who has nothing left waits, and loses nothing, in order: %s', async (_name, together) => {
  const { clock, connect } = setUp()
  const connected = connect(peer('a'))
  const all = pings(1200)
  for (let i = 0; i < all.length; i += together) {
    connected.onData({ byteLength: 12 * together, frames: all.slice(i, i + together) })
  }
  const { handled } = connected.muxer
  expect(handled).toHaveLength(100)
  // In the long run 100 a second, and never many at once.
  for (let second = 1; second <= 10; second++) {
    await clock.advance(1000)
    expect(connected.readStatus).toBe('paused')
    expect(Math.abs(handled.length - 100 - 100 * second)).toBeLessThanOrEqual(5)
  }
  await clock.advance(2000)
  expect(handled).toEqual(all.map(({ streamID }) => streamID))
  expect(connected.readStatus).toBe('readable')
  expect(clock.pendingTimers).toBe(0)
})

it('what cannot be read ends the connection, also when it waited', async () => {
  const { clock, connect } = setUp()
  const connected = connect(peer('a'))
  const broken = { type: BROKEN, flag: 0, streamID: 1, length: 0 }
  connected.onData({ byteLength: 900, frames: [...pings(150), broken, ...pings(10)] })
  expect(connected.readStatus).toBe('paused')
  await clock.advance(2000)
  expect(connected.muxer.aborted).toBe(true)
  expect(connected.readStatus).toBe('closed')
  expect(connected.muxer.handled).toHaveLength(150)
  expect(clock.pendingTimers).toBe(0)
})

it('coming back gains no streams', () => {
  const { connect } = setUp()
  for (const [opened, resets] of [
    [5, 5],
    [0, 10],
  ]) {
    const connected = connect(peer('a'))
    for (let id = 1; id <= 10; id++) connected.muxer.incomingStream(id)
    expect([connected.muxer.opened.length, connected.muxer.resets]).toEqual([opened, resets])
    connected.close()
  }
})

it('coming back gains no frames, and others pay for themselves', async () => {
  const { connect } = setUp()
  const first = connect(peer('a'))
  await sendUntilUnread(first, () => first.receive(PING, 0))
  first.close()
  const second = connect(peer('a'))
  expect(await sendUntilUnread(second, () => second.receive(PING, 0))).toBeLessThan(3)
  const other = connect(peer('b'))
  expect(await sendUntilUnread(other, () => other.receive(PING, 0))).toBeGreaterThan(90)
})

it('leaves no timer behind when the connection ends, before it waits or while', async () => {
  const { clock, connect } = setUp()
  const waiting = connect(peer('a'))
  await sendUntilUnread(waiting, () => waiting.receive(PING, 0))
  expect(clock.pendingTimers).toBe(1)
  waiting.close()
  expect(clock.pendingTimers).toBe(0)
  const ending = connect(peer('b'))
  for (let i = 0; i < 200; i++) ending.receive(PING, 0)
  ending.close()
  await settled()
  expect(clock.pendingTimers).toBe(0)
})

it('says so, once in ten seconds for each peer', async () => {
  const warned: unknown[] = []
  const { clock, connect } = setUp({ ...silentLogger, warn: ({ node }) => warned.push(node) })
  const a = connect(peer('a'))
  const b = connect(peer('b'))
  for (let i = 0; i < 5; i++) {
    for (const one of [a, b]) await sendUntilUnread(one, () => one.receive(PING, 0))
    await clock.advance(1000)
  }
  const again = connect(peer('a'))
  await sendUntilUnread(again, () => again.receive(PING, 0))
  expect(warned).toEqual(['a', 'b'])
  await clock.advance(10_000)
  await sendUntilUnread(a, () => a.receive(PING, 0))
  expect(warned).toEqual(['a', 'b', 'a'])
})
