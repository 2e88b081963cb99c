import { messageOf } from '../../model/errors.ts'
import { StoreError, type StoreErrorCode } from '../store.ts'

/** Primary result codes of SQLite, https://sqlite.org/rescode.html */
const CODES: Record<number, StoreErrorCode> = {
  5: 'locked',
  6: 'locked',
  10: 'failed', // I/O
  11: 'corrupt',
  13: 'disk-full',
  26: 'corrupt', // not a database
}

/** Deno gives no result code for errors of `exec`: the texts are SQLite's own, in `sqlite3ErrStr`. */
const TEXTS: readonly [text: string, code: StoreErrorCode][] = [
  ['database is locked', 'locked'],
  ['database or disk is full', 'disk-full'],
  ['file is not a database', 'corrupt'],
  ['database disk image is malformed', 'corrupt'],
]

/**
 * What an error of SQLite means. `committing`: it came from COMMIT; when that fails for any other reason than room, the log
 * may hold the transaction all the same, and a later start may find it there.
 */
export function storeErrorOf(error: unknown, committing: boolean): StoreError {
  if (error instanceof StoreError) return error
  const { errcode } = error as { errcode?: number }
  const message = messageOf(error)
  const code =
    (errcode === undefined ? undefined : CODES[errcode & 0xff]) ??
    TEXTS.find(([text]) => message.includes(text))?.[1] ??
    'failed'
  return new StoreError(committing && code === 'failed' ? 'unknown-outcome' : code, message, error)
}
