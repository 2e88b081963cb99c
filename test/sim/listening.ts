/**
 * What a life of a node may conclude from what came to it: how old its replicas are, and which DCs live. It is worked out from the truth,
 * and from which messages came for the first time; it knows nothing of boots and sequences.
 */
import type { Opened } from '../../src/federation/protocol/head.ts'
import type { Heartbeat } from '../../src/federation/protocol/heartbeat.ts'
import { DEFAULT_PULSE } from '../../src/federation/protocol/pulse.ts'
import { compareEpoch } from '../../src/model/epoch.ts'
import type { Follower } from './follower.ts'
import { Violation } from './invariants.ts'
import type { Life } from './node.ts'
import { epochName } from './store.ts'

const TICK_MS = 200
/** As production: a tick that is later than this says that the node did not listen. */
const USUAL_LATENESS_MS = 20
/** Two ticks, and as much again for what a turn may be late. */
const LIFE_SLACK_MS = 800
/** Messages of each DC that are kept to be told again. */
const MAX_LATELY = 16

export class Listening {
  readonly #life: Life
  readonly #startedMs: number
  readonly #came = new WeakSet<Opened>()
  /** Highest index of each chain. */
  readonly #beats = new Map<string, number>()
  /** By DC, on the clock of `#listenedMs`: when something of it came for the first time. */
  readonly #newsMs: number[] = []
  readonly #lately: Opened[][] = []
  /** How long the node listened, which is not while it was stopped. */
  #listenedMs = 0
  #lastTickMs: number

  constructor(life: Life, nowMs: number) {
    this.#life = life
    this.#startedMs = nowMs
    this.#lastTickMs = nowMs
  }

  /** A signed message came; not from memory. */
  came(opened: Opened): void {
    const { message } = opened
    if (!('head' in message) || this.#came.has(opened)) return
    this.#came.add(opened)
    const datacenter = this.#life.node.world.indexOf(message.datacenter)
    this.#newsMs[datacenter] = this.#listenedMs
    this.#lately[datacenter] ??= []
    const lately = this.#lately[datacenter]
    lately.push(opened)
    if (lately.length > MAX_LATELY) lately.shift()
  }

  beat({ ref, index }: Heartbeat): void {
    if (index <= (this.#beats.get(ref) ?? 0)) return
    this.#beats.set(ref, index)
    this.#newsMs[this.#life.node.world.chains.get(ref)!] = this.#listenedMs
  }

  /** What came of a DC lately, to be told again. */
  lately(datacenter: number): readonly Opened[] {
    return this.#lately[datacenter] ?? []
  }

  /** Just after the directory's tick. */
  ticked(nowMs: number): void {
    const elapsedMs = nowMs - this.#lastTickMs
    this.#lastTickMs = nowMs
    this.#listenedMs += elapsedMs - TICK_MS > USUAL_LATENESS_MS ? TICK_MS : elapsedMs
  }

  /** Violation when the replica of a DC that lives here lacks what it had exported before the age that it states. */
  check(follower: Follower, nowMs: number): void {
    const { node, directory } = this.#life
    const { world } = node
    const { name, exports } = world.datacenters[follower.datacenter]!
    if (!directory.isLive(name)) return
    const silentMs = this.#listenedMs - (this.#newsMs[follower.datacenter] ?? 0)
    const { suspectAfterMs, suspicion } = DEFAULT_PULSE
    // Twice as long where it hears nobody, and once more for each point of doubt in itself.
    const lostAfterMs = suspectAfterMs * (directory.awareness.score + 2) + suspicion.maxMs
    if (silentMs > lostAfterMs + LIFE_SLACK_MS)
      throw new Violation(
        'life',
        `${name} lives in ${node.name}, which heard nothing new for ${Math.round(silentMs)} ms`,
      )
    const { replica, headHeard } = follower
    const ageMs = replica.ageMs(nowMs)
    // Before it stood anywhere in this life its age hangs on the wall clock, which may have been set back. Sums may differ by a bit.
    const isOfThisLife = nowMs - ageMs > this.#startedMs + 0.001
    if (!replica.epoch || !headHeard || replica.isQuarantined(nowMs) || !isOfThisLife) return
    const due = exports.at(nowMs - ageMs - world.ageSlackMs)
    if (!due) return
    const order = compareEpoch(replica.epoch, due.epoch)
    if (order === 'newer' || (order === 'same' && replica.revision >= due.revision)) return
    const held = `${replica.revision} of ${epochName(replica.epoch)}`
    throw new Violation(
      'age',
      `${name} in ${node.name} states ${Math.round(ageMs)} ms and holds ${held}, but ${due.revision} of ` +
        `${epochName(due.epoch)} was exported ${Math.round(nowMs - due.atMs)} ms ago`,
    )
  }
}
