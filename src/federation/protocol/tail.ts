/**
 * Frames of the stream `/atoll/tail/1`. The reader asks for a DC from where its replica stands; the other side answers with
 * one transfer (begin, chunks, end with a signed head), then sends the signed messages of that DC as they come. The
 * reader may ask anew at any time; frames of a former attempt are then ignored.
 */
import type { Epoch } from '../../model/epoch.ts'
import type { ExportedChange } from '../federation.ts'
import { decode, encode, type Plain, ProtocolError, Reader } from './codec.ts'
import {
  BUCKET_HASH_BYTES,
  BUCKETS,
  CAPABILITIES,
  MAX_ENTRIES_PER_FRAME,
  MAX_ENVELOPE_BYTES,
  MAX_FRAME_BYTES,
  MAX_NAME_LENGTH,
  MAX_REPLICA_ENTRIES,
  PROTOCOL_VERSION,
} from './limits.ts'
import { changeToPlain, readChanges, readEpoch } from './messages.ts'

export const TAIL_PROTOCOL = '/atoll/tail/1'

/**
 * `since`: changes after `since`, or a snapshot where they are gone. `repair`: the buckets that differ from `buckets`.
 * `snapshot`: everything.
 */
export type AskMode = 'since' | 'repair' | 'snapshot'

export interface AskFrame {
  readonly type: 'ask'
  readonly attempt: number
  readonly datacenter: string
  /** Of the replica; generation 0 and '' while it has none. */
  readonly epoch: Epoch
  readonly since: number
  readonly mode: AskMode
  /** Hashes of the replica's buckets, with mode 'repair'. */
  readonly buckets: Uint8Array | null
  /** An interrupted transfer to go on with, and the first frame that is missing; '' for none. */
  readonly resumeId: string
  readonly resumeFrame: number
  /** Bits of what the reader can do, out of the frame's head. */
  readonly capabilities?: number
}

export type TransferKind = 'changes' | 'buckets' | 'snapshot'

export interface BeginFrame {
  readonly type: 'begin'
  readonly attempt: number
  readonly kind: TransferKind
  /** What `resumeId` refers to. */
  readonly id: string
  /** Index of the first chunk that follows; above 0 when a transfer is resumed. */
  readonly firstFrame: number
  /** Of 'changes': everything exported after this revision. */
  readonly from: number
  /** Of 'buckets': the buckets that are sent whole, one bit each. */
  readonly bitmap: Uint8Array | null
}

export interface ChunkFrame {
  readonly type: 'chunk'
  readonly attempt: number
  readonly index: number
  readonly changes: readonly ExportedChange[]
}

/** In place of a chunk of 'buckets' and 'snapshot', for readers that can take it: a page (page.ts), raw deflate. */
export interface PageFrame {
  readonly type: 'page'
  readonly attempt: number
  readonly index: number
  readonly deflated: Uint8Array
}

/** Only with this frame a transfer is complete; the signed head says what it must add up to. */
export interface EndFrame {
  readonly type: 'end'
  readonly attempt: number
  /** Number of chunks from index 0. */
  readonly frames: number
  readonly envelope: Uint8Array
}

export interface LiveFrame {
  readonly type: 'live'
  readonly envelope: Uint8Array
}

export interface RefuseFrame {
  readonly type: 'refuse'
  readonly attempt: number
  /** In words, for logs. */
  readonly reason: string
}

export type TailFrame =
  | AskFrame
  | BeginFrame
  | ChunkFrame
  | PageFrame
  | EndFrame
  | LiveFrame
  | RefuseFrame
  | { type: 'unknown' }

const KIND = { ask: 1, begin: 2, chunk: 3, end: 4, live: 5, refuse: 6, page: 7 } as const
const MODES: readonly AskMode[] = ['since', 'repair', 'snapshot']
const TRANSFERS: readonly TransferKind[] = ['changes', 'buckets', 'snapshot']
const BITMAP_BYTES = BUCKETS / 8

export function encodeFrame(frame: Exclude<TailFrame, { type: 'unknown' }>): Uint8Array {
  const start: Plain[] = [PROTOCOL_VERSION, CAPABILITIES, KIND[frame.type]]
  switch (frame.type) {
    case 'ask':
      return encode([
        ...start,
        frame.attempt,
        frame.datacenter,
        frame.epoch.generation,
        frame.epoch.random,
        frame.since,
        MODES.indexOf(frame.mode),
        frame.buckets,
        frame.resumeId,
        frame.resumeFrame,
      ])
    case 'begin':
      return encode([
        ...start,
        frame.attempt,
        TRANSFERS.indexOf(frame.kind),
        frame.id,
        frame.firstFrame,
        frame.from,
        frame.bitmap,
      ])
    case 'chunk':
      return encode([...start, frame.attempt, frame.index, frame.changes.map(changeToPlain)])
    case 'page':
      return encode([...start, frame.attempt, frame.index, frame.deflated])
    case 'end':
      return encode([...start, frame.attempt, frame.frames, frame.envelope])
    case 'live':
      return encode([...start, frame.envelope])
    case 'refuse':
      return encode([...start, frame.attempt, frame.reason])
  }
}

/** ProtocolError for everything that no honest peer sends. */
export function decodeFrame(bytes: Uint8Array): TailFrame {
  const reader = new Reader(
    decode(bytes, { maxBytes: MAX_FRAME_BYTES, maxItems: 32 + 5 * MAX_ENTRIES_PER_FRAME }),
    'frame',
  )
  reader.integer('version')
  const capabilities = reader.integer('capabilities')
  switch (reader.integer('kind')) {
    case KIND.ask:
      return { ...readAsk(reader), capabilities }
    case KIND.begin:
      return readBegin(reader)
    case KIND.chunk:
      return {
        type: 'chunk',
        attempt: reader.integer('attempt'),
        index: reader.integer('index', MAX_REPLICA_ENTRIES),
        changes: readChanges(reader, MAX_ENTRIES_PER_FRAME),
      }
    case KIND.page:
      return {
        type: 'page',
        attempt: reader.integer('attempt'),
        index: reader.integer('index', MAX_REPLICA_ENTRIES),
        deflated: reader.bytes('deflated', 1, MAX_FRAME_BYTES),
      }
    case KIND.end:
      return {
        type: 'end',
        attempt: reader.integer('attempt'),
        frames: reader.integer('frames', MAX_REPLICA_ENTRIES),
        envelope: reader.bytes('envelope', 1, MAX_ENVELOPE_BYTES),
      }
    case KIND.live:
      return { type: 'live', envelope: reader.bytes('envelope', 1, MAX_ENVELOPE_BYTES) }
    case KIND.refuse:
      return { type: 'refuse', attempt: reader.integer('attempt'), reason: reader.text('reason', 512) }
    default:
      return { type: 'unknown' }
  }
}

function readAsk(reader: Reader): AskFrame {
  const attempt = reader.integer('attempt')
  const datacenter = reader.text('datacenter', MAX_NAME_LENGTH)
  const epoch = readEpoch(reader)
  const since = reader.integer('since')
  const mode = MODES[reader.integer('mode', MODES.length - 1)]!
  const size = BUCKETS * BUCKET_HASH_BYTES
  const buckets = reader.optionalBytes('buckets', size, size)
  if (mode === 'repair' && buckets === null) throw new ProtocolError('ask: a repair needs buckets')
  const resumeId = reader.text('resumeId', 128)
  return {
    type: 'ask',
    attempt,
    datacenter,
    epoch,
    since,
    mode,
    buckets,
    resumeId,
    resumeFrame: reader.integer('resumeFrame'),
  }
}

function readBegin(reader: Reader): BeginFrame {
  const attempt = reader.integer('attempt')
  const kind = TRANSFERS[reader.integer('kind', TRANSFERS.length - 1)]!
  const id = reader.text('id', 128)
  const firstFrame = reader.integer('firstFrame', MAX_REPLICA_ENTRIES)
  const from = reader.integer('from')
  const bitmap = reader.optionalBytes('bitmap', BITMAP_BYTES, BITMAP_BYTES)
  if (kind === 'buckets' && bitmap === null) throw new ProtocolError('begin: buckets need a bitmap')
  return { type: 'begin', attempt, kind, id, firstFrame, from, bitmap }
}

export function bucketsToBitmap(buckets: ReadonlySet<number>): Uint8Array {
  const out = new Uint8Array(BITMAP_BYTES)
  for (const bucket of buckets) out[bucket >>> 3]! |= 1 << (bucket & 7)
  return out
}

export function bitmapToBuckets(bitmap: Uint8Array): Set<number> {
  const out = new Set<number>()
  for (let bucket = 0; bucket < BUCKETS; bucket++) if (bitmap[bucket >>> 3]! & (1 << (bucket & 7))) out.add(bucket)
  return out
}
