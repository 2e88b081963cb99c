/**
 * An archive of all that a catalog holds, and its way back into any store. A stream of frames: a kind (one byte), a length
 * (four bytes, big endian), a payload; after the magic word a head, pages of entries in the order of their keys, and an end
 * with their number and the SHA-256 of all bytes before it. Head and end are JSON, so that anything can read them; pages are
 * msgpack arrays [key, value, key, value, ...].
 */
import { createHash } from 'node:crypto'
import { Packr } from 'msgpackr'
import { AtollError } from '../model/errors.ts'

export const MAGIC = 'atoll-snapshot\n'
const FORMAT = 1
const HEAD = 0x48
const PAGE = 0x50
const END = 0x5a
const MAX_PAGE_BYTES = 64 * 1024 * 1024
const MAX_NOTE_BYTES = 64 * 1024

export interface SnapshotHead {
  readonly format: number
  readonly datacenter: string
  readonly generation: number
  readonly revision: number
  /** The API's index at that revision. */
  readonly index: number
}

/** Key and value. */
export type SnapshotEntry = readonly [key: string, value: Uint8Array]

interface SnapshotEnd {
  readonly entries: number
  readonly sha256: string
}

const packr = new Packr({ useRecords: false })

function frame(kind: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(5 + payload.length)
  bytes[0] = kind
  new DataView(bytes.buffer).setUint32(1, payload.length)
  bytes.set(payload, 5)
  return bytes
}
const json = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

/** The archive's bytes, as they are asked for. */
export async function* writeSnapshot(
  head: Omit<SnapshotHead, 'format'>,
  pages: AsyncIterable<readonly SnapshotEntry[]>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const sum = createHash('sha256')
  const counted = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
    sum.update(bytes)
    return bytes
  }
  yield counted(new TextEncoder().encode(MAGIC))
  yield counted(frame(HEAD, json({ format: FORMAT, ...head })))
  let entries = 0
  for await (const page of pages) {
    entries += page.length
    if (page.length > 0) yield counted(frame(PAGE, packr.pack(page.flat())))
  }
  yield frame(END, json({ entries, sha256: sum.digest('hex') } satisfies SnapshotEnd))
}

const damaged = (what: string): AtollError =>
  new AtollError('invalid', `the snapshot is damaged: ${what}; nothing was changed`, { field: 'snapshot' })

/** Everything in the archive, once its sum was found right. Throws AtollError 'invalid' otherwise. */
export function readSnapshot(bytes: Uint8Array): { head: SnapshotHead; entries: Map<string, Uint8Array> } {
  const magic = new TextDecoder().decode(bytes.subarray(0, MAGIC.length))
  if (magic !== MAGIC) throw new AtollError('invalid', 'this is no snapshot of Atoll', { field: 'snapshot' })
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let head: SnapshotHead | undefined
  const entries = new Map<string, Uint8Array>()
  for (let at = MAGIC.length; at < bytes.length; ) {
    if (bytes.length - at < 5) throw damaged('it is cut off')
    const kind = bytes[at]!
    const length = view.getUint32(at + 1)
    if (length > (kind === PAGE ? MAX_PAGE_BYTES : MAX_NOTE_BYTES)) throw damaged('a part is too long')
    if (bytes.length - at - 5 < length) throw damaged('it is cut off')
    const payload = bytes.subarray(at + 5, at + 5 + length)
    if (kind === HEAD) head = headOf(payload)
    else if (kind === PAGE) addPage(payload, entries)
    else if (kind === END) {
      const end = parse(payload) as Partial<SnapshotEnd>
      const sum = createHash('sha256').update(bytes.subarray(0, at)).digest('hex')
      if (!head || end.sha256 !== sum || end.entries !== entries.size) throw damaged('its checksum is another')
      return { head, entries }
    } else throw damaged('a part is of no known kind')
    at += 5 + length
  }
  throw damaged('its end is missing')
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload))
  } catch {
    throw damaged('head or end cannot be read')
  }
}

function headOf(payload: Uint8Array): SnapshotHead {
  const head = parse(payload) as Partial<SnapshotHead>
  const { format, generation, datacenter } = head
  if (format !== FORMAT) {
    throw new AtollError('unsupported', `the snapshot has format ${format}, this version reads ${FORMAT}`, {
      field: 'snapshot',
    })
  }
  if (!Number.isSafeInteger(generation) || typeof datacenter !== 'string') throw damaged('its head makes no sense')
  return head as SnapshotHead
}

function addPage(payload: Uint8Array, entries: Map<string, Uint8Array>): void {
  let page: unknown
  try {
    page = packr.unpack(payload)
  } catch {
    throw damaged('entries cannot be read')
  }
  if (!Array.isArray(page) || page.length % 2 !== 0) throw damaged('entries cannot be read')
  for (let i = 0; i < page.length; i += 2) {
    const [key, value] = [page[i], page[i + 1]] as [unknown, unknown]
    if (typeof key !== 'string' || !(value instanceof Uint8Array)) throw damaged('an entry is none')
    entries.set(key, value)
  }
}

/**
 * Whether a key belongs into a snapshot: not what is about this very store, nor signs of life, nor outcomes of requests.
 */
export const isSaved = (key: string): boolean => !/^(?:sys|l|r|u\/r|u\/h)\//.test(key)
