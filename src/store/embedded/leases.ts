import type { Clock, Timer } from '../../runtime/ports.ts'

/** A timer that comes later than this tells that the process stood still, and with it those who would have renewed. */
const STALL_MS = 1000

interface Held {
  readonly id: number
  readonly ttlMs: number
  endMs: number
  timer: Timer
}

/**
 * The terms of the leases, on the clock of this process. A renewal only moves the end; the timer notices when it fires.
 * After a start, and after a stall of the process, every lease has a full term.
 */
export class LeaseTerms {
  readonly #clock: Clock
  readonly #onLapse: (id: number) => void
  readonly #held = new Map<number, Held>()

  constructor(clock: Clock, onLapse: (id: number) => void) {
    this.#clock = clock
    this.#onLapse = onLapse
  }

  begin(id: number, ttlMs: number): void {
    const timer = this.#clock.after(ttlMs, () => this.#onTimer(id))
    this.#held.set(id, { id, ttlMs, endMs: this.#clock.nowMs() + ttlMs, timer })
  }

  /** Whether there was such a lease. */
  renew(id: number): boolean {
    const held = this.#held.get(id)
    if (held) held.endMs = this.#clock.nowMs() + held.ttlMs
    return held !== undefined
  }

  /** Whether there was such a lease. */
  end(id: number): boolean {
    this.#held.get(id)?.timer.cancel()
    return this.#held.delete(id)
  }

  stop(): void {
    for (const { timer } of this.#held.values()) timer.cancel()
    this.#held.clear()
  }

  #onTimer(id: number): void {
    const held = this.#held.get(id)
    if (!held) return
    const nowMs = this.#clock.nowMs()
    if (nowMs - held.endMs > STALL_MS) {
      for (const other of this.#held.values()) other.endMs = nowMs + other.ttlMs
    }
    // Timers may fire a fraction of a millisecond early.
    const leftMs = held.endMs - nowMs
    if (leftMs > 0.5) {
      held.timer = this.#clock.after(leftMs, () => this.#onTimer(id))
      return
    }
    this.#held.delete(id)
    this.#onLapse(id)
  }
}
