import { afterEach, describe, expect, test, vi } from 'vitest'
import type { SocketAddress, TcpConnection, UdpSocket } from './ports.ts'
import { currentRuntime } from './runtime.ts'

const runtime = await currentRuntime()
const cleanups: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (data: Uint8Array): string => new TextDecoder().decode(data)

interface Received {
  readonly text: string
  readonly from: SocketAddress
}

async function udp(hostname = '127.0.0.1'): Promise<{ socket: UdpSocket; received: Received[] }> {
  const received: Received[] = []
  const onDatagram = (data: Uint8Array, from: SocketAddress): void => void received.push({ text: textOf(data), from })
  const socket = await runtime.openUdp({ hostname, port: 0, onDatagram })
  cleanups.push(() => socket.close())
  return { socket, received }
}

describe('UDP', () => {
  test.each(['127.0.0.1', '::1'])('carries datagrams both ways on %s', async (hostname) => {
    const [a, b] = [await udp(hostname), await udp(hostname)]
    a.socket.send(bytes('ping'), { address: hostname, port: b.socket.port })
    await vi.waitFor(() => expect(b.received).toHaveLength(1))
    const [{ text, from }] = b.received as [Received]
    expect(text).toBe('ping')
    expect(from).toMatchObject({ address: hostname, port: a.socket.port })
    b.socket.send(bytes('pong'), from)
    await vi.waitFor(() => expect(a.received.map((each) => each.text)).toEqual(['pong']))
  })

  test('what nobody takes does not end it', async () => {
    const [a, b] = [await udp(), await udp()]
    const nobody = await udp()
    await nobody.socket.close()
    for (let i = 0; i < 5; i++) a.socket.send(bytes('lost'), { address: '127.0.0.1', port: nobody.socket.port })
    a.socket.send(bytes('nowhere'), { address: '127.0.0.1', port: 0 })
    a.socket.send(new Uint8Array(70_000), { address: '127.0.0.1', port: b.socket.port })
    a.socket.send(bytes('still there'), { address: '127.0.0.1', port: b.socket.port })
    await vi.waitFor(() => expect(b.received.map((each) => each.text)).toEqual(['still there']))
  })

  test('a port that is taken is refused by name; close is idempotent and lets go of it', async () => {
    const first = await udp()
    const again = { hostname: '127.0.0.1', port: first.socket.port, onDatagram: () => {} }
    await expect(runtime.openUdp(again)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining(`127.0.0.1:${first.socket.port}`),
    })
    await first.socket.close()
    await first.socket.close()
    first.socket.send(bytes('x'), { address: '127.0.0.1', port: 9 })
    const second = await runtime.openUdp(again)
    await second.close()
  })
})

async function echo(options: { maxConnections?: number; idleTimeoutMs?: number } = {}) {
  const open: TcpConnection[] = []
  let closed = 0
  const server = await runtime.serveTcp({
    hostname: '127.0.0.1',
    port: 0,
    maxConnections: options.maxConnections ?? 10,
    idleTimeoutMs: options.idleTimeoutMs ?? 60_000,
    onConnection(connection) {
      open.push(connection)
      return { onData: (data) => connection.send(data.slice()), onClose: () => void closed++ }
    },
  })
  cleanups.push(() => server.close())
  return { server, open, closed: () => closed }
}

async function client(port: number) {
  const state = { text: '', closed: false }
  const connection = await runtime.connectTcp({
    host: '127.0.0.1',
    port,
    timeoutMs: 5_000,
    onData(data) {
      state.text += textOf(data)
    },
    onClose() {
      state.closed = true
    },
  })
  cleanups.push(() => connection.close())
  return { connection, state }
}

describe('TCP', () => {
  test('carries bytes both ways, and either side ends it', async () => {
    const { server, open, closed } = await echo()
    const a = await client(server.port)
    a.connection.send(bytes('hello'))
    await vi.waitFor(() => expect(a.state.text).toBe('hello'))
    expect(open[0]!.remote.address).toBe('127.0.0.1')
    a.connection.close()
    await vi.waitFor(() => expect(closed()).toBe(1))
    const b = await client(server.port)
    await vi.waitFor(() => expect(open).toHaveLength(2))
    open[1]!.close()
    await vi.waitFor(() => expect(b.state.closed).toBe(true))
    b.connection.send(bytes('into nothing'))
  })

  test('connections beyond the bound, and idle ones, are closed', async () => {
    const { server, open } = await echo({ maxConnections: 1, idleTimeoutMs: 300 })
    const a = await client(server.port)
    await vi.waitFor(() => expect(open).toHaveLength(1))
    const b = await client(server.port)
    await vi.waitFor(() => expect(b.state.closed).toBe(true))
    await vi.waitFor(() => expect(a.state.closed).toBe(true))
    expect(open).toHaveLength(1)
  })

  test('a port that is taken and a server that is not there are said by name', async () => {
    const { server } = await echo()
    const options = { hostname: '127.0.0.1', port: server.port, maxConnections: 1, idleTimeoutMs: 1000 }
    const onConnection = () => ({ onData: () => {}, onClose: () => {} })
    await expect(runtime.serveTcp({ ...options, onConnection })).rejects.toMatchObject({ code: 'invalid' })
    await server.close()
    await server.close()
    await expect(client(server.port)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`127.0.0.1:${server.port}`),
    })
  })
})
