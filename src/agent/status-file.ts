import { messageOf } from '../model/errors.ts'
import type { Clock, Logger, Timer } from '../runtime/ports.ts'
import type { KeptStatus } from './persisted.ts'
import type { Persistence } from './persistence.ts'

/** At most one write in so long: TTL checks are heard of all the time, and each write is an fsync. */
const SPACING_MS = 1000
/** After a write that failed. */
const RETRY_MS = 10_000

/** Keeps the health of all checks on disk, a little behind: the first change at once, later ones gathered. */
export class StatusFile {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #persistence: Persistence
  readonly #collect: () => readonly KeptStatus[]
  #timer: Timer | undefined
  #writing: Promise<void> | undefined
  #changed = false
  #nextWriteMs = 0
  #failed = false
  #closed = false

  constructor(options: {
    clock: Clock
    logger: Logger
    persistence: Persistence
    /** What is to be written, called when it is written. */
    collect: () => readonly KeptStatus[]
  }) {
    this.#clock = options.clock
    this.#logger = options.logger
    this.#persistence = options.persistence
    this.#collect = options.collect
  }

  changed(): void {
    this.#changed = true
    this.#schedule()
  }

  /** Writes what is outstanding. Does not reject. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#writing
    if (this.#changed) await this.#write()
  }

  #schedule(): void {
    if (this.#timer || this.#writing || this.#closed) return
    this.#timer = this.#clock.after(Math.max(0, this.#nextWriteMs - this.#clock.nowMs()), () => {
      this.#timer = undefined
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined
        if (this.#changed) this.#schedule()
      })
    })
  }

  async #write(): Promise<void> {
    this.#changed = false
    try {
      await this.#persistence.writeStatuses(this.#collect())
      this.#nextWriteMs = this.#clock.nowMs() + SPACING_MS
      if (this.#failed) this.#logger.info({}, "the health of this agent's checks is kept on disk again")
      this.#failed = false
    } catch (error) {
      this.#changed = true
      this.#nextWriteMs = this.#clock.nowMs() + RETRY_MS
      if (!this.#failed) {
        this.#logger.warn(
          { reason: messageOf(error) },
          "could not keep the health of this agent's checks on disk: after a restart they begin with an older one",
        )
      }
      this.#failed = true
    }
  }
}
