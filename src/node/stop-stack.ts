import { messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'

/** What was started, to be stopped in reverse; one part that fails or hangs does not keep the others. */
export class StopStack {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #parts: { name: string; stop: () => void | Promise<void> }[] = []
  #stopping: Promise<void> | undefined

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  push(name: string, stop: () => void | Promise<void>): void {
    this.#parts.push({ name, stop })
  }

  /** Idempotent; each part has `partMs`. */
  stop(partMs = 3_000): Promise<void> {
    this.#stopping ??= this.#unwind(partMs)
    return this.#stopping
  }

  async #unwind(partMs: number): Promise<void> {
    for (const { name, stop } of this.#parts.reverse()) {
      const deadline = this.#clock.deadline(partMs)
      try {
        const late = new Promise<never>((_, reject) => {
          deadline.signal.addEventListener('abort', () => reject(deadline.signal.reason), { once: true })
        })
        await Promise.race([stop(), late])
      } catch (error) {
        this.#logger.warn({ part: name, reason: messageOf(error) }, 'a part did not stop in good order')
      } finally {
        deadline.done()
      }
    }
  }
}
