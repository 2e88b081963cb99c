import { messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'

interface Part {
  readonly name: string
  readonly stop: () => void | Promise<void>
}

/** What was started, to be stopped in reverse; one part that fails or hangs does not keep the others. */
export class StopStack {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #parts: Part[] = []
  #stopping: Promise<void> | undefined

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  /** What comes after all was stopped (it took its time to start) is stopped as it comes. */
  push(name: string, stop: () => void | Promise<void>): void {
    this.#parts.push({ name, stop })
    if (this.#stopping !== undefined) this.#stopping = this.#stopping.then(() => this.#unwind(DEFAULT_PART_MS))
  }

  /** Idempotent; each part has `partMs`. */
  stop(partMs = DEFAULT_PART_MS): Promise<void> {
    this.#stopping ??= this.#unwind(partMs)
    return this.#stopping
  }

  async #unwind(partMs: number): Promise<void> {
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) await this.#stopPart(part, partMs)
  }

  async #stopPart({ name, stop }: Part, partMs: number): Promise<void> {
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

const DEFAULT_PART_MS = 3_000
