import { connect, createServer, type Socket } from 'node:net'
import { decode, encode } from 'dns-packet'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { RoutedInstance } from '../resolver/mesh.ts'
import type { SocketAddress, UdpSocket } from '../runtime/ports.ts'
import { currentRuntime } from '../runtime/runtime.ts'
import { RCODE } from './query.ts'
import { framed } from './recursors.ts'
import { type RunningDnsServer, startDnsServer } from './server.ts'
import type { DnsSettings } from './settings.ts'
import { FakeMesh, instance, settings } from './testing/fake-mesh.ts'
import { queryFor, readMessage } from './testing/queries.ts'

const runtime = await currentRuntime()
const cleanups: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(
  more: Partial<DnsSettings> = {},
  instances: number | readonly RoutedInstance[] = 40,
): Promise<RunningDnsServer> {
  const mesh = new FakeMesh()
  const value =
    typeof instances === 'number' ? Array.from({ length: instances }, (_, i) => instance('web', i)) : instances
  mesh.answering = () => value
  const server = await startDnsServer({ mesh, runtime, settings: settings(more) })
  cleanups.push(() => server.close())
  return server
}

async function client() {
  const received: Uint8Array[] = []
  const socket = await runtime.openUdp({
    hostname: '127.0.0.1',
    port: 0,
    onDatagram: (data) => void received.push(data.slice()),
  })
  cleanups.push(() => socket.close())
  return { socket, received }
}

async function byUdp(server: RunningDnsServer, query: Uint8Array) {
  const { socket, received } = await client()
  socket.send(query, { address: '127.0.0.1', port: server.port })
  await vi.waitFor(() => expect(received).toHaveLength(1), { timeout: 5_000 })
  return readMessage(received[0]!)
}

/** A resolver that answers what `answerTo` makes of a query. */
async function resolver(answerTo: (query: Uint8Array) => Uint8Array | undefined): Promise<string> {
  let socket: UdpSocket | undefined
  const onDatagram = (data: Uint8Array, from: SocketAddress): void => {
    const answer = answerTo(data.slice())
    if (answer) socket!.send(answer, { ...from })
  }
  socket = await runtime.openUdp({ hostname: '127.0.0.1', port: 0, onDatagram })
  cleanups.push(() => socket.close())
  return `127.0.0.1:${socket.port}`
}

/** The same by TCP, in pieces. */
async function tcpResolver(answerTo: (query: Uint8Array) => Uint8Array | undefined): Promise<string> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('data', (data: Buffer) => {
      const answer = answerTo(new Uint8Array(data.subarray(2)))
      if (!answer) return
      const bytes = framed(answer)
      let at = 0
      for (const end of [1, 2, 3, 200, bytes.length]) {
        socket.write(bytes.subarray(at, end))
        at = end
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    for (const socket of open) socket.destroy()
    return new Promise<void>((resolve) => void server.close(() => resolve()))
  })
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}

async function byTcp({ port }: RunningDnsServer, query: Uint8Array) {
  const socket = connect(port, '127.0.0.1')
  cleanups.push(() => void socket.destroy())
  const chunks: Buffer[] = []
  const whole = new Promise<Buffer>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('data', (data: Buffer) => {
      chunks.push(data)
      const received = Buffer.concat(chunks)
      if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) resolve(received)
    })
  })
  socket.write(framed(query))
  return readMessage((await whole).subarray(2))
}

const answered = (query: Uint8Array): Uint8Array => {
  query[2]! |= 0x80
  return query
}

describe('the DNS server', () => {
  test('answers by UDP what fits and by TCP the rest, on one port', async () => {
    const server = await start()
    const cut = await byUdp(server, queryFor('web.service.consul'))
    expect(cut).toMatchObject({ truncated: true, rcode: 0 })
    expect(cut.answers.length).toBeGreaterThan(20)
    const socket = connect(server.port, '127.0.0.1')
    cleanups.push(() => void socket.destroy())
    let received = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
    })
    // Two queries at once, the second in pieces.
    const second = framed(queryFor('web.service.consul', { id: 2, type: 'SRV' }))
    socket.write(Buffer.concat([framed(queryFor('web.service.consul', { id: 1 })), second.subarray(0, 7)]))
    await vi.waitFor(() => expect(received.length).toBeGreaterThan(600))
    socket.write(second.subarray(7))
    const length = received.readUInt16BE(0)
    await vi.waitFor(() => expect(received.length).toBeGreaterThan(length + 4))
    await vi.waitFor(() => expect(received.length).toBe(length + 4 + received.readUInt16BE(2 + length)))
    expect(readMessage(received.subarray(2, 2 + length)).answers).toHaveLength(40)
    expect(readMessage(received.subarray(4 + length))).toMatchObject({ truncated: false, answers: { length: 40 } })
  })

  test('nonsense by TCP ends the connection, by UDP it gets nothing, and others go on', async () => {
    const server = await start()
    const socket = connect(server.port, '127.0.0.1')
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => {})
    socket.write(Buffer.from([0xff, 0xff, 1, 2, 3]))
    await closed
    const { socket: udp, received } = await client()
    udp.send(Uint8Array.from([1, 2, 3]), { address: '127.0.0.1', port: server.port })
    udp.send(queryFor('web.service.consul'), { address: '127.0.0.1', port: server.port })
    await vi.waitFor(() => expect(received).toHaveLength(1))
  })

  test('passes a resolver by that hangs, and what another makes up', async () => {
    const dead = await resolver(() => undefined)
    const lying = await resolver((query) => {
      query[0]! ^= 0xff
      return answered(query)
    })
    const good = await resolver(answered)
    const server = await start({ recursors: [dead, lying, good], recursorTimeoutMs: 100 })
    expect(await byUdp(server, queryFor('example.com'))).toMatchObject({ rcode: 0 })
    const lost = await start({ recursors: [dead], recursorTimeoutMs: 100 })
    expect(await byUdp(lost, queryFor('example.com'))).toMatchObject({ rcode: RCODE.SERVFAIL })
  })

  test('a query by TCP goes to resolvers by TCP, and an answer in pieces is one', async () => {
    const dead = await tcpResolver(() => undefined)
    const good = await tcpResolver((query) => {
      const name = 'example.com'
      const answers = Array.from({ length: 60 }, (_, i) => ({ type: 'A', name, ttl: 1, data: `192.0.2.${i}` }) as const)
      return new Uint8Array(
        encode({ type: 'response', id: (query[0]! << 8) | query[1]!, questions: [{ type: 'A', name }], answers }),
      )
    })
    const server = await start({ recursors: [dead, good], recursorTimeoutMs: 100 })
    expect((await byTcp(server, queryFor('example.com'))).answers).toHaveLength(60)
    const lost = await start({ recursors: [dead], recursorTimeoutMs: 100 })
    expect(await byTcp(lost, queryFor('example.com'))).toMatchObject({ rcode: RCODE.SERVFAIL })
  })

  test('a name of others behind a CNAME is resolved by them', async () => {
    const asked: string[] = []
    const good = await resolver((query) => {
      const { id, questions = [] } = decode(Buffer.from(query))
      const { name, type } = questions[0]!
      asked.push(`${name} ${type}`)
      const answers = [{ type: 'A', name, ttl: 9, data: '192.0.2.7' }] as const
      return new Uint8Array(encode({ type: 'response', id, questions, answers: [...answers] }))
    })
    const named = [instance('named', 1, { node: { address: 'db.example.com' } })]
    const server = await start({ recursors: [good] }, named)
    expect((await byUdp(server, queryFor('named.service.consul'))).answers).toEqual([
      'named.service.consul 0 CNAME db.example.com',
      'db.example.com 9 A 192.0.2.7',
    ])
    expect(asked).toEqual(['db.example.com A'])
    const alone = await byUdp(server, queryFor('named.service.consul', { recursionDesired: false }))
    expect(alone.answers).toEqual(['named.service.consul 0 CNAME db.example.com'])
    const dead = await resolver(() => undefined)
    const without = await start({ recursors: [dead], recursorTimeoutMs: 100 }, named)
    expect((await byUdp(without, queryFor('named.service.consul'))).answers).toHaveLength(1)
  })

  test('a client that asks too much gets TC, and nothing', async () => {
    const server = await start({ rateLimit: { responsesPerSecond: 5, exempt: [] } }, 1)
    const { socket, received } = await client()
    for (let i = 0; i < 9; i++) socket.send(queryFor('web.service.consul'), { address: '127.0.0.1', port: server.port })
    await vi.waitFor(() => expect(received.length).toBeGreaterThanOrEqual(7))
    const cut = received.map(readMessage).filter(({ truncated }) => truncated)
    expect(cut.length).toBeGreaterThan(0)
    expect(cut.every(({ answers }) => answers.length === 0)).toBe(true)
  })

  test('says which address is taken, and which setting is none', async () => {
    const server = await start()
    await expect(start({ port: server.port })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining(String(server.port)),
    })
    await expect(start({ recursors: ['nine'] })).rejects.toThrow('dns.recursors: "nine"')
    await server.close()
    await server.close()
    await start({ port: server.port })
  })
})
