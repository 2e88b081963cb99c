/** What `/v1/mesh` shows: plain data, as one node sees it. */
export interface MeshStatus {
  readonly datacenter: string
  readonly node: string
  readonly role: 'server' | 'client'
  readonly runtime: string
  readonly datacenters: readonly DatacenterStatus[]
  /** This node's doubt in itself: 0 is none. While it has some, others get more time before it suspects them. */
  readonly doubt: { readonly score: number; readonly of: number }
  /** Reads of other DCs that were asked of a second gateway because the first was slow, since this node started. */
  readonly hedges: number
  /** What is wrong with identities, latest first; kept for ten minutes after it was last seen. */
  readonly problems: readonly ProblemStatus[]
  /** Connections of this node. */
  readonly links: readonly LinkStatus[]
  /** On a client node: what it could answer from without a server. */
  readonly summaries: { readonly services: number; readonly ageMs: number } | undefined
}

export interface ProblemStatus {
  /** One of a closed list, for scripts: `key-in-use`, `name-taken`, `rival-store`, `second-server`, `store-behind`, `restored`. */
  readonly kind: string
  readonly datacenter: string
  /** '' where it is about the whole DC. */
  readonly node: string
  /** What is so, and what to do. */
  readonly message: string
  /** Milliseconds since it was first and last seen. */
  readonly firstSeenMs: number
  readonly lastSeenMs: number
}

export interface DatacenterStatus {
  readonly datacenter: string
  readonly own: boolean
  /** `live`: heard in time; `lost`: not heard; `quarantined`: two stores claim the name. */
  readonly state: 'live' | 'lost' | 'quarantined'
  /** Still live, though a sign of life is overdue. */
  readonly suspected: boolean
  /** It says more than is accepted of one DC: in the last ten seconds gossip of it was ignored. */
  readonly limited: boolean
  /** Messages of it that were ignored for that since this node began. */
  readonly refused: number
  /** Whether a gateway of it is connected to this node, and answers. */
  readonly reachable: boolean
  /** How: directly, or through a third gateway (`via`), which passes ciphertext on. */
  readonly way: 'direct' | 'relayed' | 'none'
  readonly via: RelayStatus | undefined
  /** Minimum of the window, on the way that works; undefined while unmeasured. */
  readonly roundTripMs: number | undefined
  /** Estimated by coordinates (or told by a server), as this node never measured it. */
  readonly roundTripEstimated: boolean
  readonly gateways: readonly {
    readonly node: string
    readonly peerId: string
    readonly addresses: readonly string[]
    readonly connected: boolean
    readonly via: RelayStatus | undefined
    /** Gateways that it said lately it is connected to directly. */
    readonly reaches: readonly (RelayStatus & { readonly roundTripMs: number })[]
  }[]
  /** undefined for a DC of which nothing was received yet. */
  readonly replica:
    | {
        readonly generation: number
        readonly revision: number
        /** Revision of the newest head heard. */
        readonly headRevision: number
        readonly ageMs: number
        readonly entries: number
        readonly digest: string
        /** Deltas, snapshots and repairs taken in since this node began. */
        readonly deltas: number
        readonly snapshots: number
        readonly repairs: number
      }
    | undefined
}

export interface RelayStatus {
  readonly datacenter: string
  readonly node: string
  readonly peerId: string
}

export interface LinkStatus {
  readonly peerId: string
  readonly node: string
  readonly datacenter: string
  readonly role: 'server' | 'client'
  readonly direction: 'inbound' | 'outbound'
  readonly roundTripMs: number | undefined
  readonly address: string
  readonly via: RelayStatus | undefined
}
