/**
 * A replica as a file. Layout: frames, each behind its length (4 bytes, big endian): a header, the pages (raw deflate), and the
 * SHA-256 of all bytes before, so that whatever happened to the file shows. Written and read in slices.
 */
import { createHash } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import { ageFromWire, ageToWire } from '../model/age.ts'
import type { Clock } from '../runtime/ports.ts'
import type { SavedReplica } from './federation.ts'
import { pace } from './pace.ts'
import { decode, encode, ProtocolError, Reader } from './protocol/codec.ts'
import { equalBytes } from './protocol/digest.ts'
import {
  DIGEST_BYTES,
  MAX_ENVELOPE_BYTES,
  MAX_FRAME_BYTES,
  MAX_NAME_LENGTH,
  MAX_REPLICA_ENTRIES,
} from './protocol/limits.ts'
import { readDatacenter, readEpoch } from './protocol/messages.ts'
import { inflatePage } from './protocol/transfer.ts'

const TAG = 'atoll/replica'
/** 1 held entries one by one, with a digest of them alone; such a file is left aside, and fetched anew. */
const VERSION = 2
const LEVEL = 1
/** What is handed to the disk at once. */
const PART_BYTES = 1024 * 1024

export async function* encodeSavedReplica(saved: SavedReplica, clock: Clock): AsyncGenerator<Uint8Array> {
  const { datacenter, datacenterId, epoch, revision, digest, pages, head, ageMs, savedWallMs } = saved
  const breathe = pace(clock)
  const sum = createHash('sha256')
  let parts: Uint8Array[] = []
  let bytes = 0
  const add = (frame: Uint8Array): void => {
    const length = lengthOf(frame)
    sum.update(length).update(frame)
    parts.push(length, frame)
    bytes += 4 + frame.length
  }
  const place = [datacenter, datacenterId, epoch.generation, epoch.random, revision]
  add(encode([TAG, VERSION, ...place, ageToWire(ageMs), savedWallMs, head ?? null, pages.length, digest]))
  for (const page of pages) {
    add(deflateRawSync(page, { level: LEVEL }))
    if (bytes >= PART_BYTES) {
      yield Buffer.concat(parts)
      parts = []
      bytes = 0
    }
    await breathe()
  }
  const end = sum.digest()
  yield Buffer.concat([...parts, lengthOf(end), end])
}

/** ProtocolError when the file is cut off, damaged, or of another version. */
export async function decodeSavedReplica(bytes: Uint8Array, clock: Clock): Promise<SavedReplica> {
  const breathe = pace(clock)
  const sum = createHash('sha256')
  const frames = framesOf(bytes)
  const take = (): Uint8Array => {
    const next = frames.next()
    if (next.done) throw new ProtocolError('the file is cut off')
    return next.value
  }
  const first = take()
  const { place, count } = readHeader(first)
  sum.update(lengthOf(first)).update(first)
  const pages: Uint8Array[] = []
  while (pages.length < count) {
    const frame = take()
    sum.update(lengthOf(frame)).update(frame)
    pages.push(inflatePage(frame))
    await breathe()
  }
  if (!equalBytes(take(), sum.digest())) throw new ProtocolError('the file does not give its checksum')
  if (!frames.next().done) throw new ProtocolError('the file goes on behind its end')
  return { ...place, pages }
}

function lengthOf(frame: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(frame.length)
  return length
}

function* framesOf(bytes: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let offset = 0; offset < bytes.length; ) {
    const length = bytes.length - offset < 4 ? Number.POSITIVE_INFINITY : view.getUint32(offset)
    if (length > bytes.length - offset - 4) throw new ProtocolError('the file is cut off')
    yield bytes.subarray(offset + 4, offset + 4 + length)
    offset += 4 + length
  }
}

function readHeader(frame: Uint8Array): { place: Omit<SavedReplica, 'pages'>; count: number } {
  const reader = new Reader(decode(frame, { maxBytes: MAX_FRAME_BYTES, maxItems: 64 }), 'file')
  if (reader.text('tag', TAG.length) !== TAG) throw new ProtocolError('this is no replica')
  const version = reader.integer('version')
  if (version !== VERSION) throw new ProtocolError(`version ${version}; this node reads ${VERSION}`)
  const datacenter = readDatacenter(reader)
  const datacenterId = reader.text('datacenterId', MAX_NAME_LENGTH)
  const epoch = readEpoch(reader)
  const revision = reader.integer('revision')
  const ageMs = ageFromWire(reader.amount('ageMs'))
  const savedWallMs = reader.amount('savedWallMs')
  const head = reader.optionalBytes('head', 1, MAX_ENVELOPE_BYTES) ?? undefined
  const count = reader.integer('pages', MAX_REPLICA_ENTRIES)
  const digest = reader.bytes('digest', DIGEST_BYTES, DIGEST_BYTES)
  return { place: { datacenter, datacenterId, epoch, revision, digest, ageMs, savedWallMs, head }, count }
}
