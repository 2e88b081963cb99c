import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../runtime/logger.ts'
import { VirtualClock } from '../../runtime/virtual.ts'
import type { RelayPeer } from '../host.ts'
import type { Secured } from './encrypter.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { Links } from './links.ts'
import { PeerBuckets } from './peer-buckets.ts'

const VIA: RelayPeer = { peerId: 'r', node: 'r', datacenter: 'ap-1' }

/** As much of a stream as a call channel uses; nobody is at the other end. */
class SilentStream extends EventTarget {
  status = 'open'
  writeBufferLength = 0
  send(): boolean {
    return true
  }
  abort(): void {
    this.status = 'aborted'
  }
}

class FakeConnection extends EventTarget {
  readonly timeline = {}
  readonly remoteAddr = multiaddr('/ip4/127.0.0.1/tcp/1')
  readonly direction = 'inbound'
  status = 'open'
  readonly #stream = Promise.withResolvers<Stream>()
  newStream(): Promise<Stream> {
    return this.#stream.promise
  }
  /** The call stream is open. */
  open(): void {
    this.#stream.resolve(new SilentStream() as unknown as Stream)
  }
  abort(): void {
    this.status = 'aborted'
  }
}

/** Links of `a`, which elects among the connections with `b`. */
class Bench {
  readonly clock = new VirtualClock()
  readonly events: string[] = []
  readonly links: Links

  constructor() {
    this.links = new Links({
      buckets: new PeerBuckets(this.clock),
      selfPeerId: 'a',
      selfDatacenter: 'eu-1',
      selfRole: 'server',
      clock: this.clock,
      logger: silentLogger,
      limits: DEFAULT_LIMITS,
      handler: () => undefined,
      certificateEnd: () => undefined,
      onUp: ({ via }) => this.events.push(`up ${via?.node ?? 'direct'}`),
      onDown: ({ via }) => this.events.push(`down ${via?.node ?? 'direct'}`),
      onGone: () => this.events.push('gone'),
    })
    this.clock.every(DEFAULT_LIMITS.pingEveryMs, () => this.links.tick())
  }

  connect(connectionId: string, via?: RelayPeer): FakeConnection {
    const fake = new FakeConnection()
    const identity = { peerId: 'b', datacenter: 'us-1', datacenterId: 'u', node: 'b', nodeId: 'b', role: 'server' }
    const secured = { connectionId, identity, certificate: { notAfter: Number.MAX_VALUE }, bootId: '1', lost: '' }
    this.links.secured(fake.timeline, secured as unknown as Secured)
    if (via !== undefined) this.links.relayed(fake.timeline, via)
    this.links.opened(fake as unknown as Connection)
    return fake
  }
}

describe('a direct connection that is being opened', () => {
  it('is not silent: a relayed one waits beside it, however long that takes, and goes when it is up', async () => {
    const bench = new Bench()
    const direct = bench.connect('1')
    await bench.clock.advance(DEFAULT_LIMITS.suspectMs + 300)
    const relayed = bench.connect('2', VIA)
    expect([direct.status, relayed.status, bench.events]).toEqual(['open', 'open', []])
    direct.open()
    await bench.clock.advance(1)
    expect(bench.events).toEqual(['up direct', 'gone'])
    expect([direct.status, relayed.status]).toEqual(['open', 'aborted'])
  })

  it('gives way to the relayed one when it ends', async () => {
    const bench = new Bench()
    const direct = bench.connect('1')
    const relayed = bench.connect('2', VIA)
    relayed.open()
    await bench.clock.advance(100)
    expect(bench.events).toEqual([])
    direct.dispatchEvent(new Event('close'))
    await bench.clock.advance(1)
    expect(bench.events).toEqual(['gone', 'up r'])
  })

  it('gives way to the relayed one when it takes too long, and to nothing at all only at its deadline', async () => {
    const alone = new Bench()
    const direct = alone.connect('1')
    await alone.clock.advance(DEFAULT_LIMITS.dialMs - 1)
    expect(direct.status).toBe('open')
    await alone.clock.advance(1)
    expect(direct.status).toBe('aborted')

    const bench = new Bench()
    const hangs = bench.connect('1')
    await bench.clock.advance(1000)
    bench.connect('2', VIA).open()
    await bench.clock.advance(2 * DEFAULT_LIMITS.suspectMs - 1000)
    expect(hangs.status).toBe('open')
    await bench.clock.advance(600)
    expect(hangs.status).toBe('aborted')
    expect(bench.events).toEqual(['gone', 'up r'])
  })

  it('has one relayed one wait beside it, not more', () => {
    const bench = new Bench()
    bench.connect('1')
    const [first, second] = [bench.connect('2', VIA), bench.connect('3', VIA)]
    expect([first.status, second.status]).toEqual(['open', 'aborted'])
  })
})
