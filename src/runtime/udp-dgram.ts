import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { listenError } from './listen-error.ts'
import type { UdpOptions, UdpSocket } from './ports.ts'

/** Room for what arrives while this thread is busy: at 300 bytes a datagram, some thousands. The system may grant less. */
const BUFFER_BYTES = 4 * 1024 * 1024

/** UDP through node:dgram. On Deno it loses most of what comes at a high rate: see udp-deno.ts. */
export async function openUdp({ hostname, port, onDatagram }: UdpOptions): Promise<UdpSocket> {
  const family = isIPv6(hostname) ? 6 : 4
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    recvBufferSize: BUFFER_BYTES,
    sendBufferSize: BUFFER_BYTES,
    // Destinations are addresses: without this each datagram would pass through the resolver.
    lookup: (address, _options, done) => done(null, address, family),
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(listenError(error, hostname, port)))
    socket.bind({ address: hostname, port, exclusive: true }, () => resolve())
  })
  // What one peer's network answers (unreachable, refused) is nothing to this socket.
  socket.removeAllListeners('error')
  socket.on('error', () => {})
  socket.on('message', onDatagram)
  const bound = socket.address()
  let closed: Promise<void> | undefined
  let open = true
  return {
    hostname: bound.address,
    port: bound.port,
    send(data, to) {
      if (open) socket.send(data, 0, data.byteLength, to.port, to.address, ignore)
    },
    close() {
      open = false
      socket.off('message', onDatagram)
      closed ??= new Promise((resolve) => socket.close(() => resolve()))
      return closed
    },
  }
}

const ignore = (): void => {}
