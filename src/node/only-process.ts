/**
 * A node's key is one process's. Where peers refuse this one because another that started earlier uses the key, it ends, unless it
 * has run for long: two that were kept apart are for a person to sort out, and this one publishes nothing meanwhile.
 */
import { AtollError } from '../model/errors.ts'
import type { Clock } from '../runtime/ports.ts'
import { NEWCOMER_MS } from './only-server.ts'

export class OnlyProcess {
  readonly #clock: Clock
  readonly #startedMs: number
  #refusal: AtollError | undefined
  #onRefused: ((refusal: AtollError) => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedMs = clock.nowMs()
  }

  /** Peers refuse this process. */
  refused(message: string): void {
    if (this.#refusal || this.#clock.nowMs() - this.#startedMs >= NEWCOMER_MS) return
    this.#refusal = new AtollError('conflict', message, { field: 'identity.key' })
    this.#onRefused?.(this.#refusal)
  }

  /** Throws AtollError 'conflict' when it was refused already; calls `onRefused`, once, when it is. */
  assert(onRefused: (refusal: AtollError) => void): void {
    if (this.#refusal) throw this.#refusal
    this.#onRefused = onRefused
  }
}
