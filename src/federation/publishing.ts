/** The publisher of this DC around its store: loads, subscribes, signs, hands out; and what tails read of it. */

import { compareEpoch, type Epoch } from '../model/epoch.ts'
import { messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { ExportedChange, ExportedEntry, ExportSource } from './federation.ts'
import { pace } from './pace.ts'
import { hashEntry, KeyedDigest } from './protocol/digest.ts'
import { type Signer, seal } from './protocol/head.ts'
import { encodeHeartbeat } from './protocol/heartbeat.ts'
import type { KnownMessage } from './protocol/messages.ts'
import type { Publisher, PublisherEffect } from './protocol/publisher.ts'
import { Wakeup } from './wakeup.ts'

/** A whole content with the signed head that speaks of it; shared by all who ask within a few seconds. */
export interface PreparedSnapshot {
  /** The same for the same content, read at the same revision. */
  readonly id: string
  readonly epoch: Epoch
  readonly revision: number
  readonly entries: readonly ExportedEntry[]
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

/** Snapshots are used again for so long after they were read, and forgotten when nobody asked for so long. */
const SNAPSHOT_FRESH_MS = 3000
const SNAPSHOT_KEPT_MS = 15_000
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
  #snapshot: { prepared: PreparedSnapshot; readMs: number; usedMs: number } | undefined
  #preparing: Promise<PreparedSnapshot> | undefined

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
    this.#snapshot = undefined
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
    const { revision, entries } = await this.#source.snapshot()
    const digest = new KeyedDigest()
    const breathe = pace(this.#clock)
    let lastExported = 0
    for (const entry of entries) {
      digest.set(entry.key, hashEntry(entry))
      lastExported = Math.max(lastExported, entry.modRevision)
      await breathe()
    }
    if (life !== this.#life || this.#closed) return
    this.#publisher.load(this.#source.epoch, revision, lastExported, digest)
    this.#subscription = this.#source.subscribe(revision, {
      onRevisions: (batch) => {
        if (life === this.#life) this.#send(this.#publisher.receive(batch, this.#clock.nowMs()))
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
    // Another server on the same store raised its generation.
    const { epoch } = this.#publisher
    if (epoch && compareEpoch(this.#source.epoch, epoch) !== 'same') this.load()
    else this.#send(this.#publisher.tick(this.#clock.nowMs(), this.#source.revision()))
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

  /** The whole content at `notBefore` or later. One reading serves all who ask at the same time. */
  async snapshot(notBefore: number): Promise<PreparedSnapshot> {
    const nowMs = this.#clock.nowMs()
    const kept = this.#snapshot
    if (kept && kept.prepared.revision >= notBefore && nowMs - kept.readMs < SNAPSHOT_FRESH_MS) {
      kept.usedMs = nowMs
      return kept.prepared
    }
    this.#preparing ??= this.#prepare().finally(() => {
      this.#preparing = undefined
    })
    const prepared = await this.#preparing
    return prepared.revision >= notBefore || this.#closed ? prepared : this.#prepare()
  }

  /** One that is still kept, to go on with. */
  snapshotById(id: string): PreparedSnapshot | undefined {
    const kept = this.#snapshot
    if (!kept || kept.prepared.id !== id) return undefined
    kept.usedMs = this.#clock.nowMs()
    return kept.prepared
  }

  async #prepare(): Promise<PreparedSnapshot> {
    const life = this.#life
    const { epoch } = this.#source
    const { revision, entries } = await this.#source.snapshot()
    const content = new KeyedDigest()
    const breathe = pace(this.#clock)
    for (const entry of entries) {
      content.set(entry.key, hashEntry(entry))
      await breathe()
    }
    const root = content.root()
    const id = `${epoch.generation}.${epoch.random}.${revision}.${Buffer.from(root).toString('hex', 0, 8)}`
    const envelope = seal(this.#options.signer, this.#publisher.beaconOf(epoch, revision, root))
    const prepared = { id, epoch, revision, entries, bucketHashes: content.bucketHashes(), envelope }
    const nowMs = this.#clock.nowMs()
    if (life === this.#life) this.#snapshot = { prepared, readMs: nowMs, usedMs: nowMs }
    return prepared
  }

  /** Call now and then: lets go of what nobody asks for. */
  sweep(): void {
    if (this.#snapshot && this.#clock.nowMs() - this.#snapshot.usedMs > SNAPSHOT_KEPT_MS) this.#snapshot = undefined
  }

  close(): void {
    this.#closed = true
    this.#life++
    this.#subscription?.cancel()
    this.#subscription = undefined
    this.#wakeup.close()
    this.#snapshot = undefined
  }
}
