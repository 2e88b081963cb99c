/**
 * How far this node trusts its own eyes. A node that gets no CPU reads signs of life late and takes the living for dead, so it
 * gives others more time while it has reason to doubt itself. The local health score of Lifeguard (Dadgar, Phillips, Currey:
 * "Lifeguard: Local Health Awareness for More Accurate Failure Detection", 2018), as memberlist has it, fed by late timers.
 */
export interface AwarenessOptions {
  /** How often `tick` is called. */
  readonly tickMs: number
  /** A tick that comes later than this costs a point; four times that, two. Default 400. */
  readonly lateMs?: number
  /** One point is forgiven for each so long without a new one. Default 3,000. */
  readonly recoverMs?: number
  /** Default 4. */
  readonly maxScore?: number
}

/** Timers are a little late on every machine. */
const USUAL_LATENESS_MS = 20

export class Awareness {
  readonly #options: Required<AwarenessOptions>
  #score = 0
  #changedMs = 0
  #lastTickMs: number | undefined

  constructor(options: AwarenessOptions) {
    this.#options = { lateMs: 400, recoverMs: 3000, maxScore: 4, ...options }
  }

  /** 0: as well as can be. */
  get score(): number {
    return this.#score
  }
  get maxScore(): number {
    return this.#options.maxScore
  }

  /** What the time after which others are doubted is to be multiplied with. */
  get factor(): number {
    return this.#score + 1
  }

  /**
   * Call every `tickMs`. Returns for how many milliseconds this node did not listen since the last tick: silence of others
   * within them says nothing.
   */
  tick(nowMs: number): number {
    const { tickMs, lateMs, recoverMs } = this.#options
    const behindMs = Math.max(0, nowMs - (this.#lastTickMs ?? nowMs) - tickMs)
    this.#lastTickMs = nowMs
    if (behindMs >= lateMs) this.doubt(nowMs, behindMs >= 4 * lateMs ? 2 : 1)
    else if (this.#score > 0 && nowMs - this.#changedMs >= recoverMs) this.#change(this.#score - 1, nowMs)
    return behindMs > USUAL_LATENESS_MS ? behindMs : 0
  }

  /** This node was wrong about another, or missed what others did not. */
  doubt(nowMs: number, points = 1): void {
    this.#change(Math.min(this.#options.maxScore, this.#score + points), nowMs)
  }

  #change(score: number, nowMs: number): void {
    this.#score = score
    this.#changedMs = nowMs
  }
}
