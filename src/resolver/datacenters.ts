/** What this node knows of the datacenters as such: looked at anew each time, and nobody waits for it. */
import type { Federation } from '../federation/federation.ts'
import type { CoordinateRow } from '../model/coordinate.ts'
import type { Evaluation } from './cells.ts'

const ofTheMoment = (value: unknown, datacenter: string, routed: boolean): Evaluation => ({
  value,
  index: 1,
  datacenter,
  failover: undefined,
  topics: [],
  routed,
  expiresAtMs: Number.NEGATIVE_INFINITY,
})

/** Their names: the same list as long as nothing changed. */
export const evaluateDatacenters = (federation: Federation, own: string): Evaluation =>
  ofTheMoment(federation.datacenters(), own, true)

/** The gateways that are known, by DC, own first: places move all the time. */
export function evaluateCoordinates(federation: Federation, own: string): Evaluation {
  const rows = new Map<string, CoordinateRow[]>()
  for (const { datacenter, node, coordinate } of federation.coordinates()) {
    const row = { node, segment: '', coordinate }
    rows.set(datacenter, [...(rows.get(datacenter) ?? []), row])
  }
  const value = [...rows].map(([datacenter, coordinates]) => ({ datacenter, coordinates }))
  return ofTheMoment(value, own, false)
}
