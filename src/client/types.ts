/** The API's JSON, as it is spelled there. Fields that a node may leave out are optional. */

export type Status = 'passing' | 'warning' | 'critical'

export interface NodeJson {
  readonly ID: string
  readonly Node: string
  readonly Address: string
  readonly Datacenter: string
  readonly TaggedAddresses: Readonly<Record<string, string>> | null
  readonly Meta: Readonly<Record<string, string>> | null
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

export interface ServiceAddressJson {
  readonly Address: string
  readonly Port: number
}

export interface ServiceJson {
  readonly ID: string
  readonly Service: string
  readonly Tags: readonly string[] | null
  readonly Address: string
  readonly Port: number
  readonly Meta: Readonly<Record<string, string>> | null
  readonly TaggedAddresses?: Readonly<Record<string, ServiceAddressJson>> | null
  readonly Weights?: { readonly Passing: number; readonly Warning: number }
  readonly EnableTagOverride?: boolean
  readonly Kind?: string
  readonly SocketPath?: string
  /** How busy it says that it is, from 0 (idle) to 1; absent when it does not say. */
  readonly Load?: number
}

export interface CheckJson {
  readonly Node: string
  readonly CheckID: string
  readonly Name: string
  readonly Status: Status
  readonly Notes: string
  readonly Output: string
  readonly ServiceID: string
  readonly ServiceName: string
  readonly ServiceTags: readonly string[] | null
  readonly Type?: string
  readonly Interval?: string
  readonly Timeout?: string
}

/** An instance of a service with its node and checks. */
export interface HealthEntryJson {
  readonly Node: NodeJson
  readonly Service: ServiceJson
  readonly Checks: readonly CheckJson[]
  /** Set on answers that may come from several datacenters (failover, `nearest`, `*`); Service then has the address to use from here. */
  readonly Atoll?: OriginJson
}

export interface OriginJson {
  readonly Datacenter: string
  /** Round-trip time to that datacenter, null while unmeasured. */
  readonly DistanceMs: number | null
  /** At most so old; null where nobody can tell. */
  readonly AgeMs: number | null
}

/** An instance as `/v1/catalog/service` gives it. */
export interface CatalogServiceJson {
  readonly ID: string
  readonly Node: string
  readonly Address: string
  readonly Datacenter: string
  readonly NodeMeta: Readonly<Record<string, string>> | null
  readonly ServiceID: string
  readonly ServiceName: string
  readonly ServiceTags: readonly string[] | null
  readonly ServiceAddress: string
  readonly ServicePort: number
  readonly ServiceMeta: Readonly<Record<string, string>> | null
  readonly ServiceLoad?: number
}

export interface CatalogNodeJson {
  readonly Node: NodeJson
  readonly Services: Readonly<Record<string, ServiceJson>>
}

/** Seconds in each of eight dimensions; `Error` is the doubt in it. */
export interface CoordinateJson {
  readonly Vec: readonly number[]
  readonly Error: number
  readonly Adjustment: number
  readonly Height: number
}

export interface NodeCoordinateJson {
  readonly Node: string
  readonly Segment: string
  readonly Coord: CoordinateJson
}

export interface DatacenterCoordinatesJson {
  readonly Datacenter: string
  readonly AreaID: string
  readonly Coordinates: readonly NodeCoordinateJson[]
}

export interface MemberJson {
  readonly Name: string
  readonly Addr: string
  readonly Port: number
  readonly Tags: Readonly<Record<string, string>>
  /** 1 alive, 2 leaving, 3 left, 4 failed. */
  readonly Status: number
}

export interface AgentSelfJson {
  readonly Config: {
    readonly Datacenter: string
    readonly NodeName: string
    readonly NodeID: string
    readonly Server: boolean
    readonly Version: string
  }
  readonly Member?: MemberJson
  readonly Meta?: Readonly<Record<string, string>> | null
}

/** A check to register; exactly one of HTTP, TCP and TTL. Durations like "10s". */
export interface CheckDefinitionJson {
  readonly CheckID?: string
  readonly Name?: string
  readonly Notes?: string
  readonly HTTP?: string
  readonly Method?: string
  readonly Header?: Readonly<Record<string, readonly string[]>>
  readonly Body?: string
  readonly TLSSkipVerify?: boolean
  readonly TCP?: string
  readonly TTL?: string
  readonly Interval?: string
  readonly Timeout?: string
  readonly Status?: Status
  readonly SuccessBeforePassing?: number
  readonly FailuresBeforeCritical?: number
  readonly DeregisterCriticalServiceAfter?: string
}

export interface ServiceDefinitionJson {
  readonly Name: string
  readonly ID?: string
  readonly Tags?: readonly string[]
  readonly Address?: string
  readonly Port?: number
  readonly Meta?: Readonly<Record<string, string>>
  readonly TaggedAddresses?: Readonly<Record<string, ServiceAddressJson>>
  readonly Weights?: { readonly Passing: number; readonly Warning: number }
  readonly EnableTagOverride?: boolean
  readonly Check?: CheckDefinitionJson
  readonly Checks?: readonly CheckDefinitionJson[]
}

export interface MeshStatusJson {
  readonly Datacenter: string
  readonly Node: string
  readonly Role: 'server' | 'client'
  readonly Runtime: string
  readonly Datacenters: readonly MeshDatacenterJson[]
  /** The asked node's doubt in itself, from late timers and wrong suspicions; not told by nodes of 0.1.0. */
  readonly Doubt?: { readonly Score: number; readonly Of: number }
  /** Reads of other DCs that the asked node sent to a second gateway because the first was slow; not told by nodes of 0.1.0. */
  readonly Hedges?: number
  /** What is wrong with identities, latest first; not told by nodes of 0.1.0. */
  readonly Problems?: readonly MeshProblemJson[]
  /** What a client node could answer from without a server; null on servers, and not told by nodes of 0.1.0. */
  readonly Summaries?: { readonly Services: number; readonly AgeMs: number } | null
  readonly Links: readonly MeshLinkJson[]
}

export interface MeshProblemJson {
  /** `key-in-use`, `name-taken`, `rival-store`, `second-server`, `store-behind` or `restored`. */
  readonly Kind: string
  readonly Datacenter: string
  /** Empty where it is about the whole datacenter. */
  readonly Node: string
  readonly Message: string
  /** Milliseconds since it was first and last seen. */
  readonly FirstSeenMs: number
  readonly LastSeenMs: number
}

export interface MeshDatacenterJson {
  readonly Datacenter: string
  readonly Own: boolean
  readonly State: 'live' | 'lost' | 'quarantined'
  /** Still live, though a sign of life is overdue. */
  readonly Suspected?: boolean
  /** It says more than is accepted of one datacenter; part of its gossip is ignored, and follows later. */
  readonly Limited?: boolean
  readonly Refused?: number
  readonly Reachable: boolean
  /** How it is reached; not told by nodes of 0.1.0, nor are `Via` and `Reaches`. */
  readonly Way?: 'direct' | 'relayed' | 'none'
  readonly Via?: MeshRelayJson | null
  /** On the way that works. Null while unmeasured. */
  readonly RoundTripMs: number | null
  /** By coordinates, where it was never measured. */
  readonly RoundTripEstimated: boolean
  readonly Gateways: readonly {
    readonly Node: string
    readonly PeerID: string
    readonly Addresses: readonly string[]
    readonly Connected: boolean
    readonly Via?: MeshRelayJson | null
    /** Gateways that it said lately it is connected to directly. */
    readonly Reaches?: readonly (MeshRelayJson & { readonly RoundTripMs: number })[]
  }[]
  /** Null for a datacenter of which nothing was received yet. */
  readonly Replica: {
    readonly Generation: number
    readonly Revision: number
    readonly HeadRevision: number
    /** At most so old; null while nobody can tell, as of a copy before news is heard. */
    readonly AgeMs: number | null
    readonly Entries: number
    readonly Digest: string
    readonly Deltas: number
    readonly Snapshots: number
    readonly Repairs: number
  } | null
}

/** Who passes the bytes of a connection on. */
export interface MeshRelayJson {
  readonly Datacenter: string
  readonly Node: string
  readonly PeerID: string
}

export interface MeshLinkJson {
  readonly PeerID: string
  readonly Node: string
  readonly Datacenter: string
  readonly Role: 'server' | 'client'
  readonly Direction: 'inbound' | 'outbound'
  readonly RoundTripMs: number | null
  readonly Address: string
  readonly Via?: MeshRelayJson | null
}

export interface ExplanationJson {
  readonly Service: string
  readonly Datacenter: string
  /** Where a plain `?passing` lookup is answered from now; null when nothing passes anywhere. */
  readonly Chosen: string | null
  readonly Candidates: readonly ExplainedDatacenterJson[]
}

export interface ExplainedDatacenterJson {
  readonly Datacenter: string
  readonly Own: boolean
  readonly DistanceMs: number | null
  readonly Reachable: boolean
  /** Of the replica here, at most; null while nobody can tell. */
  readonly AgeMs: number | null
  readonly Instances: number
  readonly Passing: number
  readonly Chosen: boolean
  readonly Reason: string
  readonly Entries: readonly {
    readonly Node: string
    readonly ServiceID: string
    readonly Status: Status
    readonly Failing: readonly string[]
    readonly Address: string
    readonly Port: number
  }[]
}
