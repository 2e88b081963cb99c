/**
 * Who reaches whom, how fast and how surely. Between DCs every direction can be cut for itself; inside a DC too, and the
 * WAN side of a single gateway. All times are virtual milliseconds.
 */
import type { SeededRandom } from '../../src/runtime/virtual.ts'

const NEVER = Number.POSITIVE_INFINITY
/** A connection on which nothing came for so long is dropped by that side. */
const DROP_AFTER_MS = 3600
const MAX_REORDER_MS = 500

export class Network {
  readonly datacenters: number
  readonly gateways: number
  readonly nodes: number
  readonly #random: SeededRandom
  readonly #oneWayMs: Float64Array
  /** Since when a direction between two DCs is cut; Infinity while it is whole. */
  readonly #cutSinceMs: Float64Array
  readonly #outCutSinceMs: Float64Array
  readonly #inCutSinceMs: Float64Array
  /** Since when a node says nothing, being down or stalled. */
  readonly #quietSinceMs: Float64Array
  /** Views of connections: `a * nodes + b` is what `a` believes. */
  readonly #connected: Uint8Array
  readonly loss: Float64Array
  readonly duplication: Float64Array
  readonly reordering: Float64Array

  constructor(datacenters: number, gateways: number, random: SeededRandom) {
    this.datacenters = datacenters
    this.gateways = gateways
    this.nodes = datacenters * gateways
    this.#random = random
    const pairs = datacenters * datacenters
    this.#oneWayMs = new Float64Array(pairs)
    this.#cutSinceMs = new Float64Array(pairs).fill(NEVER)
    this.loss = new Float64Array(pairs)
    this.duplication = new Float64Array(pairs)
    this.reordering = new Float64Array(pairs)
    this.#outCutSinceMs = new Float64Array(this.nodes).fill(NEVER)
    this.#inCutSinceMs = new Float64Array(this.nodes).fill(NEVER)
    this.#quietSinceMs = new Float64Array(this.nodes)
    this.#connected = new Uint8Array(this.nodes * this.nodes)
    this.#layOut()
  }

  /** Places on a plane: 1 to some 140 ms one way, half a millisecond inside. */
  #layOut(): void {
    const places = Array.from({ length: this.datacenters }, () => [this.#random.float(), this.#random.float()])
    for (let a = 0; a < this.datacenters; a++) {
      for (let b = 0; b < this.datacenters; b++) {
        const [ax, ay] = places[a]!
        const [bx, by] = places[b]!
        const distance = Math.sqrt((ax! - bx!) ** 2 + (ay! - by!) ** 2)
        this.#oneWayMs[a * this.datacenters + b] = a === b ? 0.5 : 1 + 100 * distance
      }
    }
  }

  datacenterOf(node: number): number {
    return Math.floor(node / this.gateways)
  }
  pair(from: number, to: number): number {
    return this.datacenterOf(from) * this.datacenters + this.datacenterOf(to)
  }
  roundTripMs(a: number, b: number): number {
    return 2 * this.#oneWayMs[this.pair(a, b)]!
  }
  /** The longest that one message takes, from one node to another. */
  get maxLatencyMs(): number {
    return 1.2 * Math.max(...this.#oneWayMs) + MAX_REORDER_MS
  }
  /** For one message; what reorders is held up for up to half a second. */
  latencyMs(from: number, to: number, inOrder: boolean): number {
    const pair = this.pair(from, to)
    const late = !inOrder && this.#random.float() < this.reordering[pair]! ? MAX_REORDER_MS * this.#random.float() : 0
    return this.#oneWayMs[pair]! * (1 + 0.2 * this.#random.float()) + late
  }

  cut(fromDc: number, toDc: number, nowMs: number): void {
    const pair = fromDc * this.datacenters + toDc
    this.#cutSinceMs[pair] = Math.min(this.#cutSinceMs[pair]!, nowMs)
  }
  heal(fromDc: number, toDc: number): void {
    this.#cutSinceMs[fromDc * this.datacenters + toDc] = NEVER
  }
  cutWan(node: number, out: boolean, into: boolean, nowMs: number): void {
    if (out) this.#outCutSinceMs[node] = Math.min(this.#outCutSinceMs[node]!, nowMs)
    if (into) this.#inCutSinceMs[node] = Math.min(this.#inCutSinceMs[node]!, nowMs)
  }
  healWan(node: number): void {
    this.#outCutSinceMs[node] = NEVER
    this.#inCutSinceMs[node] = NEVER
  }
  healAll(): void {
    this.#cutSinceMs.fill(NEVER)
    this.#outCutSinceMs.fill(NEVER)
    this.#inCutSinceMs.fill(NEVER)
    this.loss.fill(0)
    this.duplication.fill(0)
    this.reordering.fill(0)
  }
  /** Undefined: it speaks again. */
  setQuiet(node: number, sinceMs: number | undefined): void {
    this.#quietSinceMs[node] = sinceMs ?? NEVER
  }
  isQuiet(node: number): boolean {
    return this.#quietSinceMs[node]! < NEVER
  }

  #blockedSinceMs(from: number, to: number): number {
    const pair = this.pair(from, to)
    const cutMs = this.#cutSinceMs[pair]!
    if (this.datacenterOf(from) === this.datacenterOf(to)) return cutMs
    return Math.min(cutMs, this.#outCutSinceMs[from]!, this.#inCutSinceMs[to]!)
  }
  /** Nothing passes in this direction. */
  isBlocked(from: number, to: number): boolean {
    return this.#blockedSinceMs(from, to) < NEVER
  }
  /** Since `node` last heard anything of `peer`; pings are many, so that is when they ceased to come. */
  silentMs(node: number, peer: number, nowMs: number): number {
    return Math.max(0, nowMs - Math.min(this.#blockedSinceMs(peer, node), this.#quietSinceMs[peer]!))
  }

  isConnected(node: number, peer: number): boolean {
    return this.#connected[node * this.nodes + peer] === 1
  }
  setConnected(node: number, peer: number, connected: boolean): void {
    this.#connected[node * this.nodes + peer] = connected ? 1 : 0
  }
  /** Connected, and said something lately. */
  reaches(node: number, peer: number, silentMs: number, nowMs: number): boolean {
    return this.isConnected(node, peer) && this.silentMs(node, peer, nowMs) <= silentMs
  }
  mustDrop(node: number, peer: number, nowMs: number): boolean {
    return this.silentMs(node, peer, nowMs) > DROP_AFTER_MS
  }
}
