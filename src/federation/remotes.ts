/** What is known of one other DC: its replica (on a server) or what servers told (on a client), and how it is reached. */
import type { Epoch } from '../model/epoch.ts'
import type { Clock } from '../runtime/ports.ts'
import type { ReachedGateway, RemoteDatacenter, SavedReplica, Way } from './federation.ts'
import type { Host, Peer } from './host.ts'
import { byNearness } from './nearness.ts'
import type { Allowance, Allowances } from './protocol/allowance.ts'
import type { Directory } from './protocol/directory.ts'
import type { Position } from './protocol/hello.ts'
import { reachOf } from './protocol/reach.ts'
import type { Replica } from './protocol/replica.ts'
import type { WanCoordinates } from './protocol/wan-coordinates.ts'

const NO_EPOCH: Epoch = { generation: 0, random: '' }
/** For so long the nearest gateway stays the nearest while it answers. */
const NEAREST_KEPT_MS = 200
const NO_COUNTERS = { deltas: 0, snapshots: 0, repairs: 0, rejected: 0 }

export interface RemoteContext {
  readonly clock: Clock
  readonly host: Host
  readonly directory: Directory
  readonly allowances: Allowances
  /** A peer that says nothing for so long answers nobody. */
  readonly silentMs: number
  readonly coordinates: Pick<WanCoordinates, 'estimateMs'>
}

export class Remote implements RemoteDatacenter {
  readonly datacenter: string
  readonly replica: Replica | undefined
  readonly #context: RemoteContext
  #position: { readonly told: Position; readonly atMs: number } | undefined
  #roundTripMs: number | undefined
  #nearest: { readonly peer: Peer; readonly atMs: number } | undefined
  /** A fresh head was heard since this node began. */
  #headHeard = false

  constructor(datacenter: string, replica: Replica | undefined, context: RemoteContext) {
    this.datacenter = datacenter
    this.replica = replica
    this.#context = context
  }

  /** What a server of this node's own DC says of it. */
  told(position: Position): void {
    this.#position = { told: position, atMs: this.#context.clock.nowMs() }
  }
  /** Milliseconds since a server said anything of it. */
  toldMs(): number {
    return this.#position ? this.#context.clock.nowMs() - this.#position.atMs : Number.POSITIVE_INFINITY
  }
  headHeard(): void {
    this.#headHeard = true
  }

  get state(): 'live' | 'lost' | 'quarantined' {
    const nowMs = this.#context.clock.nowMs()
    if (this.replica) {
      if (this.replica.isQuarantined(nowMs)) return 'quarantined'
      return this.#context.directory.isLive(this.datacenter) ? 'live' : 'lost'
    }
    // Hearsay is worth little once it is old.
    return this.#position && nowMs - this.#position.atMs < 10_000 ? this.#position.told.state : 'lost'
  }
  get suspected(): boolean {
    return this.replica !== undefined && this.#context.directory.isSuspected(this.datacenter)
  }
  get loaded(): boolean {
    return this.replica?.loaded ?? false
  }
  get fit(): boolean {
    return this.loaded && this.#headHeard && this.state === 'live'
  }
  get epoch(): Epoch | undefined {
    return this.replica ? this.replica.epoch : this.#position?.told.epoch
  }
  get revision(): number {
    return this.replica?.revision ?? this.#position?.told.revision ?? 0
  }
  get headRevision(): number {
    return this.replica?.headRevision ?? this.revision
  }
  /** How many. */
  get entries(): number {
    return this.replica?.content.size ?? 0
  }
  get digest(): string {
    return this.replica?.loaded ? Buffer.from(this.replica.digest()).toString('hex') : ''
  }
  get counters(): RemoteDatacenter['counters'] {
    return { ...(this.replica?.counters ?? NO_COUNTERS), refused: this.#allowance()?.refused ?? 0 }
  }
  get limited(): boolean {
    return this.#allowance()?.isLimited(this.#context.clock.nowMs()) ?? false
  }
  #allowance(): Allowance | undefined {
    const { directory, allowances } = this.#context
    const datacenterId = directory.datacenterId(this.datacenter)
    return datacenterId === undefined ? undefined : allowances.of({ datacenter: this.datacenter, datacenterId })
  }

  ageMs(): number {
    const nowMs = this.#context.clock.nowMs()
    if (this.replica) return this.replica.ageMs(nowMs)
    return this.#position ? this.#position.told.ageMs + nowMs - this.#position.atMs : Number.POSITIVE_INFINITY
  }

  /** Gateways of it that are connected and not silent, nearest first. */
  reachableGateways(): Peer[] {
    const { host, silentMs, directory } = this.#context
    const id = directory.datacenterId(this.datacenter)
    // Another DC may have taken the name.
    const isOf = (peer: Peer): boolean =>
      peer.datacenter === this.datacenter && (id ?? peer.datacenterId) === peer.datacenterId
    return host
      .peers()
      .filter((peer) => peer.role === 'server' && isOf(peer))
      .filter((peer) => (host.silentMs(peer.peerId) ?? Number.POSITIVE_INFINITY) <= silentMs)
      .sort(byNearness(host))
  }
  reachable(): boolean {
    return this.#nearestNow() !== undefined
  }
  way(): Way {
    const nearest = this.#nearestNow()
    if (nearest === undefined) return NO_WAY
    return nearest.via === undefined ? DIRECT : { kind: 'relayed', via: nearest.via }
  }

  roundTripMs(): number | undefined {
    const nearest = this.#nearestNow()
    const measured = nearest && this.#context.host.roundTripMs(nearest.peerId)
    if (measured !== undefined) this.#roundTripMs = measured
    return (
      this.#roundTripMs ?? this.#position?.told.roundTripMs ?? this.#context.coordinates.estimateMs(this.datacenter)
    )
  }
  isRoundTripEstimated(): boolean {
    return this.roundTripMs() !== undefined && this.#roundTripMs === undefined
  }

  /** Asked for with every lookup: the whole list of peers is looked through only now and then. */
  #nearestNow(): Peer | undefined {
    const { clock, host, silentMs } = this.#context
    const nowMs = clock.nowMs()
    const known = this.#nearest
    if (known && nowMs - known.atMs < NEAREST_KEPT_MS) {
      const { peerId } = known.peer
      const alive = host.peer(peerId) === known.peer && (host.silentMs(peerId) ?? Number.POSITIVE_INFINITY) <= silentMs
      if (alive) return known.peer
    }
    const peer = this.reachableGateways()[0]
    this.#nearest = peer && { peer, atMs: nowMs }
    return peer
  }

  gateways(): ReturnType<RemoteDatacenter['gateways']> {
    const { directory, host } = this.#context
    return directory.gateways(this.datacenter).map(({ node, peerId, addresses }) => {
      const peer = host.peer(peerId)
      return { node, peerId, addresses, connected: peer !== undefined, via: peer?.via }
    })
  }
  reaches(peerId: string): readonly ReachedGateway[] {
    const { directory } = this.#context
    const reach = directory.gateway(this.datacenter, peerId)?.reach
    if (reach === undefined) return []
    return directory
      .datacenters()
      .flatMap((datacenter) => directory.gateways(datacenter))
      .flatMap(({ datacenter, node, peerId: other }) => {
        const roundTripMs = reachOf(reach, other)
        return roundTripMs === undefined ? [] : [{ datacenter, node, peerId: other, roundTripMs }]
      })
  }

  position(): Position {
    return {
      datacenter: this.datacenter,
      datacenterId: this.#context.directory.datacenterId(this.datacenter) ?? '',
      epoch: this.epoch ?? NO_EPOCH,
      revision: this.revision,
      state: this.state,
      ageMs: this.ageMs(),
      roundTripMs: this.roundTripMs(),
    }
  }

  saved(): SavedReplica | undefined {
    const { replica } = this
    const { clock, directory } = this.#context
    const datacenterId = directory.datacenterId(this.datacenter)
    if (!replica?.epoch || datacenterId === undefined) return undefined
    return {
      datacenter: this.datacenter,
      datacenterId,
      epoch: replica.epoch,
      revision: replica.revision,
      digest: replica.digest(),
      pages: replica.content.pages().map((page) => page.bytes),
      head: replica.proven?.envelope,
      ageMs: this.ageMs(),
      savedWallMs: clock.wallMs(),
    }
  }

  /** Changes whenever a listener of `onChange` should look again. */
  signature(): string {
    const connected = this.gateways().map(({ peerId, connected: on, via }) =>
      on ? `+${peerId}${via === undefined ? '' : ` via ${via.peerId}`}` : peerId,
    )
    return [this.datacenter, this.state, this.loaded, this.fit, this.way().kind, ...connected].join(' ')
  }
}

const DIRECT: Way = { kind: 'direct' }
const NO_WAY: Way = { kind: 'none' }
