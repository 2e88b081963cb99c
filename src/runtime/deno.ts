import { AtollError } from '../model/errors.ts'
import { declaredLength, limitOf, readBounded, tooLarge } from './body-limit.ts'
import { systemClock } from './clock.ts'
import { listenError } from './listen-error.ts'
import { machine } from './machine.ts'
import type { HttpRequestInfo, HttpServerOptions, RunningHttpServer, Runtime } from './ports.ts'
import { openUdp } from './udp-deno.ts'

/**
 * Deno, through `Deno.serve`.
 *
 * `request.signal` aborts when the client goes, and, unless Deno runs with `--unstable-no-legacy-abort` (deno.json sets
 * it), also once an answer has been sent whole: listeners must not take that for an error.
 * `request.url` holds path and query as they were sent.
 * Deno has no timeout for slow heads: `headersTimeoutMs` does nothing here. A stream that ignores its signal outlives `close`.
 */
export const denoRuntime: Runtime = {
  ...machine,
  name: 'deno',
  version: process.versions.deno ?? '',
  serveHttp,
  openUdp,
}

/** The little of Deno's API that is used here. */
interface DenoInfo {
  readonly remoteAddr: { hostname?: string }
  readonly completed: Promise<void>
}
interface DenoServer {
  readonly addr: { hostname: string; port: number }
  shutdown(): Promise<void>
}
declare const Deno: {
  serve(
    options: { hostname: string; port: number; onListen(): void; onError(error: unknown): Response },
    handler: (request: Request, info: DenoInfo) => Response | Promise<Response>,
  ): DenoServer
}

/** After the grace: how long answers that were cut short may take to leave. */
const LAST_WORDS_MS = 1000

async function serveHttp(options: HttpServerOptions): Promise<RunningHttpServer> {
  if (!signalsAreLinked) linkAllSignals()
  signalsAreLinked = true
  const open = new OpenRequests()
  const handler = (request: Request, info: DenoInfo): Response | Promise<Response> => {
    open.linkSignal(request, info)
    const about: HttpRequestInfo = {
      remoteAddress: info.remoteAddr.hostname ?? '',
      acceptEncoding: request.headers.get('accept-encoding') ?? '',
    }
    if (request.method === 'GET' || request.method === 'HEAD') return open.track(options.fetch(request, about))
    const length = declaredLength(request.headers)
    const maxBytes = limitOf(options, request.url.slice(request.url.indexOf('/', 8)))
    if (length !== undefined) {
      return length > maxBytes ? tooLarge(maxBytes) : open.track(options.fetch(request, about))
    }
    if (request.body === null || BODILESS.test(request.method)) return open.track(options.fetch(request, about))
    return open.track(fetchChunked(request, about, options, maxBytes))
  }
  let server: DenoServer
  try {
    server = Deno.serve(
      {
        hostname: options.hostname,
        port: options.port,
        onListen() {},
        onError: () => new Response('internal error\n', { status: 500 }),
      },
      handler,
    )
  } catch (error) {
    throw listenError(error, options.hostname, options.port)
  }
  let closed: Promise<void> | undefined
  return {
    hostname: server.addr.hostname,
    port: server.addr.port,
    close: (graceMs) => (closed ??= shutDown(server, open, graceMs)),
  }
}

/** No Request with a body can be made with these, however they are written: what comes with them stays unread. */
const BODILESS = /^(?:get|head|trace)$/i

/** A chunked body is read whole first, up to the bound. */
async function fetchChunked(
  request: Request,
  about: HttpRequestInfo,
  options: HttpServerOptions,
  maxBytes: number,
): Promise<Response> {
  let body: Uint8Array<ArrayBuffer> | undefined
  try {
    body = await readBounded(request.body!, maxBytes)
  } catch {
    // The client is gone, or its chunks are none.
    return new Response('the body cannot be read\n', { status: 400 })
  }
  if (body === undefined) return tooLarge(maxBytes)
  // Not of its own URL, which holds whatever `Host` said.
  const whole = new Request('http://localhost/', { method: request.method, headers: request.headers, body })
  // The constructor would normalize the URL, and has a signal of its own.
  Object.defineProperty(whole, 'url', { value: request.url })
  Object.defineProperty(whole, 'signal', { get: () => request.signal })
  return options.fetch(whole, about)
}

/** What is unanswered, so that closing can end it: `Deno.serve` itself would wait for it without a bound. */
class OpenRequests {
  readonly #unanswered = new Set<(response: Response) => void>()
  readonly #signals = new Set<AbortController>()
  #cut = false

  track(answer: Response | Promise<Response>): Response | Promise<Response> {
    if (answer instanceof Response) return answer
    return new Promise((resolve, reject) => {
      this.#unanswered.add(resolve)
      answer.then(resolve, reject).finally(() => this.#unanswered.delete(resolve))
      if (this.#cut) resolve(shuttingDown())
    })
  }

  /** Gives the request a signal that closing can abort too; costs a controller only where it is read. */
  linkSignal(request: Request, info: DenoInfo): void {
    linked.set(request, { open: this, info, signal: undefined })
  }

  /** A signal that aborts as the request's own does, or when closing cuts what is open. */
  signalFor(request: Request, info: DenoInfo): AbortSignal {
    const controller = new AbortController()
    const native = nativeSignal.call(request)
    this.#signals.add(controller)
    const forget = (): void => void this.#signals.delete(controller)
    info.completed.then(forget, forget)
    const onAbort = (): void => {
      forget()
      controller.abort(native.reason)
    }
    if (native.aborted) onAbort()
    else native.addEventListener('abort', onAbort, { once: true })
    return controller.signal
  }

  cut(): void {
    this.#cut = true
    const reason = new AtollError('unavailable', 'this node is shutting down')
    for (const controller of this.#signals) controller.abort(reason)
    this.#signals.clear()
    for (const resolve of this.#unanswered) resolve(shuttingDown())
  }
}

interface Linked {
  readonly open: OpenRequests
  readonly info: DenoInfo
  signal: AbortSignal | undefined
}

/** Requests of servers here. One getter for all of them: a property of its own costs each request 2.7 µs. */
const linked = new WeakMap<Request, Linked>()
const nativeSignal = Object.getOwnPropertyDescriptor(Request.prototype, 'signal')!.get! as (
  this: Request,
) => AbortSignal

function linkAllSignals(): void {
  Object.defineProperty(Request.prototype, 'signal', {
    configurable: true,
    get(this: Request): AbortSignal {
      const link = linked.get(this)
      if (link === undefined) return nativeSignal.call(this)
      link.signal ??= link.open.signalFor(this, link.info)
      return link.signal
    },
  })
}
let signalsAreLinked = false

const shuttingDown = (): Response =>
  new Response('this node is shutting down\n', { status: 503, headers: { Connection: 'close' } })

async function shutDown(server: DenoServer, open: OpenRequests, graceMs: number): Promise<void> {
  const finished = server.shutdown()
  if (await within(finished, graceMs)) return
  open.cut()
  await within(finished, LAST_WORDS_MS)
}

/** Whether it settled in time. */
async function within(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const { signal, done } = systemClock.deadline(timeoutMs)
  const late = new Promise<false>((resolve) => signal.addEventListener('abort', () => resolve(false), { once: true }))
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    done()
  }
}
