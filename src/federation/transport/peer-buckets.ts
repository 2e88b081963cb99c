import { type Rate, TokenBucket } from '../../model/token-bucket.ts'
import type { Clock } from '../../runtime/ports.ts'

/** What a peer may take so much of. */
export type Allotted = 'frames' | 'new streams' | 'calls' | 'answer bytes' | 'gossip'

const MAX_BUCKETS = 16_384

/** Token buckets of peers, which outlive their connections: who comes back finds them as it left them, so that it gains nothing. */
export class PeerBuckets {
  readonly #clock: Clock
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  of(peerId: string, what: Allotted, rate: Rate): TokenBucket {
    const key = `${what} ${peerId}`
    const known = this.#buckets.get(key)
    if (known !== undefined) return known
    if (this.#buckets.size >= MAX_BUCKETS) this.#forget()
    const bucket = new TokenBucket(rate)
    this.#buckets.set(key, bucket)
    return bucket
  }

  /** Those that owe nothing, and the oldest where all do. */
  #forget(): void {
    const nowMs = this.#clock.nowMs()
    for (const [key, bucket] of this.#buckets) if (bucket.isFull(nowMs)) this.#buckets.delete(key)
    if (this.#buckets.size >= MAX_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!)
  }
}
