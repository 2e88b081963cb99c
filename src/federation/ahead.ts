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

export class OwnPosition {
  readonly #options: AheadOptions
  #highest: Head | undefined
  #raises = 0
  #busy = false
  #closed = false

  constructor(options: AheadOptions) {
    this.#options = options
  }

  /** A head of this DC, signed by `signer`. */
  heard(head: Head, signer: string): void {
    if (this.#busy || this.#closed || this.#judge(head, signer) === 'behind') return
    if (this.#judge(head, signer) === 'ahead') void this.#raise(head.epoch.generation)
    else void this.#judgeLater(head, signer)
  }

  #judge(head: Head, signer: string): 'behind' | 'maybe' | 'ahead' {
    const { source } = this.#options.publishing
    switch (compareEpoch(head.epoch, source.epoch)) {
      case 'newer':
        return 'ahead'
      case 'older':
        return 'behind'
      case 'same':
        return head.revision > source.revision() ? 'maybe' : 'behind'
      case 'conflict':
        // Of two stores the younger gives way; a former life of this very node cannot.
        return signer === this.#options.selfPeerId || head.revision >= source.revision() ? 'ahead' : 'behind'
    }
  }

  async #judgeLater(head: Head, signer: string): Promise<void> {
    if (this.#highest && this.#highest.revision >= head.revision) return
    this.#highest = head
    if (signer !== this.#options.selfPeerId) await this.#options.clock.sleep(GRACE_MS)
    this.#highest = undefined
    if (!this.#busy && !this.#closed && this.#judge(head, signer) === 'maybe') await this.#raise(head.epoch.generation)
  }

  async #raise(generation: number): Promise<void> {
    const { logger, publishing, onOwnDatacenterAhead, datacenter } = this.#options
    this.#busy = true
    publishing.suspend()
    const fields = { datacenter, generation, own: publishing.source.epoch.generation }
    if (!onOwnDatacenterAhead || this.#raises >= MAX_RAISES) {
      logger.error(
        fields,
        'two stores claim to be this datacenter, or its store is older than what it published; it publishes nothing',
      )
      return
    }
    this.#raises++
    logger.warn(fields, 'the mesh knows more of this datacenter than its store does: raising its generation')
    try {
      const source = await onOwnDatacenterAhead({ generation })
      if (this.#closed) return
      publishing.resume(source ?? publishing.source)
      this.#busy = false
    } catch (error) {
      logger.error({ ...fields, error: messageOf(error) }, 'the generation could not be raised; nothing is published')
    }
  }

  close(): void {
    this.#closed = true
  }
}
