/** One HTTP call with a deadline, bounded in size, retried only when that cannot do a thing twice. */
import { type Answer, metaOf } from './answer.ts'
import { ClientError, errorOfAnswer, isClientError } from './error.ts'
import { backoffMs, pause } from './pause.ts'

export interface CallOptions {
  /** For this call, all attempts together; the client's own otherwise. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface ClientOptions {
  /** Base URL or host:port of a node; `http://127.0.0.1:8500` by default. */
  readonly address?: string
  /** Sent as `X-Consul-Token`. */
  readonly token?: string
  /** Deadline of a call; a blocking call gets its wait on top. 10,000 by default. */
  readonly timeoutMs?: number
  /** Further attempts, 2 by default: when nothing was sent or changed, and for reads when the connection broke. */
  readonly retries?: number
  /** Bound of an answer's body, 64 MiB by default. */
  readonly maxAnswerBytes?: number
  /** Instead of the runtime's own. */
  readonly fetch?: typeof fetch
}

type QueryValue = string | number | boolean | readonly string[] | undefined
/** `true` sends a bare key; `false` and undefined send nothing; lists repeat the key. */
export type Query = Readonly<Record<string, QueryValue>>

export interface Call extends CallOptions {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Begins with `/v1/`, already encoded. */
  readonly path: string
  readonly query?: Query
  readonly body?: string | Uint8Array
  /** Added to the deadline: how long the node was asked to hold the answer back. */
  readonly waitMs?: number
  /** A 404 that carries an index is an answer too (with an empty body). */
  readonly allowMissing?: boolean
}

export interface RawAnswer extends Answer<Uint8Array> {
  readonly status: number
}

export interface Transport {
  readonly address: string
  /** Rejects with ClientError. */
  call(call: Call): Promise<RawAnswer>
  /** The open answer of a stream; the deadline covers its beginning only. */
  open(call: Call & { readonly headers?: Readonly<Record<string, string>> }): Promise<Response>
}

const DEFAULT_ADDRESS = 'http://127.0.0.1:8500'

/** Base URL without a slash at its end. Throws ClientError 'invalid'. */
export function parseAddress(address: string): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(address)
    ? address
    : `http://${address.startsWith(':') ? '127.0.0.1' : ''}${address}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.search || url.hash) {
    throw new ClientError(
      'invalid',
      `address: "${address}" is no node's address; write it like "127.0.0.1:8500" or "https://node:8501"`,
      {
        field: 'address',
      },
    )
  }
  return url.href.replace(/\/+$/, '')
}

export function createTransport(options: ClientOptions): Transport {
  const address = parseAddress(options.address || DEFAULT_ADDRESS)
  const timeoutMs = options.timeoutMs ?? 10_000
  const retries = options.retries ?? 2
  const maxBytes = options.maxAnswerBytes ?? 64 * 1024 * 1024
  const send = options.fetch ?? fetch
  const ownHeaders: Record<string, string> = options.token ? { 'X-Consul-Token': options.token } : {}

  const attempt = async (call: Call, headers: Readonly<Record<string, string>>, signal: AbortSignal) => {
    const url = `${address}${call.path}${queryString(call.query)}`
    const response = await send(url, {
      method: call.method,
      headers: { ...ownHeaders, ...headers },
      redirect: 'manual',
      signal,
      ...(call.body === undefined ? {} : { body: call.body as BodyInit }),
    })
    const missing = response.status === 404 && call.allowMissing && response.headers.has('X-Consul-Index')
    if (response.ok || missing) return response
    if (response.type === 'opaqueredirect' || (response.status >= 300 && response.status < 400)) {
      await response.body?.cancel()
      throw new ClientError('invalid', `the node does not serve ${call.path} under this name`, {
        status: response.status,
      })
    }
    const text = new TextDecoder().decode(await readBody(response, 65_536, true))
    throw errorOfAnswer(response, text, call.method !== 'GET')
  }

  const withRetries = async <T>(
    call: Call,
    headers: Readonly<Record<string, string>>,
    take: (response: Response) => Promise<T>,
    hold = false,
  ): Promise<T> => {
    const deadline = openDeadline((call.timeoutMs ?? timeoutMs) + (call.waitMs ?? 0) * (17 / 16), call.signal)
    try {
      for (let tries = 0; ; tries++) {
        try {
          return await take(await attempt(call, headers, deadline.signal))
        } catch (error) {
          const typed = typeError(error, call, address, deadline)
          if (tries >= retries || deadline.signal.aborted || !mayRetry(typed, call)) throw typed
          await pause(typed.retryAfterMs ?? backoffMs(tries, 100, 2000), deadline.signal)
          if (deadline.signal.aborted) throw typed
        }
      }
    } finally {
      // A stream goes on after this; it is the caller's signal that ends it.
      deadline.close(hold)
    }
  }

  return {
    address,
    call: (call) =>
      withRetries(call, {}, async (response) => ({
        status: response.status,
        value: await readBody(response, maxBytes, false),
        meta: metaOf(response.headers),
      })),
    open: (call) => withRetries(call, call.headers ?? {}, (response) => Promise.resolve(response), true),
  }
}

function queryString(query: Query = {}): string {
  const parts: string[] = []
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === false) continue
    if (value === true) parts.push(key)
    else
      for (const one of Array.isArray(value) ? value : [value]) parts.push(`${key}=${encodeURIComponent(String(one))}`)
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

/** The whole body, up to `limit` bytes; beyond that it is cut or refused. */
async function readBody(response: Response, limit: number, cut: boolean): Promise<Uint8Array> {
  if (!response.body) return new Uint8Array()
  const chunks: Uint8Array[] = []
  let size = 0
  const reader = response.body.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    size += value.length
    chunks.push(value)
    if (size <= limit) continue
    await reader.cancel()
    if (cut) break
    throw new ClientError('too-large', `the answer is larger than ${limit} bytes`, { status: response.status })
  }
  if (chunks.length === 1) return chunks[0]!
  const whole = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

interface Deadline {
  readonly signal: AbortSignal
  /** Whether it was time that ended the call, and not the caller. */
  readonly expired: boolean
  readonly ms: number
  /** `keep`: the caller's signal goes on to count. */
  close(keep: boolean): void
}

/** Own timer and listener rather than AbortSignal.any: nothing stays on a signal that outlives the call. */
function openDeadline(ms: number, outer: AbortSignal | undefined): Deadline {
  const controller = new AbortController()
  let expired = false
  const timer = setTimeout(() => {
    expired = true
    controller.abort()
  }, ms)
  const onAbort = () => controller.abort()
  if (outer?.aborted) onAbort()
  else outer?.addEventListener('abort', onAbort)
  return {
    signal: controller.signal,
    get expired() {
      return expired
    },
    ms,
    close(keep) {
      clearTimeout(timer)
      if (!keep) outer?.removeEventListener('abort', onAbort)
    },
  }
}

function mayRetry(error: ClientError, call: Call): boolean {
  if (call.signal?.aborted) return false
  return (
    error.code === 'unreachable' ||
    error.code === 'overloaded' ||
    (error.code === 'unavailable' && call.method === 'GET')
  )
}

/** Whatever `fetch` threw, as ClientError. */
function typeError(error: unknown, call: Call, address: string, deadline: Deadline): ClientError {
  if (isClientError(error)) return error
  const what = `${call.method} ${call.path}`
  const writes = call.method !== 'GET'
  if (deadline.expired) {
    const after = `no answer from ${address} within ${Math.round(deadline.ms)} ms (${what})`
    return writes
      ? new ClientError('unknown-outcome', `${after}; it may or may not have been done`, { cause: error })
      : new ClientError('timeout', after, { cause: error })
  }
  if (call.signal?.aborted) return new ClientError('aborted', `${what} was called off`, { cause: error })
  if (!writes || neverConnected(error)) {
    return new ClientError('unreachable', `no node answers at ${address}`, { cause: error })
  }
  return new ClientError(
    'unknown-outcome',
    `the connection to ${address} broke during ${what}; it may or may not have been done`,
    {
      cause: error,
    },
  )
}

const CONNECT_CODES = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'ConnectionRefused', // Bun's words
  'FailedToOpenSocket',
])

/** Whether the codes along the chain of causes show that no connection came to be. */
function neverConnected(error: unknown): boolean {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = (at as { code?: unknown }).code
    if (typeof code === 'string' && CONNECT_CODES.has(code)) return true
    // Deno's fetch gives no code; its words name the phase that failed.
    if (code === undefined && String(at).includes('client error (Connect)')) return true
    if (at instanceof AggregateError && at.errors.length > 0 && at.errors.every(neverConnected)) return true
  }
  return false
}
