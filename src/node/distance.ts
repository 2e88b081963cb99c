/**
 * Where this node stands among those of its datacenter. It exchanges coordinates with the servers that it is connected to,
 * which know the round trip as well, and now and then with any other node that a server names: servers alone could
 * not tell which of their clients are near each other. While the estimates are off it asks every second, later rarely.
 */
import type { Federation } from '../federation/federation.ts'
import type { Peer, PeerAddress } from '../federation/host.ts'
import {
  type Coordinate,
  coordinateDistanceMs,
  coordinateFromNumbers,
  coordinateToNumbers,
} from '../model/coordinate.ts'
import { AtollError, messageOf } from '../model/errors.ts'
import { isSaneCoordinate, Vivaldi } from '../model/vivaldi.ts'
import type { Clock, Logger, Random } from '../runtime/ports.ts'

export const COORDINATE = 'node.coordinate'

export interface DistanceOptions {
  readonly federation: Pick<
    Federation,
    'addresses' | 'peerId' | 'peers' | 'roundTripMs' | 'call' | 'handle' | 'onOwnPeer' | 'visit'
  >
  readonly datacenter: string
  readonly self: { readonly node: string; readonly nodeId: string }
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Servers: every coordinate that a node of the DC told, and this one's own. */
  readonly report?: (node: string, nodeId: string, coordinate: Coordinate) => void
}

/** Between two exchanges while estimates are off, and when they fit. */
const QUICK_MS = 1_000
const SLOW_MS = 15_000
/** So many quick ones in a row; each slow one gives one more: what never fits costs no more than twice what does. */
const MAX_QUICK = 40
const CALL_MS = 2_000
/** An estimate fits when it is off by less than either. */
const FITS_MS = 0.3
const FITS_SHARE = 0.2
/** Visits of nodes that are no servers begin so far apart, each pause longer than the last. */
const FIRST_VISIT_MS = 2_000
const VISIT_GROWTH = 1.3
const MAX_VISIT_MS = 120_000
/** Exchanges of one visit: the quickest is the distance. */
const VISIT_CALLS = 3
/** What one peer tells counts so often at most. */
const HEAR_EVERY_MS = 400
const MAX_HEARD = 4_096
const MAX_MEETINGS = 10_000
const MAX_ADDRESSES = 4
const MAX_ADDRESS_LENGTH = 256

export class NodeDistance {
  readonly #options: DistanceOptions
  readonly #vivaldi: Vivaldi
  readonly #meetings = new Meetings()
  readonly #heardMs = new Map<string, number>()
  readonly #closed = new AbortController()
  readonly #stopListening: () => void
  #turn = 0
  #quickLeft = MAX_QUICK
  #fits = false
  #visitEveryMs = FIRST_VISIT_MS
  #nextVisitMs: number

  constructor(options: DistanceOptions) {
    const { federation, clock, random } = options
    this.#options = options
    this.#vivaldi = new Vivaldi({ float: () => random.float() })
    this.#nextVisitMs = clock.nowMs() + FIRST_VISIT_MS
    federation.handle(COORDINATE, async (payload, { peer }) => this.#answer(payload, peer))
    this.#stopListening = federation.onOwnPeer(({ type, peer }) => {
      if (type === 'down') this.#meetings.forget(peer.peerId)
    })
    void this.#run()
  }

  get coordinate(): Coordinate {
    return this.#vivaldi.coordinate
  }

  close(): void {
    this.#stopListening()
    this.#closed.abort(new AtollError('unavailable', 'this node is closing'))
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, random, logger } = this.#options
    const { signal } = this.#closed
    while (!signal.aborted) {
      try {
        await clock.sleep(this.#pauseMs() * (0.8 + 0.4 * random.float()), signal)
        await this.#round()
      } catch (error) {
        if (!signal.aborted) logger.debug({ reason: messageOf(error) }, 'a distance was not measured')
      }
    }
  }

  #pauseMs(): number {
    if (!this.#fits && this.#quickLeft > 0) {
      this.#quickLeft--
      return QUICK_MS
    }
    this.#quickLeft = Math.min(MAX_QUICK, this.#quickLeft + 1)
    return SLOW_MS
  }

  async #round(): Promise<void> {
    const { federation, datacenter, clock } = this.#options
    const servers = federation.peers().filter((peer) => peer.datacenter === datacenter && peer.role === 'server')
    const server = servers[this.#turn++ % Math.max(1, servers.length)]
    if (server === undefined) return
    const due = clock.nowMs() >= this.#nextVisitMs
    const meet = await this.#exchange(server, due)
    if (!due) return
    this.#nextVisitMs = clock.nowMs() + this.#visitEveryMs
    this.#visitEveryMs = Math.min(MAX_VISIT_MS, VISIT_GROWTH * this.#visitEveryMs)
    if (meet !== undefined) await federation.visit(meet, CALL_MS, (peer) => this.#visit(peer))
  }

  /** Tells this node's coordinate and takes the other's; returns whom to visit, where it was asked for that. */
  async #exchange(peer: Peer, meet: boolean): Promise<PeerAddress | undefined> {
    const answer = await this.#call(peer, meet)
    const roundTripMs = this.#options.federation.roundTripMs(peer.peerId)
    if (answer.coordinate && roundTripMs !== undefined) this.#observe(peer, answer.coordinate, roundTripMs)
    return answer.meet
  }

  async #visit(peer: Peer): Promise<void> {
    const { clock } = this.#options
    let quickestMs = Number.POSITIVE_INFINITY
    let coordinate: Coordinate | undefined
    for (let i = 0; i < VISIT_CALLS; i++) {
      const sentMs = clock.nowMs()
      coordinate = (await this.#call(peer, false)).coordinate ?? coordinate
      const measuredMs = this.#options.federation.roundTripMs(peer.peerId) ?? Number.POSITIVE_INFINITY
      quickestMs = Math.min(quickestMs, clock.nowMs() - sentMs, measuredMs)
    }
    if (coordinate) this.#observe(peer, coordinate, quickestMs)
  }

  async #call(
    peer: Peer,
    meet: boolean,
  ): Promise<{ coordinate: Coordinate | undefined; meet: PeerAddress | undefined }> {
    const { federation } = this.#options
    const payload = {
      coordinate: coordinateToNumbers(this.coordinate),
      addresses: federation.addresses.slice(0, MAX_ADDRESSES),
      meet,
    }
    const { signal } = this.#closed
    const answer = await federation.call({ peerId: peer.peerId }, COORDINATE, payload, { deadlineMs: CALL_MS, signal })
    const told = (answer ?? {}) as { readonly coordinate?: unknown; readonly meet?: unknown }
    return { coordinate: saneOf(told.coordinate), meet: peerAddressOf(told.meet) }
  }

  #answer(payload: unknown, peer: Peer): object {
    const { datacenter, report } = this.#options
    if (peer.datacenter !== datacenter) {
      throw new AtollError('forbidden', `datacenter: nodes of ${peer.datacenter} have no place in ${datacenter}`, {
        field: 'datacenter',
      })
    }
    const told = (payload ?? {}) as { readonly [K in 'coordinate' | 'addresses' | 'meet']?: unknown }
    const coordinate = saneOf(told.coordinate)
    if (coordinate !== undefined) this.#heard(peer, coordinate)
    if (report !== undefined && peer.role === 'client') this.#meetings.note(peer.peerId, addressesOf(told.addresses))
    const meet = told.meet === true ? this.#meetings.next(peer.peerId) : undefined
    return { coordinate: coordinateToNumbers(this.coordinate), ...(meet && { meet }) }
  }

  #heard(peer: Peer, coordinate: Coordinate): void {
    const { clock, federation, report } = this.#options
    const nowMs = clock.nowMs()
    if (nowMs - (this.#heardMs.get(peer.peerId) ?? Number.NEGATIVE_INFINITY) < HEAR_EVERY_MS) return
    this.#heardMs.delete(peer.peerId)
    this.#heardMs.set(peer.peerId, nowMs)
    if (this.#heardMs.size > MAX_HEARD) this.#heardMs.delete(this.#heardMs.keys().next().value!)
    const roundTripMs = federation.roundTripMs(peer.peerId)
    if (roundTripMs !== undefined) this.#observe(peer, coordinate, roundTripMs)
    report?.(peer.node, peer.nodeId, coordinate)
  }

  #observe(peer: Peer, coordinate: Coordinate, roundTripMs: number): void {
    if (!this.#vivaldi.observe(peer.peerId, coordinate, roundTripMs)) return
    const offMs = Math.abs(coordinateDistanceMs(this.coordinate, coordinate) - roundTripMs)
    this.#fits = offMs < Math.max(FITS_MS, FITS_SHARE * roundTripMs)
    const { report, self } = this.#options
    report?.(self.node, self.nodeId, this.coordinate)
  }
}

/** Nodes of the DC that may be visited, each in its turn. */
class Meetings {
  readonly #addresses = new Map<string, readonly string[]>()

  note(peerId: string, addresses: readonly string[]): void {
    if (addresses.length === 0) return
    if (this.#addresses.size < MAX_MEETINGS || this.#addresses.has(peerId)) this.#addresses.set(peerId, addresses)
  }

  forget(peerId: string): void {
    this.#addresses.delete(peerId)
  }

  next(asker: string): PeerAddress | undefined {
    for (const [peerId, addresses] of this.#addresses) {
      if (peerId === asker) continue
      this.#addresses.delete(peerId)
      this.#addresses.set(peerId, addresses)
      return { peerId, addresses }
    }
    return undefined
  }
}

function saneOf(value: unknown): Coordinate | undefined {
  const coordinate = coordinateFromNumbers(value)
  return coordinate !== undefined && isSaneCoordinate(coordinate) ? coordinate : undefined
}

const addressesOf = (value: unknown): readonly string[] =>
  Array.isArray(value)
    ? value
        .slice(0, MAX_ADDRESSES)
        .filter(
          (each): each is string =>
            typeof each === 'string' && each.startsWith('/') && each.length <= MAX_ADDRESS_LENGTH,
        )
    : []

function peerAddressOf(value: unknown): PeerAddress | undefined {
  const { peerId, addresses } = (value ?? {}) as { readonly peerId?: unknown; readonly addresses?: unknown }
  if (typeof peerId !== 'string' || peerId.length > MAX_ADDRESS_LENGTH) return undefined
  return { peerId, addresses: addressesOf(addresses) }
}
