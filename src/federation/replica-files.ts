/**
 * Replicas on disk, one file per DC, so that a node which starts while the WAN is cut still answers. A file is a help,
 * not a truth: it is checked as a whole by its digest, and left aside when anything is wrong with it.
 *
 * Layout: frames, each behind its length (4 bytes, big endian): a header, chunks as on a tail, and the digest.
 */
import { messageOf } from '../model/errors.ts'
import type { Clock, Disk, Logger } from '../runtime/ports.ts'
import type { ExportedEntry, SavedReplica } from './federation.ts'
import { pace } from './pace.ts'
import { chunksOf } from './protocol/answering.ts'
import { decode, encode, ProtocolError, Reader } from './protocol/codec.ts'
import { isEntry } from './protocol/content.ts'
import { BucketDigest, bucketOf, equalBytes, hashEntry } from './protocol/digest.ts'
import {
  DIGEST_BYTES,
  MAX_ENTRIES_PER_FRAME,
  MAX_ENVELOPE_BYTES,
  MAX_FRAME_BYTES,
  MAX_NAME_LENGTH,
} from './protocol/limits.ts'
import { changeToPlain, readChanges, readDatacenter, readEpoch } from './protocol/messages.ts'

export interface ReplicaFilesOptions {
  readonly disk: Disk
  readonly directory: string
  readonly clock: Clock
  readonly logger: Logger
}

const TAG = 'atoll/replica'
const VERSION = 1
const SUFFIX = '.replica'
/** Between two writes of one DC at least, and more for large ones: this many milliseconds for each megabyte. */
const MIN_PERIOD_MS = 5000
const PERIOD_PER_MB_MS = 10_000
const SMALL_ENTRIES = 10_000

export class ReplicaFiles {
  readonly #options: ReplicaFilesOptions
  readonly #written = new Map<string, { digest: string; nextMs: number }>()
  #writing: Promise<void> = Promise.resolve()
  #busy = false

  constructor(options: ReplicaFilesOptions) {
    this.#options = options
  }

  /** What a former run left. Never rejects. */
  async load(): Promise<SavedReplica[]> {
    const { disk, directory, logger } = this.#options
    const out: SavedReplica[] = []
    const names = await disk.list(directory).catch(() => [])
    for (const name of names.filter((one) => one.endsWith(SUFFIX))) {
      try {
        const bytes = await disk.read(disk.join(directory, name))
        if (bytes) out.push(await this.#parse(bytes))
      } catch (error) {
        logger.warn({ file: name, reason: messageOf(error) }, 'a saved replica cannot be read; going on without it')
      }
    }
    return out
  }

  /** Writes what changed and is due; one at a time. Call every second or so. */
  tick(datacenters: readonly { datacenter: string; digest: string; save: () => SavedReplica | undefined }[]): void {
    if (this.#busy) return
    const nowMs = this.#options.clock.nowMs()
    const due = datacenters.find(({ datacenter, digest }) => {
      const written = this.#written.get(datacenter)
      return digest !== '' && (!written || (written.digest !== digest && nowMs >= written.nextMs))
    })
    if (due) this.#write(due.digest, due.save())
  }

  /** Writes all that changed, also what is not due yet, and the age of what is small. */
  async flush(datacenters: Parameters<ReplicaFiles['tick']>[0]): Promise<void> {
    await this.#writing
    for (const { datacenter, digest, save } of datacenters) {
      const saved = digest === '' ? undefined : save()
      const same = this.#written.get(datacenter)?.digest === digest
      if (!saved || (same && saved.entries.length > SMALL_ENTRIES)) continue
      this.#write(digest, saved)
      await this.#writing
    }
  }

  #write(digest: string, saved: SavedReplica | undefined): void {
    if (!saved) return
    this.#busy = true
    this.#writing = this.#writeOne(saved, digest)
      .catch((error) => {
        const { datacenter } = saved
        this.#options.logger.warn({ datacenter, reason: messageOf(error) }, 'a replica could not be saved')
        this.#written.set(datacenter, { digest: '', nextMs: this.#options.clock.nowMs() + 60_000 })
      })
      .finally(() => {
        this.#busy = false
      })
  }

  async #writeOne(saved: SavedReplica, digest: string): Promise<void> {
    const { disk, directory, clock } = this.#options
    const bytes = await encodeSavedReplica(saved, clock)
    await disk.makeDirectory(directory)
    await disk.writeAtomic(disk.join(directory, saved.datacenter + SUFFIX), bytes)
    const nextMs = clock.nowMs() + MIN_PERIOD_MS + (bytes.length / 1e6) * PERIOD_PER_MB_MS
    this.#written.set(saved.datacenter, { digest, nextMs })
  }

  #parse(bytes: Uint8Array): Promise<SavedReplica> {
    return decodeSavedReplica(bytes, this.#options.clock)
  }
}

export async function encodeSavedReplica(saved: SavedReplica, clock: Clock): Promise<Uint8Array> {
  const { datacenter, datacenterId, epoch, revision, entries, head, ageMs, savedWallMs } = saved
  const breathe = pace(clock)
  const digest = new BucketDigest()
  const frames: Uint8Array[] = []
  const place = [datacenter, datacenterId, epoch.generation, epoch.random, revision]
  frames.push(encode([TAG, VERSION, ...place, Math.round(ageMs), savedWallMs, head ?? null, entries.length]))
  for (const chunk of chunksOf(entries)) {
    for (const entry of chunk as readonly ExportedEntry[]) digest.add(bucketOf(entry.key), hashEntry(entry))
    frames.push(encode([chunk.map(changeToPlain)]))
    await breathe()
  }
  frames.push(encode([digest.root()]))
  const out = Buffer.alloc(frames.reduce((sum, frame) => sum + 4 + frame.length, 0))
  let offset = 0
  for (const frame of frames) {
    out.writeUInt32BE(frame.length, offset)
    out.set(frame, offset + 4)
    offset += 4 + frame.length
  }
  return out
}

/** ProtocolError when the file is cut off, of a later version, or does not give its digest. */
export async function decodeSavedReplica(bytes: Uint8Array, clock: Clock): Promise<SavedReplica> {
  const frames = framesOf(bytes)
  const breathe = pace(clock)
  const header = readHeader(frames.next().value ?? new Uint8Array())
  const entries: ExportedEntry[] = []
  const digest = new BucketDigest()
  for (const frame of frames) {
    const reader = new Reader(
      decode(frame, { maxBytes: MAX_FRAME_BYTES, maxItems: 8 + 5 * MAX_ENTRIES_PER_FRAME }),
      'file',
    )
    if (entries.length === header.count) {
      if (equalBytes(reader.bytes('digest', DIGEST_BYTES, DIGEST_BYTES), digest.root()))
        return { ...header.place, entries }
      throw new ProtocolError('the file does not give its digest')
    }
    for (const change of readChanges(reader, MAX_ENTRIES_PER_FRAME)) {
      if (!isEntry(change)) throw new ProtocolError('the file holds a deletion')
      entries.push(change)
      digest.add(bucketOf(change.key), hashEntry(change))
    }
    await breathe()
  }
  throw new ProtocolError('the file is cut off')
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

function readHeader(frame: Uint8Array): { place: Omit<SavedReplica, 'entries'>; count: number } {
  const reader = new Reader(decode(frame, { maxBytes: MAX_FRAME_BYTES, maxItems: 64 }), 'file')
  if (reader.text('tag', TAG.length) !== TAG) throw new ProtocolError('this is no replica')
  const version = reader.integer('version')
  if (version !== VERSION) throw new ProtocolError(`version ${version}; this node reads ${VERSION}`)
  const datacenter = readDatacenter(reader)
  const datacenterId = reader.text('datacenterId', MAX_NAME_LENGTH)
  const epoch = readEpoch(reader)
  const revision = reader.integer('revision')
  const ageMs = reader.amount('ageMs')
  const savedWallMs = reader.amount('savedWallMs')
  const head = reader.optionalBytes('head', 1, MAX_ENVELOPE_BYTES) ?? undefined
  const place = { datacenter, datacenterId, epoch, revision, ageMs, savedWallMs, head }
  return { place, count: reader.integer('entries') }
}
