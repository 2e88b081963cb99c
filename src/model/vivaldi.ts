/**
 * One node's place in the network, learned from round-trip times to others whose places it is told: (coordinate of the
 * other, round-trip time) in, this node's coordinate out. No clock; randomness only where two places are the same.
 * Sources: Dabek et al., "Vivaldi" (2004) for the force and the height; Ledlie et al., "Network coordinates in the wild"
 * (2007) for the latency filter and gravity; Lee et al., "On suitability of Euclidean embedding" (2010) for the adjustment.
 * The constants are those that serf has proven on fleets of Consul.
 */
import { COORDINATE_DIMENSIONS, type Coordinate, coordinateDistanceMs } from './coordinate.ts'

export interface VivaldiOptions {
  /** In [0, 1): a direction for two nodes at the same place. */
  readonly float: () => number
  /** Default 8. */
  readonly dimensions?: number
  /** Where to begin: what this node was in a former life. */
  readonly start?: Coordinate
}

/** Confidence of a node that has seen nothing, and the worst there is. */
const MAX_ERROR = 1.5
/** How much one observation may change the confidence, and the place. */
const ERROR_STEP = 0.25
const PLACE_STEP = 0.25
/** Observations over which the adjustment is taken. */
const ADJUSTMENT_WINDOW = 20
/** Of each peer the median of so many round-trip times counts: one slow answer moves nobody. */
const FILTER_SIZE = 3
/** Seconds. */
const MIN_HEIGHT = 1e-5
/** Seconds at which gravity pulls with a force of one second: it keeps all places around the origin, and is weak at any real distance. */
const GRAVITY_RHO = 150
/** Below so many seconds two places are one. */
const SAME_PLACE = 1e-6
/** Longer round trips say that something hung, not how far it is. */
export const MAX_ROUND_TRIP_MS = 10_000
/** Seconds; no place on earth is further from the core of the network. */
const MAX_EXTENT = 60
/** Peers whose last round-trip times are kept; the least recently observed go first. */
const MAX_FILTERED = 1_024

/** Whether a coordinate that somebody told makes sense at all. */
export function isSaneCoordinate(coordinate: Coordinate, dimensions = COORDINATE_DIMENSIONS): boolean {
  const { vec, error, adjustment, height } = coordinate
  if (vec.length !== dimensions || !(error >= 0) || !(height >= 0)) return false
  return [...vec, error, adjustment, height].every((value) => Number.isFinite(value) && Math.abs(value) <= MAX_EXTENT)
}

/** The centre of all, where a node begins. */
export const originCoordinate = (dimensions = COORDINATE_DIMENSIONS): Coordinate => ({
  vec: new Array<number>(dimensions).fill(0),
  error: MAX_ERROR,
  adjustment: 0,
  height: MIN_HEIGHT,
})

/**
 * How far a place moved, in milliseconds: no estimate to any other place differs by more between the two.
 */
export function coordinateShiftMs(from: Coordinate, to: Coordinate): number {
  let sum = 0
  for (let i = 0; i < to.vec.length; i++) sum += (to.vec[i]! - (from.vec[i] ?? 0)) ** 2
  const rest = Math.abs(to.height + to.adjustment - from.height - from.adjustment)
  return (Math.sqrt(sum) + rest) * 1000
}

export class Vivaldi {
  readonly #float: () => number
  readonly #dimensions: number
  #coordinate: Coordinate
  /** Differences between round trips and places, a ring. */
  readonly #residuals = new Float64Array(ADJUSTMENT_WINDOW)
  #nextResidual = 0
  /** Last round-trip times in milliseconds, by peer. */
  readonly #filters = new Map<string, number[]>()

  constructor(options: VivaldiOptions) {
    this.#float = options.float
    this.#dimensions = options.dimensions ?? COORDINATE_DIMENSIONS
    const { start } = options
    this.#coordinate =
      start !== undefined && isSaneCoordinate(start, this.#dimensions) ? start : originCoordinate(this.#dimensions)
  }

  /** A new object whenever it differs. */
  get coordinate(): Coordinate {
    return this.#coordinate
  }

  /**
   * Takes a round trip of `roundTripMs` to the peer `peer` at `other` into account. False, and nothing happens, for a
   * coordinate or a time that makes no sense (times from 0 to 10 s do).
   */
  observe(peer: string, other: Coordinate, roundTripMs: number): boolean {
    if (!(roundTripMs >= 0) || roundTripMs > MAX_ROUND_TRIP_MS) return false
    if (!isSaneCoordinate(other, this.#dimensions)) return false
    const seconds = Math.max(this.#filtered(peer, roundTripMs) / 1000, SAME_PLACE)
    const error = this.#pull(other, seconds)
    this.#adjust(other, seconds, error)
    this.#gravitate()
    // What overflowed starts over rather than infecting others.
    if (!isSaneCoordinate(this.#coordinate, this.#dimensions)) this.#restart()
    return true
  }

  /** Forgets the last round-trip times of a peer that is gone. */
  forget(peer: string): void {
    this.#filters.delete(peer)
  }

  #filtered(peer: string, roundTripMs: number): number {
    const samples = this.#filters.get(peer) ?? []
    samples.push(roundTripMs)
    if (samples.length > FILTER_SIZE) samples.shift()
    this.#filters.delete(peer)
    this.#filters.set(peer, samples)
    if (this.#filters.size > MAX_FILTERED) this.#filters.delete(this.#filters.keys().next().value!)
    return [...samples].sort((a, b) => a - b)[samples.length >> 1]!
  }

  /** A spring between the two places; who is less sure moves more. Returns the new confidence. */
  #pull(other: Coordinate, seconds: number): number {
    const own = this.#coordinate
    const distance = coordinateDistanceMs(own, other) / 1000
    const weight = own.error / Math.max(own.error + other.error, SAME_PLACE)
    const wrong = Math.abs(distance - seconds) / seconds
    const error = Math.min(MAX_ERROR, ERROR_STEP * weight * wrong + own.error * (1 - ERROR_STEP * weight))
    this.#move(other, PLACE_STEP * weight * (seconds - distance))
    return error
  }

  #adjust(other: Coordinate, seconds: number, error: number): void {
    const { vec, height } = this.#coordinate
    this.#residuals[this.#nextResidual] = seconds - rawDistance(this.#coordinate, other)
    this.#nextResidual = (this.#nextResidual + 1) % ADJUSTMENT_WINDOW
    let sum = 0
    for (const residual of this.#residuals) sum += residual
    this.#coordinate = { vec, height, error, adjustment: sum / (2 * ADJUSTMENT_WINDOW) }
  }

  #gravitate(): void {
    const origin = originCoordinate(this.#dimensions)
    this.#move(origin, -((coordinateDistanceMs(origin, this.#coordinate) / 1000 / GRAVITY_RHO) ** 2))
  }

  /** Away from `other` by `force` seconds; the height takes its share. */
  #move(other: Coordinate, force: number): void {
    const own = this.#coordinate
    const apart = own.vec.map((value, i) => value - other.vec[i]!)
    const length = lengthOf(apart)
    const isApart = length > SAME_PLACE
    const direction = isApart ? apart.map((value) => value / length) : this.#anyDirection()
    const height = isApart ? own.height + (force * (own.height + other.height)) / length : own.height
    this.#coordinate = {
      ...own,
      vec: own.vec.map((value, i) => value + direction[i]! * force),
      height: Math.max(MIN_HEIGHT, height),
    }
  }

  #anyDirection(): number[] {
    const random = Array.from({ length: this.#dimensions }, () => this.#float() - 0.5)
    const length = lengthOf(random)
    return length > SAME_PLACE ? random.map((value) => value / length) : random.map((_, i) => (i === 0 ? 1 : 0))
  }

  #restart(): void {
    this.#coordinate = originCoordinate(this.#dimensions)
    this.#residuals.fill(0)
  }
}

const lengthOf = (vec: readonly number[]): number => Math.sqrt(vec.reduce((sum, value) => sum + value * value, 0))

/** Seconds, without the adjustments. */
const rawDistance = (a: Coordinate, b: Coordinate): number =>
  lengthOf(a.vec.map((value, i) => value - b.vec[i]!)) + a.height + b.height
