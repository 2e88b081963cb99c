/**
 * Notices that this DC is ahead of its own store: that its store was restored from an older copy, or lost. The judgement is
 * `protocol/own-standing.ts`; here it meets the store and the publisher.
 */

import { compareEpoch } from '../model/epoch.ts'
import { messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { ExportSource } from './federation.ts'
import type { Head } from './protocol/messages.ts'
import { OwnStanding, type OwnStore, type Published, type StandingEffect } from './protocol/own-standing.ts'
import type { Problem } from './protocol/problems.ts'
import type { Publishing } from './publishing.ts'
import { Wakeup } from './wakeup.ts'

/** `generation`: the highest that was seen; the store's must rise above it. May give a source anew. */
export type OnOwnDatacenterAhead = (seen: { readonly generation: number }) => Promise<ExportSource | undefined>

export interface AheadOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly datacenter: string
  readonly selfPeerId: string
  readonly publishing: Publishing
  readonly onOwnDatacenterAhead: OnOwnDatacenterAhead | undefined
  readonly report: (problem: Problem) => void
}

export class OwnPosition {
  readonly #options: AheadOptions
  readonly #standing: OwnStanding
  readonly #wakeup: Wakeup
  #closed = false

  constructor(options: AheadOptions) {
    const { selfPeerId, onOwnDatacenterAhead, clock } = options
    this.#options = options
    this.#standing = new OwnStanding({ selfPeerId, canRaise: onOwnDatacenterAhead !== undefined })
    this.#wakeup = new Wakeup(clock, () => this.#run(this.#standing.tick(this.#own(), clock.nowMs())))
  }

  /** A head of this DC, signed by `signer`. */
  heard(head: Head, signer: string): void {
    if (!this.#closed) this.#run(this.#standing.heard(head, signer, this.#own(), this.#options.clock.nowMs()))
  }

  #own(): OwnStore {
    const { source } = this.#options.publishing
    return { epoch: source.epoch, revision: source.storeRevision() }
  }

  #run(effects: readonly StandingEffect[]): void {
    if (this.#closed) return
    for (const effect of effects) {
      if (effect.type === 'raise') void this.#raise(effect.seen)
      else this.#giveUp(effect.suspend)
    }
    this.#wakeup.at(this.#standing.wakeAtMs())
  }

  /** Never rejects. */
  async #raise(seen: Published): Promise<void> {
    const { logger, publishing, onOwnDatacenterAhead, datacenter, clock, report } = this.#options
    const { generation } = seen.epoch
    if (await this.#isSettled(seen)) {
      this.#run([])
      return
    }
    const fields = { datacenter, generation, own: publishing.source.epoch.generation }
    publishing.suspend()
    const message = `the mesh knows more of this datacenter than its store does, which was restored or begun anew: its generation rises above ${generation}, and what the store holds becomes the truth`
    report({ kind: 'store-behind', datacenter, node: '', message })
    try {
      const source = await onOwnDatacenterAhead!({ generation })
      this.#standing.raised()
      if (!this.#closed) publishing.resume(source ?? publishing.source)
    } catch (error) {
      const reason = messageOf(error)
      logger.error({ ...fields, reason }, 'the generation could not be raised; nothing is published, trying again')
      this.#standing.raiseFailed(clock.nowMs())
    }
    this.#run([])
  }

  /**
   * Whether nothing is to be done now: the store knows all that was published, once this server has heard what others wrote to
   * it, or that cannot be known now. Never rejects.
   */
  async #isSettled({ epoch, revision }: Published): Promise<boolean> {
    const { publishing, logger, clock } = this.#options
    const { source } = publishing
    if (!source.catchUp) return false
    try {
      await source.catchUp()
    } catch (error) {
      logger.warn({ reason: messageOf(error) }, 'whether this DC is ahead of its store is not known; trying again')
      this.#standing.raiseFailed(clock.nowMs())
      return true
    }
    const own = this.#own()
    const order = compareEpoch(own.epoch, epoch)
    if (order !== 'newer' && !(order === 'same' && own.revision >= revision)) return false
    this.#standing.abreast()
    return true
  }

  #giveUp(suspend: boolean): void {
    const { publishing, datacenter, report } = this.#options
    if (suspend) publishing.suspend()
    const consequence = suspend ? 'it publishes nothing' : 'others ignore what it publishes'
    const message = `another store speaks for this datacenter, or this one was rolled back, again and again: ${consequence}; end all servers of it but one`
    report({ kind: 'rival-store', datacenter, node: '', message })
  }

  close(): void {
    this.#closed = true
    this.#wakeup.close()
  }
}
