import type { Catalog } from '../catalog/catalog.ts'
import type { Federation, RemoteDatacenter } from '../federation/federation.ts'
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
    hedges: options.federation.hedges,
    problems: options.federation.problems.list(),
    links: linksOf(options.federation),
    summaries: undefined,
  }
}

function ownOf({ datacenter, nodeName, federation, catalog }: DescribeOptions): DatacenterStatus {
  const reachable =
    catalog !== undefined || federation.peers().some((peer) => peer.datacenter === datacenter && peer.role === 'server')
  const { peerId, addresses } = federation
  return {
    datacenter,
    own: true,
    state: reachable ? 'live' : 'lost',
    suspected: false,
    limited: false,
    refused: 0,
    reachable,
    way: reachable ? 'direct' : 'none',
    via: undefined,
    roundTripMs: 0,
    roundTripEstimated: false,
    gateways: catalog ? [{ node: nodeName, peerId, addresses, connected: true, via: undefined, reaches: [] }] : [],
    replica: undefined,
  }
}

function gatewaysOf(remote: RemoteDatacenter): DatacenterStatus['gateways'] {
  return remote.gateways().map((gateway) => ({ ...gateway, reaches: remote.reaches(gateway.peerId) }))
}

function datacentersOf(options: DescribeOptions): DatacenterStatus[] {
  const { federation } = options
  const others = federation.datacenters().flatMap((name) => {
    const remote = federation.remote(name)
    if (remote === undefined) return []
    const way = remote.way()
    return [
      {
        datacenter: name,
        own: false,
        state: remote.state,
        suspected: remote.suspected,
        limited: remote.limited,
        refused: remote.counters.refused,
        reachable: way.kind !== 'none',
        way: way.kind,
        via: way.kind === 'relayed' ? way.via : undefined,
        roundTripMs: remote.roundTripMs(),
        roundTripEstimated: remote.isRoundTripEstimated(),
        gateways: gatewaysOf(remote),
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
  return [ownOf(options), ...others]
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
    via: peer.via,
  }))
