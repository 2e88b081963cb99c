/** Who a node is connected to, and what two that meet tell each other: as `membership.ts` and `greeting.ts`, in virtual time. */
import type { Gateway } from '../../src/federation/protocol/directory.ts'
import { isNewer, type Opened } from '../../src/federation/protocol/head.ts'
import type { Life, SimNode } from './node.ts'

export interface SimHello {
  readonly records: readonly Opened[]
  /** The highest signed head of the listener's own DC. */
  readonly proof: Opened | undefined
}

/** A greeting without an answer is tried again after so long. */
const RETRY_MS = 3500
/** Between two greetings of one peer on one connection. */
const AGAIN_MS = 5000
const CROWD_MS = 2500
/** Of records that are older than what is known, one of so many is heard all the same. */
const STALE_SAMPLE = 8

export class Meeting {
  readonly #life: Life
  readonly #joins: readonly SimNode[]
  readonly #unreached: Set<SimNode>
  /** Whose first answer is awaited, and since when. */
  readonly #pending = new Map<SimNode, number>()
  #greeted = 0
  readonly #greetedMs = new Map<SimNode, number>()
  #record: Opened | undefined
  #records: { readonly atMs: number; readonly list: readonly Opened[] } | undefined

  constructor(life: Life) {
    const { node } = life
    const { nodes, joinTargets } = node.world
    this.#life = life
    this.#joins = [...joinTargets, ...node.datacenter.nodes].filter((peer) => peer !== node && nodes.includes(peer))
    this.#unreached = new Set(this.#joins)
  }

  /** There is nobody to ask before publishing. */
  get hasNobody(): boolean {
    return this.#joins.length === 0 && this.#life.node.disk.peers.size === 0
  }
  /** At least one peer told what it knows, and no answer is awaited. */
  get settled(): boolean {
    return this.#greeted > 0 && this.#pending.size === 0
  }

  knows(peer: SimNode): boolean {
    const { directory, node } = this.#life
    if (this.#unreached.has(peer) || node.disk.peers.has(peer)) return true
    return directory.gateway(peer.datacenter.name, peer.identity.peerId) !== undefined
  }

  /** Every second or so: drops what fell silent, dials what is missing, asks again. */
  sweep(nowMs: number): void {
    const { node, directory } = this.#life
    const { network, nodes, random } = node.world
    let servers = 0
    for (const peer of nodes) {
      if (peer === node) continue
      if (network.isConnected(node.index, peer.index)) {
        servers++
        if (network.mustDrop(node.index, peer.index, nowMs)) this.#drop(peer, nowMs)
      } else if (random.float() < 0.7 && this.knows(peer)) {
        this.#dial(peer, nowMs)
      }
      if (directory.gateway(peer.datacenter.name, peer.identity.peerId)) node.disk.peers.add(peer)
    }
    if (servers === 0) for (const peer of this.#joins) this.#unreached.add(peer)
    for (const [peer, sinceMs] of this.#pending) if (nowMs - sinceMs >= RETRY_MS) this.#greet(peer, nowMs)
  }

  #drop(peer: SimNode, nowMs: number): void {
    const { node } = this.#life
    const { network } = node.world
    this.#life.disconnected(peer, nowMs)
    if (!network.isBlocked(node.index, peer.index))
      peer.arrives({ kind: 'disconnected', peer: node, atMs: nowMs + network.latencyMs(node.index, peer.index, true) })
  }

  #dial(peer: SimNode, nowMs: number): void {
    const { node } = this.#life
    const { network } = node.world
    if (network.isQuiet(peer.index) || network.isBlocked(node.index, peer.index)) return
    if (network.isBlocked(peer.index, node.index)) return
    // One that still believes in a former connection gives it up for the new one.
    if (network.isConnected(peer.index, node.index)) peer.life!.disconnected(node, nowMs)
    network.setConnected(node.index, peer.index, true)
    network.setConnected(peer.index, node.index, true)
    const atMs = nowMs + network.roundTripMs(node.index, peer.index)
    node.arrives({ kind: 'connected', peer, atMs })
    peer.arrives({ kind: 'connected', peer: node, atMs })
  }

  connected(peer: SimNode, nowMs: number): void {
    const life = this.#life
    this.#unreached.delete(peer)
    if ((life.lines.get(peer)?.inFlight ?? 0) === 0) life.lines.delete(peer)
    life.followers[peer.datacenter.index]?.look(nowMs)
    this.#greet(peer, nowMs)
  }
  disconnected(peer: SimNode): void {
    this.#pending.delete(peer)
  }

  greetAgain(peer: SimNode | undefined, nowMs: number): void {
    const { node } = this.#life
    if (!peer || !node.world.network.isConnected(node.index, peer.index)) return
    if (nowMs - (this.#greetedMs.get(peer) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) return
    this.#greetedMs.set(peer, nowMs)
    this.#greet(peer, nowMs)
  }

  #greet(peer: SimNode, nowMs: number): void {
    this.#pending.set(peer, nowMs)
    this.#send(peer, false, nowMs)
  }

  #send(peer: SimNode, answer: boolean, nowMs: number): void {
    const { node, directory, followers, publishing } = this.#life
    const { network, wire } = node.world
    if (network.isBlocked(node.index, peer.index) || !network.isConnected(node.index, peer.index)) return
    this.#record ??= wire.seal(node.identity, publishing.publisher.gateway())
    const records = [this.#record, ...(this.#isCrowd ? [] : this.#known(nowMs))]
    const farewell = directory.farewell(peer.datacenter.name, peer.identity.peerId)
    if (farewell) records.push(wire.open(farewell))
    const proof = followers[peer.datacenter.index]?.replica.top?.envelope
    const hello: SimHello = { records, proof: proof && wire.open(proof) }
    const atMs = nowMs + network.latencyMs(node.index, peer.index, true)
    peer.arrives({ kind: 'hello', from: node, hello, answer, atMs })
  }

  /** Records of all gateways; one list for all greetings of one turn. */
  #known(nowMs: number): readonly Opened[] {
    const { directory, node } = this.#life
    if (this.#records?.atMs !== nowMs)
      this.#records = { atMs: nowMs, list: directory.records().map((bytes) => node.world.wire.open(bytes)) }
    return this.#records.list
  }

  /**
   * When everyone meets everyone at the start, thousands of greetings tell the same: most of them are then about the one
   * who greets alone.
   */
  get #isCrowd(): boolean {
    const { nowMs, random } = this.#life.node.world
    return nowMs < CROWD_MS && random.float() < 0.85
  }

  hello(from: SimNode, hello: SimHello, answer: boolean, nowMs: number): void {
    this.#absorb(hello, from, nowMs)
    if (!answer) this.#send(from, true, nowMs)
    if (!answer || !this.#pending.delete(from)) return
    this.#greeted++
    if (this.settled) this.#life.publish(nowMs)
  }

  #absorb({ records, proof }: SimHello, from: SimNode, nowMs: number): void {
    const life = this.#life
    const { node, directory } = life
    node.hit('hello: absorbed')
    if (proof) {
      node.hit('hello: proof of the own datacenter')
      life.hear(proof, 'hearsay', from, undefined, nowMs)
    }
    for (const record of records) {
      const { datacenter, peerId } = record.identity
      const known = directory.gateway(datacenter, peerId)
      if (known && this.#isStale(record, known)) continue
      life.hear(record, 'hearsay', from, undefined, nowMs)
      if (!known && peerId === from.identity.peerId) node.world.gossip(node, { kind: 'gossip', opened: record })
    }
  }

  /** Known to the byte, or older than what is known: to hear all of that again would be most of the simulation. */
  #isStale(record: Opened, known: Gateway): boolean {
    if (known.record === record.bytes) return true
    const { message } = record
    if (message.type === 'unknown' || isNewer('head' in message ? message.head : message, known.stamp)) return false
    return this.#life.node.world.random.float() * STALE_SAMPLE >= 1
  }
}
