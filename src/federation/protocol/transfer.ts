/** One transfer on its way in: chunks are hashed as they come, so that little is left to do at the end. */
import type { ExportedChange } from '../federation.ts'
import { ProtocolError } from './codec.ts'
import { Content, isEntry } from './content.ts'
import { bucketOf, hashEntry } from './digest.ts'
import { MAX_REPLICA_BYTES, MAX_REPLICA_ENTRIES } from './limits.ts'
import { sizeOfChange } from './messages.ts'
import { type BeginFrame, bitmapToBuckets, type ChunkFrame, type TransferKind } from './tail.ts'

export class Transfer {
  readonly kind: TransferKind
  readonly id: string
  /** Of 'changes': everything exported after this revision. */
  readonly from: number
  /** Of 'buckets': those that are sent whole. */
  readonly buckets: ReadonlySet<number>
  /** Of 'changes', in order, with the hashes of the entries among them. */
  readonly changes: ExportedChange[] = []
  readonly hashes: (Uint8Array | undefined)[] = []
  /** Of 'buckets' and 'snapshot'. */
  readonly content = new Content()
  /** Index of the next chunk. */
  frames = 0
  #bytes = 0

  constructor(begin: BeginFrame) {
    this.kind = begin.kind
    this.id = begin.id
    this.from = begin.from
    this.buckets = begin.bitmap ? bitmapToBuckets(begin.bitmap) : new Set()
  }

  /** ProtocolError when the chunk is not the next one, or holds what this kind may not. */
  add(chunk: ChunkFrame): void {
    if (chunk.index !== this.frames) throw new ProtocolError(`chunk ${chunk.index} where ${this.frames} was due`)
    this.frames++
    for (const change of chunk.changes) {
      this.#bytes += sizeOfChange(change)
      if (this.kind === 'changes') this.#addChange(change)
      else this.#addEntry(change)
    }
    if (this.#bytes > MAX_REPLICA_BYTES || this.content.size + this.changes.length > MAX_REPLICA_ENTRIES)
      throw new ProtocolError('transfer is larger than a replica may be')
  }

  #addChange(change: ExportedChange): void {
    const least = this.changes.at(-1)?.modRevision ?? this.from + 1
    if (change.modRevision < least) throw new ProtocolError('transfer: changes are out of order')
    this.changes.push(change)
    this.hashes.push(isEntry(change) ? hashEntry(change) : undefined)
  }

  #addEntry(change: ExportedChange): void {
    if (!isEntry(change)) throw new ProtocolError('transfer: a deletion where only entries may be')
    if (this.kind === 'buckets' && !this.buckets.has(bucketOf(change.key)))
      throw new ProtocolError('transfer: an entry of a bucket that was not announced')
    this.content.put(change)
  }
}
