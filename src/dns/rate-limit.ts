/**
 * Response rate limiting: who sends queries under another's address shall not get this node to flood that one. Each
 * network (/24 of IPv4, /56 of IPv6) has a bucket of answers by UDP; beyond it every second answer is an empty one with
 * TC, so that somebody who is really there comes by TCP, and the others are dropped.
 */
import { addressBytes } from '../model/addresses.ts'
import { AtollError } from '../model/errors.ts'

export type Decision = 'send' | 'truncate' | 'drop'

export interface RateLimitOptions {
  /** Answers a second to one network, and how many may come at once; 0: no limit. */
  readonly responsesPerSecond: number
  /** CIDR. */
  readonly exempt: readonly string[]
  /** Networks that are remembered; the oldest are forgotten. */
  readonly maxNetworks?: number
}

interface Bucket {
  tokens: number
  filledAtMs: number
  beyond: number
}

const IPV4_BYTES = 3
const IPV6_BYTES = 7
const MAX_ADDRESSES = 10_000

export class RateLimiter {
  readonly #perSecond: number
  readonly #exempt: readonly Network[]
  readonly #maxNetworks: number
  readonly #buckets = new Map<string, Bucket>()
  /** By address, so that a packet costs one look-up; 'exempt' where there is no limit. */
  readonly #known = new Map<string, Bucket | 'exempt'>()

  /** Throws AtollError 'invalid' when an exempt network is none. */
  constructor({ responsesPerSecond, exempt, maxNetworks = 10_000 }: RateLimitOptions) {
    this.#perSecond = responsesPerSecond
    this.#exempt = exempt.map(parseNetwork)
    this.#maxNetworks = maxNetworks
  }

  decide(address: string, nowMs: number): Decision {
    if (this.#perSecond === 0) return 'send'
    const bucket = this.#known.get(address) ?? this.#meet(address, nowMs)
    if (bucket === 'exempt') return 'send'
    const refill = ((nowMs - bucket.filledAtMs) / 1000) * this.#perSecond
    bucket.tokens = Math.min(this.#perSecond, bucket.tokens + refill)
    bucket.filledAtMs = nowMs
    if (bucket.tokens >= 1) {
      bucket.tokens--
      return 'send'
    }
    return bucket.beyond++ % 2 === 0 ? 'truncate' : 'drop'
  }

  #meet(address: string, nowMs: number): Bucket | 'exempt' {
    const bytes = plainBytes(address)
    const bucket = this.#exempt.some((network) => contains(network, bytes)) ? 'exempt' : this.#bucketOf(bytes, nowMs)
    if (this.#known.size >= MAX_ADDRESSES) this.#known.clear()
    this.#known.set(address, bucket)
    return bucket
  }

  #bucketOf(bytes: Uint8Array, nowMs: number): Bucket {
    const key = String(bytes.subarray(0, bytes.length === 4 ? IPV4_BYTES : IPV6_BYTES))
    const found = this.#buckets.get(key)
    if (found !== undefined) return found
    const bucket: Bucket = { tokens: this.#perSecond, filledAtMs: nowMs, beyond: 0 }
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > this.#maxNetworks) {
      this.#buckets.delete(this.#buckets.keys().next().value!)
      // Addresses of a forgotten network would go on with its bucket.
      this.#known.clear()
    }
    return bucket
  }
}

interface Network {
  readonly bytes: Uint8Array
  readonly bits: number
}

/** Throws AtollError 'invalid'. */
export function parseNetwork(cidr: string): Network {
  const [address = '', bits = ''] = cidr.split('/')
  const bytes = addressBytes(address)
  if (bytes === undefined || !/^\d{1,3}$/.test(bits) || Number(bits) > bytes.length * 8) {
    throw new AtollError('invalid', `dns.rateLimit.exempt: "${cidr}" is no network; write it like 10.0.0.0/8`, {
      field: 'dns.rateLimit.exempt',
    })
  }
  return { bytes, bits: Number(bits) }
}

function contains({ bytes, bits }: Network, address: Uint8Array): boolean {
  if (bytes.length !== address.length) return false
  for (let i = 0, left = bits; left > 0; i++, left -= 8) {
    const mask = left >= 8 ? 0xff : (0xff << (8 - left)) & 0xff
    if ((bytes[i]! & mask) !== (address[i]! & mask)) return false
  }
  return true
}

/** Sockets for both families show IPv4 as ::ffff:a.b.c.d; a zone (`%eth0`) is no part of an address. */
function plainBytes(address: string): Uint8Array {
  const bytes = addressBytes(address.split('%')[0]!) ?? new Uint8Array(4)
  const isMapped = bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff
  return isMapped ? bytes.subarray(12) : bytes
}
