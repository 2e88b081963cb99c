import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { pack, unpack } from 'msgpackr'
import { AtollError, messageOf } from '../../model/errors.ts'
import type { Clock, Random } from '../../runtime/ports.ts'
import type { PeerIdentity } from '../host.ts'
import type { Certificate, CertificateVerdict } from './authority.ts'
import { portableNoise, readThriftily } from './noise.ts'
import { inSlices, type Receiving } from './slices.ts'
import { KEY_FIELD, KeyInUse } from './twins.ts'

/** Versions of the wire protocol that this code speaks; two nodes take the highest that both know. */
export const PROTOCOL_VERSIONS = { min: 1, max: 1 } as const

/** What a handshake found out about the other side, and what both agreed on. */
export interface Secured {
  /** Same on both sides: the dialler draws it. */
  readonly connectionId: string
  readonly identity: PeerIdentity
  readonly certificate: Certificate
  readonly bootId: string
  /** When its process started, on this node's monotonic clock; undefined for a node that is too old to say. */
  readonly startedMs: number | undefined
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
  /** Milliseconds since the start of this process. */
  uptimeMs(): number
  /** Rejects with KeyInUse to refuse a peer whose key another process uses. */
  admit(secured: Secured, address: string): Promise<void>
  /** A peer refused this node for the one that lives at `kept` under its key. */
  refusedAsTwin(kept: string): void
  /** A process with this node's own key. Throws. */
  metSelf(other: Pick<Secured, 'bootId' | 'startedMs'>, address: string): never
  /** Before libp2p announces the connection; `key` is the `timeline` object of the one below. */
  onSecured(key: object, secured: Secured, connection: MessageStream): void
  onRefused(peerId: string | undefined, reason: string): void
}

const MAX_HELLO_BYTES = 8192
const MAX_TEXT = 256
const MAX_CAPABILITIES = 64
/** Code of a refusal. */
const KEY_IN_USE = 'key-in-use'
/** The dialler gets so long to read why it was refused before the connection is cut. */
const REFUSAL_MS = 1000

/**
 * Noise XX, and inside its channel a mutual check of certificates, before a muxer or any protocol sees the peer: one
 * without a valid certificate never gets further. The dialler speaks first and is told the reason of a refusal.
 *
 *   dialler   [versions.min, versions.max, connection id, boot id, capabilities, lost connection, certificate, uptime in ms]
 *   listener  [1, version, boot id, capabilities, certificate, uptime in ms] or [0, code, reason, address of a twin]
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
  inSlices(connection as MessageStream & Receiving, options.clock)
  try {
    const channel = await noise.secureOutbound(connection, dial)
    assertOpen(connection)
    readThriftily(channel.connection)
    const peerId = channel.remotePeer.toString()
    attempt.peerId = peerId
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
      options.uptimeMs(),
    ]
    await frames.write(pack(hello), dial)
    const answer = withStart(options, readAnswer((await frames.read(dial)).subarray(), options.refusedAsTwin))
    const remote = identify(options, answer.certificate, channel)
    if (peerId === options.selfPeerId) options.metSelf(answer, addressOf(connection))
    const secured: Secured = { ...answer, ...remote, connectionId, lost }
    await options.admit(secured, addressOf(connection))
    const unwrapped = frames.unwrap()
    options.onSecured(key, secured, unwrapped)
    return { ...channel, connection: unwrapped }
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
  inSlices(connection as MessageStream & Receiving, options.clock)
  const channel = await noise.secureInbound(connection, dial)
  assertOpen(connection)
  readThriftily(channel.connection)
  const peerId = channel.remotePeer.toString()
  const frames = lpStream(channel.connection, { maxDataLength: MAX_HELLO_BYTES })
  let secured: Secured
  try {
    const hello = withStart(options, readHello((await frames.read(dial)).subarray()))
    if (!options.wanted(peerId, undefined)) throw new AtollError('unavailable', 'this node is shutting down')
    secured = { ...hello, ...identify(options, hello.certificate, channel) }
    if (peerId === options.selfPeerId) {
      await answerOnly(options, frames, answerTo(options, secured))
      options.metSelf(hello, addressOf(connection))
    }
    await options.admit(secured, addressOf(connection))
  } catch (error) {
    // Twins, and this node itself, are told of elsewhere.
    if (peerId !== options.selfPeerId && !(error instanceof KeyInUse)) options.onRefused(peerId, messageOf(error))
    if (peerId !== options.selfPeerId) await refuse(options, frames, error)
    throw error
  }
  await frames.write(pack(answerTo(options, secured)), dial)
  const unwrapped = frames.unwrap()
  options.onSecured(key, secured, unwrapped)
  return { ...channel, connection: unwrapped }
}

/** Noise's stream over a connection that ended while it checked the last message never hears of that end. */
function assertOpen({ status }: MessageStream): void {
  if (status !== 'open') throw new AtollError('unavailable', 'the connection ended during the handshake')
}

const answerTo = (options: HandshakeOptions, { version }: Secured): unknown[] => [
  1,
  version,
  options.bootId,
  options.capabilities,
  options.certificate(),
  options.uptimeMs(),
]

function refuse(options: HandshakeOptions, frames: ReturnType<typeof lpStream>, error: unknown): Promise<void> {
  const reason = messageOf(error).slice(0, MAX_TEXT)
  if (error instanceof KeyInUse) return answerOnly(options, frames, [0, KEY_IN_USE, reason, error.kept])
  return answerOnly(options, frames, [0, error instanceof AtollError ? error.code : 'forbidden', reason])
}

/** Nothing comes of the connection but this answer. */
async function answerOnly(
  options: HandshakeOptions,
  frames: ReturnType<typeof lpStream>,
  answer: readonly unknown[],
): Promise<void> {
  const deadline = options.clock.deadline(REFUSAL_MS)
  try {
    await frames.write(pack(answer), deadline)
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
  uptimeMs: number | undefined
}

const withStart = <H extends Pick<Hello, 'uptimeMs'>>(
  { clock }: HandshakeOptions,
  hello: H,
): H & Pick<Secured, 'startedMs'> => ({
  ...hello,
  startedMs: hello.uptimeMs === undefined ? undefined : clock.nowMs() - hello.uptimeMs,
})

/** Of the other side; only connections of a transport have one. */
const addressOf = (connection: MessageStream): string =>
  String((connection as { remoteAddr?: unknown }).remoteAddr ?? '').replace(/\/p2p\/[^/]+$/, '')

function readHello(bytes: Uint8Array): Hello {
  const fields = unpack(bytes) as unknown
  if (!Array.isArray(fields)) throw malformed()
  const [min, max, connectionId, bootId, capabilities, lost, certificate, uptimeMs] = fields as unknown[]
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
    uptimeMs: optionalMs(uptimeMs),
  }
}

function readAnswer(
  bytes: Uint8Array,
  onTwin: (kept: string) => void,
): Pick<Hello, 'version' | 'bootId' | 'capabilities' | 'certificate' | 'uptimeMs'> {
  const fields = unpack(bytes) as unknown
  if (!Array.isArray(fields)) throw malformed()
  if (fields[0] === 0) {
    const reason = `refused by the other side: ${text(fields[2])}`
    if (fields[1] === KEY_IN_USE) {
      onTwin(fields[3] === undefined ? '' : text(fields[3]))
      throw new AtollError('forbidden', reason, { field: KEY_FIELD })
    }
    throw new AtollError(fields[1] === 'unavailable' ? 'unavailable' : 'forbidden', reason)
  }
  const [ok, version, bootId, capabilities, certificate, uptimeMs] = fields as unknown[]
  if (ok !== 1 || typeof version !== 'number') throw malformed()
  if (version < PROTOCOL_VERSIONS.min || version > PROTOCOL_VERSIONS.max) throw malformed()
  return {
    version,
    bootId: text(bootId),
    capabilities: texts(capabilities),
    certificate: blob(certificate),
    uptimeMs: optionalMs(uptimeMs),
  }
}

const optionalMs = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined

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
