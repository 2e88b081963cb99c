/** How heads compare, and the signed envelope that they and all else about a DC travel in. */
import { hash } from 'node:crypto'
import type { PeerIdentity } from '../host.ts'
import { decode, encode, ProtocolError, Reader } from './codec.ts'
import { MAX_ENVELOPE_BYTES, PROTOCOL_VERSION } from './limits.ts'
import { decodeMessage, encodeMessage, type KnownMessage, type Message } from './messages.ts'

/** The part of a Host that signs and verifies. */
export interface Signer {
  sign(bytes: Uint8Array): Uint8Array
  readonly certificate: Uint8Array
}
export interface Verifier {
  verify(certificate: Uint8Array, bytes: Uint8Array, signature: Uint8Array): PeerIdentity | undefined
}

export interface Stamp {
  readonly boot: number
  readonly sequence: number
}

/** Whether `a` is strictly later than `b`, both of one gateway. */
export const isNewer = (a: Stamp, b: Stamp | undefined): boolean =>
  b === undefined || a.boot > b.boot || (a.boot === b.boot && a.sequence > b.sequence)

export function seal(signer: Signer, message: KnownMessage): Uint8Array {
  const body = encodeMessage(message)
  return encode([PROTOCOL_VERSION, signer.certificate, body, signer.sign(body)])
}

/** A message whose signature was found good, of a server of the DC that it is about. */
export interface Opened {
  readonly message: Message
  readonly identity: PeerIdentity
  /** As it came, to be passed on unchanged. */
  readonly bytes: Uint8Array
}

/** A copy comes within a second. What is opened takes three times as much. */
const CACHE_ENTRIES = 256
const CACHE_BYTES = 512 * 1024

/**
 * Opens envelopes. The same bytes come by gossip and by stream: what was verified is kept by the hash of its content
 * (never by an id that the sender chose), bounded, so that a second copy costs one hash.
 */
export class Opener {
  readonly #verifier: Verifier
  readonly #cache = new Map<string, Opened>()
  #cachedBytes = 0

  constructor(verifier: Verifier) {
    this.#verifier = verifier
  }

  /** ProtocolError unless it is well formed, signed, and by a server of the DC that it is about. */
  open(bytes: Uint8Array): Opened {
    const id = hash('sha256', bytes, 'base64')
    const known = this.#cache.get(id)
    if (known) return known
    const opened = this.#verify(bytes)
    this.#keep(id, opened)
    return opened
  }

  #verify(bytes: Uint8Array): Opened {
    const reader = new Reader(decode(bytes, { maxBytes: MAX_ENVELOPE_BYTES, maxItems: 32 }), 'envelope')
    reader.integer('version')
    const certificate = reader.bytes('certificate', 1, 8192)
    const body = reader.bytes('body', 1, MAX_ENVELOPE_BYTES)
    const signature = reader.bytes('signature', 1, 512)
    const message = decodeMessage(body)
    const identity = this.#verifier.verify(certificate, body, signature)
    if (!identity) throw new ProtocolError('envelope: the signature is not good')
    if (identity.role !== 'server') throw new ProtocolError('envelope: signed by a client')
    if (identity.datacenter !== message.datacenter || identity.datacenterId !== message.datacenterId)
      throw new ProtocolError(`envelope: about ${message.datacenter}, but signed in ${identity.datacenter}`)
    return { message, identity, bytes: new Uint8Array(bytes) }
  }

  #keep(id: string, opened: Opened): void {
    this.#cache.set(id, opened)
    this.#cachedBytes += opened.bytes.length
    for (const [oldest, entry] of this.#cache) {
      if (this.#cache.size <= CACHE_ENTRIES && this.#cachedBytes <= CACHE_BYTES) return
      this.#cache.delete(oldest)
      this.#cachedBytes -= entry.bytes.length
    }
  }
}
