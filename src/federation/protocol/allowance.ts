/**
 * What is accepted from one DC: (size of a message, now) in, yes or no out. Gossip beyond it is ignored, and comes by the
 * tail, which waits instead. Bounds for a DC that is wrong or hostile; an honest one in its worst hour stays below.
 */
import { type Rate, TokenBucket } from '../../model/token-bucket.ts'
import { MAX_DATACENTERS } from './limits.ts'

export interface Load {
  readonly messages: number
  readonly bytes: number
  /** Changed entries. */
  readonly changes: number
  /** Gateways that are new or have other addresses: each is dialled. */
  readonly moves: number
}

export interface AllowanceOptions {
  readonly messages: Rate
  readonly bytes: Rate
  readonly changes: Rate
  readonly moves: Rate
}

/** A DC gathers changes for up to 20 ms, so that each of its gateways says 50 things a second when it is busy. */
export const GOSSIP_ALLOWANCE: AllowanceOptions = {
  messages: { perSecond: 200, burst: 500 },
  bytes: { perSecond: 1_000_000, burst: 1_000_000 },
  changes: { perSecond: 4000, burst: 20_000 },
  moves: { perSecond: 1, burst: 64 },
}

/** How long a DC is said to be limited after it last was. */
const SHOWN_MS = 10_000

/** What never was said by gossip costs nothing but the moves in it: streams have backpressure. */
export const loadOf = (gossipBytes: number, changes: number, moves: number): Load => ({
  messages: gossipBytes > 0 ? 1 : 0,
  bytes: gossipBytes,
  changes: gossipBytes > 0 ? changes : 0,
  moves,
})

export class Allowance {
  readonly #buckets: { readonly [K in keyof AllowanceOptions]: TokenBucket }
  #refused = 0
  #refusedMs = Number.NEGATIVE_INFINITY

  constructor({ messages, bytes, changes, moves }: AllowanceOptions = GOSSIP_ALLOWANCE) {
    this.#buckets = {
      messages: new TokenBucket(messages),
      bytes: new TokenBucket(bytes),
      changes: new TokenBucket(changes),
      moves: new TokenBucket(moves),
    }
  }

  /** Messages that were refused. */
  get refused(): number {
    return this.#refused
  }

  /** Whether anything was refused in the last ten seconds. */
  isLimited(nowMs: number): boolean {
    return nowMs - this.#refusedMs < SHOWN_MS
  }

  /** `began`: it was not limited before this one was refused. */
  take(load: Load, nowMs: number): { readonly accepted: boolean; readonly began: boolean } {
    const { messages, bytes, changes, moves } = this.#buckets
    const wanted: readonly (readonly [TokenBucket, number])[] = [
      [messages, load.messages],
      [bytes, load.bytes],
      [changes, load.changes],
      [moves, load.moves],
    ]
    if (wanted.some(([bucket, count]) => count > 0 && bucket.waitMs(nowMs) > 0)) {
      const began = !this.isLimited(nowMs)
      this.#refused++
      this.#refusedMs = nowMs
      return { accepted: false, began }
    }
    for (const [bucket, count] of wanted) if (count > 0) bucket.take(count, nowMs)
    return { accepted: true, began: false }
  }
}

/** As many as there may be datacenters, and as many that only claim a name. */
const MAX_ALLOWANCES = 2 * MAX_DATACENTERS

/** One for each DC, by name and id; kept when it leaves, so that coming back gains nothing. */
export class Allowances {
  readonly #byDatacenter = new Map<string, Allowance>()

  of({ datacenter, datacenterId }: { readonly datacenter: string; readonly datacenterId: string }): Allowance {
    const key = `${datacenter} ${datacenterId}`
    let allowance = this.#byDatacenter.get(key)
    if (!allowance) {
      allowance = new Allowance()
      this.#byDatacenter.set(key, allowance)
      if (this.#byDatacenter.size > MAX_ALLOWANCES) this.#byDatacenter.delete(this.#byDatacenter.keys().next().value!)
    }
    return allowance
  }
}
