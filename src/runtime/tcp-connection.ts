import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { AtollError } from '../model/errors.ts'
import { systemClock } from './clock.ts'
import { listenError } from './listen-error.ts'
import type { RunningTcpServer, TcpClientOptions, TcpConnection, TcpHandler, TcpServerOptions } from './ports.ts'

/** Accepts TCP connections and hands their bytes on; node:net is the same on all three runtimes. */
export async function serveTcp(options: TcpServerOptions): Promise<RunningTcpServer> {
  const { hostname, port } = options
  const open = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    if (open.size >= options.maxConnections) return void socket.destroy()
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.setTimeout(options.idleTimeoutMs, () => socket.destroy())
    const connection = connectionOf(socket)
    attach(socket, options.onConnection(connection))
  })
  await listen(server, hostname, port)
  const bound = server.address() as AddressInfo
  let closed: Promise<void> | undefined
  return {
    hostname: bound.address,
    port: bound.port,
    close() {
      closed ??= new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      })
      return closed
    },
  }
}

function listen(server: Server, hostname: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, hostname, port)))
    server.listen({ host: hostname, port, exclusive: true }, () => {
      server.removeAllListeners('error')
      server.on('error', () => {})
      resolve()
    })
  })
}

/** One connection to somewhere. */
export function connectTcp(options: TcpClientOptions): Promise<TcpConnection> {
  const { host, port, timeoutMs } = options
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true })
    const fail = (reason: string): void => {
      timer.cancel()
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.destroy()
      reject(new AtollError('unavailable', `tcp ${host}:${port}: ${reason}`))
    }
    const timer = systemClock.after(timeoutMs, () => fail(`no connection within ${timeoutMs} ms`))
    socket.once('error', (error) => fail(error.message))
    socket.once('connect', () => {
      timer.cancel()
      socket.removeAllListeners()
      attach(socket, options)
      resolve(connectionOf(socket))
    })
  })
}

function attach(socket: Socket, handler: TcpHandler): void {
  socket.on('data', (data: Uint8Array) => handler.onData(data))
  socket.on('error', () => {})
  socket.once('close', () => handler.onClose())
}

function connectionOf(socket: Socket): TcpConnection {
  return {
    remote: { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 },
    get pendingBytes() {
      return socket.writableLength
    },
    send(data) {
      if (!socket.destroyed && socket.writable) socket.write(data)
    },
    close: () => void socket.destroy(),
  }
}
