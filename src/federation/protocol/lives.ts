/**
 * One key is one process, which ends before it starts anew. What a former life said may still be on its way for a while; when it
 * goes on to say new things, there are two.
 */
import { isNewer, type Stamp } from './head.ts'

/** What was on its way when the new life was first heard has arrived by then. */
const STRAGGLERS_MS = 3000
/** New things that a former life has to say before it counts, since gossip may bring old ones late and in disorder. */
const ENOUGH = 3

/** The life of a gateway that was heard before the present one, at one of its peers. */
export class FormerLife {
  #last: Stamp
  readonly #endedMs: number
  #said = 0

  /** `last`: the latest that it said; `endedMs`: when the present life was first heard. */
  constructor(last: Stamp, endedMs: number) {
    this.#last = last
    this.#endedMs = endedMs
  }

  /** Whether it is clear that it goes on. */
  heard(stamp: Stamp, nowMs: number): boolean {
    if (stamp.boot !== this.#last.boot || !isNewer(stamp, this.#last)) return false
    this.#last = { boot: stamp.boot, sequence: stamp.sequence }
    if (nowMs - this.#endedMs < STRAGGLERS_MS) return false
    return ++this.#said >= ENOUGH
  }
}

/** A node that just started hears of its former life; later ones are another process. */
const YOUNG_MS = 10_000
/** One that says nothing for so long is gone. */
const SILENT_MS = 5000

/** What this gateway's own key says in another process. */
export class OwnEcho {
  readonly #startedMs: number
  #highest: Stamp | undefined
  #said = 0
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(startedMs: number) {
    this.#startedMs = startedMs
  }

  /**
   * A message with this gateway's signature that it has not said in this life. `move`: it is of a former life since when the
   * clock went back, and this one has to go on above it. `twin`: another process says it now.
   */
  heard(stamp: Stamp, own: Stamp, nowMs: number): 'move' | 'twin' | 'nothing' {
    if (!isNewer(stamp, own)) return 'nothing'
    if (nowMs - this.#startedMs < YOUNG_MS) return 'move'
    if (!isNewer(stamp, this.#highest)) return 'nothing'
    this.#highest = { boot: stamp.boot, sequence: stamp.sequence }
    this.#lastMs = nowMs
    return ++this.#said >= ENOUGH ? 'twin' : 'nothing'
  }

  /** Call now and then: what this gateway has to go above, now that the other is silent. */
  tick(nowMs: number): Stamp | undefined {
    const highest = this.#highest
    if (!highest || nowMs - this.#lastMs < SILENT_MS) return undefined
    this.#highest = undefined
    this.#said = 0
    return highest
  }
}
