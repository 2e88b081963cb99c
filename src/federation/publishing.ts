/** The publisher of this DC around its store: loads, subscribes, signs, hands out; and what tails read of it. */

import { compareEpoch } from '../model/epoch.ts'
import { messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { ExportedChange, ExportSource } from './federation.ts'
import { pace } from './pace.ts'
import { Content } from './protocol/content.ts'
import { type Signer, seal } from './protocol/head.ts'
import { encodeHeartbeat } from './protocol/heartbeat.ts'
import type { KnownMessage } from './protocol/messages.ts'
import type { Page } from './protocol/page.ts'
import type { Publisher, PublisherEffect } from './protocol/publisher.ts'
import { Wakeup } from './wakeup.ts'

/** Everything exported, as it is at a moment, with the signed head that speaks of it. */
export interface SealedContent {
  readonly pages: readonly Page[]
  readonly bucketHashes: Uint8Array
  readonly envelope: Uint8Array
}

export interface PublishingOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly signer: Signer
  readonly publisher: Publisher
  readonly source: ExportSource
  /** Every signed message of this gateway, as it goes out. */
  readonly onSealed: (message: KnownMessage, envelope: Uint8Array, gossip: boolean) => void
  readonly onHeartbeat: (heartbeat: Uint8Array) => void
}

const RETRY_MS = 1000
/** More changes than this are sent as a snapshot. */
const MAX_CATCH_UP_CHANGES = 20_000
const CATCH_UP_TIMEOUT_MS = 3000

export class Publishing {
  readonly #options: PublishingOptions
  readonly #clock: Clock
  readonly #publisher: Publisher
  readonly #wakeup: Wakeup
  #source: ExportSource
  #subscription: { cancel(): void } | undefined
  /** Counts loads, so that one that was overtaken ends without effect. */
  #life = 0
  #closed = false
  #suspended = false

  constructor(options: PublishingOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#publisher = options.publisher
    this.#source = options.source
    this.#wakeup = new Wakeup(options.clock, () => this.#tick())
  }

  get source(): ExportSource {
    return this.#source
  }
  get publisher(): Publisher {
    return this.#publisher
  }
  /** Whether heads may be told: loaded, started, and not held back. */
  get speaks(): boolean {
    return this.#publisher.loaded && this.#publisher.started && !this.#suspended
  }

  /** Reads everything exported and follows it from then on; tries again for as long as it takes. */
  load(): void {
    const life = ++this.#life
    this.#subscription?.cancel()
    this.#subscription = undefined
    this.#publisher.unload()
    void this.#run(life)
  }

  async #run(life: number): Promise<void> {
    let warned = false
    while (life === this.#life && !this.#closed) {
      try {
        await this.#loadOnce(life)
        return
      } catch (error) {
        const fields = { error: messageOf(error) }
        if (!warned) this.#options.logger.warn(fields, 'the exported entries cannot be read; trying again')
        warned = true
        await this.#clock.sleep(RETRY_MS)
      }
    }
  }

  async #loadOnce(life: number): Promise<void> {
    const content = new Content()
    const breathe = pace(this.#clock)
    let lastExported = 0
    const { epoch } = this.#source
    const revision = await this.#source.read(async (entries) => {
      for (const entry of entries) {
        content.put(entry)
        lastExported = Math.max(lastExported, entry.modRevision)
        await breathe()
      }
    })
    if (life !== this.#life || this.#closed) return
    this.#publisher.load(epoch, revision, lastExported, content)
    this.#subscription = this.#source.subscribe(revision, {
      onRevisions: (batch) => {
        if (life !== this.#life) return
        if (this.#isOvertaken()) this.load()
        else this.#send(this.#publisher.receive(batch, this.#clock.nowMs()))
      },
      onCompacted: () => {
        if (life === this.#life) this.load()
      },
      onEnd: (error) => {
        if (life !== this.#life || this.#closed) return
        this.#options.logger.warn({ error: messageOf(error ?? 'ended') }, 'the store ended; nothing is published')
        this.#publisher.unload()
        void this.#clock.sleep(RETRY_MS).then(() => {
          if (life === this.#life && !this.#closed) this.load()
        })
      },
    })
    this.#tick()
  }

  /** From now on heads may be told. */
  start(): void {
    this.#publisher.start(this.#clock.nowMs())
    this.#tick()
  }

  /** Tells nothing until `resume`. */
  suspend(): void {
    this.#suspended = true
    this.#life++
    this.#subscription?.cancel()
    this.#subscription = undefined
    this.#publisher.unload()
    this.#wakeup.at(Number.POSITIVE_INFINITY)
  }

  resume(source: ExportSource): void {
    this.#suspended = false
    this.#source = source
    this.load()
  }

  /** A beacon of this moment, as soon as may be. */
  hasten(): void {
    this.#publisher.hasten(this.#clock.nowMs())
    this.#wakeup.at(this.#publisher.wakeAtMs())
  }

  #tick(): void {
    if (this.#closed || this.#suspended) return
    if (this.#isOvertaken()) this.load()
    else this.#send(this.#publisher.tick(this.#clock.nowMs(), this.#source.revision()))
  }

  /** Another server on the same store raised its generation: what is loaded is of the epoch before. */
  #isOvertaken(): boolean {
    const { epoch } = this.#publisher
    return epoch !== undefined && compareEpoch(this.#source.epoch, epoch) !== 'same'
  }

  #send(effects: readonly PublisherEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'heartbeat') this.#options.onHeartbeat(encodeHeartbeat(effect.heartbeat))
      else this.tell(effect.message, effect.type === 'beacon' || effect.gossip)
    }
    this.#wakeup.at(this.#publisher.wakeAtMs())
  }

  /** Signs and sends; returns the envelope. */
  tell(message: KnownMessage, gossip: boolean): Uint8Array {
    const envelope = seal(this.#options.signer, message)
    this.#options.onSealed(message, envelope, gossip)
    return envelope
  }

  /** A signed head of this moment, sent to nobody. */
  sealedBeacon(): { readonly revision: number; readonly lastExported: number; readonly envelope: Uint8Array } {
    const message = this.#publisher.beacon()
    const { revision, lastExported } = message.head
    return { revision, lastExported, envelope: seal(this.#options.signer, message) }
  }

  /** Exported changes in (since, upTo], from the store's history; undefined when that is gone or too long. */
  changes(since: number, upTo: number): Promise<ExportedChange[] | undefined> {
    return new Promise((resolve, reject) => {
      const out: ExportedChange[] = []
      let subscription: { cancel(): void } | undefined
      let settled = false
      const settle = (end: () => void): void => {
        if (settled) return
        settled = true
        timer.cancel()
        subscription?.cancel()
        end()
      }
      const timer = this.#clock.after(CATCH_UP_TIMEOUT_MS, () => settle(() => resolve(undefined)))
      subscription = this.#source.subscribe(since, {
        onRevisions: (batch) => {
          for (const { revision, changes } of batch) {
            if (revision > upTo) return settle(() => resolve(out))
            for (const change of changes) out.push(change)
            if (revision === upTo) return settle(() => resolve(out))
            if (out.length > MAX_CATCH_UP_CHANGES) return settle(() => resolve(undefined))
          }
        },
        onCompacted: () => settle(() => resolve(undefined)),
        onEnd: (error) => settle(() => reject(error ?? new Error('the store was closed'))),
      })
      if (settled) subscription.cancel()
    })
  }

  /** Everything exported, at the publisher's revision. Throws when nothing is loaded. */
  sealedContent(): SealedContent {
    const { content } = this.#publisher
    return { pages: content.pages(), bucketHashes: content.bucketHashes(), envelope: this.sealedBeacon().envelope }
  }

  close(): void {
    this.#closed = true
    this.#life++
    this.#subscription?.cancel()
    this.#subscription = undefined
    this.#wakeup.close()
  }
}
