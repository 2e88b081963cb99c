/**
 * All that the rest of a node sees of the other datacenters. `openFederation` (open.ts) implements it over a Host
 * and the state machines of `protocol/`.
 */
import type { Coordinate } from '../model/coordinate.ts'
import type { Epoch } from '../model/epoch.ts'
import type { Peer, PeerAddress, RelayPeer } from './host.ts'
import type { Problem } from './protocol/problems.ts'

/** One exported key as it is now (`value`), or its deletion (null). Values are opaque to the federation. */
export interface ExportedChange {
  readonly key: string
  readonly value: Uint8Array | null
  /** 0 for a deletion. */
  readonly createRevision: number
  readonly modRevision: number
}

export type ExportedEntry = ExportedChange & { readonly value: Uint8Array }

/** A change with the value that the key had before; undefined when there was none. */
export interface AppliedChange extends ExportedChange {
  readonly former: Uint8Array | undefined
}

/** Where the publisher of this DC reads what is exported; node.ts connects the store (servers only). */
export interface ExportSource {
  readonly epoch: Epoch
  /** Revision of the store, exported or not; every exported change up to it has been handed to the subscribers. */
  revision(): number
  /** Of the store itself, whatever subscribers that read history have got of it. */
  storeRevision(): number
  /**
   * Where several servers write to one store: resolves once this one has heard all that was written before the call. Rejects when
   * that cannot be known now.
   */
  catchUp?(): Promise<void>
  /** Everything exported, at one revision, in parts that are handed over one after the other. Resolves with the revision. */
  read(onPart: (entries: readonly ExportedEntry[]) => void | Promise<void>): Promise<number>
  /**
   * Exported changes after `sinceRevision`, in order, whole revisions. `onCompacted` when they are gone: take a
   * snapshot, subscribe anew.
   */
  subscribe(
    sinceRevision: number,
    handler: {
      onRevisions(batch: readonly { readonly revision: number; readonly changes: readonly ExportedChange[] }[]): void
      onCompacted(): void
      onEnd(error?: Error): void
    },
  ): { cancel(): void }
}

/** Entries of a replica, to be read in place. */
export interface ReadableContent {
  readonly size: number
  get(key: string): ExportedEntry | undefined
  /** Those whose key begins with `prefix`, in order of their keys. Values are good until the content changes. */
  under(prefix: string): Iterable<ExportedEntry>
}

/** A whole content on its way into the tables, beside what they show. */
export interface Installation {
  /** A millisecond of work or so; false when there is nothing left to do. */
  step(): boolean
  /** Shows all of it at once. From then on the content changes as `apply` and `repair` say. */
  commit(): void
}

/** Where a replica puts what it has verified; node.ts connects the tables. Calls are synchronous and must not throw. */
export interface ReplicaSink {
  /** In order, nothing skipped. `revision` is where the replica stands afterwards. */
  apply(revision: number, changes: readonly AppliedChange[]): void
  /** What was found to differ from the origin, in no order; to be shown at once. */
  repair(revision: number, changes: readonly AppliedChange[]): void
  /** The whole content anew (a snapshot, a large repair, another epoch). Nothing is applied until it is committed. */
  install(epoch: Epoch, revision: number, content: ReadableContent): Installation
}

/** What is known here of one other DC. One object per DC for as long as it is known. */
export interface RemoteDatacenter {
  readonly datacenter: string
  readonly state: 'live' | 'lost' | 'quarantined'
  /** Live, though a sign of life is overdue; on servers only. */
  readonly suspected: boolean
  /** In the last ten seconds it said more by gossip than is accepted of one DC (allowance.ts). */
  readonly limited: boolean
  /** Something complete was received: the sink holds a prefix of that DC's history. */
  readonly loaded: boolean
  /** May be chosen for failover: loaded, live, a head heard since this node began, not quarantined. */
  readonly fit: boolean
  readonly epoch: Epoch | undefined
  readonly revision: number
  readonly headRevision: number
  /** At most so long ago the replica's content was that DC's; Infinity while nobody can tell, as of a copy before news is heard. */
  ageMs(): number
  /** A gateway of it answers this node (connected, and not silent for more than 2 s), directly or through a relay. */
  reachable(): boolean
  /** How. */
  way(): Way
  /**
   * Smallest round-trip time to its nearest connected gateway, on the way that works; the last known one when none is
   * connected. What was never measured here is estimated by coordinates, or (on a client) as its server says.
   */
  roundTripMs(): number | undefined
  /** Whether that is not this node's own measurement. */
  isRoundTripEstimated(): boolean
  readonly digest: string
  /** Keys that the replica holds. */
  readonly entries: number
  readonly counters: {
    readonly deltas: number
    readonly snapshots: number
    readonly repairs: number
    readonly rejected: number
    /** Messages that came by gossip beyond what is accepted of one DC. */
    readonly refused: number
  }
  gateways(): readonly {
    readonly node: string
    readonly peerId: string
    readonly addresses: readonly string[]
    readonly connected: boolean
    /** Set when it is connected through another peer. */
    readonly via: RelayPeer | undefined
  }[]
  /** Whom a gateway of it said lately that it is connected to directly. */
  reaches(peerId: string): readonly ReachedGateway[]
}

/** How calls to a DC go. */
export type Way =
  | { readonly kind: 'direct' }
  /** Through a third gateway, which sees ciphertext alone. */
  | { readonly kind: 'relayed'; readonly via: RelayPeer }
  | { readonly kind: 'none' }

export interface ReachedGateway {
  readonly datacenter: string
  readonly node: string
  readonly peerId: string
  readonly roundTripMs: number
}

/** A replica as it is kept on disk, so that a node which restarts while the WAN is cut still answers (`saved.ts`). */
export interface SavedReplica {
  readonly datacenter: string
  readonly datacenterId: string
  readonly epoch: Epoch
  readonly revision: number
  /** Of the whole content. */
  readonly digest: Uint8Array
  /** In pages (protocol/page.ts), in order, which do not change any more. */
  readonly pages: readonly Uint8Array[]
  /** The signed head at which it stood. */
  readonly head: Uint8Array | undefined
  /** Its age when it was saved (Infinity: unknown), and the wall clock then. */
  readonly ageMs: number
  readonly savedWallMs: number
}

/** A gateway's place among those of all DCs. */
export interface GatewayCoordinate {
  readonly datacenter: string
  readonly node: string
  readonly coordinate: Coordinate
}

/** With the milliseconds since it was first and last seen. */
export type ShownProblem = Problem & { readonly firstSeenMs: number; readonly lastSeenMs: number }

export interface CallTarget {
  /** A gateway of this DC (of the own one: a server). */
  readonly datacenter?: string
  readonly peerId?: string
}

export interface CallTerms {
  readonly deadlineMs: number
  readonly signal?: AbortSignal
  /**
   * It changes nothing and answers at once, so that a second gateway may be asked too when the first is slow. Default
   * false. Never for writes, nor for what waits.
   */
  readonly hedge?: boolean
}

export interface Federation {
  readonly peerId: string
  readonly addresses: readonly string[]
  /** Own DC first, the others by distance (unknown last), then by name. */
  datacenters(): readonly string[]
  remote(datacenter: string): RemoteDatacenter | undefined
  remotes(): readonly RemoteDatacenter[]
  /** Live connections, of the own DC too. */
  peers(): readonly Peer[]
  roundTripMs(peerId: string): number | undefined
  /** Where gateways stand on the WAN, this node's own first; at the origin while they have not told. Servers only. */
  coordinates(): readonly GatewayCoordinate[]
  /**
   * This node's doubt in itself: 0 when its timers are in time, up to `maxScore` when they are late or it was wrong of others.
   * It gives others `score + 1` times as long before it suspects them.
   */
  readonly awareness: { readonly score: number; readonly maxScore: number }
  /** Calls that were sent to a second gateway because the first was slow, since this node started. */
  readonly hedges: number
  /** What is wrong with identities: shown, logged once, kept for ten minutes after it was last seen. */
  readonly problems: { list(): readonly ShownProblem[]; report(problem: Problem): void }
  /** Runs after membership, reachability or a state of a DC changed (not for every delta). */
  onChange(listener: () => void): () => void
  /** Connections of nodes of the own DC, for liveness. */
  onOwnPeer(listener: (event: { readonly type: 'up' | 'down'; readonly peer: Peer }) => void): () => void

  /**
   * AtollError: 'no-path' for a DC never heard of, 'unavailable' (names the DC) when no gateway of it can be reached
   * or the breaker is open; 'timeout' when it did not answer in time.
   */
  call(target: CallTarget, method: string, payload: unknown, options: CallTerms): Promise<unknown>
  handle(
    method: string,
    handler: (payload: unknown, context: { readonly peer: Peer; readonly signal: AbortSignal }) => Promise<unknown>,
  ): void

  /** Multiaddrs or host:port. Resolves with the number reached; rejects 'unavailable' with every reason when none was. */
  join(addresses: readonly string[]): Promise<number>
  /**
   * Connects to a node for as long as `use` takes, unless it is connected anyway. Rejects with 'unavailable' when it
   * cannot be reached within `deadlineMs`, which counts for the connecting alone.
   */
  visit<T>(peer: PeerAddress, deadlineMs: number, use: (peer: Peer) => Promise<T>): Promise<T>
  /** What to keep on disk of the replica of a DC; undefined while there is nothing complete. Cheap: copies no value. */
  saveReplica(datacenter: string): SavedReplica | undefined
  /** Gateways known, to be kept across restarts. */
  knownPeers(): readonly (PeerAddress & { readonly datacenter: string })[]
  /** Tells the mesh that this node goes for good, then closes. */
  leave(): Promise<void>
  close(): Promise<void>
}
