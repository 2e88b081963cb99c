/** What a call to etcd ended with, and what that means to who asked the store. */
import { status as codes } from '@grpc/grpc-js'
import { StoreError } from '../store.ts'

/** A call that failed, with the code of gRPC. */
export class CallError extends Error {
  override readonly name = 'CallError'
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }

  /** Another member may answer; whether this one did what it was asked is not known. */
  get isOpen(): boolean {
    return OPEN.has(this.code)
  }
}

/** Codes of calls that did not come back, or came back from a member that is in no position to answer. */
const OPEN: ReadonlySet<number> = new Set([
  codes.CANCELLED,
  codes.UNKNOWN,
  codes.DEADLINE_EXCEEDED,
  codes.ABORTED,
  codes.INTERNAL,
  codes.UNAVAILABLE,
  codes.DATA_LOSS,
])

/** A refusal for good: nothing was changed. `asked` says what was asked for, as "a transaction". */
export function refusal(error: CallError, asked: string): StoreError {
  const message = `etcd refused ${asked}: ${error.message}`
  switch (error.code) {
    case codes.INVALID_ARGUMENT:
      return new StoreError('invalid', message, error)
    case codes.NOT_FOUND:
      return new StoreError('no-lease', `${message}; grant a new lease`, error)
    case codes.OUT_OF_RANGE:
      return new StoreError('compacted', message, error)
    case codes.RESOURCE_EXHAUSTED:
      return new StoreError('overloaded', message, error)
    case codes.PERMISSION_DENIED:
    case codes.UNAUTHENTICATED:
      return new StoreError(
        'unavailable',
        `${message}; store.user needs a role that may read and write the prefix`,
        error,
      )
    default:
      return new StoreError('unavailable', message, error)
  }
}
