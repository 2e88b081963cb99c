import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { pack, unpack } from 'msgpackr'
import { AtollError } from '../../model/errors.ts'
import type { Role } from '../host.ts'

/** What binds a node's key to a datacenter and a role. */
export interface Certificate {
  readonly mesh: string
  readonly datacenter: string
  readonly datacenterId: string
  readonly role: Role
  readonly node: string
  readonly nodeId: string
  /** Raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Milliseconds since 1970, both inclusive. */
  readonly notBefore: number
  readonly notAfter: number
}

export interface CertificateRequest {
  readonly datacenter: string
  readonly role: Role
  readonly node: string
  readonly nodeId: string
  /** Raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Wall clock now, in milliseconds since 1970. */
  readonly nowMs: number
}

export type CertificateVerdict =
  | { readonly ok: true; readonly certificate: Certificate }
  /** `reason` is fit to be shown: what is wrong, and with which value. */
  | { readonly ok: false; readonly reason: string }

/** Who says which node speaks for which datacenter: everything that leads to a mesh's root goes through here. */
export interface Authority {
  readonly mesh: string
  /** An encoded certificate for the request's key. Rejects with AtollError 'forbidden' when it is refused. */
  issue(request: CertificateRequest): Promise<Uint8Array>
  /** Signature, mesh, shape and validity at `nowMs` (milliseconds since 1970). Never throws, whatever the bytes. */
  verify(certificate: Uint8Array, nowMs: number): CertificateVerdict
}

const FORMAT = 1
const DAY_MS = 86_400_000
/** Wide, since the clocks of hosts that nobody looks after differ. */
const VALID_BEFORE_MS = DAY_MS
const VALID_FOR_MS = 7 * DAY_MS
const MAX_BYTES = 4096

/**
 * An authority for development. IT PROVES NOTHING ABOUT WHO A NODE IS: the root key is derived from the mesh's name, so
 * whoever knows the name can issue any certificate, for any datacenter and role. It keeps meshes of different names
 * apart, and gives every part the same interface that a real root will have; it is no protection against anybody.
 */
export function devAuthority(mesh: string): Authority {
  const root = rootOf(mesh)
  return {
    mesh,
    async issue(request) {
      if (request.publicKey.byteLength !== 32) {
        throw new AtollError('invalid', 'publicKey: an Ed25519 public key has 32 bytes', { field: 'publicKey' })
      }
      const body = encodeBody({
        mesh,
        datacenter: request.datacenter,
        datacenterId: devDatacenterId(mesh, request.datacenter),
        role: request.role,
        node: request.node,
        nodeId: request.nodeId,
        publicKey: request.publicKey,
        notBefore: request.nowMs - VALID_BEFORE_MS,
        notAfter: request.nowMs + VALID_FOR_MS,
      })
      return Uint8Array.from(pack([body, sign(null, body, root.privateKey)]))
    },
    verify(certificate, nowMs) {
      const opened = open(certificate, root.publicKey)
      if (typeof opened === 'string') return { ok: false, reason: opened }
      const reason = objection(opened, mesh, nowMs)
      return reason === undefined ? { ok: true, certificate: opened } : { ok: false, reason }
    },
  }
}

/** Identity of a datacenter under the dev authority: 32 hex digits that follow from the names alone. */
export const devDatacenterId = (mesh: string, datacenter: string): string =>
  createHash('sha256').update(`atoll dev datacenter\0${mesh}\0${datacenter}`).digest('hex').slice(0, 32)

function rootOf(mesh: string): { privateKey: KeyObject; publicKey: KeyObject } {
  const seed = createHash('sha256').update(`atoll dev root, proves nothing\0${mesh}`).digest()
  const privateKey = ed25519PrivateKey(seed)
  return { privateKey, publicKey: createPublicKey(privateKey) }
}

/** DER before the 32 bytes of an Ed25519 seed, and of a public key (RFC 8410). */
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

export const ed25519PrivateKey = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PRIVATE_PREFIX, seed]), format: 'der', type: 'pkcs8' })

export const ed25519PublicKey = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, raw]), format: 'der', type: 'spki' })

/** The 32 bytes of the public key that belongs to an Ed25519 key. */
export const rawPublicKey = (key: KeyObject): Uint8Array =>
  Uint8Array.from(
    createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_PREFIX.byteLength) as Uint8Array,
  )

const encodeBody = (c: Certificate): Uint8Array =>
  pack([FORMAT, c.mesh, c.datacenter, c.datacenterId, c.role, c.node, c.nodeId, c.publicKey, c.notBefore, c.notAfter])

/** The certificate, or what is wrong with it. The signature is checked before anything inside is looked at. */
function open(bytes: Uint8Array, root: KeyObject): Certificate | string {
  if (bytes.byteLength > MAX_BYTES) return `certificate of ${bytes.byteLength} bytes; at most ${MAX_BYTES} are read`
  try {
    const outer: unknown = unpack(bytes)
    if (!Array.isArray(outer) || !(outer[0] instanceof Uint8Array) || !(outer[1] instanceof Uint8Array)) {
      return 'certificate cannot be read'
    }
    if (!verify(null, outer[0], root, outer[1])) {
      return 'certificate was not issued by the root of this mesh; do both nodes name the same mesh?'
    }
    return decodeBody(unpack(outer[0])) ?? 'certificate has a format that this version does not know'
  } catch {
    return 'certificate cannot be read'
  }
}

function decodeBody(body: unknown): Certificate | undefined {
  if (!Array.isArray(body) || body[0] !== FORMAT) return undefined
  const [, mesh, datacenter, datacenterId, role, node, nodeId, publicKey, notBefore, notAfter] = body as unknown[]
  const texts = [mesh, datacenter, datacenterId, node, nodeId]
  if (!texts.every((text) => typeof text === 'string')) return undefined
  if (role !== 'server' && role !== 'client') return undefined
  if (!(publicKey instanceof Uint8Array) || publicKey.byteLength !== 32) return undefined
  if (typeof notBefore !== 'number' || typeof notAfter !== 'number') return undefined
  const [meshName, dc, dcId, nodeName, id] = texts as string[]
  return {
    mesh: meshName!,
    datacenter: dc!,
    datacenterId: dcId!,
    role,
    node: nodeName!,
    nodeId: id!,
    publicKey: Uint8Array.from(publicKey),
    notBefore,
    notAfter,
  }
}

function objection(certificate: Certificate, mesh: string, nowMs: number): string | undefined {
  if (certificate.mesh !== mesh) return `certificate is for the mesh "${certificate.mesh}", this one is "${mesh}"`
  if (nowMs < certificate.notBefore) {
    return `certificate is not valid before ${new Date(certificate.notBefore).toISOString()}; compare the clocks`
  }
  if (nowMs > certificate.notAfter) return `certificate expired at ${new Date(certificate.notAfter).toISOString()}`
  return undefined
}
