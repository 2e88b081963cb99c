import { pack, unpack } from 'msgpackr'
import { AtollError, type ErrorCode } from '../../model/errors.ts'

/**
 * What begins a relayed connection, each a frame of its own (frames.ts); raw bytes follow.
 *
 *   dialler to relay, relay to listener   [1, peer id]   whom to reach; who asks
 *   listener to dialler                   [1]            taken
 *   relay or listener to dialler          [0, code, message]
 *
 * The dialler does not wait for the answer: the bytes of its handshake follow the request at once.
 */
export const RELAY_WIRE_VERSION = 1
/** Room for the frame of a request or an answer. */
export const MAX_RELAY_FRAME_BYTES = 1024

const MAX_PEER_ID = 128
const MAX_MESSAGE = 512
/** What a relay may say; anything else is 'unavailable'. */
const CODES: readonly ErrorCode[] = ['unavailable', 'overloaded', 'unsupported', 'forbidden', 'invalid']

export const encodeRelayRequest = (peerId: string): Uint8Array => Uint8Array.from(pack([RELAY_WIRE_VERSION, peerId]))

/** AtollError 'invalid' for anything else. */
export function decodeRelayRequest(frame: Uint8Array): string {
  const fields = decode(frame)
  const [version, peerId] = fields
  if (typeof version !== 'number' || version < RELAY_WIRE_VERSION) throw malformed()
  if (typeof peerId !== 'string' || peerId.length === 0 || peerId.length > MAX_PEER_ID) throw malformed()
  return peerId
}

export const encodeRelayTaken = (): Uint8Array => Uint8Array.from(pack([1]))

export const encodeRelayRefusal = (error: AtollError): Uint8Array =>
  Uint8Array.from(pack([0, error.code, error.message.slice(0, MAX_MESSAGE / 2)]))

/** The reason of a refusal; undefined when the connection was taken. Throws AtollError 'invalid' for anything else. */
export function decodeRelayAnswer(frame: Uint8Array): AtollError | undefined {
  const [taken, code, message] = decode(frame)
  if (taken === 1) return undefined
  if (taken !== 0 || typeof message !== 'string') throw malformed()
  const known = CODES.find((each) => each === code) ?? 'unavailable'
  return new AtollError(known, message.slice(0, MAX_MESSAGE))
}

function decode(frame: Uint8Array): readonly unknown[] {
  let fields: unknown
  try {
    fields = unpack(frame)
  } catch {
    throw malformed()
  }
  if (!Array.isArray(fields)) throw malformed()
  return fields
}

const malformed = (): AtollError => new AtollError('invalid', 'a frame of the relay protocol cannot be read')
