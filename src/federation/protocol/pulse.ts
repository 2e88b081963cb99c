/**
 * Whether one DC lives, as this observer hears it: alive, then suspected, then lost. A newer sign of life, by whatever way,
 * ends both at once.
 */
import { type SuspicionBounds, suspicionMs } from '../../model/suspicion.ts'

export interface PulseOptions {
  /** Silence after which a DC is suspected, by an observer that is well. Default 1,600: a beacon is overdue. */
  readonly suspectAfterMs: number
  /** From there until it is lost. Default 1,000 for an observer alone, 600 when others agree. */
  readonly suspicion: SuspicionBounds
}
export const DEFAULT_PULSE: PulseOptions = { suspectAfterMs: 1600, suspicion: { maxMs: 1000, minMs: 600 } }

/** What else there is to judge by. */
export interface Observation {
  /** The observer's doubt in itself (`Awareness.factor`); it gives everyone so many times as long. */
  readonly factor: number
  /** DCs that came to the same suspicion by themselves, and how many of them make certain. */
  readonly confirmations: number
  readonly enough: number
}

/** Who is back so soon was not gone. */
const REFUTED_WITHIN_MS = 3000

export class Pulse {
  readonly #options: PulseOptions
  #heardMs: number | undefined
  #suspected = false
  #lostMs: number | undefined

  constructor(options: PulseOptions) {
    this.#options = options
  }

  /** Never heard, or lost: false. */
  get alive(): boolean {
    return this.#heardMs !== undefined && this.#lostMs === undefined
  }
  get suspected(): boolean {
    return this.alive && this.#suspected
  }

  /** Something strictly newer was said. Returns whether that refutes a loss: it was there all along. */
  heard(nowMs: number): boolean {
    const refuted = this.#lostMs !== undefined && nowMs - this.#lostMs < REFUTED_WITHIN_MS
    this.#heardMs = nowMs
    this.#suspected = false
    this.#lostMs = undefined
    return refuted
  }

  /** Milliseconds since it was heard; undefined when it never was. */
  silentMs(nowMs: number): number | undefined {
    return this.#heardMs === undefined ? undefined : nowMs - this.#heardMs
  }

  /** So much of the silence was the observer's own. */
  forgive(ms: number, nowMs: number): void {
    if (this.#heardMs !== undefined) this.#heardMs = Math.min(nowMs, this.#heardMs + ms)
  }

  /** Silent for long enough that who is well would wonder. */
  isOverdue(nowMs: number): boolean {
    return this.alive && this.silentMs(nowMs)! >= this.#options.suspectAfterMs
  }

  /** Suspects, loses, or leaves it as it is; only `heard` brings it back. */
  judge(nowMs: number, { factor, confirmations, enough }: Observation): void {
    if (!this.isOverdue(nowMs)) return
    const { suspectAfterMs, suspicion } = this.#options
    const silentMs = this.silentMs(nowMs)!
    // What enough others see for themselves does not hang on the eyes of this one.
    const certain = enough > 0 && confirmations >= enough
    const suspectedAtMs = certain ? suspectAfterMs : suspectAfterMs * factor
    this.#suspected = silentMs >= suspectedAtMs
    if (silentMs >= suspectedAtMs + suspicionMs(suspicion, confirmations, enough)) this.#lostMs = nowMs
  }
}
