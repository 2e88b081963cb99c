import type { Connection, ConnectionEncrypter, Libp2p, Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { pack } from 'msgpackr'
import { afterEach, describe, expect, it } from 'vitest'
import { certifiedNode, type Encrypter, rawNode } from '../../../test/support/hostile-peer.ts'
import { openTestHost, orderedIdentities, trapUncaught, until } from '../../../test/support/hosts.ts'
import type { Logger } from '../../runtime/ports.ts'
import { systemRandom } from '../../runtime/random.ts'
import type { Host } from '../host.ts'
import { encodeFrame } from './frames.ts'
import { freshIdentity, type Identity } from './identity.ts'
import { CALL_PROTOCOL } from './links.ts'
import { portableNoise } from './noise.ts'

/** A peer that has the keys and certificates of a node, and says what the test wants. */
const hosts: Host[] = []
const nodes: Libp2p[] = []
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()))
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})

const warnings: string[] = []
const logger: Logger = {
  debug() {},
  info() {},
  warn: (fields, message) => warnings.push(`${message}: ${fields.reason ?? ''}`),
  error() {},
  child: () => logger,
}

async function open(identity?: Identity): Promise<Host> {
  const host = await openTestHost({ name: 'victim', logger, ...(identity && { identity }) })
  hosts.push(host)
  return host
}

const kept = (node: Libp2p): Libp2p => {
  nodes.push(node)
  return node
}

/** Connects, with the call stream open. */
async function connect(): Promise<{ host: Host; connection: Connection; stream: Stream }> {
  // The smaller id opens the call stream: the evil one, here.
  const [small, large] = await orderedIdentities(2)
  const host = await open(large)
  const node = kept(await certifiedNode(small!))
  const connection = await node.dial(multiaddr(host.addresses[0]!))
  const stream = await connection.newStream(CALL_PROTOCOL)
  await until(() => host.peers().length === 1)
  return { host, connection, stream }
}

const CASES: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ['an unknown version', encodeFrame(Uint8Array.of(9), pack([1, 1, 1])).subarray(), /version 9/],
  ['an unknown type', encodeFrame(Uint8Array.of(1), pack([77])).subarray(), /type 77/],
  ['no msgpack', encodeFrame(Uint8Array.of(1, 0xc1)).subarray(), /cannot be read/],
  ['an empty frame', encodeFrame().subarray(), /version undefined/],
  ['nesting without end', encodeFrame(Uint8Array.of(1), new Uint8Array(200_000).fill(0x91)).subarray(), /no msgpack/],
  ['a frame of 2 GB', Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 1), /bytes; at most/],
  ['an id that is none', encodeFrame(Uint8Array.of(1), pack([0, 1.5, 'm', 0, 1])).subarray(), /id/],
  ['a false certificate', encodeFrame(Uint8Array.of(1), pack([6, new Uint8Array(9)])).subarray(), /certificate/],
]

describe('a peer that breaks the protocol is hung up on, with a reason in the log', () => {
  it.each(CASES)('%s', async (_name, bytes, reason) => {
    const uncaught = trapUncaught()
    const { host, connection, stream } = await connect()
    warnings.length = 0
    stream.send(bytes)
    await until(() => host.peers().length === 0)
    await until(() => connection.status !== 'open')
    expect(warnings.join('\n')).toMatch(reason)
    // Others are served as before.
    const friend = await openTestHost({ name: 'friend' })
    hosts.push(friend)
    expect((await friend.join(host.addresses[0]!, { deadlineMs: 5000 })).node).toBe('victim')
    uncaught.release()
    expect(uncaught.errors).toEqual([])
  })

  it('a second call stream, or one that is not its to open', async () => {
    const { host, connection } = await connect()
    await connection.newStream(CALL_PROTOCOL)
    await until(() => host.peers().length === 0)
  })

  const header = (stream: Stream, version: number, type: number, length: number): Buffer => {
    const bytes = Buffer.from([version, type, ...Array.from({ length: 10 }, () => 0)])
    bytes.writeUInt32BE(Number(stream.id), 4)
    bytes.writeUInt32BE(length, 8)
    return bytes
  }

  it.each([
    ['of 4 GB, before it has come', 0, 0, 0xffff_ffff],
    ['of another version', 7, 0, 0],
    ['of no type', 0, 9, 0],
    ['beyond the window', 0, 0, 1 << 20],
  ])('a muxed frame %s', async (_name, version, type, length) => {
    const uncaught = trapUncaught()
    const { host, connection, stream } = await connect()
    const { muxer } = connection as unknown as { muxer: { maConn: Stream } }
    muxer.maConn.send(header(stream, version, type, length))
    if (length === 1 << 20) muxer.maConn.send(Buffer.alloc(length))
    await until(() => host.peers().length === 0)
    await until(() => connection.status !== 'open')
    uncaught.release()
    expect(uncaught.errors).toEqual([])
  })

  it.each([
    ['cannot be decrypted', [0, 40, ...Array.from({ length: 40 }, (_, i) => i)]],
    ['is shorter than its seal', [0, 3, 1, 2, 3]],
    ['is empty, and others behind it', [0, 0]],
  ])('a frame of Noise that %s', async (_name, bytes) => {
    const uncaught = trapUncaught()
    const { host, connection } = await connect()
    const { muxer } = connection as unknown as { muxer: { maConn: { stream: Stream } } }
    muxer.maConn.stream.send(Uint8Array.from(bytes))
    // What comes behind it cannot be told from it any more.
    muxer.maConn.stream.send(new Uint8Array(600).fill(1))
    await until(() => host.peers().length === 0)
    await until(() => connection.status !== 'open')
    uncaught.release()
    expect(uncaught.errors).toEqual([])
  })

  it('a call id twice', async () => {
    const { host, stream } = await connect()
    host.handle('wait', () => new Promise(() => {}))
    const frame = encodeFrame(Uint8Array.of(1), pack([0, 5, 'wait', null, 60_000])).subarray()
    stream.send(frame)
    stream.send(frame)
    await until(() => host.peers().length === 0)
  })

  it('one that does not read its answers', async () => {
    const [small, large] = await orderedIdentities(2)
    const host = await openTestHost({
      identity: large!,
      logger,
      limits: { maxCallBacklogBytes: 128 << 10, maxCallBytes: 128 << 10, maxSilenceMs: 60_000 },
    })
    hosts.push(host)
    host.handle('big', async () => new Uint8Array(100_000))
    const node = kept(await certifiedNode(small!))
    const connection = await node.dial(multiaddr(host.addresses[0]!))
    const stream = await connection.newStream(CALL_PROTOCOL)
    stream.pause()
    await until(() => host.peers().length === 1)
    warnings.length = 0
    let id = 0
    await until(() => {
      // Errors and pongs add up too, once there is no room for answers.
      for (let i = 0; i < 200 && stream.status === 'open'; i++) {
        stream.send(encodeFrame(Uint8Array.of(1), pack([0, ++id, 'big', null, 60_000])))
      }
      return host.peers().length === 0
    }, 50_000)
    expect(warnings.join('\n')).toMatch(/does not read/)
  }, 60_000)
})

it('a peer that sends what leads nowhere waits, unread, and others do not; it is read again', async () => {
  const [small, large] = await orderedIdentities(2)
  const host = await openTestHost({
    identity: large!,
    logger,
    limits: { ownFrames: { perSecond: 2000, burst: 500 } },
  })
  hosts.push(host)
  const order: string[] = []
  host.handle('note', async (who) => void order.push(String(who)))
  const node = kept(await certifiedNode(small!))
  const connection = await node.dial(multiaddr(host.addresses[0]!))
  const stream = await connection.newStream(CALL_PROTOCOL)
  await until(() => host.peers().length === 1)
  const friend = await openTestHost({ name: 'friend', datacenter: 'us-2' })
  hosts.push(friend)
  const { peerId } = await friend.join(host.addresses[0]!, { deadlineMs: 5000 })
  warnings.length = 0
  const { muxer } = connection as unknown as { muxer: { maConn: Stream } }
  const ofNoStream = Uint8Array.from([0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0])
  // Beyond what may be taken at once, by more than two seconds' worth.
  for (let i = 0; i < 6000; i++) muxer.maConn.send(ofNoStream)
  await until(() => warnings.length > 0)
  stream.send(encodeFrame(Uint8Array.of(1), pack([0, 1, 'note', 'evil', 60_000])).subarray())
  await friend.call(peerId, 'note', 'friend', { deadlineMs: 5000 })
  expect(order).toEqual(['friend'])
  await until(() => order.includes('evil'))
  expect(host.peers()).toHaveLength(2)
  expect(warnings).toEqual([expect.stringContaining('faster than it may')])
})

describe('a peer without a certificate reaches nothing', () => {
  it('with plain Noise', async () => {
    const host = await open()
    const node = kept(await rawNode(freshIdentity(systemRandom), portableNoise() as Encrypter))
    await expect(node.dial(multiaddr(host.addresses[0]!))).rejects.toThrow()
    expect(host.peers()).toEqual([])
  })

  it('with a handshake that says something else', async () => {
    const host = await open()
    for (const hello of [
      pack('hello'),
      pack([1]),
      pack([7, 9, 'c', 'b', [], '', new Uint8Array(3)]),
      new Uint8Array(0),
    ]) {
      warnings.length = 0
      const node = kept(
        await rawNode(freshIdentity(systemRandom), ((components: never) => {
          const noise = portableNoise()(components) as ConnectionEncrypter
          return {
            protocol: '/atoll/noise/1',
            secureInbound: noise.secureInbound,
            async secureOutbound(connection: never, options: never) {
              const channel = await noise.secureOutbound(connection, options)
              const frames = lpStream(channel.connection)
              await frames.write(hello, options)
              await frames.read(options)
              return { ...channel, connection: frames.unwrap() }
            },
          }
        }) as Encrypter),
      )
      await node.dial(multiaddr(host.addresses[0]!)).then(
        (connection) => until(() => connection.status !== 'open'),
        () => {},
      )
      expect(warnings.join('\n')).toMatch(/refused/)
      expect(host.peers()).toEqual([])
    }
  })

  it('by opening connections and saying nothing', async () => {
    const host = await openTestHost({ limits: { inboundHandshakeMs: 200, maxPendingInbound: 5 } })
    hosts.push(host)
    const { createConnection } = await import('node:net')
    const port = Number(/tcp\/(\d+)/.exec(host.addresses[0]!)![1])
    let closed = 0
    const sockets = Array.from({ length: 20 }, () => {
      const socket = createConnection(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.on('close', () => closed++)
      socket.resume()
      return socket
    })
    await until(() => closed === sockets.length)
    const friend = await openTestHost({ name: 'friend' })
    hosts.push(friend)
    await friend.join(host.addresses[0]!, { deadlineMs: 5000 })
  })
})
