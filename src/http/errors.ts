/** What goes wrong, as answers. One exhaustive map from the codes of the model, and Consul's own words where its clients know them. */
import { type ErrorCode, isAtollError } from '../model/errors.ts'

/** An answer that is not a success, in words that are final. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, text: string, headers: Readonly<Record<string, string>> = {}) {
    super(text)
    this.status = status
    this.headers = headers
  }
}

export const badRequest = (text: string): HttpError => new HttpError(400, text)

const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid: 400,
  'not-found': 404,
  conflict: 409,
  'too-large': 413,
  forbidden: 403,
  'no-path': 500,
  unavailable: 503,
  timeout: 504,
  'unknown-outcome': 504,
  overloaded: 429,
  unsupported: 501,
  internal: 500,
}

/** Clients know this one by its text. */
const NO_PATH = 'No path to datacenter'

export interface Failure {
  readonly status: number
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
  /** Worth a line in the log: a fault of ours, not of the caller. */
  readonly unexpected: boolean
}

/** What a client reads of anything thrown. Unknown errors give nothing away. */
export function failureOf(error: unknown): Failure {
  if (error instanceof HttpError) {
    return { status: error.status, text: error.message, headers: error.headers, unexpected: false }
  }
  if (!isAtollError(error)) {
    return { status: 500, text: 'Internal error; see the log of the node', headers: {}, unexpected: true }
  }
  const status = STATUS[error.code]
  const text = error.code === 'no-path' ? NO_PATH : error.message
  const headers: Record<string, string> = { 'X-Atoll-Error': error.code }
  if (error.field !== undefined) headers['X-Atoll-Field'] = headerText(error.field)
  if (status === 429 || status === 503) headers['Retry-After'] = '1'
  return { status, text, headers, unexpected: error.code === 'internal' }
}

/** Fields may carry what a client sent; headers take printable ASCII. */
const headerText = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 256)
