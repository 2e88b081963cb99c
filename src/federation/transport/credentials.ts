import { type KeyObject, verify } from 'node:crypto'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { messageOf } from '../../model/errors.ts'
import type { Clock, Logger, Timer } from '../../runtime/ports.ts'
import type { PeerIdentity, Role } from '../host.ts'
import { type Authority, type Certificate, type CertificateVerdict, ed25519PublicKey } from './authority.ts'
import { identityIn, type Secured } from './encrypter.ts'
import type { Identity } from './identity.ts'

/** What a node says of itself; its certificate makes it true. */
export interface SelfFacts {
  readonly datacenter: string
  readonly node: string
  readonly nodeId: string
  readonly role: Role
}

interface Known {
  readonly identity: PeerIdentity
  readonly key: KeyObject
  readonly notBefore: number
  readonly notAfter: number
}

/** Parsed certificates of others. */
const MAX_KNOWN = 4096
const RETRY_MS = 60_000
const MIN_RENEWAL_MS = 100

const peerIdOf = (publicKey: Uint8Array): string => peerIdFromPublicKey(publicKeyFromRaw(publicKey)).toString()

/** The node's own certificate, kept fresh, and what those of others prove. */
export class Credentials {
  readonly identity: Identity
  readonly peerId: string
  readonly #options: CredentialsOptions
  readonly #known = new Map<string, Known>()
  #certificate: Uint8Array
  #parsed: Certificate
  #renewal: Timer | undefined
  #closed = false

  /** Rejects as `Authority.issue` does. */
  static async open(options: CredentialsOptions): Promise<Credentials> {
    const { certificate, parsed } = await issue(options)
    return new Credentials(options, certificate, parsed)
  }

  private constructor(options: CredentialsOptions, certificate: Uint8Array, parsed: Certificate) {
    this.#options = options
    this.#certificate = certificate
    this.#parsed = parsed
    this.identity = options.identity
    this.peerId = peerIdOf(options.identity.publicKey)
    this.#scheduleRenewal()
  }

  get certificate(): Uint8Array {
    return this.#certificate
  }

  get self(): PeerIdentity {
    return identityIn(this.#parsed, this.peerId)
  }

  /** Runs after each renewal. */
  onRenewed: (certificate: Uint8Array) => void = () => {}

  check(certificate: Uint8Array): CertificateVerdict {
    return this.#options.authority.verify(certificate, this.#options.clock.wallMs())
  }

  /** Milliseconds since 1970 until when `renewed` is valid, of the peer that the handshake found out about; undefined when it is not. */
  renewedUntil(renewed: Uint8Array, { certificate, identity }: Secured): number | undefined {
    const verdict = this.check(renewed)
    if (!verdict.ok) return undefined
    const { publicKey, datacenterId, role, notAfter } = verdict.certificate
    const same =
      Buffer.compare(publicKey, certificate.publicKey) === 0 &&
      datacenterId === identity.datacenterId &&
      role === identity.role
    return same ? notAfter : undefined
  }

  /** As `Host.verify`. */
  verify(certificate: Uint8Array, bytes: Uint8Array, signature: Uint8Array): PeerIdentity | undefined {
    const known = this.#know(certificate)
    if (known === undefined || signature.byteLength !== 64) return undefined
    const nowMs = this.#options.clock.wallMs()
    if (nowMs < known.notBefore || nowMs > known.notAfter) return undefined
    return verify(null, bytes, known.key, signature) ? known.identity : undefined
  }

  close(): void {
    this.#closed = true
    this.#renewal?.cancel()
  }

  #know(certificate: Uint8Array): Known | undefined {
    const key = Buffer.from(certificate.buffer, certificate.byteOffset, certificate.byteLength).toString('latin1')
    const cached = this.#known.get(key)
    if (cached !== undefined) return cached
    const verdict = this.check(certificate)
    if (!verdict.ok) return undefined
    const { publicKey, notBefore, notAfter } = verdict.certificate
    const known = {
      identity: identityIn(verdict.certificate, peerIdOf(publicKey)),
      key: ed25519PublicKey(publicKey),
      notBefore,
      notAfter,
    }
    if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(key, known)
    return known
  }

  /** Half of what is left of its life from now, so that a renewal may fail for long. */
  #scheduleRenewal(): void {
    const leftMs = this.#parsed.notAfter - this.#options.clock.wallMs()
    this.#renewal = this.#options.clock.after(Math.max(leftMs / 2, MIN_RENEWAL_MS), () => void this.#renew())
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    try {
      const { certificate, parsed } = await issue(this.#options)
      if (this.#closed) return
      this.#certificate = certificate
      this.#parsed = parsed
      this.#scheduleRenewal()
      this.onRenewed(certificate)
    } catch (error) {
      if (this.#closed) return
      const expires = new Date(this.#parsed.notAfter).toISOString()
      this.#options.logger.error({ reason: messageOf(error), expires }, 'the certificate could not be renewed')
      this.#renewal = this.#options.clock.after(RETRY_MS, () => void this.#renew())
    }
  }
}

export interface CredentialsOptions {
  readonly identity: Identity
  readonly authority: Authority
  readonly facts: SelfFacts
  readonly clock: Clock
  readonly logger: Logger
}

async function issue(options: CredentialsOptions): Promise<{ certificate: Uint8Array; parsed: Certificate }> {
  const { authority, identity, facts, clock } = options
  const nowMs = clock.wallMs()
  const certificate = await authority.issue({ ...facts, publicKey: identity.publicKey, nowMs })
  const verdict = authority.verify(certificate, clock.wallMs())
  if (!verdict.ok) throw new Error(`the authority issued a certificate that it does not accept: ${verdict.reason}`)
  return { certificate, parsed: verdict.certificate }
}
