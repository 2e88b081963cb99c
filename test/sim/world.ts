/**
 * One seeded run: a mesh of gateways on a virtual clock and a virtual network. A *step* is one turn of one node's event loop
 * (it takes all that has arrived, and does what is due), or one thing that the world does: a fault, the end of one, a
 * write, a call. The same seed gives the same run, on every runtime.
 */
import { bucketOf } from '../../src/federation/protocol/digest.ts'
import type { Opened } from '../../src/federation/protocol/head.ts'
import type { Heartbeat } from '../../src/federation/protocol/heartbeat.ts'
import type { ReplicaOptions } from '../../src/federation/protocol/replica.ts'
import { SeededRandom } from '../../src/runtime/virtual.ts'
import { call, callOpenLines } from './calls.ts'
import { whyNotConverged } from './converged.ts'
import type { Coverage } from './coverage.ts'
import { Exports } from './exports.ts'
import { Faults } from './faults.ts'
import { Digests, Violation } from './invariants.ts'
import { Network } from './network.ts'
import { type Arrival, SimNode } from './node.ts'
import { type Backup, type Revision, SimStore, Truth } from './store.ts'
import type { Stream } from './tails.ts'
import { Trace } from './trace.ts'
import { Wire } from './wire.ts'

/** What gossip carries. */
export type Said =
  | { readonly kind: 'gossip'; readonly opened: Opened }
  | { readonly kind: 'heartbeat'; readonly heartbeat: Heartbeat }

export interface WorldOptions {
  readonly seed: number
  readonly coverage: Coverage
  /** Default 20 and 3. */
  readonly datacenters?: number
  readonly gateways?: number
  readonly print?: (line: string) => void
}

export interface Outcome {
  readonly steps: number
  /** Messages, frames and store events taken by nodes, within the steps. */
  readonly events: number
  readonly virtualMs: number
  /** From the last fault until all had converged. */
  readonly settleMs: number
  readonly hash: string
}

/** Part of the steps with faults; the others are there to get over them. */
const FAULTY_SHARE = 0.55
/** Once faults ended everything is in order within this. */
const SETTLE_MS = 60_000
const NEVER = Number.POSITIVE_INFINITY
/** Of `src/federation/protocol/freshness.ts`. */
const USUAL_SILENCE_MS = 1200
/** The watch of a store lags by up to 21 ms, batches are gathered for up to 20. */
const PUBLISH_MS = 41
/** A slow node takes so many times as long for a turn at most. */
export const SLOWEST_TURNS = 8
/** What is written: in buckets of a few groups, as every group that is touched costs a hash and a kilobyte in each replica. */
const KEYS = Array.from({ length: 2000 }, (_, i) => `e/s/n${i % 50}/web-${i}`)
  .filter((key) => bucketOf(key) < 96)
  .slice(0, 16)

export class SimDatacenter {
  readonly index: number
  readonly name: string
  readonly id: string
  readonly truth = new Truth()
  readonly exports = new Exports()
  readonly nodes: SimNode[] = []
  readonly #random: SeededRandom
  store: SimStore
  /** Its servers may raise the generation by themselves; otherwise an operator has to. */
  canRaise = true
  /** Of an earlier moment. */
  backup: Backup | undefined

  constructor(index: number, random: SeededRandom) {
    this.index = index
    this.name = `dc-${index}`
    this.id = `id-${index}`
    this.#random = random
    this.store = new SimStore(this.truth, this.newEpoch(0))
  }

  newEpoch(generation: number): { generation: number; random: string } {
    return { generation, random: Buffer.from(this.#random.bytes(8)).toString('hex') }
  }
  write(values: ReadonlyMap<string, Uint8Array | null>, nowMs: number): Revision {
    const written = this.store.write(values)
    if (written.changes.length > 0) this.exports.note(nowMs, this.store.epoch, written.revision)
    for (const node of this.nodes) node.watch(written)
    return written
  }
  raise(generation: number, nowMs: number): void {
    if (generation <= this.store.epoch.generation) return
    this.store.raise(this.newEpoch(generation))
    this.exports.note(nowMs, this.store.epoch, 0)
    for (const node of this.nodes) node.watchEpoch(this.store.epoch)
  }
  /** An empty store, or an older state of this one, takes the place of the store. */
  replaceStore(store: SimStore): void {
    this.store = store
    this.exports.forget()
  }
}

export class World {
  readonly seed: number
  readonly random: SeededRandom
  readonly coverage: Coverage
  readonly trace: Trace
  readonly digests = new Digests()
  readonly wire: Wire
  readonly network: Network
  readonly datacenters: readonly SimDatacenter[]
  readonly nodes: readonly SimNode[]
  /** Whom everyone is told of at the start. */
  readonly joinTargets: readonly SimNode[]
  /** Between two turns of a node at least: more in larger meshes, so that a run spans some ten seconds in any. */
  readonly turnMs: number
  /**
   * What a stated age may be short by: what passes as usual silence, what the origin takes until it tells (watch, batch), two
   * links (through a relay) at their slowest, and a turn of each of three nodes at its slowest.
   */
  readonly ageSlackMs: number
  /** Of this seed: where it is not so, every beacon is said in full, as by older gateways. */
  readonly withHeartbeats: boolean
  /** Production's values, but for how long a rival stays visible: a minute would be most of a run. */
  readonly replicaOptions: Omit<ReplicaOptions, 'datacenter'> = { quarantineMs: 4000 }
  /** Which DC's gateway each chain of heartbeats is of. */
  readonly chains = new Map<string, number>()
  readonly heldStreams = new Set<Stream>()
  readonly faults: Faults
  nowMs = 0
  faultsOn = true
  #events = 0
  #steps = 0
  readonly #indices = new Map<string, number>()
  readonly #peers = new Map<string, SimNode>()
  #writeMs: number
  #callMs: number
  readonly #writeEveryMs: number
  /** Some that call often: over all pairs no breaker would see enough. */
  readonly #callers: readonly (readonly [from: SimNode, to: SimDatacenter])[]

  constructor(options: WorldOptions) {
    const { seed, coverage, datacenters = 20, gateways = 3, print } = options
    this.seed = seed
    this.random = new SeededRandom(seed)
    this.coverage = coverage
    this.trace = new Trace(print)
    this.wire = new Wire(this.random, coverage)
    this.network = new Network(datacenters, gateways, this.random)
    this.turnMs = datacenters * gateways * (1 + 1.5 * this.random.float())
    this.ageSlackMs = USUAL_SILENCE_MS + PUBLISH_MS + 2 * this.network.maxLatencyMs + 3 * SLOWEST_TURNS * this.turnMs
    this.withHeartbeats = this.random.float() < 0.3
    this.#writeEveryMs = 20 + 60 * this.random.float()
    this.datacenters = Array.from({ length: datacenters }, (_, index) => new SimDatacenter(index, this.random))
    const nodes: SimNode[] = []
    for (const datacenter of this.datacenters) {
      this.#indices.set(datacenter.name, datacenter.index)
      for (let i = 0; i < gateways; i++) {
        const node = new SimNode(this, nodes.length, datacenter, 'abcdefgh'[i]!)
        nodes.push(node)
        this.#peers.set(node.identity.peerId, node)
        datacenter.nodes.push(node)
      }
    }
    this.nodes = nodes
    this.joinTargets = [nodes[0]!, nodes[nodes.length - 1]!]
    this.#callers = Array.from({ length: 6 }, () => [this.pick(nodes), this.pick(this.datacenters)] as const)
    if (this.random.float() < 0.15) this.pick(this.datacenters).canRaise = false
    this.faults = new Faults(this)
    this.#writeMs = 100 * this.random.float()
    this.#callMs = 1000
    for (const node of nodes) this.faults.at(1500 * this.random.float() ** 3, () => node.start(this.nowMs))
  }

  peerOf(peerId: string): SimNode | undefined {
    return this.#peers.get(peerId)
  }
  indexOf(datacenter: string): number {
    return this.#indices.get(datacenter)!
  }
  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random.float() * list.length)]!
  }

  /** Violation when an invariant is broken. */
  run(steps: number): Outcome {
    while (this.#steps < steps * FAULTY_SHARE) this.#step()
    const faultyMs = this.nowMs
    this.faults.end()
    let settledMs: number | undefined
    let checkMs = this.nowMs
    while (settledMs === undefined || this.#steps < steps) {
      this.#step()
      if (settledMs !== undefined || this.nowMs < checkMs) continue
      checkMs = this.nowMs + 250
      const why = whyNotConverged(this)
      if (why === undefined) settledMs = this.nowMs
      else if (this.nowMs - faultyMs > SETTLE_MS) throw new Violation('liveness', `after ${SETTLE_MS} ms: ${why}`)
      else callOpenLines(this)
    }
    const { hash } = this.trace
    return { steps: this.#steps, events: this.#events, virtualMs: this.nowMs, settleMs: settledMs - faultyMs, hash }
  }

  #step(): void {
    this.#steps++
    let next: SimNode | undefined
    let nextMs = Math.min(this.faults.nextMs, this.#writeMs, this.#callMs)
    for (const node of this.nodes) {
      const atMs = node.nextMs()
      if (atMs < nextMs) {
        nextMs = atMs
        next = node
      }
    }
    this.nowMs = Math.max(this.nowMs, nextMs)
    this.trace.nowMs = this.nowMs
    if (next) {
      const events = next.turn(this.nowMs)
      this.#events += events
      this.trace.note(this.nowMs, next.index, events)
    } else {
      this.#act(nextMs)
    }
    if (this.heldStreams.size > 0) this.#flushStreams()
  }

  #act(nextMs: number): void {
    this.trace.note(this.nowMs, -1)
    if (nextMs === this.faults.nextMs) {
      this.faults.step()
    } else if (nextMs === this.#writeMs) {
      this.#write()
      this.#writeMs = this.faultsOn ? this.nowMs + 2 * this.#writeEveryMs * this.random.float() : NEVER
    } else {
      const [from, to] = this.pick(this.#callers)
      call(this, from, to)
      this.#callMs = this.faultsOn ? this.nowMs + 80 * this.random.float() : NEVER
    }
  }

  #flushStreams(): void {
    for (const stream of this.heldStreams) {
      const { client, server } = stream
      if (this.network.isBlocked(client.index, server.index) || this.network.isBlocked(server.index, client.index))
        continue
      this.heldStreams.delete(stream)
      stream.flush(this.nowMs)
    }
  }

  /** One transaction in some DC whose servers run; a quarter of them export nothing. */
  #write(): void {
    const datacenter = this.pick(this.datacenters)
    if (!datacenter.nodes.some(({ life }) => life)) return
    const values = new Map<string, Uint8Array | null>()
    const keys = this.random.float() < 0.25 ? 0 : 1 + Math.floor(this.random.float() ** 3 * 4)
    for (let i = 0; i < keys; i++) {
      const key = this.pick(KEYS)
      values.set(key, this.random.float() < 0.3 ? null : this.random.bytes(4 + Math.floor(this.random.float() * 8)))
    }
    const written = datacenter.write(values, this.nowMs)
    if (this.trace.verbose)
      this.trace.say(`${datacenter.name}: revision ${written.revision} with ${written.changes.length} changes`)
  }

  /** To all nodes; those that the way is cut to may get it through a third one, if that passes it on. */
  gossip(from: SimNode, said: Said): void {
    const { network } = this
    let relays: Map<SimNode, SimNode[]> | undefined
    for (const to of this.nodes) {
      if (to === from || !to.life) continue
      if (network.isConnected(from.index, to.index) && !network.isBlocked(from.index, to.index)) continue
      const relay = this.#relayBetween(from, to)
      if (!relay) continue
      relays ??= new Map()
      const targets = relays.get(relay)
      if (targets) targets.push(to)
      else relays.set(relay, [to])
    }
    for (const to of this.nodes) if (to !== from && to.life) this.gossipTo(from, to, said, relays?.get(to))
  }

  #relayBetween(from: SimNode, to: SimNode): SimNode | undefined {
    for (let tries = 0; tries < 3; tries++) {
      const relay = this.pick(this.nodes)
      if (relay !== from && relay !== to && this.#carries(from, relay) && this.#carries(relay, to)) return relay
    }
    return undefined
  }
  #carries(from: SimNode, to: SimNode): boolean {
    const { network } = this
    return network.isConnected(from.index, to.index) && !network.isBlocked(from.index, to.index)
  }

  /** Best effort, as links are. */
  gossipTo(from: SimNode, to: SimNode, said: Said, relayTo?: readonly SimNode[]): void {
    if (!this.#carries(from, to)) return
    const { network, random } = this
    const pair = network.pair(from.index, to.index)
    if (network.loss[pair]! > 0 && random.float() < network.loss[pair]!) return
    const atMs = this.nowMs + network.latencyMs(from.index, to.index, false)
    to.arrives(arrivalOf(said, relayTo, atMs))
    if (network.duplication[pair]! > 0 && random.float() < network.duplication[pair]!) {
      to.arrives(arrivalOf(said, undefined, atMs + 300 * random.float()))
    }
  }
}

const arrivalOf = (said: Said, relayTo: readonly SimNode[] | undefined, atMs: number): Arrival =>
  said.kind === 'gossip'
    ? { atMs, kind: 'gossip', opened: said.opened, relayTo }
    : { atMs, kind: 'heartbeat', heartbeat: said.heartbeat, relayTo }
