/**
 * Where every signed message ends up, however it came: opened once, noted in the directory, given to the replica of its
 * DC, and judged for gossip. Owns the remotes.
 */

import { ageSince } from '../model/age.ts'
import { compareEpoch, type Epoch } from '../model/epoch.ts'
import { messageOf } from '../model/errors.ts'
import type { Clock, Logger, Random } from '../runtime/ports.ts'
import type { ReplicaSink, SavedReplica } from './federation.ts'
import type { GossipVerdict, Host } from './host.ts'
import { pace } from './pace.ts'
import { Places } from './places.ts'
import { Allowances, loadOf } from './protocol/allowance.ts'
import { ProtocolError } from './protocol/codec.ts'
import { Content } from './protocol/content.ts'
import { equalBytes } from './protocol/digest.ts'
import type { Directory, Via } from './protocol/directory.ts'
import { type Opened, Opener, type Stamp } from './protocol/head.ts'
import { decodeHeartbeat, isHeartbeat } from './protocol/heartbeat.ts'
import { MAX_DATACENTERS, MAX_GOSSIP_BYTES } from './protocol/limits.ts'
import type { BeaconMessage, DeltaMessage, Head, Message } from './protocol/messages.ts'
import type { Proven } from './protocol/newest.ts'
import { Page } from './protocol/page.ts'
import type { Problem } from './protocol/problems.ts'
import { Reception, type ReceptionEffect } from './protocol/reception.ts'
import { Replica, type ReplicaEffect, type ReplicaOptions } from './protocol/replica.ts'
import type { WanCoordinates } from './protocol/wan-coordinates.ts'
import { Remote } from './remotes.ts'
import { ReplicaWork } from './replica-work.ts'
import { TailClient } from './tail-client.ts'
import { Wakeup } from './wakeup.ts'

export interface IntakeOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly host: Host
  readonly directory: Directory
  /** Undefined: this node holds no replicas. */
  readonly sinkFor: ((datacenter: string) => ReplicaSink) | undefined
  readonly silentMs: number
  readonly coordinates: WanCoordinates
  readonly replica?: Omit<ReplicaOptions, 'datacenter'>
  readonly random: Random
  /** A DC left, or was silent for so long that it counts as gone. */
  readonly onForgotten: (datacenter: string) => void
  /** Gateways came, went or moved. */
  readonly onGateways: () => void
  /** Something that `onChange` may be about. */
  readonly onMaybeChanged: () => void
  /** A signed head of this node's own DC. */
  readonly onOwnHead: (head: Head, signer: string) => void
  /** A peer that speaks as one of a former life: it should hear what is known of it. */
  readonly onOutdated: (peerId: string) => void
  /** A message that this very node signed, in this life or a former one. */
  readonly onOwnEcho: (stamp: Stamp) => void
  /** A gateway said just now that it suspects this node's own DC to be gone. */
  readonly onSuspected: () => void
  readonly report: (problem: Problem) => void
}

interface Entry {
  readonly remote: Remote
  readonly replica: Replica | undefined
  readonly sink: ReplicaSink | undefined
  readonly tail: TailClient | undefined
  readonly wakeup: Wakeup | undefined
  /** What takes more than a moment. */
  readonly work: ReplicaWork | undefined
}

/** Snapshots and repairs of other DCs that this node fetches at once. */
const MAX_FETCHES = 8
const IGNORED = { verdict: 'ignore', fresh: false, opened: undefined } as const

export class Intake {
  readonly #options: IntakeOptions
  readonly #fetches = new Places(MAX_FETCHES)
  readonly #opener: Opener
  readonly #reception: Reception
  readonly #allowances = new Allowances()
  readonly #entries = new Map<string, Entry>()
  /** Kept for good, as a DC may go and come back. */
  readonly #sinks = new Map<string, ReplicaSink>()
  /** Where replicas of DCs that were forgotten stood. */
  readonly #former = new Map<string, Proven>()
  /** Of the contents that the sinks hold. */
  readonly #epochs = new Map<string, Epoch>()
  #closed = false

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#opener = new Opener(options.host)
    this.#reception = new Reception(options.host.self, options.directory)
  }

  remote(datacenter: string): Remote | undefined {
    return this.#entries.get(datacenter)?.remote
  }
  remotes(): Remote[] {
    return [...this.#entries.values()].map(({ remote }) => remote)
  }
  replica(datacenter: string): Replica | undefined {
    return this.#entries.get(datacenter)?.replica
  }

  /** Verdict for gossip; whatever is wrong with a message is its sender's fault, and logged at debug. */
  gossip(bytes: Uint8Array): GossipVerdict {
    if (bytes.length > MAX_GOSSIP_BYTES) return 'reject'
    try {
      return isHeartbeat(bytes) ? this.heartbeat(bytes) : this.hear(bytes, 'gossip', undefined, bytes.length).verdict
    } catch (error) {
      this.#options.logger.debug({ reason: messageOf(error) }, 'gossip was refused')
      return 'reject'
    }
  }

  /** `gossipBytes`: what it is charged to its DC; nothing when it came on a stream. ProtocolError when the envelope is not good. */
  hear(
    bytes: Uint8Array,
    via: Via,
    directPeer?: string,
    gossipBytes = 0,
  ): { verdict: GossipVerdict; fresh: boolean; opened?: Opened } {
    const opened = this.#opener.open(bytes)
    if (this.#closed || !this.#admits(opened, gossipBytes)) return IGNORED
    if (opened.message.type === 'place') {
      const isLatest = this.#options.coordinates.hear(opened.message, opened.identity)
      return { verdict: isLatest ? 'accept' : 'ignore', fresh: false, opened }
    }
    const { passOn, fresh, effects } = this.#reception.receive(opened, via, directPeer, this.#options.clock.nowMs())
    for (const effect of effects) this.#receive(effect, opened.identity.node)
    return { verdict: passOn ? 'accept' : 'ignore', fresh, opened }
  }

  /** Whether that much is accepted of the DC that says it. */
  #admits({ message, identity }: Opened, gossipBytes: number): boolean {
    const { directory, host, clock, logger } = this.#options
    const { datacenter } = identity
    if (datacenter === host.self.datacenter) return true
    const known = 'addresses' in message ? directory.gateway(datacenter, identity.peerId)?.addresses : undefined
    const moves = 'addresses' in message && known?.join() !== message.addresses.join() ? 1 : 0
    const changes = message.type === 'delta' ? message.changes.length : 0
    const taken = this.#allowances.of(identity).take(loadOf(gossipBytes, changes, moves), clock.nowMs())
    if (taken.began) {
      const text = 'a datacenter says more than is accepted of it; gossip of it is ignored, and follows by its tail'
      logger.warn({ datacenter, node: identity.node }, text)
    }
    return taken.accepted
  }

  /** As `hear`, for what is not signed. ProtocolError when it is made up. */
  heartbeat(bytes: Uint8Array): GossipVerdict {
    if (this.#closed) return 'ignore'
    const { passOn, effects } = this.#reception.heartbeat(decodeHeartbeat(bytes), this.#options.clock.nowMs())
    for (const effect of effects) this.#receive(effect, '')
    return passOn ? 'accept' : 'ignore'
  }

  /** What this node itself says: it too is in the directory. */
  said(message: Message, envelope: Uint8Array): void {
    const { directory, host, clock } = this.#options
    directory.hear({ message, identity: host.self, bytes: envelope }, 'direct', clock.nowMs())
  }

  /** `node`: who said it. */
  #receive(effect: ReceptionEffect, node: string): void {
    const { logger, onOwnHead, onOwnEcho, onSuspected, onGateways } = this.#options
    switch (effect.type) {
      case 'own-head':
        onOwnHead(effect.head, effect.signer)
        break
      case 'own-echo':
        onOwnEcho(effect.stamp)
        break
      case 'conflict':
        this.#nameTaken(effect.datacenter, node)
        break
      case 'left':
        if (effect.datacenterGone) this.forget(effect.datacenter)
        if (!effect.gone) break
        logger.info({ datacenter: effect.datacenter, node }, 'gateway left')
        onGateways()
        break
      case 'heard':
        this.#heard(effect, node)
        break
      case 'feed':
        this.#feed(effect.message, effect.bytes, effect.fresh)
        break
      case 'outdated':
        this.#options.onOutdated(effect.peerId)
        break
      case 'suspected':
        onSuspected()
    }
  }

  #nameTaken(datacenter: string, node: string): void {
    const { host, clock, onMaybeChanged, report } = this.#options
    const own = datacenter === host.self.datacenter
    const follows = own ? 'this one keeps it' : 'the one that was known first keeps it, and is quarantined meanwhile'
    const message = `another datacenter is called ${datacenter} too, with ${node} in it: ${follows}; give the other a name of its own`
    report({ kind: 'name-taken', datacenter, node, message })
    this.#entries.get(datacenter)?.replica?.conflict(clock.nowMs())
    onMaybeChanged()
  }

  /** Two processes sign with one key: which of them is to be believed, nobody can tell. */
  #twin(datacenter: string, node: string): void {
    const { clock, onMaybeChanged, report } = this.#options
    const message = `two processes sign with the key of ${node} (${datacenter}), which is quarantined meanwhile; was a data directory copied? End the one that is a copy`
    report({ kind: 'key-in-use', datacenter, node, message })
    this.#entries.get(datacenter)?.replica?.conflict(clock.nowMs())
    onMaybeChanged()
  }

  #heard({ datacenter, heard }: Extract<ReceptionEffect, { type: 'heard' }>, node: string): void {
    if (datacenter !== this.#options.host.self.datacenter && !this.#entries.has(datacenter)) this.#add(datacenter)
    if (heard.newGateway || heard.moved) this.#options.onGateways()
    if (heard.twin) this.#twin(datacenter, node)
    if (heard.newDatacenter) this.#options.logger.info({ datacenter, node }, 'new datacenter')
  }

  #feed(message: BeaconMessage | DeltaMessage, bytes: Uint8Array, fresh: boolean): void {
    const entry = this.#entries.get(message.datacenter)
    if (!entry) return
    if (fresh) entry.remote.headHeard()
    const { replica } = entry
    if (!replica) return
    this.#run(entry, replica.hear(message, bytes, fresh, this.#options.clock.nowMs()))
    if (replica.hasRival && replica.isQuarantined(this.#options.clock.nowMs())) this.#rival(message.datacenter)
  }

  #rival(datacenter: string): void {
    const { report, onMaybeChanged } = this.#options
    const message = `two stores speak for ${datacenter}: the one that was known first is followed, and the datacenter quarantined meanwhile; end all servers of it but one`
    report({ kind: 'rival-store', datacenter, node: '', message })
    onMaybeChanged()
  }

  /** A DC that servers tell of, on a node that holds no replicas; undefined when there are too many. */
  remoteFor(datacenter: string): Remote | undefined {
    const known = this.#entries.get(datacenter)
    if (known || this.#entries.size >= MAX_DATACENTERS) return known?.remote
    return this.#add(datacenter).remote
  }

  #add(datacenter: string): Entry {
    const { clock, host, directory, silentMs, sinkFor, replica: replicaOptions, logger, coordinates } = this.#options
    const { random } = this.#options
    const replica = sinkFor && new Replica({ random: () => random.float(), ...replicaOptions, datacenter })
    const former = this.#former.get(datacenter)
    if (former && former.head.datacenterId === directory.datacenterId(datacenter)) replica?.succeed(former)
    const allowances = this.#allowances
    const remote = new Remote(datacenter, replica, { clock, host, directory, allowances, silentMs, coordinates })
    let sink = this.#sinks.get(datacenter)
    if (!sink && sinkFor) {
      sink = sinkFor(datacenter)
      this.#sinks.set(datacenter, sink)
    }
    const wakeup = replica && new Wakeup(clock, () => this.#run(entry, replica.tick(clock.nowMs())))
    const tail =
      replica &&
      new TailClient({
        clock,
        logger,
        host,
        remote,
        replica,
        silentMs,
        fetches: this.#fetches,
        onLive: (message) => (isHeartbeat(message) ? this.heartbeat(message) : this.hear(message, 'gossip')),
        open: (envelope, hearsay) => this.#openEnd(envelope, hearsay),
        run: (effects) => this.#run(entry, effects),
      })
    const work =
      replica &&
      new ReplicaWork({
        clock,
        replica,
        sink: sink!,
        run: (effects) => this.#run(entry, effects),
        onInstalled: () => this.#begun(datacenter, replica.epoch),
        onFailed: (error) =>
          logger.error({ datacenter, error: messageOf(error) }, 'the tables of a replica refused a content'),
      })
    const entry: Entry = { remote, replica, sink, tail, wakeup, work }
    this.#entries.set(datacenter, entry)
    tail?.start()
    this.#options.onMaybeChanged()
    return entry
  }

  #openEnd(envelope: Uint8Array, hearsay: boolean): { opened: Opened; fresh: boolean } {
    const opened = this.#opener.open(envelope)
    const noted = this.#reception.receiveEnd(opened, hearsay, this.#options.clock.nowMs())
    if (!noted) throw new ProtocolError('a transfer ends with the head of another datacenter of this name')
    const { fresh } = noted
    if (fresh) this.#entries.get(opened.message.datacenter)?.remote.headHeard()
    return { opened, fresh }
  }

  #run(entry: Entry, effects: readonly ReplicaEffect[]): void {
    const { logger } = this.#options
    if (this.#closed) return
    for (const effect of effects) {
      switch (effect.type) {
        case 'apply':
        case 'repair':
          this.#toSink(entry, (sink) => sink[effect.type](effect.revision, effect.changes))
          break
        case 'merge':
          entry.work?.merge()
          break
        case 'install':
          entry.work?.install(effect)
          break
        case 'ask':
          entry.tail?.ask()
          break
        case 'abandon':
          entry.tail?.abandon(effect.reason)
          break
        case 'rejected':
          logger.warn({ datacenter: entry.remote.datacenter, reason: effect.reason }, 'the replica took nothing')
      }
    }
    if (entry.replica) entry.wakeup?.at(entry.replica.wakeAtMs())
  }

  #toSink(entry: Entry, put: (sink: ReplicaSink) => void): void {
    try {
      if (entry.sink) put(entry.sink)
    } catch (error) {
      const { datacenter } = entry.remote
      this.#options.logger.error({ datacenter, error: messageOf(error) }, 'the tables of a replica refused a change')
    }
  }

  /** The whole content is another: of the same history, or of a store that took its place. */
  #begun(datacenter: string, epoch: Epoch | undefined): void {
    const former = this.#epochs.get(datacenter)
    if (epoch) this.#epochs.set(datacenter, epoch)
    if (former && epoch && epoch.generation > former.generation) {
      const message = `${datacenter} goes on from a store that was restored or begun anew: generation ${former.generation} -> ${epoch.generation}`
      this.#options.report({ kind: 'restored', datacenter, node: '', message })
    }
    this.#options.onMaybeChanged()
  }

  /** Takes up replicas that a former run saved; long ones in slices. */
  async restore(saved: readonly SavedReplica[]): Promise<void> {
    const { clock, directory, host, logger } = this.#options
    const breathe = pace(clock)
    for (const one of saved) {
      if (one.datacenter === host.self.datacenter || !this.#options.sinkFor) continue
      const content = new Content()
      for (const page of one.pages) {
        content.append(Page.parse(page))
        await breathe()
      }
      if (!equalBytes(content.root(), one.digest)) {
        logger.warn({ datacenter: one.datacenter }, 'a saved replica does not give its digest; going on without it')
        continue
      }
      const nowMs = clock.nowMs()
      directory.pin(one.datacenter, one.datacenterId)
      if (this.#entries.has(one.datacenter)) continue
      const entry = this.#add(one.datacenter)
      const ageMs = ageSince(one.ageMs, one.savedWallMs, clock.wallMs())
      const proven = this.#provenOf(one)
      const { epoch, revision } = one
      this.#run(entry, entry.replica!.restore({ epoch, revision, content, proven, ageMs }, nowMs))
      await entry.work!.settled()
    }
  }

  /** The signed head that was saved with a replica, when it still verifies and is of the same epoch. */
  #provenOf(saved: SavedReplica): { head: Head; envelope: Uint8Array } | undefined {
    if (!saved.head) return undefined
    try {
      const { message } = this.#opener.open(saved.head)
      if (!('head' in message) || message.datacenterId !== saved.datacenterId) return undefined
      if (message.datacenter !== saved.datacenter || compareEpoch(message.head.epoch, saved.epoch) !== 'same')
        return undefined
      return message.head.revision === saved.revision ? { head: message.head, envelope: saved.head } : undefined
    } catch {
      return undefined
    }
  }

  /** A gateway of the DC connected. */
  connected(datacenter: string): void {
    this.#entries.get(datacenter)?.tail?.look()
  }

  forget(datacenter: string): void {
    const entry = this.#entries.get(datacenter)
    if (!entry) return
    this.#entries.delete(datacenter)
    this.#remember(datacenter, entry.replica?.proven)
    entry.tail?.close()
    entry.wakeup?.close()
    entry.work?.close()
    this.#options.logger.info({ datacenter }, 'datacenter is gone')
    this.#options.onForgotten(datacenter)
    this.#options.onMaybeChanged()
  }

  #remember(datacenter: string, proven: Proven | undefined): void {
    if (!proven) return
    this.#former.delete(datacenter)
    this.#former.set(datacenter, proven)
    if (this.#former.size > MAX_DATACENTERS) this.#former.delete(this.#former.keys().next().value!)
  }

  close(): void {
    this.#closed = true
    for (const { tail, wakeup, work } of this.#entries.values()) {
      tail?.close()
      wakeup?.close()
      work?.close()
    }
  }
}
