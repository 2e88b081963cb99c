/** What an answer says about itself: where it came from, and how old it may be. */
export interface Meta {
  /** For the next blocking call; 0 when the answer has none (then it cannot be waited on). */
  readonly index: number
  /** The datacenter that answered. */
  readonly datacenter: string | undefined
  /** `catalog`: of the asked node's own datacenter; `replica`: this node's copy of another; `rpc`: asked there. */
  readonly source: 'catalog' | 'replica' | 'rpc' | 'kept' | 'summary' | undefined
  /** At most so old; 0 when nothing newer can have been acknowledged before the answer, Infinity where nobody can tell. */
  readonly ageMs: number | undefined
  /** Set when another datacenter answered for the asked one, in which nothing passed. */
  readonly failover: { readonly from: string; readonly to: string } | undefined
  readonly consistency: 'leader' | 'consistent' | 'stale' | undefined
  readonly knownLeader: boolean | undefined
  readonly lastContactMs: number | undefined
}

export interface Answer<T> {
  readonly value: T
  readonly meta: Meta
}

export function metaOf(headers: Headers): Meta {
  return {
    index: natural(headers.get('X-Consul-Index')) ?? 0,
    datacenter: headers.get('X-Atoll-Datacenter') ?? undefined,
    source: oneOf(headers.get('X-Atoll-Source'), ['catalog', 'replica', 'rpc', 'kept', 'summary']),
    ageMs: ageOf(headers.get('X-Atoll-Age-Ms')),
    failover: failoverOf(headers.get('X-Atoll-Failover')),
    consistency: oneOf(headers.get('X-Consul-Effective-Consistency'), ['leader', 'consistent', 'stale']),
    knownLeader:
      oneOf(headers.get('X-Consul-KnownLeader'), ['true', 'false']) === undefined
        ? undefined
        : headers.get('X-Consul-KnownLeader') === 'true',
    lastContactMs: natural(headers.get('X-Consul-LastContact')),
  }
}

const ageOf = (text: string | null): number | undefined =>
  text === 'unknown' ? Number.POSITIVE_INFINITY : natural(text)

function natural(text: string | null): number | undefined {
  if (text === null || !/^\d+(\.\d+)?$/.test(text)) return undefined
  return Number(text)
}

function oneOf<T extends string>(text: string | null, allowed: readonly T[]): T | undefined {
  return allowed.find((candidate) => candidate === text)
}

function failoverOf(text: string | null): Meta['failover'] {
  const match = /^(\S+) -> (\S+)$/.exec(text ?? '')
  return match ? { from: match[1]!, to: match[2]! } : undefined
}
