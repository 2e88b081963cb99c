/**
 * Notices that this DC is ahead of its own store: that its store was restored from an older copy, or lost. Whoever goes
 * on with an old epoch then would rewrite history, so the store's generation must rise before anything is published.
 */

import { compareEpoch } from '../model/epoch.ts'
import { messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { ExportSource } from './federation.ts'
import type { Head } from './protocol/messages.ts'
import type { Publishing } from './publishing.ts'

/** `generation`: the highest that was seen; the store's must rise above it. May give a source anew. */
export type OnOwnDatacenterAhead = (seen: { readonly generation: number }) => Promise<ExportSource | undefined>

export interface AheadOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly datacenter: string
  readonly selfPeerId: string
  readonly publishing: Publishing
  readonly onOwnDatacenterAhead: OnOwnDatacenterAhead | undefined
}

/** Servers on one store see its revisions a moment apart. */
const GRACE_MS = 1000
/** Two stores that both claim to be the DC would raise each other for ever. */
const MAX_RAISES = 3
const RETRY_MS = 1000
const MAX_RETRY_MS = 30_000

type Standing = 'behind' | 'rolled-back' | 'superseded' | 'rival'

export class OwnPosition {
  readonly #options: AheadOptions
  #raises = 0
  /** Evidence is being weighed, or the generation is being raised. */
  #busy = false
  #toldOf: Standing | undefined
  readonly #closed = new AbortController()

  constructor(options: AheadOptions) {
    this.#options = options
  }

  /** A head of this DC, signed by `signer`. */
  heard(head: Head, signer: string): void {
    if (this.#busy || this.#closed.signal.aborted) return
    const standing = this.#judge(head, signer)
    if (standing === 'behind') return
    this.#busy = true
    void this.#weigh(head, signer, standing)
      .catch(() => {})
      .finally(() => {
        this.#busy = false
      })
  }

  /** How the store here stands to a head that was published. */
  #judge(head: Head, signer: string): Standing {
    const { source } = this.#options.publishing
    switch (compareEpoch(head.epoch, source.epoch)) {
      case 'newer':
        return 'superseded'
      case 'older':
        return 'behind'
      case 'same':
        return head.revision > source.revision() ? 'rolled-back' : 'behind'
      case 'conflict':
        // Of two stores the younger gives way; a former life of this very node cannot.
        return signer === this.#options.selfPeerId || head.revision >= source.revision() ? 'rival' : 'behind'
    }
  }

  async #weigh(head: Head, signer: string, standing: Standing): Promise<void> {
    const { clock, selfPeerId } = this.#options
    if (standing === 'rolled-back' && signer !== selfPeerId) {
      await clock.sleep(GRACE_MS, this.#closed.signal)
      if (this.#judge(head, signer) === 'behind') return
    }
    if (this.#options.onOwnDatacenterAhead && this.#raises < MAX_RAISES) await this.#raise(head.epoch.generation)
    else this.#giveUp(standing)
  }

  async #raise(generation: number): Promise<void> {
    const { logger, publishing, onOwnDatacenterAhead, datacenter, clock } = this.#options
    const fields = { datacenter, generation, own: publishing.source.epoch.generation }
    publishing.suspend()
    logger.warn(fields, 'the mesh knows more of this datacenter than its store does: raising its generation')
    for (let retryMs = RETRY_MS; ; retryMs = Math.min(MAX_RETRY_MS, retryMs * 2)) {
      try {
        const source = await onOwnDatacenterAhead!({ generation })
        this.#raises++
        if (!this.#closed.signal.aborted) publishing.resume(source ?? publishing.source)
        return
      } catch (error) {
        const reason = messageOf(error)
        logger.error({ ...fields, reason }, 'the generation could not be raised; nothing is published, trying again')
      }
      await clock.sleep(retryMs, this.#closed.signal)
    }
  }

  /** What is of an older or a rival epoch is ignored by others, and seen by them; only rewriting an epoch would do harm. */
  #giveUp(standing: Standing): void {
    const { logger, publishing, datacenter } = this.#options
    if (standing === 'rolled-back') publishing.suspend()
    if (this.#toldOf === standing) return
    this.#toldOf = standing
    const consequence = standing === 'rolled-back' ? 'it publishes nothing' : 'others ignore what it publishes'
    logger.error(
      { datacenter, standing },
      `another store speaks for this datacenter, or this one was rolled back: ${consequence}`,
    )
  }

  close(): void {
    this.#closed.abort(new Error('this node is closing'))
  }
}
