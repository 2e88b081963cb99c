/** Server-Sent Events over fetch: the parser, and a stream that comes back when its connection breaks. */
import { ClientError, isClientError } from './error.ts'
import { backoffMs, pause } from './pause.ts'
import type { Query, Transport } from './transport.ts'

export interface ServerEvent {
  /** `message` unless the node named it. */
  readonly event: string
  readonly data: string
  /** The last id given on this stream, '' for none. */
  readonly id: string
}

export interface EventOptions {
  readonly signal?: AbortSignal
  /** Where to go on after an earlier stream. */
  readonly lastEventId?: string
  /** Without a byte for so long (comments count) the connection is taken for dead. 60,000 by default. */
  readonly idleTimeoutMs?: number
  /** Bound of one event, 8 MiB by default. */
  readonly maxEventBytes?: number
  readonly maxBackoffMs?: number
  readonly onError?: (error: ClientError, retryInMs: number) => void
}

const LASTING = new Set<ClientError['code']>([
  'invalid',
  'forbidden',
  'not-found',
  'unsupported',
  'too-large',
  'bad-answer',
])

/** Events of a path until the signal fires; reconnects with `Last-Event-ID`. Throws ClientError for what lasts. */
export async function* eventStream(
  transport: Transport,
  path: string,
  query: Query,
  options: EventOptions = {},
): AsyncGenerator<ServerEvent, void, undefined> {
  const { signal, maxBackoffMs = 30_000 } = options
  let id = options.lastEventId ?? ''
  let retryMs = 500
  let failures = 0
  while (!signal?.aborted) {
    const connection = new AbortController()
    const onAbort = () => connection.abort()
    signal?.addEventListener('abort', onAbort)
    let failure: ClientError
    try {
      const headers = { Accept: 'text/event-stream', ...(id ? { 'Last-Event-ID': id } : {}) }
      const response = await transport.open({ method: 'GET', path, query, headers, signal: connection.signal })
      for await (const event of readEvents(response, connection, options)) {
        failures = 0
        if (event.retryMs !== undefined) retryMs = event.retryMs
        id = event.id
        if (event.data !== undefined) yield { event: event.event, data: event.data, id }
      }
      failure = new ClientError('unreachable', 'the node ended the stream')
    } catch (error) {
      if (signal?.aborted) return
      failure = isClientError(error) ? error : new ClientError('unreachable', 'the stream broke', { cause: error })
      if (LASTING.has(failure.code)) throw failure
    } finally {
      signal?.removeEventListener('abort', onAbort)
      connection.abort()
    }
    const delayMs = Math.max(failure.retryAfterMs ?? 0, backoffMs(failures++, retryMs, maxBackoffMs))
    options.onError?.(failure, delayMs)
    await pause(delayMs, signal)
  }
}

async function* readEvents(response: Response, connection: AbortController, options: EventOptions) {
  const type = response.headers.get('Content-Type') ?? ''
  if (!response.body || !type.startsWith('text/event-stream')) {
    throw new ClientError('bad-answer', `no event stream but ${type || 'nothing'}: is this the address of a node?`, {
      status: response.status,
    })
  }
  const parser = createEventParser(options.maxEventBytes ?? 8 * 1024 * 1024)
  const idleTimeoutMs = options.idleTimeoutMs ?? 60_000
  const reader = response.body.getReader()
  for (;;) {
    const timer = setTimeout(() => connection.abort(), idleTimeoutMs)
    const { done, value } = await reader.read().finally(() => clearTimeout(timer))
    if (done) return
    yield* parser.push(value)
  }
}

export interface ParsedEvent {
  readonly event: string
  /** Undefined for a block that only set the id or the retry time. */
  readonly data: string | undefined
  readonly id: string
  readonly retryMs: number | undefined
}

/** The parser of the HTML standard (9.2.6), fed with chunks cut anywhere. Throws 'too-large' beyond `maxBytes` of one event. */
export function createEventParser(maxBytes: number): { push(chunk: Uint8Array): ParsedEvent[] } {
  const decoder = new TextDecoder()
  let rest = ''
  let afterCarriageReturn = false
  let id = ''
  let event = ''
  let data: string[] = []
  let size = 0
  let retryMs: number | undefined

  const field = (line: string): void => {
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'data') data.push(value)
    else if (name === 'event') event = value
    else if (name === 'id' && !value.includes('\0')) id = value
    else if (name === 'retry' && /^\d{1,9}$/.test(value)) retryMs = Number(value)
  }

  const push = (chunk: Uint8Array): ParsedEvent[] => {
    let text = decoder.decode(chunk, { stream: true })
    if (text === '') return []
    if (afterCarriageReturn && text.startsWith('\n')) text = text.slice(1)
    afterCarriageReturn = text.endsWith('\r')
    const lines = text.split(/\r\n|\r|\n/)
    lines[0] = rest + lines[0]
    rest = lines.pop() ?? ''
    const events: ParsedEvent[] = []
    for (const line of lines) {
      size += line.length
      if (line !== '') {
        if (!line.startsWith(':')) field(line)
      } else {
        if (data.length > 0 || retryMs !== undefined) {
          events.push({ event: event || 'message', data: data.length > 0 ? data.join('\n') : undefined, id, retryMs })
        }
        data = []
        event = ''
        size = 0
        retryMs = undefined
      }
      if (size > maxBytes) break
    }
    if (size + rest.length > maxBytes) throw new ClientError('too-large', `an event is larger than ${maxBytes} bytes`)
    return events
  }
  return { push }
}
