/**
 * Certificates for the members of a datacenter's own etcd: an authority that its servers share, and what each signs for itself.
 * X.509 v3 (RFC 5280) in DER, with ECDSA over P-256 and SHA-256: the few fields that etcd and gRPC look at.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { addressBytes } from '../../model/addresses.ts'
import type { EtcdTls } from '../etcd/connect.ts'

/** A certificate and its key, both in PEM. */
export interface KeyedCertificate {
  readonly cert: string
  readonly key: string
}

export interface CertificateTime {
  /** Wall clock, in milliseconds since 1970. */
  readonly nowMs: number
  /** 16 random bytes. */
  readonly serial: Uint8Array
}

/** Name in each member's certificate, beside its addresses: clients that dial an address ask for it. */
export const MEMBER_NAME = 'etcd.atoll.internal'

const DAY_MS = 86_400_000
/** Clocks of servers differ. */
const BEFORE_MS = DAY_MS
/** Leaves are made anew at each start; the authority lasts as long as the cluster. */
const LEAF_MS = 10 * 365 * DAY_MS
const AUTHORITY_MS = 30 * 365 * DAY_MS

const OID = {
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  commonName: [0x55, 0x04, 0x03],
  subjectAltName: [0x55, 0x1d, 0x11],
  basicConstraints: [0x55, 0x1d, 0x13],
  keyUsage: [0x55, 0x1d, 0x0f],
  extendedKeyUsage: [0x55, 0x1d, 0x25],
  serverAuth: [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
  clientAuth: [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
} as const

/** A new authority. `name` shows who it is for. */
export function createAuthority(name: string, { nowMs, serial }: CertificateTime): KeyedCertificate {
  const pair = newKey()
  const cert = certificate({
    issuer: name,
    issuerKey: pair.key,
    subject: name,
    publicKey: pair.publicKey,
    serial,
    fromMs: nowMs - BEFORE_MS,
    toMs: nowMs + AUTHORITY_MS,
    extensions: [
      extension(OID.basicConstraints, sequence(BOOLEAN_TRUE), true),
      // keyCertSign and cRLSign.
      extension(OID.keyUsage, tagged(0x03, Buffer.from([1, 0x06])), true),
    ],
  })
  return { cert, key: pair.key }
}

/** Signed by `authority`, for a member that listens at `hosts` (addresses or names) and dials the others. */
export function createLeaf(
  authority: KeyedCertificate & { readonly name: string },
  hosts: readonly string[],
  { nowMs, serial }: CertificateTime,
): KeyedCertificate {
  const pair = newKey()
  const names = [...new Set([MEMBER_NAME, ...hosts])].map((host) => alternativeName(host))
  const cert = certificate({
    issuer: authority.name,
    issuerKey: authority.key,
    subject: 'etcd',
    publicKey: pair.publicKey,
    serial,
    fromMs: nowMs - BEFORE_MS,
    toMs: nowMs + LEAF_MS,
    extensions: [
      // digitalSignature.
      extension(OID.keyUsage, tagged(0x03, Buffer.from([7, 0x80])), true),
      // A member is a client of the others, and of itself.
      extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
      extension(OID.subjectAltName, sequence(...names)),
    ],
  })
  return { cert, key: pair.key }
}

/** What a connection to the members takes: a leaf of one's own, and the name that theirs have. */
export function clientTls(
  authority: KeyedCertificate & { readonly name: string },
  hosts: readonly string[],
  time: CertificateTime,
): Required<EtcdTls> {
  const leaf = createLeaf(authority, hosts, time)
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  return { ca: bytes(authority.cert), cert: bytes(leaf.cert), key: bytes(leaf.key), serverName: MEMBER_NAME }
}

function newKey(): { readonly key: string; readonly publicKey: Buffer } {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const publicKey = createPublicKey(createPrivateKey(privateKey)).export({ type: 'spki', format: 'der' })
  return { key: privateKey, publicKey }
}

interface Fields {
  readonly issuer: string
  readonly issuerKey: string
  readonly subject: string
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Buffer
  readonly serial: Uint8Array
  readonly fromMs: number
  readonly toMs: number
  readonly extensions: readonly Buffer[]
}

function certificate(fields: Fields): string {
  const algorithm = sequence(oid(OID.ecdsaWithSha256))
  const toBeSigned = sequence(
    // Version 3.
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(fields.serial),
    algorithm,
    nameOf(fields.issuer),
    sequence(time(fields.fromMs), time(fields.toMs)),
    nameOf(fields.subject),
    fields.publicKey,
    tagged(0xa3, sequence(...fields.extensions)),
  )
  const signature = sign('sha256', toBeSigned, createPrivateKey(fields.issuerKey))
  return pem(sequence(toBeSigned, algorithm, tagged(0x03, Buffer.from([0]), signature)))
}

const BOOLEAN_TRUE = Buffer.from([0x01, 0x01, 0xff])

function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content])
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  if (length < 0x100) return Buffer.from([0x81, length])
  return Buffer.from([0x82, length >> 8, length & 0xff])
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => tagged(0x30, ...parts)
const oid = (bytes: readonly number[]): Buffer => tagged(0x06, Buffer.from(bytes))

/** Positive, in the fewest bytes. */
function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0)
  const shortest = first < 0 ? Buffer.from([0]) : Buffer.from(bytes.subarray(first))
  return tagged(0x02, shortest[0]! >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0), shortest)
}

const nameOf = (name: string): Buffer =>
  sequence(tagged(0x31, sequence(oid(OID.commonName), tagged(0x0c, Buffer.from(name, 'utf8')))))

/** UTCTime until 2049, GeneralizedTime from then on, as the standard has it. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')
  return digits < '2050' ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits))
}

const extension = (id: readonly number[], value: Buffer, critical = false): Buffer =>
  sequence(oid(id), critical ? BOOLEAN_TRUE : Buffer.alloc(0), tagged(0x04, value))

function alternativeName(host: string): Buffer {
  const address = addressBytes(host)
  return address ? tagged(0x87, address) : tagged(0x82, Buffer.from(host, 'latin1'))
}

const pem = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`
