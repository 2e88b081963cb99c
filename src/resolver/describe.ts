import type { Catalog } from '../catalog/catalog.ts'
import type { Federation } from '../federation/federation.ts'
import type { DatacenterStatus, LinkStatus, MeshStatus } from './status.ts'

export interface DescribeOptions {
  readonly datacenter: string
  readonly nodeName: string
  readonly runtime: string
  readonly catalog: Catalog | undefined
  readonly federation: Federation
}

/** The mesh as this node sees it. */
export function describeMesh(options: DescribeOptions): MeshStatus {
  return {
    datacenter: options.datacenter,
    node: options.nodeName,
    role: options.catalog ? 'server' : 'client',
    runtime: options.runtime,
    datacenters: datacentersOf(options),
    doubt: doubtOf(options.federation),
    problems: options.federation.problems.list(),
    links: linksOf(options.federation),
  }
}

function datacentersOf({ datacenter, nodeName, federation, catalog }: DescribeOptions): DatacenterStatus[] {
  const own: DatacenterStatus = {
    datacenter,
    own: true,
    state: 'live',
    suspected: false,
    limited: false,
    refused: 0,
    reachable:
      catalog !== undefined ||
      federation.peers().some((peer) => peer.datacenter === datacenter && peer.role === 'server'),
    roundTripMs: 0,
    roundTripEstimated: false,
    gateways: catalog
      ? [{ node: nodeName, peerId: federation.peerId, addresses: federation.addresses, connected: true }]
      : [],
    replica: undefined,
  }
  const others = federation.datacenters().flatMap((name) => {
    const remote = federation.remote(name)
    if (remote === undefined) return []
    return [
      {
        datacenter: name,
        own: false,
        state: remote.state,
        suspected: remote.suspected,
        limited: remote.limited,
        refused: remote.counters.refused,
        reachable: remote.reachable(),
        roundTripMs: remote.roundTripMs(),
        roundTripEstimated: remote.isRoundTripEstimated(),
        gateways: remote.gateways(),
        replica: remote.loaded
          ? {
              generation: remote.epoch?.generation ?? 0,
              revision: remote.revision,
              headRevision: remote.headRevision,
              ageMs: Math.round(remote.ageMs()),
              entries: remote.entries,
              digest: remote.digest,
              deltas: remote.counters.deltas,
              snapshots: remote.counters.snapshots,
              repairs: remote.counters.repairs,
            }
          : undefined,
      } satisfies DatacenterStatus,
    ]
  })
  return [own, ...others]
}

const doubtOf = ({ awareness: { score, maxScore } }: Federation): MeshStatus['doubt'] => ({ score, of: maxScore })

const linksOf = (federation: Federation): LinkStatus[] =>
  federation.peers().map((peer) => ({
    peerId: peer.peerId,
    node: peer.node,
    datacenter: peer.datacenter,
    role: peer.role,
    direction: peer.direction,
    roundTripMs: federation.roundTripMs(peer.peerId),
    address: peer.address,
  }))
