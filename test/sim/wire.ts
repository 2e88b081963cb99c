/**
 * Signed messages and frames as they pass between nodes: mostly the objects themselves, as a signature and a decoding for
 * each would be most of the simulation; a seeded share is really sealed, verified and decoded, and must come out the
 * same.
 */
import { createHash } from 'node:crypto'
import type { PeerIdentity } from '../../src/federation/host.ts'
import { type Opened, Opener, type Signer, seal } from '../../src/federation/protocol/head.ts'
import { decodeHeartbeat, type Heartbeat } from '../../src/federation/protocol/heartbeat.ts'
import type { KnownMessage } from '../../src/federation/protocol/messages.ts'
import { decodeFrame, encodeFrame, type TailFrame } from '../../src/federation/protocol/tail.ts'
import type { SeededRandom } from '../../src/runtime/virtual.ts'
import type { Coverage } from './coverage.ts'
import { Violation } from './invariants.ts'

/** One of so many messages is really encoded. */
const SAMPLE = 100

export type RealFrame = Exclude<TailFrame, { type: 'unknown' }>

/** A keyed hash in the place of a signature: whoever changes a byte is found out. */
const signatureOf = (certificate: Uint8Array, bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update('simulated key').update(certificate).update(bytes).digest())

export class Wire {
  readonly #random: SeededRandom
  readonly #coverage: Coverage
  readonly #openedOf = new WeakMap<Uint8Array, Opened>()
  readonly #opener: Opener

  constructor(random: SeededRandom, coverage: Coverage) {
    this.#random = random
    this.#coverage = coverage
    this.#opener = new Opener({
      verify: (certificate, bytes, signature) =>
        Buffer.compare(signatureOf(certificate, bytes), signature) === 0
          ? (JSON.parse(new TextDecoder().decode(certificate)) as PeerIdentity)
          : undefined,
    })
  }

  seal(identity: PeerIdentity, message: KnownMessage): Opened {
    const opened =
      this.#random.float() * SAMPLE < 1
        ? this.#really(identity, message)
        : { message, identity, bytes: new Uint8Array(1) }
    this.#openedOf.set(opened.bytes, opened)
    return opened
  }

  #really(identity: PeerIdentity, message: KnownMessage): Opened {
    this.#coverage.hit('wire: really encoded and decoded')
    const certificate = new TextEncoder().encode(JSON.stringify(identity))
    const signer: Signer = { certificate, sign: (bytes) => signatureOf(certificate, bytes) }
    const opened = this.#opener.open(seal(signer, message))
    if (plain(opened.message) !== plain(message)) throw new Violation('wire', 'a message was decoded to another one')
    return opened
  }

  /** What `seal` gave these bytes for. */
  open(bytes: Uint8Array): Opened {
    const opened = this.#openedOf.get(bytes)
    if (!opened) throw new Violation('wire', 'an envelope that nobody sealed')
    return opened
  }

  /** What a live frame holds: a signed message, or a heartbeat. */
  live(bytes: Uint8Array): Opened | Heartbeat {
    return this.#openedOf.get(bytes) ?? decodeHeartbeat(bytes)
  }

  frame(frame: RealFrame): RealFrame {
    if (this.#random.float() * SAMPLE >= 1) return frame
    this.#coverage.hit('wire: really encoded and decoded')
    const decoded = decodeFrame(encodeFrame(frame)) as RealFrame
    if (plain(decoded) !== plain(frame)) throw new Violation('wire', 'a frame was decoded to another one')
    // The envelope is known by its very bytes.
    return 'envelope' in decoded && 'envelope' in frame ? { ...decoded, envelope: frame.envelope } : decoded
  }
}

/** As text: fields in the order of their names. */
function plain(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (Array.isArray(value)) return `[${value.map(plain).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([name, item]) => `${name}:${plain(item)}`).join()}}`
}
