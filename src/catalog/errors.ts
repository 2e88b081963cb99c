import { AtollError, type ErrorCode, isAtollError, messageOf } from '../model/errors.ts'
import { StoreError, type StoreErrorCode } from '../store/store.ts'

/** What a failure of the store means to who asked the catalog. */
const CODES: Readonly<Record<StoreErrorCode, ErrorCode>> = {
  closed: 'unavailable',
  locked: 'unavailable',
  compacted: 'unavailable',
  invalid: 'invalid',
  'no-lease': 'unavailable',
  'disk-full': 'unavailable',
  failed: 'unavailable',
  corrupt: 'unavailable',
  version: 'unsupported',
  unfinished: 'unavailable',
  unavailable: 'unavailable',
  overloaded: 'overloaded',
  'unknown-outcome': 'unknown-outcome',
}

/** Anything thrown below, as the catalog's own error. */
export function toAtollError(error: unknown): AtollError {
  if (isAtollError(error)) return error
  if (error instanceof StoreError) return new AtollError(CODES[error.code], error.message, { cause: error })
  return new AtollError('internal', messageOf(error), { cause: error })
}
