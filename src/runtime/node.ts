import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { limitOf, tooLargeText } from './body-limit.ts'
import { systemClock } from './clock.ts'
import { boundGarbage } from './garbage.ts'
import { listenError } from './listen-error.ts'
import { machine } from './machine.ts'
import { keepPoolsSmall, releaseMemory } from './node-memory.ts'
import type { HttpServerOptions, ReadyAnswer, RunningHttpServer, Runtime } from './ports.ts'
import { openUdp } from './udp-dgram.ts'

/**
 * Node, through @hono/node-server, whose Request and Response replace the global ones: they cost nothing until their
 * parts are asked for. Fast answers are `new Response(bytes, { status, headers: { ... } })` with a Uint8Array and a
 * plain object: they go to the socket as they are, with Content-Length.
 *
 * `request.signal` aborts when the client goes before the answer is finished, and never after a finished one.
 * `request.url` holds path and query as they were sent, also `//`, dot segments and their escapes.
 * A head that is not whole after `headersTimeoutMs` ends the connection within another second.
 */
export const nodeRuntime: Runtime = {
  ...machine,
  name: 'node',
  version: process.versions.node,
  serveHttp,
  openUdp,
  releaseMemory,
  boundGarbage() {
    keepPoolsSmall()
    return boundGarbage(systemClock)
  },
}

/** How long a connection without requests stays open: longer than the pools of common clients keep theirs. */
const KEEP_ALIVE_MS = 120_000
/** How long a request's body may take. */
const BODY_TIMEOUT_MS = 300_000
/** How long a refused body is still read, so that the client sees the answer instead of a reset connection. */
const REFUSED_DRAIN_MS = 500

async function serveHttp(options: HttpServerOptions): Promise<RunningHttpServer> {
  const listener = getRequestListener((request, env) => {
    const incoming = (env as { incoming: IncomingMessage }).incoming
    showRawTarget(request, incoming.url ?? '/')
    const acceptEncoding = acceptEncodingOf(incoming)
    const headerCount = incoming.rawHeaders.length / 2
    return options.fetch(request, { remoteAddress: incoming.socket.remoteAddress ?? '', acceptEncoding, headerCount })
  })
  let closing = false
  const server = createServer({
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: Math.max(BODY_TIMEOUT_MS, options.headersTimeoutMs),
    connectionsCheckingInterval: Math.min(1000, options.headersTimeoutMs),
    keepAliveTimeout: KEEP_ALIVE_MS,
  })
  server.on('request', (incoming: IncomingMessage, outgoing: ServerResponse) => {
    if (closing) closeAfter(server, outgoing)
    const ready = readyFor(incoming, options)
    if (ready instanceof Promise) return void ready.then((answer) => send(answer, outgoing))
    if (ready) return send(ready, outgoing)
    const put = putFor(incoming, options)
    if (put)
      return collect(
        incoming,
        outgoing,
        SHORT_BODY_BYTES,
        (body) => void put(body).then((answer) => send(answer, outgoing)),
      )
    const { headers } = incoming
    const maxBytes = limitOf(options, incoming.url ?? '')
    if (Number(headers['content-length'] ?? 0) > maxBytes) refuse(incoming, outgoing, maxBytes)
    else if (headers['transfer-encoding'] !== undefined) {
      collect(incoming, outgoing, maxBytes, (rawBody) => {
        // The listener takes `rawBody` for the body where it finds one.
        Object.assign(incoming, { rawBody })
        void listener(incoming, outgoing)
      })
    } else void listener(incoming, outgoing)
  })
  const { address, port } = await listen(server, options)
  let closed: Promise<void> | undefined
  const close = (graceMs: number): Promise<void> => {
    closing = true
    return shutDown(server, graceMs)
  }
  return { hostname: address, port, close: (graceMs) => (closed ??= close(graceMs)) }
}

function acceptEncodingOf({ headers }: IncomingMessage): string {
  const encoding = headers['accept-encoding'] ?? ''
  return typeof encoding === 'string' ? encoding : ''
}

/** A host that needs a closer look is for the listener to judge. */
const PLAIN_HOST = /^[a-z0-9._-]+(?::\d{1,5})?$/

function readyFor(incoming: IncomingMessage, { ready }: HttpServerOptions): ReturnType<NonNullable<typeof ready>> {
  if (incoming.method !== 'GET' || ready === undefined) return undefined
  const { headers } = incoming
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return undefined
  if (!PLAIN_HOST.test(headers.host ?? '')) return undefined
  return ready(incoming.url ?? '/', acceptEncodingOf(incoming))
}

const SHORT_BODY_BYTES = 16 * 1024

function putFor(
  incoming: IncomingMessage,
  { put, maxBodyBytes }: HttpServerOptions,
): ReturnType<NonNullable<typeof put>> {
  if (incoming.method !== 'PUT' || put === undefined) return undefined
  const { headers } = incoming
  // Also without one, which is for the listener.
  if (
    !(Number(headers['content-length']) <= Math.min(SHORT_BODY_BYTES, maxBodyBytes)) ||
    headers['transfer-encoding'] !== undefined
  )
    return undefined
  if (!PLAIN_HOST.test(headers.host ?? '')) return undefined
  return put(incoming.url ?? '/', headers, incoming.rawHeaders.length / 2)
}

/** Ahead of the listener, which would make a Request and a Response for it: half the work of a small answer. */
function send({ status, headers, body }: ReadyAnswer, outgoing: ServerResponse): void {
  outgoing.writeHead(status, headers as string[])
  outgoing.end(body, 'latin1')
}

function listen(server: Server, { hostname, port }: HttpServerOptions): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, hostname, port)))
    server.listen(port, hostname, () => resolve(server.address() as AddressInfo))
  })
}

/** Escapes and dots are what URL parsing would rewrite; the app sees what was sent. */
const REWRITTEN = /\/\.|%2e/i

function showRawTarget(request: Request, target: string): void {
  if (!REWRITTEN.test(target) || target[0] !== '/') return
  const { url } = request
  const origin = url.slice(0, url.indexOf('/', url.indexOf('//') + 2))
  Object.defineProperty(request, 'url', { value: origin + target })
}

/** Reads a body into memory, up to the bound, and hands it on as one piece. */
function collect(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  maxBytes: number,
  next: (body: Buffer) => void,
): void {
  const chunks: Buffer[] = []
  let length = 0
  const onData = (chunk: Buffer): void => {
    length += chunk.byteLength
    if (length <= maxBytes) return void chunks.push(chunk)
    incoming.off('data', onData)
    incoming.off('end', onEnd)
    refuse(incoming, outgoing, maxBytes)
  }
  const onEnd = (): void => next(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length))
  incoming.on('data', onData)
  incoming.on('end', onEnd)
  incoming.on('error', () => outgoing.destroy())
}

function refuse(incoming: IncomingMessage, outgoing: ServerResponse, maxBytes: number): void {
  const text = tooLargeText(maxBytes)
  outgoing.writeHead(413, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    Connection: 'close',
  })
  outgoing.end(text)
  incoming.resume()
  const timer = systemClock.after(REFUSED_DRAIN_MS, () => incoming.socket.destroy())
  incoming.socket.once('close', () => timer.cancel())
}

/** While the server closes: ends the connection with the answer. */
function closeAfter(server: Server, outgoing: ServerResponse): void {
  outgoing.once('finish', () => setImmediate(() => server.closeIdleConnections()))
}

function shutDown(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = systemClock.after(graceMs, () => {
      sweep.cancel()
      server.closeAllConnections()
    })
    // Connections whose answer ends during the grace fall idle one by one.
    const sweep = systemClock.every(50, () => server.closeIdleConnections())
    server.close(() => {
      force.cancel()
      sweep.cancel()
      resolve()
    })
    server.closeIdleConnections()
  })
}
