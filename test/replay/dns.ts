/** Steps of DNS: what was asked, sent again, and what the answer has other than the recorded one. */
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { TYPE } from '../../src/dns/query.ts'
import { queryFor, readMessage } from '../../src/dns/testing/queries.ts'
import type { RecordedQuery } from './recording.ts'

const TIMEOUT_MS = 10_000
const CLASS: Readonly<Record<string, number>> = { IN: 1, CH: 3, ANY: 255 }
const MX = 15

export async function askDns(query: RecordedQuery, port: number): Promise<Uint8Array> {
  const options = query.options ?? []
  const subnet = options.some((option) => option.startsWith('+subnet')) ? [0, 1, 24, 0, 192, 0, 2] : undefined
  const bytes = queryFor(query.name, {
    type: typeNumber(query.type),
    dnsClass: CLASS[query.class ?? 'IN'],
    recursionDesired: query.rd !== false && !options.includes('+opcode=notify'),
    opcode: options.includes('+opcode=notify') ? 4 : 0,
    udpBytes: query.edns ?? undefined,
    ednsVersion: options.includes('+edns=1') ? 1 : 0,
    dnssecOk: options.includes('+dnssec'),
    subnet,
  })
  return query.tcp ? byTcp(bytes, port) : byUdp(bytes, port)
}

const typeNumber = (type: string): number =>
  type === 'MX' ? MX : type.startsWith('TYPE') ? Number(type.slice(4)) : TYPE[type as keyof typeof TYPE]

export function byUdp(query: Uint8Array, port: number): Promise<Uint8Array> {
  const socket = createSocket('udp4')
  return within(
    new Promise<Uint8Array>((resolve, reject) => {
      socket.once('message', (message) => resolve(new Uint8Array(message)))
      socket.once('error', reject)
      socket.send(query, port, '127.0.0.1')
    }),
  ).finally(() => socket.close())
}

export function byTcp(query: Uint8Array, port: number): Promise<Uint8Array> {
  const socket = connect(port, '127.0.0.1')
  return within(
    new Promise<Uint8Array>((resolve, reject) => {
      let received = Buffer.alloc(0)
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk])
        if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
          resolve(new Uint8Array(received.subarray(2, 2 + received.readUInt16BE(0))))
        }
      })
      socket.once('error', reject)
      socket.once('close', () => reject(new Error('the connection was closed')))
      socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 0xff]), query]))
    }),
  ).finally(() => socket.destroy())
}

function within<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer to a query')), TIMEOUT_MS)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

export interface DnsDifference {
  /** `rcode`, `flags`, `answers`, `authority`, `additional` or `edns`. */
  readonly what: string
  readonly recorded: unknown
  readonly got: unknown
}

/**
 * Sections are compared as sets: their order is random. Of the service `many`, which has more instances than an answer
 * takes, only the number of records counts: which of them is random too. `ports`: what stands for the recorded ones.
 */
export function compareDns(
  recorded: Uint8Array,
  got: Uint8Array,
  ports: Readonly<Record<string, string>> = {},
): DnsDifference[] {
  const [theirs, ours] = [readMessage(recorded), readMessage(got)]
  const flags = ({ truncated, authoritative, recursionAvailable }: typeof ours): string =>
    [authoritative && 'aa', truncated && 'tc', recursionAvailable && 'ra'].filter(Boolean).join(' ')
  const shown = (record: string): string =>
    record
      .toLowerCase()
      .replace(/(?<= srv \d+ \d+ )\d+/, (port) => ports[port] ?? port)
      .replace(/^many[.-].*/, 'one of many')
  const sorted = (records: readonly string[]): string[] => records.map(shown).sort()
  const pairs: [string, unknown, unknown][] = [
    ['rcode', theirs.rcode, ours.rcode],
    ['flags', flags(theirs), flags(ours)],
    ['answers', sorted(theirs.answers), sorted(ours.answers)],
    ['authority', sorted(theirs.authority), sorted(ours.authority)],
    ['additional', sorted(theirs.additional), sorted(ours.additional)],
    ['edns', theirs.edns, ours.edns],
  ]
  return pairs
    .filter(([, a, b]) => JSON.stringify(a) !== JSON.stringify(b))
    .map(([what, recorded, got]) => ({ what, recorded, got }))
}
