/**
 * Where the gateways of all datacenters stand: (what they told, round trips to those that are connected, now) in, this
 * gateway's own coordinate and when to tell it, out. Datacenters that this one cannot measure are estimated by it.
 */
import { type Coordinate, coordinateDistanceMs } from '../../model/coordinate.ts'
import { coordinateShiftMs, isSaneCoordinate, originCoordinate, Vivaldi } from '../../model/vivaldi.ts'
import type { GatewayCoordinate } from '../federation.ts'
import type { PeerIdentity } from '../host.ts'
import type { Directory } from './directory.ts'
import { isNewer, type Stamp } from './head.ts'
import type { PlaceMessage } from './messages.ts'

export interface WanCoordinatesOptions {
  readonly self: PeerIdentity
  readonly directory: Pick<Directory, 'gateway' | 'gateways' | 'datacenters' | 'datacenterId'>
  /** In [0, 1). */
  readonly float: () => number
}

interface Known {
  readonly datacenter: string
  readonly coordinate: Coordinate
  readonly stamp: Stamp
}

/** The own coordinate is told when it moved by so much, but not more often than this ... */
const MOVED_MS = 1
const MOVED_SHARE = 0.05
const TELL_MIN_MS = 5_000
/** ... and again after so long: gossip may have lost it, and others came since. */
const TELL_MAX_MS = 120_000
/** A gateway that just came is told it soon. */
const TELL_SOON_MS = 2_000
/** Estimates rest on places that are surer of themselves than this. */
const SURE_ERROR = 1

export class WanCoordinates {
  readonly #options: WanCoordinatesOptions
  readonly #vivaldi: Vivaldi
  /** By peer id; only of gateways that the directory knows, which bounds them. */
  readonly #known = new Map<string, Known>()
  #turn = 0
  #told: { readonly coordinate: Coordinate; readonly atMs: number } | undefined
  #soon = false

  constructor(options: WanCoordinatesOptions) {
    this.#options = options
    this.#vivaldi = new Vivaldi({ float: options.float })
  }

  /** Whether it is to be passed on: the newest of its gateway, also when a tail brought it here before gossip did. */
  hear(message: PlaceMessage, identity: PeerIdentity): boolean {
    const { directory, self } = this.#options
    const { datacenter, datacenterId, coordinate, boot, sequence } = message
    if (identity.peerId === self.peerId || directory.datacenterId(datacenter) !== datacenterId) return false
    if (!directory.gateway(datacenter, identity.peerId) || !isSaneCoordinate(coordinate)) return false
    const stamp = { boot, sequence }
    const known = this.#known.get(identity.peerId)
    if (known && isNewer(known.stamp, stamp)) return false
    this.#known.set(identity.peerId, { datacenter, coordinate, stamp })
    return true
  }

  /** Somebody came who does not know it yet. */
  tellSoon(): void {
    this.#soon = true
  }

  /**
   * Call once a second with the connected gateways of other DCs: takes the round trip of one of them into account.
   * Returns the own coordinate when it is to be told now.
   */
  tick(
    nowMs: number,
    connected: readonly { readonly peerId: string; readonly roundTripMs: number }[],
  ): Coordinate | undefined {
    this.#prune()
    const measurable = connected.filter(({ peerId }) => this.#known.has(peerId))
    const next = measurable[this.#turn++ % Math.max(1, measurable.length)]
    if (next) this.#vivaldi.observe(next.peerId, this.#known.get(next.peerId)!.coordinate, next.roundTripMs)
    if (connected.length === 0 || !this.#isDue(nowMs)) return undefined
    this.#soon = false
    this.#told = { coordinate: this.#vivaldi.coordinate, atMs: nowMs }
    return this.#vivaldi.coordinate
  }

  #isDue(nowMs: number): boolean {
    if (this.#told === undefined) return true
    const { coordinate, atMs } = this.#told
    const sinceMs = nowMs - atMs
    if (sinceMs >= TELL_MAX_MS || (this.#soon && sinceMs >= TELL_SOON_MS)) return true
    if (sinceMs < TELL_MIN_MS) return false
    const own = this.#vivaldi.coordinate
    const extentMs = (Math.hypot(...own.vec) + own.height) * 1000
    return coordinateShiftMs(coordinate, own) > MOVED_MS + MOVED_SHARE * extentMs || isSure(own) !== isSure(coordinate)
  }

  /** Lets go of gateways that are gone. */
  #prune(): void {
    const { directory } = this.#options
    for (const [peerId, { datacenter }] of this.#known)
      if (!directory.gateway(datacenter, peerId)) {
        this.#known.delete(peerId)
        this.#vivaldi.forget(peerId)
      }
  }

  /** This gateway's own first, then those of all that are known; who told nothing yet stands at the origin. */
  all(): readonly GatewayCoordinate[] {
    const { directory, self } = this.#options
    const own = { datacenter: self.datacenter, node: self.node, coordinate: this.#vivaldi.coordinate }
    const others = directory.datacenters().flatMap((datacenter) =>
      directory
        .gateways(datacenter)
        .filter(({ peerId }) => peerId !== self.peerId)
        .map(({ node, peerId }) => ({
          datacenter,
          node,
          coordinate: this.#known.get(peerId)?.coordinate ?? originCoordinate(),
        })),
    )
    return [own, ...others]
  }

  /** Round-trip time to the nearest gateway of a DC by the places alone; undefined while they are not sure enough. */
  estimateMs(datacenter: string): number | undefined {
    const own = this.#vivaldi.coordinate
    if (!isSure(own)) return undefined
    let nearestMs: number | undefined
    for (const { datacenter: of, coordinate } of this.#known.values()) {
      if (of !== datacenter || !isSure(coordinate)) continue
      const ms = coordinateDistanceMs(own, coordinate)
      if (nearestMs === undefined || ms < nearestMs) nearestMs = ms
    }
    return nearestMs
  }
}

const isSure = ({ error }: Coordinate): boolean => error < SURE_ERROR
