import { Packr } from 'msgpackr'
import { AtollError, type ErrorCode } from '../../model/errors.ts'
import { packCopy } from '../../model/packing.ts'

/**
 * Frames of the call stream: one byte for the version, then a msgpack array that begins with the type.
 *
 *   request      [0, id, method, payload, deadlineMs]
 *   result       [1, id, payload]
 *   error        [2, id, code, message, field or null]
 *   cancel       [3, id]
 *   ping, pong   [4, sequence]  [5, sequence]
 *   certificate  [6, bytes]     the sender's own, renewed
 *
 * Ids are chosen by the caller, and are unique among its calls on one connection.
 */
export type CallFrame =
  | { readonly type: 'request'; id: number; method: string; payload: unknown; deadlineMs: number }
  | { readonly type: 'result'; id: number; payload: unknown }
  | { readonly type: 'error'; id: number; error: AtollError }
  | { readonly type: 'cancel'; id: number }
  | { readonly type: 'ping' | 'pong'; sequence: number }
  | { readonly type: 'certificate'; certificate: Uint8Array }

export const CALL_WIRE_VERSION = 1

const TYPES = { request: 0, result: 1, error: 2, cancel: 3, ping: 4, pong: 5, certificate: 6 } as const
const MAX_METHOD = 256

const CODES: Record<ErrorCode, true> = {
  invalid: true,
  'not-found': true,
  conflict: true,
  'too-large': true,
  forbidden: true,
  'no-path': true,
  unavailable: true,
  timeout: true,
  'unknown-outcome': true,
  overloaded: true,
  unsupported: true,
  internal: true,
}

// No records: they would make a frame depend on those before it.
const packr = new Packr({ useRecords: false })

export const VERSION_BYTE = Uint8Array.of(CALL_WIRE_VERSION)

const pack = (fields: readonly unknown[]): Uint8Array => packCopy(packr, fields)

/** Without the version byte. Throws when the payload holds what msgpack cannot say. */
export function encodeCallFrame(frame: CallFrame): Uint8Array {
  const type = TYPES[frame.type]
  switch (frame.type) {
    case 'request':
      return pack([type, frame.id, frame.method, frame.payload, frame.deadlineMs])
    case 'result':
      return pack([type, frame.id, frame.payload])
    case 'error':
      return pack([type, frame.id, frame.error.code, frame.error.message, frame.error.field ?? null])
    case 'cancel':
      return pack([type, frame.id])
    case 'certificate':
      return pack([type, frame.certificate])
    default:
      return pack([type, frame.sequence])
  }
}

/** What a frame is, without making values of the rest of it. */
export interface CallFrameHead {
  readonly isRequest: boolean
  /** Of what it answers; undefined when it answers nothing. */
  readonly answers: number | undefined
}

/** `bytes` with the version byte; what cannot be told of them shows when they are decoded. */
export function headOfCallFrame(bytes: Uint8Array): CallFrameHead {
  const type = bytes[0] === CALL_WIRE_VERSION ? bytes[2] : undefined
  const answers = type === TYPES.result || type === TYPES.error ? integerAt(bytes, 3) : undefined
  return { isRequest: type === TYPES.request, answers }
}

/** The msgpack integer at `offset`, as far as ids go; -1 for all else. */
function integerAt(bytes: Uint8Array, offset: number): number {
  const token = bytes[offset] ?? 0xc0
  if (token < 0x80) return token
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = { 204: 1, 205: 2, 206: 4, 203: 8 }[token]
  if (size === undefined || offset + 1 + size > bytes.length) return -1
  if (token === 0xcb) return view.getFloat64(offset + 1)
  let value = 0
  for (let i = 0; i < size; i++) value = value * 256 + bytes[offset + 1 + i]!
  return value
}

/** With the version byte. Throws AtollError 'invalid' on anything that this version does not know. */
export function decodeCallFrame(bytes: Uint8Array): CallFrame {
  if (bytes[0] !== CALL_WIRE_VERSION) throw malformed(`version ${bytes[0]}`)
  let fields: unknown
  try {
    fields = packr.unpack(bytes.subarray(1))
  } catch {
    throw malformed('no msgpack')
  }
  if (!Array.isArray(fields)) throw malformed('no array')
  const [type, a, b, c, d] = fields as unknown[]
  switch (type) {
    case TYPES.request:
      if (typeof b !== 'string' || b.length > MAX_METHOD) throw malformed('method')
      return { type: 'request', id: integer(a), method: b, payload: c, deadlineMs: number(d) }
    case TYPES.result:
      return { type: 'result', id: integer(a), payload: b }
    case TYPES.error:
      return { type: 'error', id: integer(a), error: errorOf(b, c, d) }
    case TYPES.cancel:
      return { type: 'cancel', id: integer(a) }
    case TYPES.ping:
      return { type: 'ping', sequence: integer(a) }
    case TYPES.pong:
      return { type: 'pong', sequence: integer(a) }
    case TYPES.certificate:
      if (!(a instanceof Uint8Array)) throw malformed('certificate')
      return { type: 'certificate', certificate: Uint8Array.from(a) }
    default:
      throw malformed(`type ${String(type).slice(0, 32)}`)
  }
}

/** A code that a newer version may know arrives as 'internal'. */
function errorOf(code: unknown, message: unknown, field: unknown): AtollError {
  const known = typeof code === 'string' && Object.hasOwn(CODES, code) ? (code as ErrorCode) : 'internal'
  const text = typeof message === 'string' ? message : 'an error without a message'
  return new AtollError(known, text, typeof field === 'string' ? { field } : {})
}

function integer(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw malformed('id')
  return value as number
}

function number(value: unknown): number {
  if (typeof value !== 'number' || !(value >= 0)) throw malformed('deadline')
  return value
}

const malformed = (what: string): AtollError => new AtollError('invalid', `a call frame cannot be read: ${what}`)
