/** Bytes that no honest peer sends: real ones, changed at random under a seed, given to a federation over its real sockets. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { encodeHeartbeat } from '../../src/federation/protocol/heartbeat.ts'
import { encodeHello } from '../../src/federation/protocol/hello.ts'
import { encodeMessage } from '../../src/federation/protocol/messages.ts'
import { encodeFrame } from '../../src/federation/protocol/tail.ts'
import { beacon, delta, head, put } from '../../src/federation/testing/heads.ts'
import { CALL_WIRE_VERSION, encodeCallFrame } from '../../src/federation/transport/call-wire.ts'
import { encodeFrame as withLength } from '../../src/federation/transport/frames.ts'
import type { Identity } from '../../src/federation/transport/identity.ts'
import { CALL_PROTOCOL } from '../../src/federation/transport/links.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import type { Random } from '../../src/runtime/ports.ts'
import { certifiedNode } from './hostile-peer.ts'

const TAIL = '/atoll/stream/1//atoll/tail/1'
const MESHSUB = '/meshsub/1.1.0'
const NO_EPOCH = { generation: 0, random: '' }
/** How long a peer may take to be hung up on, or to take what it was sent. */
const STEP_MS = 60

export const FUZZED = ['tcp', 'muxer', 'calls', 'tails', 'gossip'] as const
export type Fuzzed = (typeof FUZZED)[number]

const integer = (random: Random, below: number): number => Math.floor(random.float() * below)
const pick = <T>(random: Random, list: readonly T[]): T => list[integer(random, list.length)]!

/** Flips bits, cuts, doubles, fills with extremes, or makes everything up. */
export function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  const out = new Uint8Array(bytes)
  switch (integer(random, 7)) {
    case 0:
      for (let i = 0; i <= integer(random, 8); i++) out[integer(random, out.length)]! ^= 1 << integer(random, 8)
      return out
    case 1:
      return out.slice(0, integer(random, out.length))
    case 2: {
      const at = integer(random, out.length)
      return new Uint8Array([...out.subarray(0, at), ...random.bytes(integer(random, 64)), ...out.subarray(at)])
    }
    case 3: {
      const at = integer(random, out.length)
      return new Uint8Array([...out, ...out.subarray(at), ...out.subarray(0, at)])
    }
    case 4:
      // Counts and lengths of msgpack, and the largest there are.
      out.set(
        [pick(random, [0xdd, 0xdf, 0xc6, 0xdb, 0xc9]), 0xff, 0xff, 0xff, 0xff].slice(0, out.length),
        integer(random, Math.max(1, out.length - 5)),
      )
      return out
    case 5:
      return random.bytes(integer(random, 2048))
    default:
      return out
  }
}

/** Sent as a frame, or with a length that lies. */
function framed(bytes: Uint8Array, random: Random): Uint8Array {
  const whole = withLength(bytes).subarray()
  if (random.float() < 0.7) return whole
  const lying = new Uint8Array(whole)
  new DataView(lying.buffer).setUint32(
    0,
    pick(random, [0, 1, bytes.length - 1, bytes.length + 1000, 2 ** 31, 2 ** 32 - 1]) >>> 0,
  )
  return lying
}

const callSeeds = (): readonly Uint8Array[] => {
  const hello = encodeHello({ positions: [], records: [], proof: null })
  return [
    encodeCallFrame({ type: 'request', id: 7, method: 'mesh.hello', payload: hello, deadlineMs: 100 }),
    encodeCallFrame({
      type: 'request',
      id: 2 ** 40,
      method: 'x'.repeat(200),
      payload: { a: [1, 2n ** 60n] },
      deadlineMs: 1e9,
    }),
    encodeCallFrame({ type: 'result', id: 1, payload: [null, 'x'] }),
    encodeCallFrame({ type: 'cancel', id: 7 }),
    encodeCallFrame({ type: 'ping', sequence: 1 }),
    encodeCallFrame({ type: 'certificate', certificate: new Uint8Array(200) }),
  ].map((frame) => new Uint8Array([CALL_WIRE_VERSION, ...frame]))
}

const tailSeeds = (): readonly Uint8Array[] => {
  const ask = {
    type: 'ask',
    attempt: 1,
    datacenter: 'eu-1',
    epoch: NO_EPOCH,
    since: 0,
    resumeId: '',
    resumeFrame: 0,
  } as const
  return [
    encodeFrame({ ...ask, mode: 'snapshot', buckets: null }),
    encodeFrame({ ...ask, mode: 'repair', buckets: new Uint8Array(8192) }),
    encodeFrame({ ...ask, mode: 'since', buckets: null, since: 2 ** 50, resumeId: 'x', resumeFrame: 2 ** 31 }),
    encodeFrame({ type: 'refuse', attempt: 1, reason: 'no' }),
  ]
}

/** A message of gossipsub: an RPC with one message to publish, in protobuf, with its length before it. */
function publish(data: Uint8Array): Uint8Array {
  const field = (number: number, bytes: Uint8Array): number[] => [(number << 3) | 2, ...varint(bytes.length), ...bytes]
  const message = [...field(2, data), ...field(4, new TextEncoder().encode('atoll/1/test'))]
  const rpc = field(2, new Uint8Array(message))
  return new Uint8Array([...varint(rpc.length), ...rpc])
}

function varint(value: number): number[] {
  const out: number[] = []
  for (; value > 127; value >>>= 7) out.push((value & 127) | 128)
  return [...out, value]
}

const gossipSeeds = (): readonly Uint8Array[] => {
  const at = head(5, new Uint8Array(32))
  const envelope = (body: Uint8Array): Uint8Array =>
    encodeCallFrame({ type: 'result', id: 1, payload: [1, new Uint8Array(144), body, new Uint8Array(64)] })
  return [
    envelope(encodeMessage(beacon(at))),
    envelope(encodeMessage(delta(4, at, [put('e/s/a', 'x', 5)]))),
    encodeHeartbeat({ ref: '00'.repeat(8), index: 3, link: new Uint8Array(16) }),
  ].map(publish)
}

/** A frame of Yamux. */
function muxed(type: number, flags: number, streamId: number, length: number, data = new Uint8Array()): Uint8Array {
  const header = Buffer.from([0, type, 0, flags, ...Array.from({ length: 8 }, () => 0)])
  header.writeUInt32BE(streamId, 4)
  header.writeUInt32BE(length, 8)
  return Buffer.concat([header, data])
}

/** Data, a window, an end, a new stream, a ping, a goodbye; `id` is a stream that is open. */
const muxerSeeds = (id: number): readonly Uint8Array[] => [
  muxed(0, 0, id, 5, new Uint8Array(5)),
  muxed(0, 0, id, 1 << 20, new Uint8Array(64)),
  muxed(1, 0, id, 1000),
  muxed(1, 4, id, 0),
  muxed(1, 1, 1001, 0),
  muxed(0, 1, 1003, 3, new Uint8Array(3)),
  muxed(2, 1, 0, 7),
  muxed(2, 2, 0, 7),
  muxed(3, 0, 0, 1),
]

/** Multistream and the beginning of Noise, as a dialler says them. */
const TCP_SEEDS = [
  '\x13/multistream/1.0.0\n',
  '\x13/multistream/1.0.0\n\x0f/atoll/noise/1\n',
  '\x13/multistream/1.0.0\n\x0f/atoll/noise/1\n\x00\x20',
].map((text) => new Uint8Array(Buffer.from(text, 'latin1')))

export interface FuzzOptions {
  /** Of the victim, with its peer id. */
  readonly address: string
  /** Of the peer that is hostile; smaller than the victim's, so that it opens the call stream. */
  readonly identity: Identity
  readonly random: Random
  readonly rounds: number
}

/** Resolves when all rounds were played; what the victim makes of it is for the caller to look at. */
export async function fuzz(what: Fuzzed, options: FuzzOptions): Promise<void> {
  if (what === 'tcp') return fuzzTcp(options)
  const node = await certifiedNode(options.identity, { datacenter: 'xx-1', role: 'server' })
  try {
    const seeds = { muxer: () => [], calls: callSeeds, tails: tailSeeds, gossip: gossipSeeds }[what]()
    let connection: Connection | undefined
    let call: Stream | undefined
    for (let round = 0; round < options.rounds; round++) {
      if (connection?.status !== 'open' || call?.status !== 'open') {
        connection = await dialled(() => node.dial(multiaddr(options.address)))
        call = await connection?.newStream(CALL_PROTOCOL).catch(() => undefined)
        if (call === undefined) continue
      }
      if (what === 'muxer') await playMuxer(connection!, call, options.random)
      else await play(what, connection!, call, pick(options.random, seeds), options.random)
    }
  } finally {
    await node.stop()
  }
}

/** The one before may not be gone yet on the other side. */
async function dialled(dial: () => Promise<Connection>): Promise<Connection | undefined> {
  const connection = await dial().catch(() => undefined)
  if (connection === undefined) await systemClock.sleep(STEP_MS)
  return connection
}

/** Past the muxer of this side, to that of the other. */
async function playMuxer(connection: Connection, call: Stream, random: Random): Promise<void> {
  const { muxer } = connection as unknown as { muxer: { maConn: Stream } }
  try {
    await sent(muxer.maConn, mutate(pick(random, muxerSeeds(Number(call.id))), random))
  } catch {
    // Hung up on: that is what it is for.
  }
}

async function play(
  what: Exclude<Fuzzed, 'tcp' | 'muxer'>,
  connection: Connection,
  call: Stream,
  seed: Uint8Array,
  random: Random,
): Promise<void> {
  try {
    const changed = mutate(seed, random)
    if (what === 'calls') await sent(call, framed(changed, random))
    else {
      const stream = await connection.newStream(what === 'tails' ? TAIL : MESHSUB, {
        signal: AbortSignal.timeout(2000),
      })
      await sent(stream, what === 'tails' ? framed(changed, random) : changed)
      if (random.float() < 0.5) stream.abort(new Error('enough'))
      else await stream.close({ signal: AbortSignal.timeout(STEP_MS) })
    }
  } catch {
    // Hung up on: that is what it is for.
  }
}

/** In one piece, or in small ones. */
async function sent(stream: Stream, bytes: Uint8Array): Promise<void> {
  const step = Math.max(1, bytes.length < 64 ? 1 : Math.ceil(bytes.length / 8))
  if (bytes.length % 3 !== 0) stream.send(bytes)
  else for (let at = 0; at < bytes.length; at += step) stream.send(bytes.subarray(at, at + step))
  await systemClock.sleep(1)
}

async function fuzzTcp({ address, random, rounds }: FuzzOptions): Promise<void> {
  const port = Number(/tcp\/(\d+)/.exec(address)![1])
  const open: Socket[] = []
  for (let round = 0; round < rounds; round++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    open.push(socket)
    await Promise.race([once(socket, 'connect').catch(() => {}), systemClock.sleep(1000)])
    const bytes = mutate(pick(random, TCP_SEEDS), random)
    // Byte by byte, at once and half closed, or left open and silent.
    const way = integer(random, 3)
    if (way === 0) for (const byte of bytes) socket.write(Uint8Array.of(byte))
    else socket.write(bytes)
    if (way === 1) socket.end()
    if (open.length > 64) open.shift()!.destroy()
  }
  await systemClock.sleep(STEP_MS)
  for (const socket of open) socket.destroy()
}
