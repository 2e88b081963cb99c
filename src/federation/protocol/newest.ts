/** The newest head that was heard of a DC, and whether another one claims its name or epoch. */
import { compareEpoch, type Epoch } from '../../model/epoch.ts'
import type { Head } from './messages.ts'

/** A signed head, and the message that it came in. */
export interface Proven {
  readonly head: Head
  readonly envelope: Uint8Array
}

export class Newest {
  readonly #quarantineMs: number
  #top: Proven | undefined
  #conflictMs = Number.NEGATIVE_INFINITY
  #epochConflict = false

  /** `quarantineMs`: how long a rival claim stays visible after it was last heard. */
  constructor(quarantineMs: number) {
    this.#quarantineMs = quarantineMs
  }

  /** The highest head, of the newest epoch. */
  get top(): Proven | undefined {
    return this.#top
  }
  set(top: Proven | undefined): void {
    this.#top = top
  }
  /** Another store speaks in the epoch that counts, with another random part; until a newer epoch settles it. */
  get hasRival(): boolean {
    return this.#epochConflict
  }
  isQuarantined(nowMs: number): boolean {
    return nowMs - this.#conflictMs < this.#quarantineMs
  }
  /** Another DC claims the name. */
  conflict(nowMs: number): void {
    this.#conflictMs = nowMs
  }

  /** Whether the head is of the epoch that counts (`own`, until one was heard), or a newer one, which then counts. */
  accepts(head: Head, envelope: Uint8Array, own: Epoch | undefined, nowMs: number): boolean {
    const current = this.#top?.head.epoch ?? own
    const order = current ? compareEpoch(head.epoch, current) : 'newer'
    if (order === 'older') return false
    if (order === 'conflict') {
      this.#conflictMs = nowMs
      this.#epochConflict = true
      return false
    }
    if (order === 'newer' && this.#epochConflict) {
      this.#epochConflict = false
      this.#conflictMs = Number.NEGATIVE_INFINITY
    }
    if (order === 'newer' || !this.#top || head.revision > this.#top.head.revision) this.#top = { head, envelope }
    return true
  }
}
