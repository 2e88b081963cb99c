/**
 * Whom a replica tails, and when it tries again. What is missing as a whole is first asked of the servers of this node's own
 * DC, each once, beside a tail that stands; then of the nearest gateway of the replica's DC, where that fails of the next one, and so on around; while none
 * can be reached, of servers of other DCs in turn.
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
  /** Gateways of the DC that failed since one did not. */
  #failures = 0
  /** Among how many the last target was chosen; 0 when it was not a gateway of the DC. */
  #choice = 0
  /** The next one of the choice was not tried yet. */
  #hasNext = false

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
    if (!need) this.satisfied()
    this.#choice = 0
    this.#hasNext = false
    const untried = need ? this.nearer(near) : undefined
    const target = untried ? { peer: untried, thirdParty: true } : this.#pick(gateways, need, others)
    this.#had = target !== undefined
    if (target) this.#asked = false
    return target
  }

  /** The next of the near ones that was not asked for what is missing now. */
  nearer(near: readonly Peer[]): Peer | undefined {
    return near[this.#nearAsked++]
  }

  /** Nothing is missing any more. */
  satisfied(): void {
    this.#nearAsked = 0
  }

  #pick(gateways: readonly Peer[], need: boolean, others: () => readonly Peer[]): Target<Peer> | undefined {
    const gateway = gateways[this.#failures % Math.max(1, gateways.length)]
    this.#choice = gateways.length
    if (gateway) return { peer: gateway, thirdParty: false }
    if (!need || !this.#asked) return undefined
    const list = others()
    const peer = list[this.#turn++ % Math.max(1, list.length)]
    return peer && { peer, thirdParty: true }
  }

  /** A transfer came whole on the stream. */
  completed(): void {
    this.#backoffMs = 0
    this.#failures = 0
  }

  /** The stream is over; `complete`: a transfer came whole on it. */
  ended(complete: boolean): void {
    if (complete) {
      this.completed()
      return
    }
    if (this.#choice > 0) this.#failures++
    // A pause is for when all of them failed.
    this.#hasNext = this.#choice > 0 && this.#failures % this.#choice !== 0
    if (!this.#hasNext) this.#backoffMs = Math.min(MAX_BACKOFF_MS, this.#backoffMs * 2 || FIRST_BACKOFF_MS)
  }

  /** Until the next `pick`. */
  pauseMs(): number {
    if (!this.#had) return IDLE_MS
    return this.#hasNext ? AGAIN_MS : Math.max(AGAIN_MS, this.#backoffMs)
  }

  /** Whether `ask` and `look` end the pause at once: not when it is the last one asked who failed. */
  get mayWake(): boolean {
    return this.#backoffMs === 0
  }
}
