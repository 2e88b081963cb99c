/** How the DNS face answers: what node.ts hands over from the configuration. */
export interface DnsSettings {
  readonly host: string
  /** UDP and TCP; 0 picks one that is free for both. */
  readonly port: number
  /** Domains that are answered, without the final dot; reverse names are answered with the first. At least one. */
  readonly domains: readonly string[]
  /** Resolvers for all other names, as address:port, asked one after the other. None: other names are refused. */
  readonly recursors: readonly string[]
  /** How long one recursor is waited for. */
  readonly recursorTimeoutMs: number
  /** Look-ups that wait for recursors or other nodes, at once. */
  readonly maxPending: number
  readonly ttlSeconds: {
    /** Of names of nodes, addresses and name servers. */
    readonly node: number
    /** By name of the service, by the beginning of it (`web*`), or for all (`*`); the longest that fits. None: 0. */
    readonly service: Readonly<Record<string, number>>
  }
  readonly soa: {
    readonly refreshSeconds: number
    readonly retrySeconds: number
    readonly expireSeconds: number
    /** How long negative answers may be kept. */
    readonly minimumSeconds: number
  }
  /** Leave out instances in the state warning. */
  readonly onlyPassing: boolean
  /** Set TC on answers that were cut, so that the client asks again by TCP. */
  readonly truncate: boolean
  /** Most records of one A or AAAA answer; 0: as many as fit. */
  readonly addressLimit: number
  /** Tell the meta data of nodes as TXT beside their addresses. */
  readonly nodeMetaTxt: boolean
  /** Largest answer by UDP, whatever the client would take. At least 512. */
  readonly maxUdpBytes: number
  readonly maxTcpConnections: number
  readonly tcpIdleMs: number
  readonly rateLimit: {
    /** Answers by UDP a second to one network (/24, /56); 0: no limit. */
    readonly responsesPerSecond: number
    /** Networks without a limit, as CIDR. */
    readonly exempt: readonly string[]
  }
}

/** The most specific TTL that the settings have for a service. */
export function serviceTtl({ ttlSeconds }: Pick<DnsSettings, 'ttlSeconds'>, service: string): number {
  const name = service.toLowerCase()
  let best = -1
  let ttl = 0
  for (const [pattern, seconds] of Object.entries(ttlSeconds.service)) {
    const wanted = pattern.toLowerCase()
    if (wanted === name) return seconds
    if (!wanted.endsWith('*') || !name.startsWith(wanted.slice(0, -1)) || wanted.length <= best) continue
    best = wanted.length
    ttl = seconds
  }
  return ttl
}
