/**
 * How this DC's store stands to what was published of the DC: (head, store, now) in, what to do about it out. Whoever goes on
 * with an epoch that others know further would rewrite history, so the store's generation must rise before anything
 * more is published.
 */
import { compareEpoch, type Epoch } from '../../model/epoch.ts'
import type { Head } from './messages.ts'

/**
 * `behind`: the store knows all that was published. `rolled-back`: of its own epoch, but older than what was published.
 * `superseded`: of an older generation. `rival`: another store claims the same generation, and is not the younger one.
 */
export type Standing = 'behind' | 'rolled-back' | 'superseded' | 'rival'

/** The store now. */
export interface OwnStore {
  readonly epoch: Epoch
  readonly revision: number
}

/** How far the DC was published. */
export type Published = OwnStore

export type StandingEffect =
  /**
   * Publish nothing, raise the store's generation above that of the head, and tell `raised` or `raiseFailed`. Or, where the store
   * turns out to know all that the head says, `abreast`.
   */
  | { readonly type: 'raise'; readonly seen: Published }
  /** It was raised too often, or cannot be. When `suspend`, nothing more may be published. */
  | { readonly type: 'give-up'; readonly standing: Standing; readonly suspend: boolean }

export interface OwnStandingOptions {
  readonly selfPeerId: string
  /** Whether the store's generation can be raised at all. */
  readonly canRaise: boolean
}

/** Servers on one store see its revisions a moment apart. */
const GRACE_MS = 1000
/** Two stores that both claim to be the DC would raise each other for ever. */
const MAX_RAISES = 3
const RETRY_MS = 1000
const MAX_RETRY_MS = 30_000

type Phase =
  | { readonly name: 'calm' }
  | { readonly name: 'weighing'; readonly head: Head; readonly signer: string; readonly untilMs: number }
  | { readonly name: 'raising'; readonly seen: Published; readonly retryMs: number; readonly againMs: number }

const CALM: Phase = { name: 'calm' }

export class OwnStanding {
  readonly #options: OwnStandingOptions
  #phase: Phase = CALM
  #raises = 0
  /** Heard while another one was being dealt with. */
  #next: { readonly head: Head; readonly signer: string } | undefined

  constructor(options: OwnStandingOptions) {
    this.#options = options
  }

  /** A head of this DC, signed by `signer`. */
  heard(head: Head, signer: string, own: OwnStore, nowMs: number): StandingEffect[] {
    const standing = this.#judge(head, signer, own)
    if (standing === 'behind') return []
    const mayBeLag = standing === 'rolled-back' && signer !== this.#options.selfPeerId
    if (this.#phase.name === 'raising' || (this.#phase.name === 'weighing' && mayBeLag)) {
      // It may never be told again: a peer tells what it knows once, when it connects.
      if (!this.#next || compareEpoch(head.epoch, this.#next.head.epoch) !== 'older') this.#next = { head, signer }
      return []
    }
    if (!mayBeLag) return this.#act(head, standing)
    this.#phase = { name: 'weighing', head, signer, untilMs: nowMs + GRACE_MS }
    return []
  }

  #judge(head: Head, signer: string, own: OwnStore): Standing {
    switch (compareEpoch(head.epoch, own.epoch)) {
      case 'newer':
        return 'superseded'
      case 'older':
        return 'behind'
      case 'same':
        return head.revision > own.revision ? 'rolled-back' : 'behind'
      case 'conflict':
        // Of two stores the younger gives way; a former life of this very node cannot.
        return signer === this.#options.selfPeerId || head.revision >= own.revision ? 'rival' : 'behind'
    }
  }

  #act({ epoch, revision }: Head, standing: Standing): StandingEffect[] {
    if (this.#options.canRaise && this.#raises < MAX_RAISES) {
      const seen = { epoch, revision }
      this.#phase = raising(seen, RETRY_MS)
      return [{ type: 'raise', seen }]
    }
    this.#phase = CALM
    // What is of an older or a rival epoch is ignored by others, and seen by them; only rewriting an epoch would do harm.
    return [{ type: 'give-up', standing, suspend: standing === 'rolled-back' }]
  }

  /** When `tick` is next due; Infinity for never. */
  wakeAtMs(): number {
    if (this.#phase.name === 'weighing') return this.#phase.untilMs
    if (this.#phase.name === 'raising') return this.#phase.againMs
    return this.#next ? 0 : Number.POSITIVE_INFINITY
  }

  tick(own: OwnStore, nowMs: number): StandingEffect[] {
    if (nowMs < this.wakeAtMs()) return []
    const phase = this.#phase
    if (phase.name === 'calm') {
      const { head, signer } = this.#next!
      this.#next = undefined
      return this.heard(head, signer, own, nowMs)
    }
    if (phase.name === 'raising') {
      this.#phase = raising(phase.seen, phase.retryMs)
      return [{ type: 'raise', seen: phase.seen }]
    }
    this.#phase = CALM
    const standing = this.#judge(phase.head, phase.signer, own)
    return standing === 'behind' ? [] : this.#act(phase.head, standing)
  }

  /** The store's generation rose: publishing goes on, from the whole content. */
  raised(): void {
    this.#raises++
    this.#phase = CALM
  }

  /** The store was only heard late: another server on it had published what it holds. */
  abreast(): void {
    if (this.#phase.name === 'raising') this.#phase = CALM
  }

  /** It is asked for again, after a pause that doubles from 1 s to 30 s. */
  raiseFailed(nowMs: number): void {
    if (this.#phase.name !== 'raising') return
    const { seen, retryMs } = this.#phase
    this.#phase = { ...raising(seen, Math.min(MAX_RETRY_MS, retryMs * 2)), againMs: nowMs + retryMs }
  }
}

const raising = (seen: Published, retryMs: number): Extract<Phase, { name: 'raising' }> => ({
  name: 'raising',
  seen,
  retryMs,
  againMs: Number.POSITIVE_INFINITY,
})
