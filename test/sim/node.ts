/** One gateway: the state machines of a life of it, what its disk keeps between lives, and its inbox. */
import type { ExportedEntry } from '../../src/federation/federation.ts'
import type { PeerIdentity } from '../../src/federation/host.ts'
import { Breaker } from '../../src/federation/protocol/breaker.ts'
import { Directory, type Via } from '../../src/federation/protocol/directory.ts'
import type { Opened, Stamp } from '../../src/federation/protocol/head.ts'
import { encodeHeartbeat, type Heartbeat } from '../../src/federation/protocol/heartbeat.ts'
import type { Proven } from '../../src/federation/protocol/newest.ts'
import { OwnStanding, type StandingEffect } from '../../src/federation/protocol/own-standing.ts'
import { Reception, type ReceptionEffect } from '../../src/federation/protocol/reception.ts'
import type { SavedState } from '../../src/federation/protocol/replica.ts'
import { isSpeaker } from '../../src/federation/protocol/speaker.ts'
import type { Epoch } from '../../src/model/epoch.ts'
import type { Covered } from './coverage.ts'
import { restoreFollower, saveFollower } from './disk.ts'
import { Follower, SILENT_MS } from './follower.ts'
import { CheckedSink } from './invariants.ts'
import { Listening } from './listening.ts'
import { Meeting, type SimHello } from './meeting.ts'
import { SimPublishing } from './publishing.ts'
import type { Revision, SimStore } from './store.ts'
import { Session, type Stream } from './tails.ts'
import type { RealFrame } from './wire.ts'
import type { SimDatacenter, World } from './world.ts'

export type Arrival = { readonly atMs: number } & (
  | { readonly kind: 'gossip'; readonly opened: Opened; readonly relayTo: readonly SimNode[] | undefined }
  | { readonly kind: 'heartbeat'; readonly heartbeat: Heartbeat; readonly relayTo: readonly SimNode[] | undefined }
  | { readonly kind: 'frame'; readonly stream: Stream; readonly frame: RealFrame }
  | { readonly kind: 'stream-closed'; readonly stream: Stream }
  | { readonly kind: 'hello'; readonly from: SimNode; readonly hello: SimHello; readonly answer: boolean }
  | { readonly kind: 'watch'; readonly written: Revision; readonly subscription: number }
  | { readonly kind: 'epoch'; readonly epoch: Epoch }
  | { readonly kind: 'raise'; readonly generation: number; readonly fails: boolean }
  | { readonly kind: 'connected' | 'disconnected'; readonly peer: SimNode }
  | { readonly kind: 'called'; readonly peer: SimNode; readonly ok: boolean }
)

/** What a replica's file holds, with the wall clock at which it was written. */
export interface SavedFollower {
  readonly state: Omit<SavedState, 'content'>
  readonly entries: readonly ExportedEntry[]
  readonly wallMs: number
}

export interface SimDisk {
  readonly replicas: Map<number, SavedFollower>
  readonly peers: Set<SimNode>
}

/** Node name of a second DC under a name that is taken. */
export const IMPOSTER = 'imposter'

const TICK_MS = 200
const SWEEP_MS = 1000
const PUBLISH_AFTER_MS = 1000

export class SimNode {
  readonly world: World
  readonly index: number
  readonly name: string
  readonly datacenter: SimDatacenter
  readonly identity: PeerIdentity
  disk: SimDisk = { replicas: new Map(), peers: new Set() }
  /** What the disk held at an earlier time, to be rolled back to. */
  olderDisk: SimDisk | undefined
  wallOffsetMs: number
  /** Least time between two turns: how busy the node's event loop is. */
  turnMs: number
  life: Life | undefined
  /** Its reads fail without a word: what it serves is empty, under heads that say otherwise. */
  readsNothing = false
  /** What others ask of it is taken and never answered. */
  isMute = false
  /** Until then the process is stopped. */
  stalledUntilMs = 0
  #inbox: Arrival[] = []
  #inboxMs = Number.POSITIVE_INFINITY
  #lastTurnMs = 0
  #lastWatchMs = 0

  constructor(world: World, index: number, datacenter: SimDatacenter, letter: string) {
    this.world = world
    this.index = index
    this.datacenter = datacenter
    this.name = `${datacenter.name}${letter}`
    this.wallOffsetMs = 1_700_000_000_000
    this.turnMs = world.turnMs
    const { name, id } = datacenter
    this.identity = {
      peerId: `peer-${this.name}`,
      datacenter: name,
      datacenterId: id,
      node: this.name,
      nodeId: `node-${this.name}`,
      role: 'server',
    }
  }

  get store(): SimStore {
    return this.datacenter.store
  }
  hit(name: Covered): void {
    this.world.coverage.hit(name)
  }

  arrives(arrival: Arrival): void {
    if (!this.life) return
    this.#inbox.push(arrival)
    if (arrival.atMs < this.#inboxMs) this.#inboxMs = arrival.atMs
  }

  /** A change of the store comes by the watch: in order, a moment later. */
  watch(written: Revision): void {
    const subscription = this.life?.publishing.subscription ?? 0
    if (subscription > 0) this.arrives({ kind: 'watch', written, subscription, atMs: this.#watchMs() })
  }
  watchEpoch(epoch: Epoch): void {
    this.arrives({ kind: 'epoch', epoch, atMs: this.#watchMs() })
  }
  #watchMs(): number {
    const { nowMs, random } = this.world
    this.#lastWatchMs = Math.max(this.#lastWatchMs, nowMs + 1 + 20 * random.float())
    return this.#lastWatchMs
  }

  /** When the next turn is due; Infinity while it is down. */
  nextMs(): number {
    const { life } = this
    if (!life) return Number.POSITIVE_INFINITY
    return Math.max(Math.min(this.#inboxMs, life.dueMs), this.#lastTurnMs + this.turnMs, this.stalledUntilMs)
  }

  /** One turn of the event loop: what has arrived, then what is due. Returns how much had arrived. */
  turn(nowMs: number): number {
    const life = this.life!
    this.#lastTurnMs = nowMs
    const due = this.#takeDue(nowMs)
    for (const arrival of due) life.handle(arrival, nowMs)
    life.turn(nowMs)
    return due.length
  }

  #takeDue(nowMs: number): Arrival[] {
    if (this.#inboxMs > nowMs) return []
    const due: Arrival[] = []
    const later: Arrival[] = []
    let nextMs = Number.POSITIVE_INFINITY
    for (const arrival of this.#inbox) {
      if (arrival.atMs <= nowMs) due.push(arrival)
      else {
        later.push(arrival)
        if (arrival.atMs < nextMs) nextMs = arrival.atMs
      }
    }
    this.#inbox = later
    this.#inboxMs = nextMs
    return due.sort((a, b) => a.atMs - b.atMs)
  }

  start(nowMs: number): void {
    this.#inbox = []
    this.#inboxMs = Number.POSITIVE_INFINITY
    this.stalledUntilMs = 0
    this.world.network.setQuiet(this.index, undefined)
    this.life = new Life(this, nowMs)
  }

  /** As a process that was killed. What its disk keeps is what was saved before. */
  kill(): void {
    this.life = undefined
    this.world.network.setQuiet(this.index, this.world.nowMs)
  }

  /** A message of this gateway goes out. */
  tell(opened: Opened, gossip: boolean): void {
    this.life!.tell(opened, gossip)
  }
  beat(heartbeat: Heartbeat): void {
    this.life!.beat(heartbeat)
  }

  /** Gateways of a DC that can be asked, nearest first. */
  reachable(datacenter: number, nowMs: number): SimNode[] {
    const { network, datacenters } = this.world
    return datacenters[datacenter]!.nodes.filter((peer) => network.reaches(this.index, peer.index, SILENT_MS, nowMs))
  }
  /** Servers of other DCs, this one's own too, that can be asked for a copy; nearest first. */
  reachableElsewhere(datacenter: number, nowMs: number): SimNode[] {
    const { network, nodes } = this.world
    return nodes
      .filter((peer) => peer !== this && peer.datacenter.index !== datacenter)
      .filter((peer) => network.reaches(this.index, peer.index, SILENT_MS, nowMs))
      .sort((a, b) => network.roundTripMs(this.index, a.index) - network.roundTripMs(this.index, b.index))
  }
}

/** From a start of the process to its end. */
export class Life {
  readonly node: SimNode
  readonly directory: Directory
  readonly reception: Reception
  readonly standing: OwnStanding
  readonly publishing: SimPublishing
  readonly meeting: Meeting
  readonly listening: Listening
  readonly followers: (Follower | undefined)[] = []
  readonly sinks: (CheckedSink | undefined)[] = []
  readonly lines = new Map<SimNode, { readonly breaker: Breaker; inFlight: number }>()
  readonly #sessions = new Set<Session>()
  readonly #lost = new Set<number>()
  /** Where replicas of DCs that were forgotten stood. */
  readonly #former: (Proven | undefined)[] = []
  #nextTickMs: number
  #nextSweepMs: number
  #publishAtMs: number
  #saveTurn = 0
  #suspects: readonly string[] = []
  #boot: number
  isSpeaking = true
  dueMs = 0

  constructor(node: SimNode, nowMs: number) {
    const { world, identity } = node
    this.node = node
    this.directory = new Directory({ tickMs: TICK_MS, own: identity.datacenter, self: identity.peerId })
    this.reception = new Reception(identity, this.directory)
    this.standing = new OwnStanding({ selfPeerId: identity.peerId, canRaise: node.datacenter.canRaise })
    // As src/federation/open.ts makes it of the wall clock.
    this.#boot = Math.floor(nowMs + node.wallOffsetMs) * 1024 + Math.floor(world.random.float() * 1024)
    this.publishing = new SimPublishing(node, this.#boot)
    this.meeting = new Meeting(this)
    this.listening = new Listening(this, nowMs)
    this.#nextTickMs = nowMs + TICK_MS * world.random.float()
    this.#nextSweepMs = nowMs + SWEEP_MS * world.random.float()
    this.#publishAtMs = nowMs + (this.meeting.hasNobody ? 0 : PUBLISH_AFTER_MS)
    for (const [datacenter, saved] of node.disk.replicas) restoreFollower(this, datacenter, saved, nowMs)
    this.publishing.load(nowMs)
  }

  handle(arrival: Arrival, nowMs: number): void {
    switch (arrival.kind) {
      case 'gossip':
        if (this.#isFirst(arrival.opened)) break
        this.hear(arrival.opened, 'gossip', undefined, arrival.relayTo, nowMs)
        break
      case 'heartbeat':
        this.hearBeat(arrival.heartbeat, arrival.relayTo, nowMs)
        break
      case 'frame':
        this.#frame(arrival.stream, arrival.frame, nowMs)
        break
      case 'stream-closed':
        this.#streamClosed(arrival.stream, nowMs)
        break
      case 'hello':
        this.meeting.hello(arrival.from, arrival.hello, arrival.answer, nowMs)
        break
      case 'watch':
        this.publishing.received(arrival.written, arrival.subscription, nowMs)
        break
      case 'epoch':
        this.publishing.epochRose(arrival.epoch, nowMs)
        break
      case 'raise':
        this.#raise(arrival.generation, arrival.fails, nowMs)
        break
      case 'connected':
        this.meeting.connected(arrival.peer, nowMs)
        break
      case 'disconnected':
        this.disconnected(arrival.peer, nowMs)
        break
      case 'called':
        this.#called(arrival.peer, arrival.ok, nowMs)
    }
  }

  /** Where an imposter comes first the name is its own: that is for people to sort out. */
  #isFirst({ message, identity }: Opened): boolean {
    return identity.node === IMPOSTER && this.directory.datacenterId(message.datacenter) === undefined
  }

  turn(nowMs: number): void {
    this.publishing.tick(nowMs)
    this.#run(this.standing.tick(this.#own(), nowMs))
    if (nowMs >= this.#nextTickMs) this.#tick(nowMs)
    if (nowMs >= this.#nextSweepMs) this.#sweep(nowMs)
    if (nowMs >= this.#publishAtMs) this.publish(nowMs)
    let dueMs = Math.min(this.#nextTickMs, this.#nextSweepMs, this.#publishAtMs, this.standing.wakeAtMs())
    for (const follower of this.followers) {
      if (!follower) continue
      if (follower.dueMs <= nowMs) follower.turn(nowMs)
      if (follower.dueMs < dueMs) dueMs = follower.dueMs
    }
    for (const session of this.#sessions) {
      if (!session.busy) continue
      session.turn(nowMs)
      if (session.busy) dueMs = nowMs
    }
    this.dueMs = Math.min(dueMs, this.publishing.wakeAtMs())
  }

  /** From now on heads may be told. */
  publish(nowMs: number): void {
    this.#publishAtMs = Number.POSITIVE_INFINITY
    this.publishing.start(nowMs)
  }

  #tick(nowMs: number): void {
    const { node, directory } = this
    this.#nextTickMs = nowMs + TICK_MS
    for (const name of directory.tick(nowMs)) this.#forget(node.world.indexOf(name), nowMs)
    this.listening.ticked(nowMs)
    const speaking = isSpeaker(node.identity, directory.gateways(node.datacenter.name), nowMs)
    if (speaking && !this.isSpeaking) node.hit('speaker: took over')
    this.isSpeaking = speaking
    this.publishing.publisher.setSpeaking(speaking)
    this.#tellSuspects(nowMs)
    if (node.world.withHeartbeats) this.publishing.publisher.setHeartbeats(directory.heartbeatsUnderstood(nowMs))
    for (const follower of this.followers) {
      if (!follower) continue
      this.#watchState(follower, nowMs)
      this.listening.check(follower, nowMs)
    }
  }

  /** One more than before is told at once. */
  #tellSuspects(nowMs: number): void {
    const suspects = this.directory.suspects()
    const isNew = suspects.some((datacenter) => !this.#suspects.includes(datacenter))
    this.#suspects = suspects
    this.publishing.publisher.setSuspects(suspects)
    if (!isNew) return
    this.node.hit('directory: suspected')
    this.publishing.hasten(nowMs)
  }

  #watchState({ datacenter, replica, headHeard }: Follower, nowMs: number): void {
    const { node, directory } = this
    if (replica.isQuarantined(nowMs)) node.hit('replica: quarantined')
    if (!headHeard) return
    const live = directory.isLive(node.world.datacenters[datacenter]!.name)
    if (live && this.#lost.delete(datacenter)) node.hit('directory: back')
    if (live || this.#lost.has(datacenter)) return
    this.#lost.add(datacenter)
    node.hit('directory: lost')
  }

  #sweep(nowMs: number): void {
    this.#nextSweepMs = nowMs + SWEEP_MS
    this.meeting.sweep(nowMs)
    for (let i = 0; i < this.followers.length; i++) {
      this.#saveTurn = (this.#saveTurn + 1) % this.followers.length
      const follower = this.followers[this.#saveTurn]
      if (follower && saveFollower(this, follower, nowMs)) break
    }
  }

  #own(): { epoch: Epoch; revision: number } {
    return { epoch: this.publishing.epoch, revision: this.publishing.position }
  }

  hear(
    opened: Opened,
    via: Via,
    from: SimNode | undefined,
    relayTo: readonly SimNode[] | undefined,
    nowMs: number,
  ): void {
    // What one tells of itself is no hearsay.
    if (via !== 'hearsay' || from?.identity.peerId === opened.identity.peerId) this.listening.came(opened)
    const { passOn, effects } = this.reception.receive(opened, via, from?.identity.peerId, nowMs)
    for (const effect of effects) this.#receive(effect, nowMs)
    if (relayTo && this.#passesOn(passOn))
      for (const to of relayTo) this.node.world.gossipTo(this.node, to, { kind: 'gossip', opened })
  }

  hearBeat(heartbeat: Heartbeat, relayTo: readonly SimNode[] | undefined, nowMs: number): void {
    this.listening.beat(heartbeat)
    const { passOn, fresh, effects } = this.reception.heartbeat(heartbeat, nowMs)
    this.node.hit(fresh ? 'reception: heartbeat fresh' : 'reception: heartbeat of nothing known')
    for (const effect of effects) this.#receive(effect, nowMs)
    if (relayTo && this.#passesOn(passOn))
      for (const to of relayTo) this.node.world.gossipTo(this.node, to, { kind: 'heartbeat', heartbeat })
  }

  #passesOn(passOn: boolean): boolean {
    this.node.hit(passOn ? 'reception: passed on by a relay' : 'reception: not passed on')
    return passOn
  }

  #receive(effect: ReceptionEffect, nowMs: number): void {
    const { node } = this
    switch (effect.type) {
      case 'own-head':
        node.hit('reception: own head')
        this.#run(this.standing.heard(effect.head, effect.signer, this.#own(), nowMs))
        break
      case 'own-echo':
        node.hit('reception: own echo')
        this.#echo(effect.stamp)
        break
      case 'conflict':
        node.hit('reception: conflict')
        this.followers[node.world.indexOf(effect.datacenter)]?.replica.conflict(nowMs)
        break
      case 'left':
        node.hit('reception: left')
        if (!effect.datacenterGone) break
        node.hit('reception: datacenter gone')
        this.#forget(node.world.indexOf(effect.datacenter), nowMs)
        break
      case 'heard': {
        const datacenter = node.world.indexOf(effect.datacenter)
        node.hit(effect.heard.fresh ? 'reception: heard fresh' : 'reception: heard stale')
        if (effect.heard.newDatacenter) node.hit('reception: new datacenter')
        if (datacenter !== node.datacenter.index) this.followers[datacenter] ??= this.follow(datacenter, nowMs)
        break
      }
      case 'feed': {
        const { message, bytes, fresh } = effect
        this.followers[node.world.indexOf(message.datacenter)]?.hear(message, bytes, fresh, nowMs)
        break
      }
      case 'outdated':
        node.hit('reception: outdated life')
        this.meeting.greetAgain(node.world.peerOf(effect.peerId), nowMs)
        break
      case 'suspected':
        node.hit('reception: suspected itself')
        this.publishing.hasten(nowMs)
    }
  }

  #echo(stamp: Stamp): void {
    this.publishing.publisher.seen(stamp)
    if (stamp.boot <= this.#boot) return
    this.#boot = stamp.boot + 1
    this.node.hit('publisher: boot raised above a former life')
  }

  follow(datacenter: number, nowMs: number): Follower {
    const { truth } = this.node.world.datacenters[datacenter]!
    this.sinks[datacenter] ??= new CheckedSink(truth, this.node.world.digests)
    const sink = this.sinks[datacenter]
    const follower = new Follower(this.node, datacenter, sink, nowMs)
    const former = this.#former[datacenter]
    if (former) follower.replica.succeed(former)
    return follower
  }

  #forget(datacenter: number, nowMs: number): void {
    this.followers[datacenter]?.close(nowMs)
    this.#former[datacenter] = this.followers[datacenter]?.replica.proven ?? this.#former[datacenter]
    this.followers[datacenter] = undefined
  }

  #run(effects: readonly StandingEffect[]): void {
    const { world } = this.node
    for (const effect of effects) {
      if (effect.type === 'give-up') {
        this.node.hit('standing: give up')
        if (effect.suspend) this.publishing.suspend()
        continue
      }
      this.node.hit('standing: raise')
      this.publishing.suspend()
      const fails = world.faultsOn && world.random.float() < 0.15
      const atMs = world.nowMs + 10 + 300 * world.random.float()
      this.node.arrives({ kind: 'raise', generation: effect.seen.epoch.generation, fails, atMs })
    }
  }

  #raise(generation: number, fails: boolean, nowMs: number): void {
    if (fails) {
      this.node.world.coverage.hit('fault: raise-fails')
      this.node.hit('standing: raise again after a failure')
      this.standing.raiseFailed(nowMs)
      return
    }
    this.node.datacenter.raise(generation + 1, nowMs)
    this.standing.raised()
    this.publishing.resume(nowMs)
  }

  tell(opened: Opened, gossip: boolean): void {
    const { world } = this.node
    const frame: RealFrame = { type: 'live', envelope: opened.bytes }
    for (const session of this.#sessions) session.live(frame, world.nowMs)
    if (gossip) world.gossip(this.node, { kind: 'gossip', opened })
    this.directory.hear(opened, 'direct', world.nowMs)
  }

  beat(heartbeat: Heartbeat): void {
    const { world } = this.node
    const frame: RealFrame = { type: 'live', envelope: encodeHeartbeat(heartbeat) }
    world.chains.set(heartbeat.ref, this.node.datacenter.index)
    for (const session of this.#sessions) session.live(frame, world.nowMs)
    world.gossip(this.node, { kind: 'heartbeat', heartbeat })
  }

  accept(stream: Stream): void {
    this.#sessions.add(new Session(stream, this.node))
  }

  #frame(stream: Stream, frame: RealFrame, nowMs: number): void {
    if (stream.client === this.node) {
      if (stream.clientOpen) this.followers[stream.datacenter]?.frame(stream, frame, nowMs)
      return
    }
    if (frame.type !== 'ask') return
    for (const session of this.#sessions) if (session.stream === stream) session.asked(frame)
  }

  #streamClosed(stream: Stream, nowMs: number): void {
    if (stream.client === this.node) this.followers[stream.datacenter]?.closed(stream, nowMs)
    else this.#endSession(stream)
  }
  #endSession(stream: Stream): void {
    stream.serverOpen = false
    for (const session of this.#sessions) if (session.stream === stream) this.#sessions.delete(session)
  }

  /** Those that it serves. */
  sessions(): Iterable<Session> {
    return this.#sessions
  }

  disconnected(peer: SimNode, nowMs: number): void {
    this.node.world.network.setConnected(this.node.index, peer.index, false)
    this.meeting.disconnected(peer)
    for (const follower of this.followers) follower?.disconnected(peer, nowMs)
    for (const { stream } of this.#sessions) if (stream.client === peer) this.#endSession(stream)
  }

  line(peer: SimNode): { readonly breaker: Breaker; inFlight: number } {
    const line = this.lines.get(peer) ?? { breaker: new Breaker(), inFlight: 0 }
    this.lines.set(peer, line)
    return line
  }

  #called(peer: SimNode, ok: boolean, nowMs: number): void {
    const line = this.line(peer)
    const wasOpen = line.breaker.isOpen
    line.inFlight--
    if (ok) line.breaker.succeeded()
    else line.breaker.timedOut(nowMs)
    if (wasOpen && !line.breaker.isOpen) this.node.hit('breaker: closed')
    if (!wasOpen && line.breaker.isOpen) this.node.hit('breaker: opened')
  }
}
