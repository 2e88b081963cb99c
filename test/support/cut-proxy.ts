/** A TCP link that can be cut: what is sent meanwhile gets nowhere, and nobody is told, as where a cable is pulled. */
import { connect, createServer, type Server, type Socket } from 'node:net'

export interface CutProxy {
  readonly port: number
  /** Holds all bytes, both ways; new connections are taken and hear nothing. */
  cut(): void
  /** What was held goes on. */
  heal(): void
  close(): Promise<void>
}

/** Passes connections on to `port` of this machine. */
export async function startCutProxy(port: number): Promise<CutProxy> {
  const sockets = new Set<Socket>()
  let isCut = false
  const track = (socket: Socket): void => {
    sockets.add(socket)
    if (isCut) socket.pause()
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  }
  const server = createServer({ pauseOnConnect: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1' })
    track(near)
    track(far)
    near.pipe(far)
    far.pipe(near)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
    if (isCut) for (const socket of [near, far]) socket.pause()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    port: portOf(server),
    cut() {
      isCut = true
      for (const socket of sockets) socket.pause()
    },
    heal() {
      isCut = false
      for (const socket of sockets) socket.resume()
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

const portOf = (server: Server): number => (server.address() as { port: number }).port
