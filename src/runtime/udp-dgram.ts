import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { listenError } from './listen-error.ts'
import type { SocketAddress, UdpOptions, UdpSocket } from './ports.ts'

/** Room for what arrives while this thread is busy: at 300 bytes a datagram, some thousands. The system may grant less. */
const BUFFER_BYTES = 4 * 1024 * 1024

/** On Bun a datagram may fail with what became of an earlier one, to somebody else; what still cannot be sent is dropped. */
const MAX_TRIES = 3

/**
 * UDP through node:dgram. Bun's own socket is a little faster, but takes no size for its buffer, and drops bursts. On Deno
 * this one loses most of what comes at a high rate: see udp-deno.ts.
 */
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
  const send = (data: Uint8Array, to: SocketAddress, tries: number): void => {
    // A datagram may claim to come from port 0; sending there would throw.
    if (!open || to.port === 0) return
    socket.send(data, 0, data.byteLength, to.port, to.address, (error) => {
      if (error && tries < MAX_TRIES) send(data, to, tries + 1)
    })
  }
  return {
    hostname: bound.address,
    port: bound.port,
    send: (data, to) => send(data, to, 1),
    close() {
      open = false
      socket.off('message', onDatagram)
      closed ??= new Promise((resolve) => socket.close(() => resolve()))
      return closed
    },
  }
}
