/** Transfers on their way out: what they consist of, kept for a while, so that one that was cut off can go on. */
import { deflateRawSync } from 'node:zlib'
import type { Clock } from '../runtime/ports.ts'
import type { ExportedChange } from './federation.ts'
import { pace } from './pace.ts'
import { bucketAt, Content } from './protocol/content.ts'
import { MAX_FRAME_BYTES, TARGET_FRAME_BYTES } from './protocol/limits.ts'
import type { Page } from './protocol/page.ts'
import { bucketsToBitmap, encodeFrame, type TransferKind } from './protocol/tail.ts'

/** Entries of one DC look much alike: the quickest level takes most of it. */
const LEVEL = 1
const KEPT_MS = 15_000
const MAX_KEPT = 32

export interface Outgoing {
  readonly id: string
  readonly kind: TransferKind
  readonly from: number
  readonly bitmap: Uint8Array | null
  readonly envelope: Uint8Array
  /** Of 'snapshot' and 'buckets'. */
  readonly pages: readonly Page[]
  /** Of 'changes': those of one frame each. */
  readonly chunks: readonly (readonly ExportedChange[])[]
  readonly bytes: number
}

type Parts = Pick<Outgoing, 'kind' | 'envelope'> & Partial<Pick<Outgoing, 'from' | 'bitmap' | 'pages' | 'chunks'>>

export class Outgoings {
  readonly #clock: Clock
  readonly #name: string
  readonly #kept = new Map<string, { readonly outgoing: Outgoing; usedMs: number }>()
  #count = 0
  /** Pages that are sent never change, so each is deflated once for all who read it. */
  #deflated = new WeakMap<Page, Uint8Array>()

  /** `name`: tells this life of this node from all others. */
  constructor(clock: Clock, name: string) {
    this.#clock = clock
    this.#name = name
  }

  keep(parts: Parts): Outgoing {
    const { kind, envelope, from = 0, bitmap = null, pages = [], chunks = [] } = parts
    const bytes = pages.reduce((sum, page) => sum + page.size, 0) + chunks.length * TARGET_FRAME_BYTES
    const id = `${this.#name}.${++this.#count}`
    const outgoing = { id, kind, from, bitmap, envelope, pages, chunks, bytes }
    this.#kept.set(id, { outgoing, usedMs: this.#clock.nowMs() })
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    return outgoing
  }

  /** One that is still kept, to go on with. */
  byId(id: string): Outgoing | undefined {
    const kept = this.#kept.get(id)
    if (kept) kept.usedMs = this.#clock.nowMs()
    return kept?.outgoing
  }

  /** Of the pages only what belongs to the buckets, in slices. */
  async buckets(pages: readonly Page[], buckets: ReadonlySet<number>, envelope: Uint8Array): Promise<Outgoing> {
    const breathe = pace(this.#clock)
    const content = new Content()
    for (const page of pages) {
      for (const view of page.views()) if (buckets.has(bucketAt(view))) content.put(view)
      await breathe()
    }
    return this.keep({ kind: 'buckets', envelope, bitmap: bucketsToBitmap(buckets), pages: content.pages() })
  }

  /** Frames of the page for one who can take pages deflated (`packed`), or not. */
  pageFrame(attempt: number, index: number, page: Page, packed: boolean): Uint8Array {
    if (packed) {
      const frame = encodeFrame({ type: 'page', attempt, index, deflated: this.#deflate(page) })
      if (frame.length <= MAX_FRAME_BYTES) return frame
    }
    return encodeFrame({ type: 'chunk', attempt, index, changes: [...page.views()].map((view) => view.entry()) })
  }

  #deflate(page: Page): Uint8Array {
    let deflated = this.#deflated.get(page)
    if (!deflated) {
      deflated = deflateRawSync(page.bytes, { level: LEVEL })
      this.#deflated.set(page, deflated)
    }
    return deflated
  }

  /** Call every second or so: lets go of what nobody asks for. */
  sweep(): void {
    const beforeMs = this.#clock.nowMs() - KEPT_MS
    for (const [id, { usedMs }] of this.#kept) if (usedMs < beforeMs) this.#kept.delete(id)
    if (this.#kept.size === 0) this.#deflated = new WeakMap()
  }
}
