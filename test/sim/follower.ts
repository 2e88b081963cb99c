/** One replica of a node with what feeds it: as `src/federation/tail-client.ts` and `intake.ts`, in virtual time. */
import { Asking } from '../../src/federation/protocol/asking.ts'
import type { BeaconMessage, DeltaMessage } from '../../src/federation/protocol/messages.ts'
import { Replica, type ReplicaEffect } from '../../src/federation/protocol/replica.ts'
import type { EndFrame } from '../../src/federation/protocol/tail.ts'
import type { CheckedSink } from './invariants.ts'
import type { SimNode } from './node.ts'
import { Stream } from './tails.ts'
import type { RealFrame } from './wire.ts'

const NEVER = Number.POSITIVE_INFINITY
/** As in production: a peer that says nothing for so long is not asked. */
export const SILENT_MS = 2000
const OPEN_TIMEOUT_MS = 5000
/** A content is installed within so long. */
const MAX_WORK_MS = 60

type Taken = Extract<ReplicaEffect, { type: 'apply' | 'repair' | 'install' }>

export class Follower {
  readonly replica: Replica
  readonly sink: CheckedSink
  readonly datacenter: number
  readonly #node: SimNode
  readonly #asking = new Asking<SimNode>()
  /** Being opened while `#openAtMs` is ahead. */
  #stream: Stream | undefined
  #openAtMs = NEVER
  #complete = false
  /** Something of a transfer came, and not its end. */
  #inTransfer = false
  #pauseUntilMs: number
  /** What takes the place of the present content next; and when that is done, or the next step of a merge. */
  #installing: Extract<ReplicaEffect, { type: 'install' }> | undefined
  #workAtMs = NEVER
  /** A fresh head was heard in this life. */
  headHeard = false
  /** When `turn` has something to do. */
  dueMs = 0

  constructor(node: SimNode, datacenter: number, sink: CheckedSink, nowMs: number) {
    const { world } = node
    this.#node = node
    this.datacenter = datacenter
    this.sink = sink
    this.replica = new Replica({ ...world.replicaOptions, datacenter: world.datacenters[datacenter]!.name })
    this.#pauseUntilMs = nowMs
  }

  hear(message: BeaconMessage | DeltaMessage, envelope: Uint8Array, fresh: boolean, nowMs: number): void {
    const { replica } = this
    const epoch = replica.epoch
    if (message.type === 'delta' && epoch && message.from > replica.revision) this.#node.hit('replica: held a delta')
    if (message.type === 'delta' && replica.busy) this.#node.hit('replica: held a delta while busy')
    if (fresh) this.headHeard = true
    const effects = replica.hear(message, envelope, fresh, nowMs)
    if (!epoch && replica.busy) this.#node.hit('replica: begins empty')
    this.run(effects, nowMs)
  }

  run(effects: readonly ReplicaEffect[], nowMs: number): void {
    let taken = false
    for (const effect of effects) {
      this.#node.hit(`replica: ${effect.type}`)
      switch (effect.type) {
        case 'apply':
        case 'repair':
          this.#take(effect)
          taken = true
          break
        case 'install':
          this.#installing = effect
          this.#workAtMs = nowMs + MAX_WORK_MS * this.#node.world.random.float()
          break
        case 'merge':
          this.#workAtMs = nowMs + MAX_WORK_MS * this.#node.world.random.float()
          break
        case 'ask':
          this.#ask(nowMs)
          break
        case 'abandon':
          this.abandon(nowMs)
          break
        case 'rejected':
          if (this.#node.world.trace.verbose) this.#say(`took nothing: ${effect.reason}`)
      }
    }
    if (taken) this.sink.checkAgainst(this.replica)
    this.#schedule()
  }

  /** A step of what the replica has to do, or its end: other things happen in between. */
  #work(nowMs: number): void {
    const { replica } = this
    const installing = this.#installing
    this.#workAtMs = NEVER
    if (replica.merging) {
      const { repairs, deltas } = replica.counters
      this.run(replica.step(nowMs), nowMs)
      if (replica.counters.repairs > repairs) this.#node.hit('transfer: buckets committed')
      if (replica.counters.deltas > deltas) this.#node.hit('transfer: changes committed')
      if (replica.merging) this.#workAtMs = nowMs + 1
    } else if (installing) {
      this.#installing = undefined
      this.#take(installing)
      const effects = replica.installed(nowMs)
      this.run(effects, nowMs)
      if (!effects.some(({ type }) => type === 'apply')) this.sink.checkAgainst(replica)
    }
    this.#schedule()
  }

  #take(effect: Taken): void {
    const { sink } = this
    const { trace } = this.#node.world
    if (effect.type === 'install' && sink.epoch && sink.epoch.generation < effect.epoch.generation)
      this.#node.hit('replica: newer epoch')
    if (trace.verbose) this.#say(`${effect.type} to ${effect.revision}`)
    sink.take(effect)
    trace.note(this.#node.index, this.datacenter, sink.revision, sink.fingerprint)
  }

  #say(text: string): void {
    const { world, name } = this.#node
    world.trace.say(`${name}: replica of ${world.datacenters[this.datacenter]!.name} ${text}`)
  }

  #schedule(): void {
    const wakeMs = this.replica.wakeAtMs()
    this.dueMs = Math.min(wakeMs, this.#workAtMs, this.#stream ? this.#openAtMs : this.#pauseUntilMs)
  }

  turn(nowMs: number): void {
    if (nowMs >= this.#workAtMs) this.#work(nowMs)
    if (this.#stream && nowMs >= this.#openAtMs) this.#opened(nowMs)
    else if (!this.#stream && nowMs >= this.#pauseUntilMs) this.#open(nowMs)
    if (nowMs >= this.replica.wakeAtMs()) this.run(this.replica.tick(nowMs), nowMs)
    else this.#schedule()
  }

  /** Something is missing: asks on the open stream, or finds one to ask. */
  #ask(nowMs: number): void {
    const stream = this.#stream
    const { network } = this.#node.world
    this.#asking.ask()
    if (!stream) {
      if (this.#asking.mayWake) this.#pauseUntilMs = nowMs
    } else if (this.#openAtMs < NEVER) {
      // The request goes out once the stream is open.
    } else if (network.silentMs(this.#node.index, stream.server.index, nowMs) > SILENT_MS) {
      this.abandon(nowMs)
    } else if (!stream.thirdParty) {
      this.#send(stream, nowMs)
    }
  }

  /** A gateway of the DC connected. */
  look(nowMs: number): void {
    this.#asking.look()
    if (!this.#stream) this.#pauseUntilMs = Math.min(this.#pauseUntilMs, nowMs)
    this.#schedule()
  }

  #open(nowMs: number): void {
    const node = this.#node
    const { network } = node.world
    const need = this.replica.need() !== undefined
    const target = this.#asking.pick(node.reachable(this.datacenter, nowMs), need, () =>
      node.reachableElsewhere(this.datacenter, nowMs),
    )
    if (!target) {
      this.#pauseUntilMs = nowMs + this.#asking.pauseMs()
      return
    }
    const server = target.peer
    this.#stream = new Stream(node, server, this.datacenter, target.thirdParty)
    this.#complete = false
    const blocked =
      network.isBlocked(node.index, server.index) ||
      network.isBlocked(server.index, node.index) ||
      network.isQuiet(server.index)
    this.#openAtMs = nowMs + (blocked ? OPEN_TIMEOUT_MS : network.roundTripMs(node.index, server.index))
  }

  #opened(nowMs: number): void {
    const stream = this.#stream!
    const { network } = this.#node.world
    this.#openAtMs = NEVER
    const { server, client } = stream
    const ok = server.life && network.isConnected(client.index, server.index)
    if (!ok || network.isBlocked(server.index, client.index)) {
      this.#over(nowMs)
      return
    }
    server.life!.accept(stream)
    this.#send(stream, nowMs)
  }

  #send(stream: Stream, nowMs: number): void {
    const ask = this.replica.beginAttempt(nowMs, stream.thirdParty)
    this.#node.hit(`ask: ${ask.mode}`)
    if (ask.resumeFrame > 0) this.#node.hit('ask: snapshot resumed')
    if (stream.thirdParty) this.#node.hit('ask: third party')
    if (this.#node.world.trace.verbose) this.#say(`asks ${stream.server.name} (${ask.mode} from ${ask.since})`)
    stream.send(true, ask, nowMs)
  }

  /** The stream is of no use any more. */
  abandon(nowMs: number): void {
    const stream = this.#stream
    if (!stream) return
    if (stream.serverOpen) stream.server.arrives({ kind: 'stream-closed', atMs: nowMs + 1, stream })
    this.#over(nowMs)
  }

  closed(stream: Stream, nowMs: number): void {
    if (stream === this.#stream) this.#over(nowMs)
  }
  /** The connection to a peer is gone. */
  disconnected(peer: SimNode, nowMs: number): void {
    if (this.#stream?.server === peer) this.#over(nowMs)
  }

  #over(nowMs: number): void {
    const stream = this.#stream!
    stream.clientOpen = false
    this.#stream = undefined
    this.#openAtMs = NEVER
    if (this.#inTransfer) this.#node.hit('replica: stream lost in a transfer')
    this.#inTransfer = false
    this.#asking.ended(this.#complete)
    this.replica.streamLost(nowMs)
    this.#pauseUntilMs = nowMs + this.#asking.pauseMs()
    this.#schedule()
  }

  frame(stream: Stream, frame: RealFrame, nowMs: number): void {
    if (stream !== this.#stream) return
    const { replica } = this
    switch (frame.type) {
      case 'live':
        this.#live(frame.envelope, nowMs)
        break
      case 'begin':
        this.#inTransfer = true
        this.run(replica.begin(frame, nowMs), nowMs)
        break
      case 'chunk':
        this.run(replica.chunk(frame, nowMs), nowMs)
        break
      case 'end':
        this.#inTransfer = false
        this.#end(frame, stream.thirdParty, nowMs)
        this.#complete = true
        this.#asking.completed()
        break
      case 'refuse':
        replica.refused(frame.attempt, nowMs)
        this.run([], nowMs)
    }
    if (stream.thirdParty && (frame.type === 'end' || frame.type === 'refuse')) this.abandon(nowMs)
  }

  #live(bytes: Uint8Array, nowMs: number): void {
    const said = this.#node.world.wire.live(bytes)
    if ('message' in said) this.#node.life!.hear(said, 'gossip', undefined, undefined, nowMs)
    else this.#node.life!.hearBeat(said, undefined, nowMs)
  }

  #end(frame: EndFrame, thirdParty: boolean, nowMs: number): void {
    const { replica } = this
    if (!replica.awaits(frame.attempt)) return
    const opened = this.#node.world.wire.open(frame.envelope)
    if (!thirdParty) this.#node.life!.listening.came(opened)
    const noted = this.#node.life!.reception.receiveEnd(opened, thirdParty, nowMs)
    if (!noted) {
      this.abandon(nowMs)
      return
    }
    const { fresh } = noted
    const { message } = opened
    if (fresh) this.headHeard = true
    if (message.type !== 'beacon' && message.type !== 'delta') return
    const { snapshots, repairs, deltas } = replica.counters
    const effects = replica.end(frame, message, fresh, nowMs)
    const after = replica.counters
    if (after.snapshots > snapshots) this.#node.hit('transfer: snapshot committed')
    if (after.repairs > repairs) this.#node.hit('transfer: buckets committed')
    if (after.deltas > deltas) this.#node.hit('transfer: changes committed')
    this.run(effects, nowMs)
  }
}
