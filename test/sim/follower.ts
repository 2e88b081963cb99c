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
  /** To a server of the own DC, for one transfer, while the tail stands. */
  #beside: { readonly stream: Stream; openAtMs: number; attempt: number } | undefined
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
    const openMs = Math.min(this.#beside?.openAtMs ?? NEVER, this.#stream ? this.#openAtMs : this.#pauseUntilMs)
    this.dueMs = Math.min(wakeMs, this.#workAtMs, openMs)
  }

  turn(nowMs: number): void {
    if (nowMs >= this.#workAtMs) this.#work(nowMs)
    if (this.#stream && nowMs >= this.#openAtMs) this.#opened(nowMs)
    else if (!this.#stream && nowMs >= this.#pauseUntilMs) this.#open(nowMs)
    if (this.#beside && nowMs >= this.#beside.openAtMs) this.#openedBeside(nowMs)
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
      this.#abandonTail(nowMs)
    } else if (!stream.thirdParty && !this.#beside) {
      const near = this.#asking.nearer(this.#near(nowMs))
      if (near) this.#askBeside(near, nowMs)
      else this.#send(stream, nowMs)
    }
  }

  /** Servers of the own DC, where more is missing than what changed lately. */
  #near(nowMs: number): SimNode[] {
    const need = this.replica.need()
    if (need !== 'snapshot' && need !== 'repair') return []
    return this.#node.reachable(this.#node.datacenter.index, nowMs).filter((peer) => peer !== this.#node)
  }

  #askBeside(server: SimNode, nowMs: number): void {
    const stream = new Stream(this.#node, server, this.datacenter, true)
    this.#beside = { stream, openAtMs: this.#opensAtMs(server, nowMs), attempt: -1 }
  }

  #openedBeside(nowMs: number): void {
    const beside = this.#beside!
    const { stream } = beside
    beside.openAtMs = NEVER
    if (!this.#accepts(stream)) {
      this.#besideOver(nowMs)
      return
    }
    this.#node.hit('ask: beside the tail')
    beside.attempt = this.#send(stream, nowMs)
  }

  #besideOver(nowMs: number): void {
    const { stream, attempt } = this.#beside!
    this.#beside = undefined
    stream.clientOpen = false
    if (stream.serverOpen) stream.server.arrives({ kind: 'stream-closed', atMs: nowMs + 1, stream })
    if (this.replica.awaits(attempt)) this.replica.streamLost(nowMs)
    this.#schedule()
  }

  #opensAtMs(server: SimNode, nowMs: number): number {
    const { network } = this.#node.world
    const { index } = this.#node
    const blocked =
      network.isBlocked(index, server.index) || network.isBlocked(server.index, index) || network.isQuiet(server.index)
    return nowMs + (blocked ? OPEN_TIMEOUT_MS : network.roundTripMs(index, server.index))
  }

  /** The server's end of a stream that is opened. */
  #accepts(stream: Stream): boolean {
    const { network } = this.#node.world
    const { client, server } = stream
    const ok = server.life && network.isConnected(client.index, server.index)
    if (!ok || network.isBlocked(server.index, client.index)) return false
    server.life!.accept(stream)
    return true
  }

  /** A gateway of the DC connected. */
  look(nowMs: number): void {
    this.#asking.look()
    if (!this.#stream) this.#pauseUntilMs = Math.min(this.#pauseUntilMs, nowMs)
    this.#schedule()
  }

  #open(nowMs: number): void {
    const node = this.#node
    const need = this.replica.need() !== undefined
    const others = (): SimNode[] => node.reachableElsewhere(this.datacenter, nowMs)
    const target = this.#asking.pick(node.reachable(this.datacenter, nowMs), need, others, this.#near(nowMs))
    if (!target) {
      this.#pauseUntilMs = nowMs + this.#asking.pauseMs()
      return
    }
    const server = target.peer
    this.#stream = new Stream(node, server, this.datacenter, target.thirdParty)
    this.#complete = false
    this.#openAtMs = this.#opensAtMs(server, nowMs)
  }

  #opened(nowMs: number): void {
    const stream = this.#stream!
    this.#openAtMs = NEVER
    if (!this.#accepts(stream)) {
      this.#over(nowMs)
      return
    }
    if (this.#beside) this.#besideOver(nowMs)
    this.#send(stream, nowMs)
  }

  #send(stream: Stream, nowMs: number): number {
    const ask = this.replica.beginAttempt(nowMs, stream.thirdParty)
    this.#node.hit(`ask: ${ask.mode}`)
    if (ask.resumeFrame > 0) this.#node.hit('ask: snapshot resumed')
    if (stream.thirdParty) this.#node.hit('ask: third party')
    if (this.#node.world.trace.verbose) this.#say(`asks ${stream.server.name} (${ask.mode} from ${ask.since})`)
    stream.send(true, ask, nowMs)
    return ask.attempt
  }

  /** The DC is gone. */
  close(nowMs: number): void {
    if (this.#beside) this.#besideOver(nowMs)
    this.#abandonTail(nowMs)
  }

  /** The stream of the running attempt is of no use any more. */
  abandon(nowMs: number): void {
    if (this.#beside) this.#besideOver(nowMs)
    else this.#abandonTail(nowMs)
  }

  #abandonTail(nowMs: number): void {
    const stream = this.#stream
    if (!stream) return
    if (stream.serverOpen) stream.server.arrives({ kind: 'stream-closed', atMs: nowMs + 1, stream })
    this.#over(nowMs)
  }

  closed(stream: Stream, nowMs: number): void {
    if (stream === this.#stream) this.#over(nowMs)
    else if (stream === this.#beside?.stream) this.#besideOver(nowMs)
  }
  /** The connection to a peer is gone. */
  disconnected(peer: SimNode, nowMs: number): void {
    if (this.#stream?.server === peer) this.#over(nowMs)
    if (this.#beside?.stream.server === peer) this.#besideOver(nowMs)
  }

  #over(nowMs: number): void {
    const stream = this.#stream!
    stream.clientOpen = false
    this.#stream = undefined
    this.#openAtMs = NEVER
    if (this.#inTransfer) this.#node.hit('replica: stream lost in a transfer')
    this.#inTransfer = false
    this.#asking.ended(this.#complete)
    if (!this.#beside) this.replica.streamLost(nowMs)
    this.#pauseUntilMs = nowMs + this.#asking.pauseMs()
    this.#schedule()
  }

  frame(stream: Stream, frame: RealFrame, nowMs: number): void {
    if (stream !== this.#stream && stream !== this.#beside?.stream) return
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
        if (stream === this.#stream) this.#complete = true
        this.#asking.completed()
        break
      case 'refuse':
        replica.refused(frame.attempt, nowMs)
        this.run([], nowMs)
    }
    if (replica.need() === undefined) this.#asking.satisfied()
    if (!stream.thirdParty || (frame.type !== 'end' && frame.type !== 'refuse')) return
    if (stream === this.#beside?.stream) this.#besideOver(nowMs)
    else if (stream === this.#stream) this.#abandonTail(nowMs)
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
