/** Resource records as bytes, ready to be put into answers. The library encodes what holds names and texts. */
import { cname, name as nameCodec, soa, srv, txt } from 'dns-packet'
import { TYPE } from './query.ts'
import type { DnsSettings } from './settings.ts'

/** The library's codecs of single records, which its types leave out. All but `name` begin with the length. */
declare module 'dns-packet' {
  interface Codec<T> {
    encode(data: T): Uint8Array
  }
  const name: Codec<string>
  const cname: Codec<string>
  const srv: Codec<SrvData>
  const soa: Codec<SoaData>
  const txt: Codec<TxtData>
}

/** A record without its owner: type, class, TTL, length and data. */
export type Rest = Uint8Array

const CLASS_IN = 1
const MAX_LABEL_BYTES = 63
const MAX_NAME_BYTES = 255
const MAX_TEXT_BYTES = 255
/** Bytes of a `Rest` before its data. */
export const REST_HEAD_BYTES = 10
/** Where the target's name begins in a `Rest` of SRV: after priority, weight and port. */
export const SRV_TARGET_AT = REST_HEAD_BYTES + 6

/** `rdata` with its length before it, as the library encodes it. */
function rest(type: number, ttl: number, rdata: Uint8Array): Rest {
  const bytes = new Uint8Array(8 + rdata.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, type)
  view.setUint16(2, CLASS_IN)
  view.setUint32(4, ttl)
  bytes.set(rdata, 8)
  return bytes
}

/** A or AAAA, by the length of the address. */
export function addressRecord(address: Uint8Array, ttl: number): Rest {
  const rdata = new Uint8Array(2 + address.length)
  rdata[1] = address.length
  rdata.set(address, 2)
  return rest(address.length === 4 ? TYPE.A : TYPE.AAAA, ttl, rdata)
}

export interface SrvFields {
  readonly priority: number
  readonly weight: number
  readonly port: number
  readonly target: string
}

export const srvRecord = (fields: SrvFields, ttl: number): Rest => rest(TYPE.SRV, ttl, srv.encode(fields))

/** CNAME, PTR and NS hold nothing but a name. */
export const nameRecord = (type: 'CNAME' | 'PTR' | 'NS', target: string, ttl: number): Rest =>
  rest(TYPE[type], ttl, cname.encode(target))

export function soaRecord(domain: string, serial: number, fields: DnsSettings['soa']): Rest {
  const rdata = soa.encode({
    mname: `ns.${domain}`,
    rname: `hostmaster.${domain}`,
    serial,
    refresh: fields.refreshSeconds,
    retry: fields.retrySeconds,
    expire: fields.expireSeconds,
    minimum: fields.minimumSeconds,
  })
  return rest(TYPE.SOA, fields.minimumSeconds, rdata)
}

export function textRecord(text: string, ttl: number): Rest {
  const bytes = Buffer.from(text)
  const parts: Buffer[] = []
  for (let at = 0; at === 0 || at < bytes.length; at += MAX_TEXT_BYTES) {
    parts.push(bytes.subarray(at, at + MAX_TEXT_BYTES))
  }
  return rest(TYPE.TXT, ttl, txt.encode(parts))
}

/** How RFC 1464 writes a pair; a key that begins with `rfc1035-` stands for its value alone, as in Consul. */
export function pairText(key: string, value: string): string {
  if (key.toLowerCase().startsWith('rfc1035-')) return value
  return `${key.replace(/[=`]/g, '`$&')}=${value}`
}

/** A name on the wire. */
export const encodedName = (name: string): Uint8Array => new Uint8Array(nameCodec.encode(name))

/** Whether a name can be on the wire at all. */
export function isEncodable(name: string): boolean {
  const labels = name.split('.')
  const sizes = labels.map((label) => Buffer.byteLength(label))
  return (
    sizes.every((size) => size > 0 && size <= MAX_LABEL_BYTES) && sizes.reduce((a, b) => a + b + 1, 1) <= MAX_NAME_BYTES
  )
}
