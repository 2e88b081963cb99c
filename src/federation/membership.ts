/** Who this node wants to be connected to, and how it finds the mesh when it knows nobody. */
import { AtollError, messageOf } from '../model/errors.ts'
import type { Clock, Logger, Random } from '../runtime/ports.ts'
import type { Host, Peer, PeerAddress } from './host.ts'
import type { Directory } from './protocol/directory.ts'
import { fnv } from './protocol/speaker.ts'

export type KnownPeer = PeerAddress & { readonly datacenter: string }

export interface MembershipOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly host: Host
  readonly directory: Directory
  readonly joinAddresses: readonly string[]
  /** Of a former run. */
  readonly knownPeers: readonly KnownPeer[]
}

const JOIN_TIMEOUT_MS = 5000
const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 5000
/** Peers start at the same time; who still fails when it waits so long between tries, some four seconds on, should be told of. */
const TELL_FROM_RETRY_MS = 2000
const MAX_KNOWN = 1024
/** A client needs two servers; until it has them it tries so many. */
const CLIENT_SERVERS = 2
const CLIENT_CANDIDATES = 16

export class Membership {
  readonly #options: MembershipOptions
  readonly #known = new Map<string, KnownPeer>()
  readonly #closed = new AbortController()
  #joining = false
  /** Join addresses that were not reached yet. */
  readonly #unreached = new Set<string>()
  #wanted = ''

  constructor(options: MembershipOptions) {
    this.#options = options
    for (const peer of options.knownPeers.slice(0, MAX_KNOWN))
      if (peer.peerId !== options.host.self.peerId) this.#known.set(peer.peerId, peer)
  }

  start(): void {
    this.refresh()
    this.lookForMesh()
  }

  /** Gateways came, went, moved or (for clients) connected. */
  refresh(): void {
    const wanted = this.#options.host.self.role === 'server' ? this.#wantedByServer() : this.#wantedByClient()
    const list = wanted.map(({ peerId, addresses }) => ({ peerId, addresses }))
    const key = JSON.stringify(list)
    if (key === this.#wanted) return
    this.#wanted = key
    this.#options.host.want(list)
  }

  #wantedByServer(): KnownPeer[] {
    return this.all().filter(({ peerId }) => peerId !== this.#options.host.self.peerId)
  }

  #wantedByClient(): KnownPeer[] {
    const { host } = this.#options
    const servers = this.all().filter(({ datacenter }) => datacenter === host.self.datacenter)
    const connected = servers.filter(({ peerId }) => host.peer(peerId) !== undefined)
    return connected.length >= CLIENT_SERVERS
      ? connected
      : spread(servers, host.self.nodeId).slice(0, CLIENT_CANDIDATES)
  }

  /** Every gateway known: by its record, or from a former run. */
  all(): KnownPeer[] {
    const { directory } = this.#options
    const out = new Map<string, KnownPeer>(this.#known)
    for (const datacenter of directory.datacenters())
      for (const { peerId, addresses } of directory.gateways(datacenter))
        out.set(peerId, { datacenter, peerId, addresses })
    return [...out.values()]
  }

  /** One that left is not wanted any more. */
  forget(peerId: string): void {
    this.#known.delete(peerId)
  }

  /**
   * Dials each join address until it was reached once; all of them again when nobody is connected any more. One that was
   * reached may have been alone (its own part of a mesh that starts in pieces), so the others are not given up for it.
   */
  lookForMesh(): void {
    const { host, joinAddresses } = this.#options
    if (!host.peers().some((peer) => peer.role === 'server'))
      for (const address of joinAddresses) this.#unreached.add(address)
    if (this.#joining || this.#closed.signal.aborted || this.#unreached.size === 0) return
    this.#joining = true
    void this.#look()
      .catch(() => {})
      .finally(() => {
        this.#joining = false
      })
  }

  async #look(): Promise<void> {
    const { clock, random, logger } = this.#options
    let backoffMs = FIRST_RETRY_MS
    let warned = false
    while (!this.#closed.signal.aborted) {
      for (const address of this.#unreached) if (this.#isConnected(address)) this.#unreached.delete(address)
      if (this.#unreached.size === 0) return
      const missing = [...this.#unreached]
      const results = await this.#dial(missing)
      missing.forEach((address, i) => {
        if (results[i]!.status === 'fulfilled') this.#unreached.delete(address)
      })
      const failed = results.find((result) => result.status === 'rejected')
      if (failed === undefined) return
      const fields = { missing: [...this.#unreached], reason: messageOf(failed.reason) }
      if (backoffMs >= TELL_FROM_RETRY_MS && !warned) {
        logger.warn(fields, 'join addresses do not answer; trying again for as long as it takes')
        warned = true
      } else logger.debug(fields, 'join addresses do not answer; trying again')
      await clock.sleep(backoffMs * (0.5 + random.float()), this.#closed.signal)
      backoffMs = Math.min(MAX_RETRY_MS, backoffMs * 2)
    }
  }

  /** Whether the gateway that is known under this address is connected, whoever dialled. */
  #isConnected(address: string): boolean {
    const bare = withoutPeer(toMultiaddr(address))
    const { host } = this.#options
    return this.all().some(
      ({ peerId, addresses }) =>
        host.peer(peerId) !== undefined && addresses.some((known) => withoutPeer(known) === bare),
    )
  }

  #dial(addresses: readonly string[]): Promise<PromiseSettledResult<unknown>[]> {
    const { host } = this.#options
    const dials = addresses.map(async (address) =>
      host.join(toMultiaddr(address), { deadlineMs: JOIN_TIMEOUT_MS, signal: this.#closed.signal }),
    )
    return Promise.allSettled(dials)
  }

  /** Number of addresses reached; AtollError 'unavailable' with every reason when none was. */
  async join(addresses: readonly string[]): Promise<number> {
    const results = await this.#dial(addresses)
    const reached = results.filter(({ status }) => status === 'fulfilled').length
    if (reached > 0) return reached
    const reasons = results.map((result, i) =>
      result.status === 'rejected' ? `${addresses[i]}: ${messageOf(result.reason)}` : '',
    )
    throw new AtollError('unavailable', `none of the addresses could be joined: ${reasons.join('; ')}`)
  }

  /** A connection for as long as `use` takes; one that was there before stays. */
  async visit<T>({ peerId, addresses }: PeerAddress, deadlineMs: number, use: (peer: Peer) => Promise<T>): Promise<T> {
    const { host } = this.#options
    const connected = host.peer(peerId)
    if (connected !== undefined) return use(connected)
    const address = addresses[0]
    if (address === undefined) throw new AtollError('unavailable', `no address of peer ${peerId} is known`)
    const signal = this.#closed.signal
    const peer = await host.join(`${withoutPeer(address)}/p2p/${peerId}`, { deadlineMs, signal })
    try {
      return await use(peer)
    } finally {
      await host.disconnect(peer.peerId)
    }
  }

  close(): void {
    this.#closed.abort(new AtollError('unavailable', 'this node is closing'))
  }
}

/** `host:port`, `[::1]:8300` or a multiaddr, as a multiaddr. AtollError 'invalid' for anything else. */
export function toMultiaddr(address: string): string {
  if (address.startsWith('/')) return address
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/\s]+)):(\d{1,5})$/.exec(address)
  if (!match || Number(match[3]) > 65_535)
    throw new AtollError('invalid', `join: "${address}" is no address; write host:port or a multiaddr`, {
      field: 'join',
    })
  const [, v6, host, port] = match
  if (v6) return `/ip6/${v6}/tcp/${port}`
  return /^\d+\.\d+\.\d+\.\d+$/.test(host!) ? `/ip4/${host}/tcp/${port}` : `/dns/${host}/tcp/${port}`
}

const withoutPeer = (multiaddr: string): string => multiaddr.replace(/\/p2p\/[^/]+$/, '')

/** An order that differs from node to node, so that clients spread over the servers. */
const spread = (peers: readonly KnownPeer[], seed: string): KnownPeer[] =>
  peers
    .map((peer) => ({ peer, rank: fnv(seed + peer.peerId) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ peer }) => peer)
