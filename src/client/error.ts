/** What a call can fail with, as a closed list. The first group comes from the node, the second from this library. */
export type ClientErrorCode =
  | 'invalid' // the request is wrong; `field` says where, when the node told
  | 'forbidden'
  | 'not-found'
  | 'conflict' // a name or key belongs to somebody else
  | 'too-large'
  | 'overloaded' // the node shed the request; nothing was changed
  | 'no-path' // no such datacenter is known
  | 'unavailable' // what the answer needs cannot be reached now; nothing was changed
  | 'timeout' // a read took longer than its deadline
  | 'unknown-outcome' // a write may or may not have been applied
  | 'unsupported'
  | 'internal'
  //
  | 'unreachable' // the node itself gave no answer; nothing was sent, or it was only a read
  | 'aborted' // the caller's signal fired
  | 'bad-answer' // what answered does not speak this API

const NODE_CODES: ReadonlySet<string> = new Set<ClientErrorCode>([
  'invalid',
  'forbidden',
  'not-found',
  'conflict',
  'too-large',
  'overloaded',
  'no-path',
  'unavailable',
  'timeout',
  'unknown-outcome',
  'unsupported',
  'internal',
])

const STATUS_CODES: Readonly<Record<number, ClientErrorCode>> = {
  400: 'invalid',
  401: 'forbidden',
  403: 'forbidden',
  404: 'not-found',
  405: 'unsupported',
  409: 'conflict',
  413: 'too-large',
  415: 'unsupported',
  429: 'overloaded',
  501: 'unsupported',
  502: 'unavailable',
  503: 'unavailable',
}

export class ClientError extends Error {
  override readonly name = 'ClientError'
  /** HTTP status, 0 when there was no answer. */
  readonly status: number
  readonly code: ClientErrorCode
  /** The request's field that is wrong, in the API's spelling. */
  readonly field: string | undefined
  /** How long the node asked to wait before another attempt. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: ClientErrorCode,
    message: string,
    options: { status?: number; field?: string; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? 0
    this.field = options.field
    this.retryAfterMs = options.retryAfterMs
  }
}

export const isClientError = (error: unknown): error is ClientError => error instanceof ClientError

/** The error of an answer that is none of success; `text` is its body. */
export function errorOfAnswer(response: Response, text: string, writes: boolean): ClientError {
  const { status, headers } = response
  const told = headers.get('X-Atoll-Error') ?? ''
  const code = NODE_CODES.has(told) ? (told as ClientErrorCode) : codeOfStatus(status, writes)
  const field = headers.get('X-Atoll-Field') ?? undefined
  const seconds = Number.parseFloat(headers.get('Retry-After') ?? '')
  return new ClientError(code, text.trim().slice(0, 4096) || `the node answered ${status}`, {
    status,
    ...(field ? { field } : {}),
    ...(Number.isFinite(seconds) && seconds >= 0 ? { retryAfterMs: seconds * 1000 } : {}),
  })
}

function codeOfStatus(status: number, writes: boolean): ClientErrorCode {
  if (status === 504 || status === 408) return writes ? 'unknown-outcome' : 'timeout'
  return STATUS_CODES[status] ?? (status >= 400 && status < 500 ? 'invalid' : 'internal')
}
