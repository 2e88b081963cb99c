/** Nodes begin a connection by telling each other where every DC stands and which gateways there are. */
import { AtollError, messageOf } from '../model/errors.ts'
import { type Rate, TokenBucket } from '../model/token-bucket.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { Host, Peer } from './host.ts'
import type { Intake } from './intake.ts'
import { pace } from './pace.ts'
import { isProtocolError } from './protocol/codec.ts'
import type { Directory } from './protocol/directory.ts'
import { decodeHello, encodeHello, type Hello, type Position } from './protocol/hello.ts'
import { MAX_GOSSIP_BYTES } from './protocol/limits.ts'

export const HELLO = 'mesh.hello'
const DEADLINE_MS = 3000
const RETRY_MS = 500
/** Of one peer: clients ask every few seconds, servers once a connection. */
const GREETINGS: Rate = { perSecond: 2, burst: 20 }
const MAX_GREETERS = 4096
/** Clients have no gossip: they ask anew, less often where there is no other DC to hear of. */
const CLIENT_PERIOD_MS = 3000
const ALONE_PERIOD_MS = 9000
/** A DC that no server speaks of for so long is gone. */
const UNTOLD_MS = 15_000

/** Between two greetings of one peer on one connection. */
const AGAIN_MS = 5000
const MAX_GREETED = 1024

export interface GreetingOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly host: Host
  readonly directory: Directory
  readonly intake: Intake
  /** The own DC's position, undefined without a store. */
  readonly ownPosition: () => Hello['positions'][number] | undefined
  /** Signed record of this node; undefined on clients. */
  readonly ownRecord: () => Uint8Array | undefined
  /** Passes a record of a gateway that nobody may know yet on at once. */
  readonly passOn: (record: Uint8Array) => void
  /** After the first answer of a peer. */
  readonly onGreeted: () => void
}

export class Greeting {
  readonly #options: GreetingOptions
  /** Lives of peers that are being greeted, by peer id and boot id; and those whose first answer is awaited. */
  readonly #greeting = new Set<string>()
  readonly #pending = new Set<string>()
  readonly #greeters = new Map<string, TokenBucket>()
  #closed = new AbortController()
  #greeted = 0
  /** When peers were last greeted once more. */
  readonly #greetedMs = new Map<string, number>()

  constructor(options: GreetingOptions) {
    this.#options = options
    options.host.handle(HELLO, (payload, { peer }) => this.#answer(payload, peer))
  }

  /** At least one peer told what it knows, and no answer is awaited. */
  get settled(): boolean {
    return this.#greeted > 0 && this.#pending.size === 0
  }

  /** A peer connected. */
  greet(peer: Peer): void {
    // A peer that starts anew is greeted anew, also while an exchange with its former life goes on.
    const key = `${peer.peerId} ${peer.bootId}`
    if (peer.role !== 'server' || this.#greeting.has(key)) return
    this.#greeting.add(key)
    this.#pending.add(key)
    void this.#greet(peer, key)
      .catch((error) => this.#options.logger.debug({ peer: peer.node, reason: messageOf(error) }, 'greeting failed'))
      .finally(() => {
        this.#greeting.delete(key)
        this.#pending.delete(key)
        this.#tellGreeted()
      })
  }

  /** A peer that should hear what is known of it; not more often than every few seconds. */
  greetAgain(peerId: string): void {
    const peer = this.#options.host.peer(peerId)
    const nowMs = this.#options.clock.nowMs()
    if (!peer || nowMs - (this.#greetedMs.get(peerId) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) return
    if (this.#greetedMs.size >= MAX_GREETED) this.#greetedMs.clear()
    this.#greetedMs.set(peerId, nowMs)
    this.greet(peer)
  }

  async #greet(peer: Peer, key: string): Promise<void> {
    const { host, clock } = this.#options
    const { signal } = this.#closed
    while (!signal.aborted && host.peer(peer.peerId)?.bootId === peer.bootId) {
      let pauseMs = RETRY_MS
      try {
        const answer = await host.call(peer.peerId, HELLO, this.#payload(peer), { deadlineMs: DEADLINE_MS, signal })
        const hello = decodeHello(answer)
        await this.#absorb(hello, peer)
        this.#greeted++
        if (!this.#mustAskAgain(peer)) return
        const isAlone = hello.positions.every(({ datacenter }) => datacenter === host.self.datacenter)
        pauseMs = isAlone ? ALONE_PERIOD_MS : CLIENT_PERIOD_MS
        this.#pending.delete(key)
        this.#tellGreeted()
      } catch (error) {
        if (isProtocolError(error)) throw error
      }
      await clock.sleep(pauseMs, signal)
    }
  }

  #tellGreeted(): void {
    if (!this.#closed.signal.aborted) this.#options.onGreeted()
  }

  /** A client asks the servers of its DC for as long as it runs, and others until it has found those. */
  #mustAskAgain({ datacenter }: Peer): boolean {
    const { host } = this.#options
    const own = host.self.datacenter
    if (host.self.role === 'server') return false
    return datacenter === own || !host.peers().some((peer) => peer.datacenter === own && peer.role === 'server')
  }

  async #answer(payload: unknown, peer: Peer): Promise<Uint8Array> {
    if (!this.#mayGreet(peer.peerId)) throw new AtollError('overloaded', 'greeted too often; try again in a second')
    const hello = decodeHello(payload)
    if (peer.role === 'server') await this.#absorb(hello, peer)
    return this.#payload(peer)
  }

  /** A greeting may bring a thousand records, each with a signature. */
  #mayGreet(peerId: string): boolean {
    const nowMs = this.#options.clock.nowMs()
    if (this.#greeters.size > MAX_GREETERS)
      for (const [key, bucket] of this.#greeters) if (bucket.isFull(nowMs)) this.#greeters.delete(key)
    const bucket = this.#greeters.get(peerId) ?? new TokenBucket(GREETINGS)
    this.#greeters.set(peerId, bucket)
    return bucket.take(1, nowMs)
  }

  #payload(to: Peer): Uint8Array {
    const { host, directory, intake } = this.#options
    if (host.self.role === 'client') return encodeHello({ positions: [], records: [], proof: null })
    const positions = intake.remotes().map((remote) => remote.position())
    const own = this.#options.ownPosition()
    if (own) positions.unshift(own)
    const records = to.role === 'client' ? this.#recordsFor(to) : directory.records()
    const first = [this.#options.ownRecord(), directory.farewell(to.datacenter, to.peerId)]
    const proof = intake.replica(to.datacenter)?.top?.envelope
    return encodeHello({
      positions,
      records: [...first.filter((record) => record !== undefined), ...records],
      proof: proof && proof.length <= MAX_GOSSIP_BYTES ? proof : null,
    })
  }

  /** Clients need only the servers of their DC. */
  #recordsFor(to: Peer): Uint8Array[] {
    return this.#options.directory.gateways(to.datacenter).map(({ record }) => record)
  }

  async #absorb(hello: Hello, peer: Peer): Promise<void> {
    const { intake, clock, host, directory } = this.#options
    const breathe = pace(clock)
    for (const record of hello.proof ? [hello.proof, ...hello.records] : hello.records) {
      try {
        const known = directory.gateway(peer.datacenter, peer.peerId) !== undefined
        const { opened } = intake.hear(record, 'hearsay', peer.peerId)
        if (!known && opened?.identity.peerId === peer.peerId && host.self.role === 'server')
          this.#options.passOn(record)
      } catch (error) {
        if (!isProtocolError(error)) throw error
        // One that has lapsed, or of a version that is not understood, must not hide the others.
        this.#options.logger.debug({ peer: peer.node, reason: error.message }, 'a record was refused')
      }
      await breathe()
    }
    if (host.self.role === 'client') this.#absorbPositions(hello.positions)
  }

  /** What a client knows of other DCs is what servers say; what none has told for a while is gone. */
  #absorbPositions(positions: readonly Position[]): void {
    const { intake, host } = this.#options
    for (const position of positions)
      if (position.datacenter !== host.self.datacenter) intake.remoteFor(position.datacenter)?.told(position)
    for (const remote of intake.remotes())
      if (!remote.replica && remote.toldMs() > UNTOLD_MS) intake.forget(remote.datacenter)
  }

  close(): void {
    this.#closed.abort(new Error('this node is closing'))
  }
}
