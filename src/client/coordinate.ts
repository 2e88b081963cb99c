/** Network coordinates, by which round-trip times are estimated that nobody measured. */
import type { Answer } from './answer.ts'
import { type ReadOptions, readJson } from './read.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { CoordinateJson, DatacenterCoordinatesJson, NodeCoordinateJson } from './types.ts'

export interface CoordinateClient {
  /** Of the nodes of a datacenter, among themselves. */
  nodes(options?: ReadOptions): Promise<Answer<readonly NodeCoordinateJson[]>>
  /** Of the servers of all datacenters, among themselves: they cannot be compared with those of `nodes`. */
  datacenters(options?: CallOptions): Promise<Answer<readonly DatacenterCoordinatesJson[]>>
}

export function coordinateClient(transport: Transport): CoordinateClient {
  return {
    nodes: (options = {}) => readJson(transport, '/v1/coordinate/nodes', options),
    datacenters: (options = {}) => readJson(transport, '/v1/coordinate/datacenters', options),
  }
}

/** Estimated round-trip time in milliseconds between two places of one space. */
export function estimateRttMs(one: CoordinateJson, other: CoordinateJson): number {
  const apart = Math.hypot(...one.Vec.map((value, at) => value - (other.Vec[at] ?? 0)))
  const seconds = apart + one.Height + other.Height
  const adjusted = seconds + one.Adjustment + other.Adjustment
  return 1000 * (adjusted > 0 ? adjusted : seconds)
}
