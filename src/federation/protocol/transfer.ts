/** One transfer on its way in: chunks are hashed as they come, so that little is left to do at the end. */
import { inflateRawSync } from 'node:zlib'
import type { ExportedChange } from '../federation.ts'
import { ProtocolError } from './codec.ts'
import { Content, isEntry } from './content.ts'
import { bucketOf } from './digest.ts'
import { MAX_REPLICA_BYTES, MAX_REPLICA_ENTRIES } from './limits.ts'
import { sizeOfChange } from './messages.ts'
import { MAX_PAGE_BYTES, Page } from './page.ts'
import { type BeginFrame, bitmapToBuckets, type ChunkFrame, type PageFrame, type TransferKind } from './tail.ts'

export class Transfer {
  readonly kind: TransferKind
  readonly id: string
  /** Of 'changes': everything exported after this revision. */
  readonly from: number
  /** Of 'buckets': those that are sent whole. */
  readonly buckets: ReadonlySet<number>
  /** What the replica held when it asked: where 'buckets' belong. */
  readonly base: Content
  /** Of 'changes', in order. */
  readonly changes: ExportedChange[] = []
  /** Of 'buckets' and 'snapshot'. */
  readonly content = new Content()
  /** Index of the next chunk. */
  frames = 0
  #bytes = 0

  constructor(begin: BeginFrame, base: Content) {
    this.kind = begin.kind
    this.id = begin.id
    this.from = begin.from
    this.buckets = begin.bitmap ? bitmapToBuckets(begin.bitmap) : new Set()
    this.base = base
  }

  /** ProtocolError when the chunk is not the next one, or holds what this kind may not. */
  add(chunk: ChunkFrame | PageFrame): void {
    if (chunk.index !== this.frames) throw new ProtocolError(`chunk ${chunk.index} where ${this.frames} was due`)
    this.frames++
    if (chunk.type === 'page') this.#addPage(chunk)
    else {
      for (const change of chunk.changes) {
        this.#bytes += sizeOfChange(change)
        if (this.kind === 'changes') this.#addChange(change)
        else this.#addEntry(change)
      }
    }
    if (this.#bytes > MAX_REPLICA_BYTES || this.content.size + this.changes.length > MAX_REPLICA_ENTRIES)
      throw new ProtocolError('transfer is larger than a replica may be')
  }

  #addPage({ deflated }: PageFrame): void {
    if (this.kind === 'changes') throw new ProtocolError('transfer: a page where only changes may be')
    const page = Page.parse(inflatePage(deflated))
    this.#bytes += page.size
    this.content.append(page, this.kind === 'buckets' ? this.buckets : undefined)
  }

  #addChange(change: ExportedChange): void {
    const least = this.changes.at(-1)?.modRevision ?? this.from + 1
    if (change.modRevision < least) throw new ProtocolError('transfer: changes are out of order')
    this.changes.push(change)
  }

  #addEntry(change: ExportedChange): void {
    if (!isEntry(change)) throw new ProtocolError('transfer: a deletion where only entries may be')
    if (this.kind === 'buckets' && !this.buckets.has(bucketOf(change.key)))
      throw new ProtocolError('transfer: an entry of a bucket that was not announced')
    this.content.put(change)
  }
}

/** ProtocolError when it is no deflated page, or a larger one than there may be. */
export function inflatePage(deflated: Uint8Array): Uint8Array {
  try {
    return inflateRawSync(deflated, { maxOutputLength: MAX_PAGE_BYTES })
  } catch (error) {
    throw new ProtocolError('page cannot be inflated', error)
  }
}
