/**
 * Network coordinates (Vivaldi with height and adjustment, as serf has them): the distance of two estimates the
 * round-trip time between their nodes. Source: Dabek et al., "Vivaldi: a decentralized network coordinate system" (2004);
 * the adjustment term is from Ledlie et al., "Network coordinates in the wild" (2007).
 */
export interface Coordinate {
  /** Seconds in each dimension; eight of them. */
  readonly vec: readonly number[]
  /** Confidence, 0 is best. */
  readonly error: number
  /** Seconds, may be negative. */
  readonly adjustment: number
  /** Seconds to the core of the network, at least 1e-5. */
  readonly height: number
}

export interface CoordinateRow {
  readonly node: string
  readonly segment: string
  readonly coordinate: Coordinate
}

export const COORDINATE_DIMENSIONS = 8

/** Estimated round-trip time in milliseconds. */
export function coordinateDistanceMs(a: Coordinate, b: Coordinate): number {
  let sum = 0
  for (let i = 0; i < a.vec.length; i++) sum += (a.vec[i]! - (b.vec[i] ?? 0)) ** 2
  const raw = Math.sqrt(sum) + a.height + b.height
  const adjusted = raw + a.adjustment + b.adjustment
  return (adjusted > 0 ? adjusted : raw) * 1000
}

/** As plain numbers, for a message: the dimensions, then error, adjustment and height. */
export const coordinateToNumbers = ({ vec, error, adjustment, height }: Coordinate): number[] => [
  ...vec,
  error,
  adjustment,
  height,
]

/** The reverse; undefined for anything else. Whether the numbers make sense is `isSaneCoordinate`'s to say. */
export function coordinateFromNumbers(value: unknown): Coordinate | undefined {
  if (!Array.isArray(value) || value.length !== COORDINATE_DIMENSIONS + 3) return undefined
  if (!value.every((each) => typeof each === 'number')) return undefined
  const [error, adjustment, height] = value.slice(COORDINATE_DIMENSIONS) as [number, number, number]
  return { vec: value.slice(0, COORDINATE_DIMENSIONS), error, adjustment, height }
}
