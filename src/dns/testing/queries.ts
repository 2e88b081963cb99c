/** Queries as clients send them, and answers as tests read them. */
import { decode } from 'dns-packet'
import { TYPE } from '../query.ts'

export interface QueryOptions {
  readonly id?: number
  readonly type?: keyof typeof TYPE | number
  readonly dnsClass?: number
  readonly opcode?: number
  readonly recursionDesired?: boolean
  /** With an EDNS record: the size that the client takes by UDP. */
  readonly udpBytes?: number
  readonly ednsVersion?: number
  readonly dnssecOk?: boolean
  /** Data of the client subnet option. */
  readonly subnet?: readonly number[]
}

/** Labels are separated by dots; none may hold one. */
export function queryFor(name: string, options: QueryOptions = {}): Uint8Array {
  const { id = 0x1234, opcode = 0, recursionDesired = true, dnsClass = 1, udpBytes } = options
  const type = typeof options.type === 'number' ? options.type : TYPE[options.type ?? 'A']
  const labels = name.split('.').filter((label) => label !== '')
  const bytes = [...u16(id), (opcode << 3) | (recursionDesired ? 1 : 0), 0, ...u16(1), 0, 0, 0, 0]
  bytes.push(...u16(udpBytes === undefined ? 0 : 1))
  for (const label of labels)
    bytes.push(...Buffer.concat([Buffer.from([Buffer.byteLength(label)]), Buffer.from(label)]))
  bytes.push(0, ...u16(type), ...u16(dnsClass))
  if (udpBytes !== undefined) {
    const option = options.subnet ? [...u16(8), ...u16(options.subnet.length), ...options.subnet] : []
    bytes.push(0, ...u16(TYPE.OPT), ...u16(udpBytes), 0, options.ednsVersion ?? 0, options.dnssecOk ? 0x80 : 0, 0)
    bytes.push(...u16(option.length), ...option)
  }
  return Uint8Array.from(bytes)
}

const u16 = (value: number): number[] => [value >> 8, value & 0xff]

export interface ReadMessage {
  readonly rcode: number
  readonly truncated: boolean
  readonly authoritative: boolean
  readonly recursionAvailable: boolean
  /** Records as text, like `web.service.consul 0 A 10.0.0.1`; without the EDNS record. */
  readonly answers: readonly string[]
  readonly authority: readonly string[]
  readonly additional: readonly string[]
  readonly edns: boolean
}

/** Throws when the message is malformed, or has bytes left over. */
export function readMessage(bytes: Uint8Array): ReadMessage {
  const message = decode(Buffer.from(bytes))
  if (decode.bytes !== bytes.length) throw new Error(`${bytes.length - decode.bytes} bytes are left over`)
  const shown = (records: typeof message.answers = []): string[] =>
    records.filter((record) => record.type !== 'OPT').map((record) => showRecord(record as unknown as ShownRecord))
  return {
    rcode: bytes[3]! & 0xf,
    truncated: (bytes[2]! & 2) !== 0,
    authoritative: (bytes[2]! & 4) !== 0,
    recursionAvailable: (bytes[3]! & 0x80) !== 0,
    answers: shown(message.answers),
    authority: shown(message.authorities),
    additional: shown(message.additionals),
    edns: (message.additionals ?? []).some((record) => record.type === 'OPT'),
  }
}

interface ShownRecord {
  readonly name: string
  readonly type: string
  readonly ttl: number
  readonly data: unknown
}

function showRecord({ name, type, ttl, data }: ShownRecord): string {
  if (type === 'SRV') {
    const { priority, weight, port, target } = data as {
      priority: number
      weight: number
      port: number
      target: string
    }
    return `${name} ${ttl} SRV ${priority} ${weight} ${port} ${target}`
  }
  if (type === 'SOA') {
    const { mname, rname, refresh, retry, expire, minimum } = data as Record<string, unknown>
    return `${name} ${ttl} SOA ${mname} ${rname} ${refresh} ${retry} ${expire} ${minimum}`
  }
  if (type === 'TXT') return `${name} ${ttl} TXT ${JSON.stringify((data as Buffer[]).map(String).join(''))}`
  return `${name} ${ttl} ${type} ${data}`
}
