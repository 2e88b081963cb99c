/**
 * Whom a replica tails, and when it tries again. What is missing as a whole is first asked of the servers of this node's own
 * DC, each once; then of the nearest gateway of the replica's DC; while none can be reached, of servers of other DCs in turn.
 */

const FIRST_BACKOFF_MS = 250
const MAX_BACKOFF_MS = 5000
/** Between two streams, also when the first ended well. */
const AGAIN_MS = 20
/** When there is nobody to ask, look again after so long. */
const IDLE_MS = 1000

export interface Target<Peer> {
  readonly peer: Peer
  /** One who has only a replica itself. */
  readonly thirdParty: boolean
}

export class Asking<Peer> {
  #backoffMs = 0
  /** Third parties take turns. */
  #turn = 0
  #asked = false
  /** How many of the near ones were asked for what is missing now. */
  #nearAsked = 0
  #had = false

  /** Something is missing. */
  ask(): void {
    this.#asked = true
  }

  /** A gateway of the DC connected: what failed before says nothing of it. */
  look(): void {
    this.#backoffMs = 0
  }

  /**
   * `gateways` of the DC that can be reached, and `others`' servers, both nearest first; `need`: whether anything is missing.
   * `near`: servers of this node's own DC, where more is missing than what changed lately.
   */
  pick(
    gateways: readonly Peer[],
    need: boolean,
    others: () => readonly Peer[],
    near: readonly Peer[] = [],
  ): Target<Peer> | undefined {
    if (!need) this.#nearAsked = 0
    const untried = need ? near[this.#nearAsked++] : undefined
    const target = untried ? { peer: untried, thirdParty: true } : this.#pick(gateways, need, others)
    this.#had = target !== undefined
    if (target) this.#asked = false
    return target
  }

  #pick(gateways: readonly Peer[], need: boolean, others: () => readonly Peer[]): Target<Peer> | undefined {
    const nearest = gateways[0]
    if (nearest) return { peer: nearest, thirdParty: false }
    if (!need || !this.#asked) return undefined
    const list = others()
    const peer = list[this.#turn++ % Math.max(1, list.length)]
    return peer && { peer, thirdParty: true }
  }

  /** A transfer came whole on the stream. */
  completed(): void {
    this.#backoffMs = 0
  }

  /** The stream is over; `complete`: a transfer came whole on it. */
  ended(complete: boolean): void {
    this.#backoffMs = complete ? 0 : Math.min(MAX_BACKOFF_MS, this.#backoffMs * 2 || FIRST_BACKOFF_MS)
  }

  /** Until the next `pick`. */
  pauseMs(): number {
    return this.#had ? Math.max(AGAIN_MS, this.#backoffMs) : IDLE_MS
  }

  /** Whether `ask` and `look` end the pause at once: not when it is the last one asked who failed. */
  get mayWake(): boolean {
    return this.#backoffMs === 0
  }
}
