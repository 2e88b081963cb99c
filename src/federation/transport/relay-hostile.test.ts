import { yamux } from '@chainsafe/libp2p-yamux'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { Connection, Libp2p, Stream, StreamHandler, Upgrader } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { pack } from 'msgpackr'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import {
  MESH,
  openTestHost,
  orderedIdentities,
  type TestHostOptions,
  trapUncaught,
  until,
} from '../../../test/support/hosts.ts'
import { systemClock } from '../../runtime/clock.ts'
import { silentLogger } from '../../runtime/logger.ts'
import type { Timer } from '../../runtime/ports.ts'
import { systemRandom } from '../../runtime/random.ts'
import type { Host } from '../host.ts'
import { devAuthority } from './authority.ts'
import { encodeCallFrame, VERSION_BYTE } from './call-wire.ts'
import { certifiedNoise } from './encrypter.ts'
import { encodeFrame } from './frames.ts'
import type { Identity } from './identity.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { CALL_PROTOCOL } from './links.ts'
import { thriftyYamux } from './muxer.ts'
import { PeerBuckets } from './peer-buckets.ts'
import { RELAY_PROTOCOL, RELAYED_PROTOCOL } from './relay.ts'
import { encodeRelayRequest } from './relay-wire.ts'
import { RelayedConnection } from './relayed-connection.ts'
import { Toll } from './toll.ts'

const hosts: Host[] = []
const nodes: Libp2p[] = []
const timers: Timer[] = []
const uncaught = trapUncaught()
afterEach(async () => {
  for (const timer of timers.splice(0)) timer.cancel()
  await Promise.all(nodes.splice(0).map((node) => node.stop()))
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})
afterAll(() => {
  uncaught.release()
  expect(uncaught.errors).toEqual([])
})

const open = async (identity: Identity, limits: TestHostOptions['limits'] = {}): Promise<Host> => {
  const host = await openTestHost({ name: 'victim', identity, limits })
  hosts.push(host)
  return host
}

const GOSSIP = ['1.3.0', '1.2.0', '1.1.0', '1.0.0'].map((version) => `/meshsub/${version}`)

/** A bare libp2p node with the certificate of a server, which does what the test says. */
async function rawServer(
  identity: Identity,
  handlers: Readonly<Record<string, StreamHandler>> = {},
  mesh = MESH,
): Promise<Libp2p> {
  const authority = devAuthority(mesh)
  const certificate = await authority.issue({
    datacenter: 'evil-1',
    role: 'server',
    node: 'evil',
    nodeId: systemRandom.uuid(),
    publicKey: identity.publicKey,
    nowMs: systemClock.wallMs(),
  })
  const encrypter = certifiedNoise({
    selfPeerId: '',
    bootId: systemRandom.uuid(),
    uptimeMs: () => 0,
    admit: async () => {},
    refusedAsTwin() {},
    metSelf: () => {
      throw new Error('never')
    },
    capabilities: [],
    clock: systemClock,
    random: systemRandom,
    certificate: () => certificate,
    verify: (bytes) => authority.verify(bytes, systemClock.wallMs()),
    wanted: () => true,
    lost: () => '',
    onSecured() {},
    onRefused() {},
  })
  const node = await createLibp2p({
    privateKey: privateKeyFromRaw(Buffer.concat([identity.seed, identity.publicKey])),
    transports: [tcp()],
    connectionEncrypters: [encrypter as never],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: 1 << 20 } })],
    connectionMonitor: { enabled: false },
  })
  nodes.push(node)
  // Servers gossip; one that does not is hung up on.
  for (const protocol of GOSSIP) await node.handle(protocol, () => {})
  for (const [protocol, handler] of Object.entries(handlers)) await node.handle(protocol, handler)
  return node
}

/** The smaller id opens the call stream: the evil one, here. */
async function connect(node: Libp2p, host: Host): Promise<Connection> {
  const connection = await node.dial(multiaddr(host.addresses[0]!))
  const calls = await connection.newStream(CALL_PROTOCOL)
  // Signs of life: who says nothing is hung up on.
  const ping = encodeFrame(VERSION_BYTE, encodeCallFrame({ type: 'ping', sequence: 1 })).subarray()
  const pings = systemClock.every(500, () => {
    if (calls.writeStatus === 'writable') calls.send(ping)
    else pings.cancel()
  })
  timers.push(pings)
  await until(() => host.peer(node.peerId.toString()))
  await connection.newStream(GOSSIP)
  return connection
}

const ended = async (stream: Stream): Promise<void> => {
  await until(() => stream.status !== 'open' || stream.remoteWriteStatus === 'closed')
}

describe('a relay', () => {
  it('makes a flood wait for a reader that does not read, and holds little', { timeout: 30_000 }, async () => {
    const [first, second, largest] = await orderedIdentities(3)
    const host = await open(largest!)
    const taken = Promise.withResolvers<Stream>()
    const reader = await rawServer(second!, {
      [RELAYED_PROTOCOL]: (stream) => {
        stream.pause()
        taken.resolve(stream)
      },
    })
    const flooder = await rawServer(first!)
    await connect(reader, host)
    const stream = await (await connect(flooder, host)).newStream(RELAY_PROTOCOL)
    stream.send(encodeFrame(encodeRelayRequest(reader.peerId.toString())))
    await taken.promise
    const chunk = new Uint8Array(64 << 10)
    let sent = 0
    const endMs = systemClock.nowMs() + 1500
    while (systemClock.nowMs() < endMs) {
      for (let at = 0; at < 16 && stream.writeBufferLength < 1 << 20; at++) {
        stream.send(chunk)
        sent += chunk.byteLength
      }
      await systemClock.sleep(1)
    }
    const carried = sent - stream.writeBufferLength
    // A window at either side, and what the relay holds in between. Unbounded, hundreds of MB get through in that time.
    expect(carried).toBeGreaterThan(1 << 20)
    expect(carried).toBeLessThan(5 << 20)
    // Others are served meanwhile.
    expect(host.peers()).toHaveLength(2)
  })

  it('slows a connection down to its rate', { timeout: 30_000 }, async () => {
    const [first, second, largest] = await orderedIdentities(3)
    const host = await open(largest!, { relayBytesPerSecond: 1 << 20 })
    let received = 0
    const reader = await rawServer(second!, {
      [RELAYED_PROTOCOL]: (stream) =>
        stream.addEventListener('message', ({ data }) => {
          received += data.byteLength
        }),
    })
    const flooder = await rawServer(first!)
    await connect(reader, host)
    const stream = await (await connect(flooder, host)).newStream(RELAY_PROTOCOL)
    stream.send(encodeFrame(encodeRelayRequest(reader.peerId.toString())))
    const beganMs = systemClock.nowMs()
    for (let at = 0; at < 48; at++) stream.send(new Uint8Array(64 << 10))
    await until(() => received >= 48 * (64 << 10), 20_000)
    // A second's worth goes at once, and a window's may be read in one go beyond it.
    expect(systemClock.nowMs() - beganMs).toBeGreaterThan(800)
  })

  it('refuses what it cannot read, and who says nothing', async () => {
    const [first, largest] = await orderedIdentities(2)
    const host = await open(largest!, { dialMs: 400, inboundHandshakeMs: 400 })
    const connection = await connect(await rawServer(first!), host)
    const bad = [
      encodeFrame(pack('no array')).subarray(),
      encodeFrame(pack([1, 7])).subarray(),
      encodeFrame(pack([0, 'x'])).subarray(),
      encodeFrame(Uint8Array.of(0xc1)).subarray(),
      encodeFrame(encodeRelayRequest('x'.repeat(500))).subarray(),
      Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 1),
      new Uint8Array(0),
    ]
    for (const protocol of [RELAY_PROTOCOL, RELAYED_PROTOCOL]) {
      for (const bytes of bad) {
        const stream = await connection.newStream(protocol)
        if (bytes.byteLength > 0) stream.send(bytes)
        await ended(stream)
      }
    }
    expect(host.peers()).toHaveLength(1)
  })
})

describe('who comes through a relay', () => {
  /** A relay of ours opens a stream to the victim for a peer, and `speaker` does the handshake on it. */
  async function comeAs(claimed: string, speaker: Libp2p, relay: Libp2p, host: Host): Promise<void> {
    const stream = await (await connect(relay, host)).newStream(RELAYED_PROTOCOL)
    stream.send(encodeFrame(encodeRelayRequest(claimed)))
    const inner = new RelayedConnection({
      stream,
      direction: 'outbound',
      remoteAddr: multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${host.self.peerId}`),
      log: stream.log,
    })
    const buckets = new PeerBuckets(systemClock)
    const about = { selfDatacenter: 'eu-1', limits: DEFAULT_LIMITS, buckets }
    const toll = new Toll({ ...about, clock: systemClock, logger: silentLogger })
    const { components } = speaker as unknown as { components: { upgrader: Upgrader } }
    const connection = await components.upgrader.upgradeOutbound(inner, {
      signal: AbortSignal.timeout(3000),
      muxerFactory: thriftyYamux(DEFAULT_LIMITS, toll)(),
    })
    await connection.newStream(CALL_PROTOCOL)
  }

  it('is taken with a certificate and key of its own', async () => {
    const [first, second, largest] = await orderedIdentities(3)
    const host = await open(largest!)
    const speaker = await rawServer(second!)
    await comeAs(speaker.peerId.toString(), speaker, await rawServer(first!), host)
    await until(() => host.peer(speaker.peerId.toString())?.via)
  })

  it('must be who the relay says', async () => {
    const [first, second, largest] = await orderedIdentities(3)
    const host = await open(largest!)
    const claimed = (await rawServer(second!)).peerId.toString()
    const relay = await rawServer(first!)
    await expect(comeAs(claimed, relay, relay, host)).rejects.toThrow()
    expect(host.peers().map(({ peerId, via }) => [peerId, via])).toEqual([[relay.peerId.toString(), undefined]])
  })

  it('must have a certificate of the mesh, whoever passes it on', async () => {
    const [first, second, largest] = await orderedIdentities(3)
    const host = await open(largest!)
    const outsider = await rawServer(second!, {}, 'another mesh')
    const relay = await rawServer(first!)
    await expect(comeAs(outsider.peerId.toString(), outsider, relay, host)).rejects.toThrow()
    expect(host.peers().map(({ peerId }) => peerId)).toEqual([relay.peerId.toString()])
  })
})
