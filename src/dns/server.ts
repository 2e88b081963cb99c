/** The DNS face of a node: UDP and TCP on one port. */
import { isAtollError } from '../model/errors.ts'
import type { Mesh } from '../resolver/mesh.ts'
import type {
  RunningTcpServer,
  Runtime,
  SocketAddress,
  TcpConnection,
  TcpHandler,
  UdpSocket,
} from '../runtime/ports.ts'
import { MAX_QUERY_BYTES } from './query.ts'
import { RateLimiter } from './rate-limit.ts'
import { framed, Recursors } from './recursors.ts'
import { Responder } from './responder.ts'
import type { DnsSettings } from './settings.ts'

export interface DnsServerOptions {
  readonly mesh: Pick<Mesh, 'datacenter' | 'prepare'>
  readonly runtime: Pick<Runtime, 'clock' | 'random' | 'openUdp' | 'serveTcp' | 'connectTcp'>
  readonly settings: DnsSettings
}

export interface RunningDnsServer {
  readonly hostname: string
  readonly port: number
  /** Idempotent. */
  close(): Promise<void>
}

/** A client that does not read its answers is left beyond this. */
const MAX_UNREAD_BYTES = 256 * 1024
/** Queries of one connection that wait at once; what comes beyond waits in the client. */
const MAX_PIPELINED = 100
/** A port that is free for both transports is looked for so often. */
const MAX_PORT_TRIES = 20

/** Rejects with AtollError 'invalid' when it cannot listen, or a setting is none. */
export async function startDnsServer(options: DnsServerOptions): Promise<RunningDnsServer> {
  const { runtime, settings } = options
  const recursors = new Recursors({ ...runtime, recursors: settings.recursors, timeoutMs: settings.recursorTimeoutMs })
  const limiter = new RateLimiter(settings.rateLimit)
  const responder = new Responder({ ...runtime, mesh: options.mesh, settings, recursors })
  const [tcp, udp] = await listen(options, responder, limiter)
  let closed: Promise<unknown> | undefined
  return {
    hostname: udp.hostname,
    port: udp.port,
    async close() {
      responder.close()
      closed ??= Promise.all([tcp.close(), udp.close()])
      await closed
    },
  }
}

async function listen(
  { runtime, settings }: DnsServerOptions,
  responder: Responder,
  limiter: RateLimiter,
): Promise<[RunningTcpServer, UdpSocket]> {
  for (let tries = 1; ; tries++) {
    const tcp = await runtime.serveTcp({
      hostname: settings.host,
      port: settings.port,
      maxConnections: settings.maxTcpConnections,
      idleTimeoutMs: settings.tcpIdleMs,
      onConnection: (connection) => new Conversation(connection, responder),
    })
    try {
      let socket: UdpSocket | undefined
      const send = (answer: Uint8Array, to: SocketAddress): void => socket?.send(answer, to)
      const onDatagram = datagrams(responder, limiter, runtime, send)
      socket = await runtime.openUdp({ hostname: settings.host, port: tcp.port, onDatagram })
      return [tcp, socket]
    } catch (error) {
      await tcp.close()
      const mayTryAnother = settings.port === 0 && tries < MAX_PORT_TRIES && isAtollError(error)
      if (!mayTryAnother) throw error
    }
  }
}

function datagrams(
  responder: Responder,
  limiter: RateLimiter,
  { clock }: Pick<Runtime, 'clock'>,
  send: (answer: Uint8Array, to: SocketAddress) => void,
): (data: Uint8Array, from: SocketAddress) => void {
  return (data, from) => {
    const decision = limiter.decide(from.address, clock.nowMs())
    if (decision === 'drop') return
    const answer = decision === 'send' ? responder.respond(data, 'udp') : responder.truncated(data)
    if (answer === undefined) return
    if (!(answer instanceof Promise)) return send(answer, from)
    // The adapter may use `from` for the next datagram.
    const to = { address: from.address, port: from.port }
    void answer.then((late) => send(late, to))
  }
}

/** One TCP connection: queries as they come, answers as they are ready (RFC 7766). */
class Conversation implements TcpHandler {
  readonly #connection: TcpConnection
  readonly #responder: Responder
  #received = new Uint8Array(0)
  #waiting = 0

  constructor(connection: TcpConnection, responder: Responder) {
    this.#connection = connection
    this.#responder = responder
  }

  onData(data: Uint8Array): void {
    const all = this.#received.length === 0 ? data : joined(this.#received, data)
    let at = 0
    while (at + 2 <= all.length) {
      const length = (all[at]! << 8) | all[at + 1]!
      if (length <= MAX_QUERY_BYTES && at + 2 + length > all.length) break
      if (length > MAX_QUERY_BYTES || !this.#answer(all.subarray(at + 2, at + 2 + length))) {
        this.#connection.close()
        return
      }
      at += 2 + length
    }
    this.#received = all.slice(at)
  }

  onClose(): void {
    this.#received = new Uint8Array(0)
  }

  /** false: the connection is to be closed. */
  #answer(query: Uint8Array): boolean {
    if (this.#waiting >= MAX_PIPELINED || this.#connection.pendingBytes > MAX_UNREAD_BYTES) return false
    const answer = this.#responder.respond(query, 'tcp')
    if (answer === undefined) return false
    if (answer instanceof Promise) {
      this.#waiting++
      void answer.then((late) => {
        this.#waiting--
        this.#connection.send(framed(late))
      })
    } else this.#connection.send(framed(answer))
    return true
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
