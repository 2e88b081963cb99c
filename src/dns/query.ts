/**
 * Reads a query without allocating more than its result: header, one question, and the EDNS record (RFC 6891) among
 * what follows. Whatever bytes come, it ends within one pass over them.
 */

export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const

export const HEADER_BYTES = 12
/** Offset of the question's name in every message. */
export const NAME_AT = HEADER_BYTES
export const MIN_UDP_BYTES = 512
/** Longer queries make no sense. */
export const MAX_QUERY_BYTES = 4_096
const MAX_NAME_BYTES = 255

export interface Edns {
  readonly version: number
  readonly dnssecOk: boolean
  /** What the client takes by UDP. */
  readonly udpBytes: number
  /** Data of the client subnet option (RFC 7871), as it came. */
  readonly subnet: Uint8Array | undefined
}

export interface Query {
  readonly type: number
  /** Where the name ends: after its root label. */
  readonly nameEnd: number
  /** Where the question ends. */
  readonly end: number
  readonly recursionDesired: boolean
  readonly edns: Edns | undefined
}

/** `drop`: not to be answered at all. A number: the RCODE to answer with. */
export type Reading = Query | 'drop' | typeof RCODE.FORMERR | typeof RCODE.NOTIMP

export function readQuery(data: Uint8Array): Reading {
  // An answer to an answer could go on for ever.
  if (data.length < HEADER_BYTES || data.length > MAX_QUERY_BYTES || (data[2]! & 0x80) !== 0) return 'drop'
  if (((data[2]! >> 3) & 0xf) !== 0) return RCODE.NOTIMP
  if (u16(data, 4) !== 1) return RCODE.FORMERR
  const nameEnd = plainNameEnd(data, NAME_AT)
  if (nameEnd < 0 || nameEnd + 4 > data.length) return RCODE.FORMERR
  const end = nameEnd + 4
  const edns = readEdns(data, end)
  if (edns === 'malformed') return RCODE.FORMERR
  return { type: u16(data, nameEnd), nameEnd, end, recursionDesired: (data[2]! & 1) !== 0, edns }
}

const u16 = (data: Uint8Array, at: number): number => (data[at]! << 8) | data[at + 1]!

/** Where a name without compression ends, after its root label; -1 when it is none. */
function plainNameEnd(data: Uint8Array, start: number): number {
  let at = start
  for (;;) {
    const length = data[at]
    if (length === undefined || length > 63) return -1
    at += length + 1
    if (at - start > MAX_NAME_BYTES || at > data.length) return -1
    if (length === 0) return at
  }
}

/** Where any name ends; -1 when it runs out of the message. */
function nameEnd(data: Uint8Array, start: number): number {
  let at = start
  for (;;) {
    const length = data[at]
    if (length === undefined) return -1
    if (length >= 0xc0) return at + 2
    if (length > 63) return -1
    at += length + 1
    if (length === 0) return at
  }
}

/** The OPT record among the records after the question. */
function readEdns(data: Uint8Array, start: number): Edns | undefined | 'malformed' {
  const before = u16(data, 6) + u16(data, 8)
  const records = before + u16(data, 10)
  let at = start
  let edns: Edns | undefined
  for (let i = 0; i < records; i++) {
    const owner = at
    at = nameEnd(data, at)
    if (at < 0 || at + 10 > data.length) return 'malformed'
    const length = u16(data, at + 8)
    const rdata = at + 10
    if (rdata + length > data.length) return 'malformed'
    if (u16(data, at) === TYPE.OPT) {
      // One, in the additional section, of the root.
      if (edns !== undefined || i < before || data[owner] !== 0) return 'malformed'
      const subnet = readSubnet(data, rdata, rdata + length)
      if (subnet === 'malformed') return 'malformed'
      edns = {
        udpBytes: Math.max(MIN_UDP_BYTES, u16(data, at + 2)),
        version: data[at + 5]!,
        dnssecOk: (data[at + 6]! & 0x80) !== 0,
        subnet,
      }
    }
    at = rdata + length
  }
  return edns
}

const OPTION_CLIENT_SUBNET = 8

function readSubnet(data: Uint8Array, start: number, end: number): Uint8Array | undefined | 'malformed' {
  let at = start
  let subnet: Uint8Array | undefined
  while (at < end) {
    if (at + 4 > end) return 'malformed'
    const code = u16(data, at)
    const length = u16(data, at + 2)
    if (at + 4 + length > end) return 'malformed'
    if (code === OPTION_CLIENT_SUBNET) {
      // Family, source and scope prefix, and the address as far as the source prefix says.
      if (length < 4 || length > 20 || length !== 4 + Math.ceil(data[at + 6]! / 8)) return 'malformed'
      subnet = data.slice(at + 4, at + 4 + length)
    }
    at += 4 + length
  }
  return subnet
}
