import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { pack, unpack } from 'msgpackr'
import { AtollError, messageOf } from '../../model/errors.ts'
import type { Clock, Random } from '../../runtime/ports.ts'
import type { PeerIdentity } from '../host.ts'
import type { Certificate, CertificateVerdict } from './authority.ts'
import { portableNoise } from './noise.ts'

/** Versions of the wire protocol that this code speaks; two nodes take the highest that both know. */
export const PROTOCOL_VERSIONS = { min: 1, max: 1 } as const

/** What a handshake found out about the other side, and what both agreed on. */
export interface Secured {
  /** Same on both sides: the dialler draws it. */
  readonly connectionId: string
  readonly identity: PeerIdentity
  readonly certificate: Certificate
  readonly bootId: string
  readonly version: number
  readonly capabilities: readonly string[]
  /** The connection with this peer that the dialler held last and has given up; '' when there was none. */
  readonly lost: string
}

/** Travels in the options of one dial, so that its reasons survive libp2p's wrapping of errors. */
export interface DialAttempt {
  /** Who answered, once Noise has proved it. */
  peerId?: string
  /** Why no connection came of it. */
  refusal?: AtollError
  /** Set for a connection through a third peer: the id of the one that it is to replace, '' for none. */
  readonly replaces?: string
}

export interface HandshakeOptions {
  readonly selfPeerId: string
  readonly bootId: string
  readonly capabilities: readonly string[]
  readonly clock: Clock
  readonly random: Random
  certificate(): Uint8Array
  verify(certificate: Uint8Array): CertificateVerdict
  /** False ends a dial to a peer that is connected as well already (outbound), and one that comes in after `close`. */
  wanted(peerId: string, dialled: DialAttempt | undefined): boolean
  lost(peerId: string): string
  /** Before libp2p announces the connection; `key` is its `timeline` object. */
  onSecured(key: object, secured: Secured): void
  onRefused(peerId: string | undefined, reason: string): void
}

const MAX_HELLO_BYTES = 8192
const MAX_TEXT = 256
const MAX_CAPABILITIES = 64
/** The dialler gets so long to read why it was refused before the connection is cut. */
const REFUSAL_MS = 1000

/**
 * Noise XX, and inside its channel a mutual check of certificates, before a muxer or any protocol sees the peer: one
 * without a valid certificate never gets further. The dialler speaks first and is told the reason of a refusal.
 *
 *   dialler   [versions.min, versions.max, connection id, boot id, capabilities, lost connection, certificate]
 *   listener  [1, version, boot id, capabilities, certificate] or [0, reason]
 */
export const certifiedNoise =
  (options: HandshakeOptions) =>
  (components: Parameters<ReturnType<typeof portableNoise>>[0]): ConnectionEncrypter => {
    const noise = portableNoise()(components) as ConnectionEncrypter
    return {
      protocol: '/atoll/noise/1',
      secureOutbound: (connection, dial = {}) => secureOutbound(options, noise, connection, dial),
      secureInbound: (connection, dial = {}) => secureInbound(options, noise, connection, dial),
    }
  }

async function secureOutbound(
  options: HandshakeOptions,
  noise: ConnectionEncrypter,
  connection: MessageStream,
  dial: SecureConnectionOptions & { attempt?: DialAttempt },
): Promise<SecuredConnection> {
  const attempt = dial.attempt ?? {}
  const key = connection.timeline
  try {
    const channel = await noise.secureOutbound(connection, dial)
    const peerId = channel.remotePeer.toString()
    attempt.peerId = peerId
    if (peerId === options.selfPeerId) throw new AtollError('unavailable', 'the address leads to this node itself')
    if (!options.wanted(peerId, attempt)) throw new AtollError('conflict', 'already connected to this peer')
    const frames = lpStream(channel.connection, { maxDataLength: MAX_HELLO_BYTES })
    const connectionId = Buffer.from(options.random.bytes(8)).toString('hex')
    const lost = attempt.replaces ?? options.lost(peerId)
    const hello = [
      PROTOCOL_VERSIONS.min,
      PROTOCOL_VERSIONS.max,
      connectionId,
      options.bootId,
      options.capabilities,
      lost,
      options.certificate(),
    ]
    await frames.write(pack(hello), dial)
    const answer = readAnswer((await frames.read(dial)).subarray())
    const remote = identify(options, answer.certificate, channel)
    options.onSecured(key, { ...answer, ...remote, connectionId, lost })
    return { ...channel, connection: frames.unwrap() }
  } catch (error) {
    if (error instanceof AtollError) attempt.refusal = error
    throw error
  }
}

async function secureInbound(
  options: HandshakeOptions,
  noise: ConnectionEncrypter,
  connection: MessageStream,
  dial: SecureConnectionOptions,
): Promise<SecuredConnection> {
  const key = connection.timeline
  const channel = await noise.secureInbound(connection, dial)
  const peerId = channel.remotePeer.toString()
  const frames = lpStream(channel.connection, { maxDataLength: MAX_HELLO_BYTES })
  let secured: Secured
  try {
    const hello = readHello((await frames.read(dial)).subarray())
    if (!options.wanted(peerId, undefined)) throw new AtollError('unavailable', 'this node is shutting down')
    secured = { ...hello, ...identify(options, hello.certificate, channel) }
  } catch (error) {
    options.onRefused(peerId, messageOf(error))
    await refuse(options, frames, error)
    throw error
  }
  await frames.write(pack([1, secured.version, options.bootId, options.capabilities, options.certificate()]), dial)
  options.onSecured(key, secured)
  return { ...channel, connection: frames.unwrap() }
}

async function refuse(options: HandshakeOptions, frames: ReturnType<typeof lpStream>, error: unknown): Promise<void> {
  const deadline = options.clock.deadline(REFUSAL_MS)
  try {
    const code = error instanceof AtollError ? error.code : 'forbidden'
    await frames.write(pack([0, code, messageOf(error).slice(0, MAX_TEXT)]), deadline)
    // The dialler hangs up when it has read that; ours would take the bytes away again.
    await frames.read(deadline)
  } catch {
    // Gone, or slow: either way it has had its chance.
  } finally {
    deadline.done()
  }
}

function identify(
  options: HandshakeOptions,
  bytes: Uint8Array,
  channel: SecuredConnection,
): { identity: PeerIdentity; certificate: Certificate } {
  const verdict = options.verify(bytes)
  if (!verdict.ok) throw new AtollError('forbidden', verdict.reason)
  const { certificate } = verdict
  const key = channel.remotePeer.publicKey?.raw
  if (key === undefined || Buffer.compare(key, certificate.publicKey) !== 0) {
    throw new AtollError('forbidden', 'the certificate belongs to another key')
  }
  return { identity: identityIn(certificate, channel.remotePeer.toString()), certificate }
}

export const identityIn = (certificate: Certificate, peerId: string): PeerIdentity => ({
  peerId,
  datacenter: certificate.datacenter,
  datacenterId: certificate.datacenterId,
  node: certificate.node,
  nodeId: certificate.nodeId,
  role: certificate.role,
})

type Hello = Pick<Secured, 'connectionId' | 'bootId' | 'version' | 'capabilities' | 'lost'> & {
  certificate: Uint8Array
}

function readHello(bytes: Uint8Array): Hello {
  const fields = unpack(bytes) as unknown
  if (!Array.isArray(fields)) throw malformed()
  const [min, max, connectionId, bootId, capabilities, lost, certificate] = fields as unknown[]
  if (typeof min !== 'number' || typeof max !== 'number') throw malformed()
  if (min > PROTOCOL_VERSIONS.max || max < PROTOCOL_VERSIONS.min) {
    const { min: ownMin, max: ownMax } = PROTOCOL_VERSIONS
    throw new AtollError(
      'unsupported',
      `no common protocol version: the dialler speaks ${min} to ${max}, this node ${ownMin} to ${ownMax}`,
    )
  }
  return {
    version: Math.min(max, PROTOCOL_VERSIONS.max),
    connectionId: text(connectionId),
    bootId: text(bootId),
    capabilities: texts(capabilities),
    lost: text(lost),
    certificate: blob(certificate),
  }
}

function readAnswer(bytes: Uint8Array): Pick<Hello, 'version' | 'bootId' | 'capabilities' | 'certificate'> {
  const fields = unpack(bytes) as unknown
  if (!Array.isArray(fields)) throw malformed()
  if (fields[0] === 0) {
    const reason = `refused by the other side: ${text(fields[2])}`
    throw new AtollError(fields[1] === 'unavailable' ? 'unavailable' : 'forbidden', reason)
  }
  const [ok, version, bootId, capabilities, certificate] = fields as unknown[]
  if (ok !== 1 || typeof version !== 'number') throw malformed()
  if (version < PROTOCOL_VERSIONS.min || version > PROTOCOL_VERSIONS.max) throw malformed()
  return { version, bootId: text(bootId), capabilities: texts(capabilities), certificate: blob(certificate) }
}

const malformed = (): AtollError => new AtollError('forbidden', 'the handshake cannot be read')

function text(value: unknown): string {
  if (typeof value !== 'string' || value.length > MAX_TEXT) throw malformed()
  return value
}

function texts(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > MAX_CAPABILITIES) throw malformed()
  return value.map(text)
}

function blob(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed()
  return value
}
