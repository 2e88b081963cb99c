import { systemClock } from './clock.ts'
import { listenError } from './listen-error.ts'
import { machine } from './machine.ts'
import type { HttpRequestInfo, HttpServerOptions, RunningHttpServer, Runtime } from './ports.ts'
import { openUdp } from './udp-dgram.ts'

/**
 * Bun, through `Bun.serve`.
 *
 * `request.signal` aborts when the client goes before the answer is finished, and never after a finished one.
 * `request.url` is normalized by Bun: dot segments (also escaped ones) are resolved before the app sees them; `//` is kept.
 * Bodies that are too large get Bun's own 413, which has no text.
 * Bun closes a connection whose head is not whole after about 12 seconds, whatever `headersTimeoutMs` says.
 */
export const bunRuntime: Runtime = {
  ...machine,
  name: 'bun',
  version: process.versions.bun ?? '',
  serveHttp,
  openUdp,
}

/** The little of Bun's API that is used here. */
interface BunServer {
  readonly hostname: string
  readonly port: number
  stop(closeConnections?: boolean): Promise<void>
  requestIP(request: Request): { address: string } | null
  timeout(request: Request, seconds: number): void
}
declare const Bun: {
  serve(options: {
    hostname: string
    port: number
    idleTimeout: number
    maxRequestBodySize: number
    development: boolean
    reusePort: boolean
    fetch(request: Request, server: BunServer): Response | Promise<Response>
    error(error: Error): Response
  }): BunServer
}

/** Seconds without a byte either way; the most that Bun takes. A stream has to send something more often. */
const IDLE_TIMEOUT_S = 255

async function serveHttp(options: HttpServerOptions): Promise<RunningHttpServer> {
  let server: BunServer
  try {
    server = Bun.serve({
      hostname: options.hostname,
      port: options.port,
      idleTimeout: IDLE_TIMEOUT_S,
      // Of all paths: the routes bound what they read themselves.
      maxRequestBodySize: Math.max(options.maxBodyBytes, options.large?.maxBodyBytes ?? 0),
      development: false,
      // Outside of development Bun would share the port with whoever has it.
      reusePort: false,
      fetch(request, server) {
        const answer = options.fetch(withHost(request), new Peer(request, server))
        return answer instanceof Promise ? withoutTimeout(server, request, answer) : answer
      },
      error: () => new Response('internal error\n', { status: 500 }),
    })
  } catch (error) {
    throw listenError(error, options.hostname, options.port)
  }
  let closed: Promise<void> | undefined
  return {
    hostname: server.hostname,
    port: server.port,
    close: (graceMs) => (closed ??= shutDown(server, graceMs)),
  }
}

/** Bun's URL of a request that named no host (HTTP/1.0) is the target alone, of which no other Request can be made. */
const withHost = (request: Request): Request =>
  request.url.startsWith('/') ? new Request(`http://localhost${request.url}`, request) : request

/** Looks the address up only for who asks: most answers do not need it. */
class Peer implements HttpRequestInfo {
  readonly #request: Request
  readonly #server: BunServer

  constructor(request: Request, server: BunServer) {
    this.#request = request
    this.#server = server
  }

  get acceptEncoding(): string {
    return this.#request.headers.get('accept-encoding') ?? ''
  }

  get remoteAddress(): string {
    return this.#server.requestIP(this.#request)?.address ?? ''
  }
}

/** A blocking query may be silent for longer than the idle timeout; once it is answered, the connection is timed again. */
async function withoutTimeout(server: BunServer, request: Request, answer: Promise<Response>): Promise<Response> {
  server.timeout(request, 0)
  try {
    return await answer
  } finally {
    server.timeout(request, IDLE_TIMEOUT_S)
  }
}

async function shutDown(server: BunServer, graceMs: number): Promise<void> {
  const graceful = server.stop()
  const { signal, done } = systemClock.deadline(graceMs)
  const forced = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  await Promise.race([graceful, forced])
  done()
  await server.stop(true)
}
