/** What can go wrong, as a closed list. Each face (HTTP, DNS, CLI) maps it in one exhaustive table. */
export type ErrorCode =
  | 'invalid' // the request is wrong; `field` says where
  | 'not-found'
  | 'conflict' // a name or key belongs to somebody else
  | 'too-large'
  | 'forbidden'
  | 'no-path' // no such datacenter is known
  | 'unavailable' // a server, store or datacenter cannot be reached now; nothing was changed
  | 'timeout' // a read took longer than its deadline
  | 'unknown-outcome' // a write may or may not have been applied
  | 'overloaded' // a queue is full; nothing was changed
  | 'unsupported'
  | 'internal'

export class AtollError extends Error {
  override readonly name = 'AtollError'
  readonly code: ErrorCode
  /** The request's field that is wrong, in the caller's spelling. */
  readonly field: string | undefined

  constructor(code: ErrorCode, message: string, options: { field?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.field = options.field
  }
}

export const isAtollError = (error: unknown): error is AtollError => error instanceof AtollError

/** The message of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
