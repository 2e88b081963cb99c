/** The federation of one node: the state machines of `protocol/` around a Host, a clock and a store. */
import { AtollError } from '../model/errors.ts'
import type { Clock, Disk, Logger, Random, Timer } from '../runtime/ports.ts'
import { Calls } from './calls.ts'
import { Changes } from './changes.ts'
import type {
  CallTarget,
  CallTerms,
  ExportSource,
  Federation,
  GatewayCoordinate,
  RemoteDatacenter,
  ReplicaSink,
  SavedReplica,
} from './federation.ts'
import { Greeting } from './greeting.ts'
import type { Host, Peer, PeerAddress } from './host.ts'
import { IdentityWatch } from './identity-watch.ts'
import { Intake } from './intake.ts'
import { type KnownPeer, Membership } from './membership.ts'
import { type OnOwnDatacenterAhead, OwnPosition } from './own-position.ts'
import { Directory, type DirectoryOptions } from './protocol/directory.ts'
import { type Stamp, seal } from './protocol/head.ts'
import type { Position } from './protocol/hello.ts'
import type { Problem } from './protocol/problems.ts'
import { Publisher } from './protocol/publisher.ts'
import type { Replica, ReplicaOptions } from './protocol/replica.ts'
import { isSpeaker } from './protocol/speaker.ts'
import { TAIL_PROTOCOL } from './protocol/tail.ts'
import { WanCoordinates } from './protocol/wan-coordinates.ts'
import { Publishing } from './publishing.ts'
import { ReplicaFiles, type Savable } from './replica-files.ts'
import { TailServer } from './tail-server.ts'
import { WayFinder } from './ways.ts'

export interface FederationLimits {
  /** Calls in flight to one peer. Default 1,024. */
  readonly maxInFlightPerPeer?: number
  /** A peer that says nothing for so long counts as cut off. Default 2,000. */
  readonly silentMs?: number
  /** How long to wait for the first answers of peers before publishing. Default 1,000. */
  readonly publishAfterMs?: number
  readonly directory?: DirectoryOptions
  readonly replica?: Omit<ReplicaOptions, 'datacenter'>
}

export interface FederationOptions {
  /** Says who this node is: `host.self`. Closed with the federation. */
  readonly host: Host
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** What this DC exports; servers only. */
  readonly source?: ExportSource
  /** Called once for each DC that is heard of; servers only. */
  readonly sinkFor?: (datacenter: string) => ReplicaSink
  /** Where replicas are kept across restarts; servers only. */
  readonly replicaFiles?: { readonly disk: Disk; readonly directory: string }
  /** Replicas that a former run kept elsewhere. */
  readonly savedReplicas?: readonly SavedReplica[]
  readonly joinAddresses?: readonly string[]
  readonly knownPeers?: readonly KnownPeer[]
  readonly limits?: FederationLimits
  /**
   * The mesh has seen this DC further than its store is. Raise the store's generation above `generation`; nothing is
   * published before the promise resolves. Resolve with a new source when the store was opened anew.
   */
  readonly onOwnDatacenterAhead?: OnOwnDatacenterAhead
  /** Another process that started earlier uses this node's key, and peers refuse this one; it publishes nothing any more. Once. */
  readonly onKeyInUse?: (message: string) => void
}

const TICK_MS = 200
const LEAVE_MS = 100

/** Resolves once this node can be called; finding the mesh goes on for as long as it takes. */
export async function openFederation(options: FederationOptions): Promise<Federation> {
  const federation = new OpenFederation(options)
  await federation.start(options.savedReplicas ?? [])
  return federation
}

class OpenFederation implements Federation {
  readonly #options: FederationOptions
  readonly #host: Host
  readonly #clock: Clock
  readonly #directory: Directory
  readonly problems: IdentityWatch
  readonly #publisher: Publisher
  readonly #publishing: Publishing | undefined
  readonly #coordinates: WanCoordinates
  readonly #ownPosition: OwnPosition | undefined
  readonly #intake: Intake
  readonly #tails: TailServer
  readonly #calls: Calls
  readonly #membership: Membership
  readonly #greeting: Greeting
  readonly #ways: WayFinder
  readonly #changes: Changes
  readonly #files: ReplicaFiles | undefined = undefined
  readonly #ownPeerListeners = new Set<(event: { readonly type: 'up' | 'down'; readonly peer: Peer }) => void>()
  readonly #timers: Timer[] = []
  #offPeers: (() => void) | undefined
  #record: Uint8Array | undefined
  #suspects: readonly string[] = []
  #closing: Promise<void> | undefined

  constructor(options: FederationOptions) {
    const { host, clock, logger, limits = {} } = options
    const { silentMs = 2000, maxInFlightPerPeer: maxInFlight = 1024 } = limits
    const { datacenter, role, peerId } = host.self
    const directory = new Directory({ ...limits.directory, tickMs: TICK_MS, own: datacenter, self: peerId })
    const common = { clock, logger, host, directory, datacenter, silentMs }
    this.#options = options
    this.#host = host
    this.#clock = clock
    this.#directory = directory
    this.#publisher = publisherOf(options)
    this.#coordinates = new WanCoordinates({ self: host.self, directory, float: () => options.random.float() })
    this.#publishing = options.source && this.#openPublishing(options.source)
    this.problems = new IdentityWatch({
      ...common,
      onRefused: (message) => {
        this.#ownPosition?.close()
        this.#publishing?.suspend()
        options.onKeyInUse?.(message)
      },
    })
    const report = (problem: Problem): void => this.problems.report(problem)
    this.#ownPosition =
      this.#publishing &&
      new OwnPosition({
        ...common,
        selfPeerId: peerId,
        publishing: this.#publishing,
        onOwnDatacenterAhead: options.onOwnDatacenterAhead,
        report,
      })
    this.#intake = new Intake({
      ...common,
      sinkFor: role === 'server' ? options.sinkFor : undefined,
      replica: limits.replica,
      coordinates: this.#coordinates,
      random: options.random,
      onGateways: () => this.#onGateways(),
      onForgotten: (name) => this.#files?.forget(name),
      onMaybeChanged: () => this.#changes.soon(),
      onOwnHead: (head, signer) => this.#ownPosition?.heard(head, signer),
      onOutdated: (peerId) => this.#greeting.greetAgain(peerId),
      onOwnEcho: (stamp) => this.#goAbove(this.problems.echo(stamp, this.#publisher.stamp)),
      report,
      onSuspected: () => this.#publishing?.hasten(),
    })
    if (role === 'server' && options.replicaFiles)
      this.#files = new ReplicaFiles({ ...common, ...options.replicaFiles })
    this.#changes = new Changes(clock, logger, () => this.#intake.remotes(), datacenter)
    const replica = (name: string): Replica | undefined => this.#intake.replica(name)
    this.#tails = new TailServer({
      ...common,
      name: `${peerId.slice(-8)}.${Math.floor(clock.wallMs())}`,
      publishing: this.#publishing,
      replica,
    })
    const isKnown = (name: string): boolean => this.#intake.remote(name) !== undefined
    const isOf = (peer: Peer): boolean =>
      (directory.datacenterId(peer.datacenter) ?? peer.datacenterId) === peer.datacenterId
    this.#calls = new Calls({ ...common, maxInFlight, isKnown, isOf })
    const { random, joinAddresses = [], knownPeers = [] } = options
    this.#membership = new Membership({ ...common, random, joinAddresses, knownPeers })
    this.#ways = new WayFinder(common)
    this.#greeting = new Greeting({
      ...common,
      intake: this.#intake,
      ownPosition: () => this.#position(),
      ownRecord: () => this.#ownRecord(),
      passOn: (record) => host.publish(record),
      onGreeted: () => this.#onGreeted(),
    })
  }

  get peerId(): string {
    return this.#host.self.peerId
  }
  get addresses(): readonly string[] {
    return this.#host.addresses
  }

  async start(saved: readonly SavedReplica[]): Promise<void> {
    const { host, joinAddresses = [], knownPeers = [], limits = {} } = this.#options
    await this.#intake.restore([...saved, ...((await this.#files?.load()) ?? [])])
    host.handleStream(TAIL_PROTOCOL, (stream) => this.#tails.accept(stream))
    if (host.self.role === 'server') host.onGossip((message) => this.#intake.gossip(message))
    this.#offPeers = host.onPeer((event) => this.#onPeer(event))
    for (const peer of host.peers()) this.#onPeer({ type: 'up', peer })
    this.#timers.push(this.#clock.every(TICK_MS, () => this.#tick()))
    this.#timers.push(this.#clock.every(1000, () => this.#sweep()))
    this.#publishing?.load()
    // Nobody can know better where there is nobody to ask.
    if (joinAddresses.length === 0 && knownPeers.length === 0) this.#publishing?.start()
    else this.#timers.push(this.#clock.after(limits.publishAfterMs ?? 1000, () => this.#publishing?.start()))
    this.#membership.start()
  }

  #openPublishing(source: ExportSource): Publishing {
    return new Publishing({
      clock: this.#clock,
      logger: this.#options.logger,
      signer: this.#host,
      publisher: this.#publisher,
      source,
      onHeartbeat: (heartbeat) => this.#send(heartbeat, true),
      onSealed: (message, envelope, gossip) => {
        this.#send(envelope, gossip)
        if (message.type === 'beacon') this.#record = envelope
        this.#intake.said(message, envelope)
      },
    })
  }

  /** Tails first: they are the faster way, and gossip takes a while to send. */
  #send(bytes: Uint8Array, gossip: boolean): void {
    this.#tails.live(bytes)
    if (gossip) queueMicrotask(() => !this.#closing && this.#host.publish(bytes))
  }

  /** The signed record of this node, for those that it meets. */
  #ownRecord(): Uint8Array | undefined {
    if (this.#host.self.role !== 'server') return undefined
    this.#record ??= seal(this.#host, this.#publisher.gateway())
    return this.#record
  }

  #position(): Position | undefined {
    const publishing = this.#publishing
    if (!publishing) return undefined
    const { datacenter, datacenterId } = this.#host.self
    const { epoch } = publishing.source
    const revision = publishing.source.revision()
    return { datacenter, datacenterId, epoch, revision, state: 'live', ageMs: 0, roundTripMs: undefined }
  }

  #onPeer(event: { readonly type: 'up' | 'down'; readonly peer: Peer }): void {
    const { peer, type } = event
    if (type === 'up') {
      this.#calls.forget(peer.peerId)
      this.#greeting.greet(peer)
      this.#intake.connected(peer.datacenter)
    } else {
      if (peer.role === 'client') this.#calls.forget(peer.peerId)
      this.#membership.lookForMesh()
    }
    this.#membership.refresh()
    this.#ways.tick()
    if (peer.datacenter === this.#host.self.datacenter) {
      this.#speak()
      for (const listener of this.#ownPeerListeners) listener(event)
    }
    this.#changes.soon()
  }

  #onGateways(): void {
    this.#coordinates.tellSoon()
    this.#membership.refresh()
    this.#changes.soon()
  }

  #onGreeted(): void {
    if (this.#greeting.settled) this.#publishing?.start()
    this.#membership.refresh()
    this.#changes.soon()
  }

  #tick(): void {
    for (const datacenter of this.#directory.tick(this.#clock.nowMs())) this.#intake.forget(datacenter)
    this.#tellSuspects()
    this.#goAbove(this.problems.tick())
    this.#calls.tick()
    this.#ways.tick()
    this.#speak()
    this.#changes.check()
  }

  #goAbove(stamp: Stamp | undefined): void {
    if (stamp) this.#publisher.seen(stamp)
  }

  /** One more than before is told at once: others may wait for it to be sure. */
  #tellSuspects(): void {
    const suspects = this.#directory.suspects()
    const isNew = suspects.some((datacenter) => !this.#suspects.includes(datacenter))
    this.#suspects = suspects
    this.#publisher.setSuspects(suspects)
    if (isNew) this.#publishing?.hasten()
  }

  #savable(): Savable[] {
    return this.#intake.remotes().map((remote) => {
      const { datacenter, digest } = remote
      return { datacenter, digest, ageMs: () => remote.ageMs(), save: () => remote.saved() }
    })
  }

  #sweep(): void {
    this.#tails.sweep()
    this.#files?.tick(this.#savable())
    this.#publisher.setAddresses(this.#host.addresses.map(withoutPeerId))
    this.#publisher.setHeartbeats(this.#directory.heartbeatsUnderstood(this.#clock.nowMs()))
    this.#publisher.setReach(this.#ways.reach())
    this.#membership.lookForMesh()
    this.#locate()
  }

  /** Takes part of one round trip into this gateway's place, and tells it when it has moved. */
  #locate(): void {
    const { datacenter, role } = this.#host.self
    if (role !== 'server') return
    const connected = this.#host.peers().flatMap(({ peerId, ...peer }) => {
      const roundTripMs = this.#host.roundTripMs(peerId)
      // Through a relay the way is longer than the two are apart.
      const isDirect = peer.role === 'server' && peer.datacenter !== datacenter && peer.via === undefined
      return isDirect && roundTripMs !== undefined ? [{ peerId, roundTripMs }] : []
    })
    const moved = this.#coordinates.tick(this.#clock.nowMs(), connected)
    if (moved === undefined) return
    if (this.#publishing?.speaks) this.#publishing.tell(this.#publisher.place(moved), true)
    else this.#coordinates.tellSoon()
  }

  #speak(): void {
    const { self } = this.#host
    const gateways = this.#directory.gateways(self.datacenter)
    this.#publisher.setSpeaking(isSpeaker(self, gateways, this.#clock.nowMs()))
  }

  datacenters(): readonly string[] {
    return this.#changes.datacenters()
  }
  remote(datacenter: string): RemoteDatacenter | undefined {
    return this.#intake.remote(datacenter)
  }
  remotes(): readonly RemoteDatacenter[] {
    return this.#intake.remotes()
  }
  peers(): readonly Peer[] {
    return this.#host.peers()
  }
  get awareness(): { readonly score: number; readonly maxScore: number } {
    return this.#directory.awareness
  }
  get hedges(): number {
    return this.#calls.hedges
  }
  roundTripMs(peerId: string): number | undefined {
    return this.#host.roundTripMs(peerId)
  }
  coordinates(): readonly GatewayCoordinate[] {
    return this.#coordinates.all()
  }
  onChange(listener: () => void): () => void {
    return this.#changes.listen(listener)
  }
  onOwnPeer(listener: (event: { readonly type: 'up' | 'down'; readonly peer: Peer }) => void): () => void {
    this.#ownPeerListeners.add(listener)
    return () => this.#ownPeerListeners.delete(listener)
  }

  async call(target: CallTarget, method: string, payload: unknown, options: CallTerms): Promise<unknown> {
    if (this.#closing) throw new AtollError('unavailable', 'this node is closing')
    return this.#calls.call(target, method, payload, options)
  }
  handle(
    method: string,
    handler: (payload: unknown, context: { readonly peer: Peer; readonly signal: AbortSignal }) => Promise<unknown>,
  ): void {
    this.#host.handle(method, handler)
  }

  async join(addresses: readonly string[]): Promise<number> {
    return this.#membership.join(addresses)
  }
  visit<T>(peer: PeerAddress, deadlineMs: number, use: (peer: Peer) => Promise<T>): Promise<T> {
    return this.#membership.visit(peer, deadlineMs, use)
  }
  saveReplica(datacenter: string): SavedReplica | undefined {
    return this.#intake.remote(datacenter)?.saved()
  }
  knownPeers(): readonly KnownPeer[] {
    return this.#membership.all().filter(({ peerId }) => peerId !== this.peerId)
  }

  async leave(): Promise<void> {
    if (this.#host.self.role === 'server' && !this.#closing) {
      const envelope = seal(this.#host, this.#publisher.leave())
      this.#publishing?.close()
      this.#host.publish(envelope)
      this.#tails.live(envelope)
      // Gossip and tails need a moment to carry it.
      await this.#clock.sleep(LEAVE_MS)
    }
    await this.close()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#offPeers?.()
    for (const timer of this.#timers) timer.cancel()
    await this.#files?.flush(this.#savable())
    this.#greeting.close()
    this.#ways.close()
    this.problems.close()
    this.#membership.close()
    this.#ownPosition?.close()
    this.#publishing?.close()
    this.#intake.close()
    this.#tails.close()
    this.#calls.close()
    this.#changes.close()
    await this.#host.close()
  }
}

function publisherOf({ host, clock, random }: FederationOptions): Publisher {
  const { datacenter, datacenterId } = host.self
  const heartbeats = { peerId: host.self.peerId, seed: random.bytes(32) }
  const publisher = new Publisher({ datacenter, datacenterId, boot: bootOf(clock, random), heartbeats })
  publisher.setAddresses(host.addresses.map(withoutPeerId))
  return publisher
}

/**
 * Orders the lives of one gateway: wall-clock milliseconds at its start, then ten random bits. Where the clock went back in
 * between, the gateway learns of its former boot from the first peer that it meets, and goes above it.
 */
const bootOf = (clock: Clock, random: Random): number =>
  Math.floor(clock.wallMs()) * 1024 + Math.floor(random.float() * 1024)

const withoutPeerId = (address: string): string => address.replace(/\/p2p\/[^/]+$/, '')
