import type { LogLevel } from './logger.ts'
import { LOG_LEVELS, type LogFollower, type LogLineLevel } from './ports.ts'

/** Who follows a log, beside where it is written to. Lines that nobody takes cost one comparison. */
export class LogTap {
  readonly #followers = new Set<LogFollower>()
  readonly #own: number
  /** Lines below it are made for nobody. */
  lowest: number

  /** `level`: what is written in any case. */
  constructor(level: LogLevel) {
    this.#own = level === 'silent' ? LOG_LEVELS.length : LOG_LEVELS.indexOf(level)
    this.lowest = this.#own
  }

  /** The returned function ends it. Idempotent. */
  follow(follower: LogFollower): () => void {
    this.#followers.add(follower)
    this.#measure()
    return () => {
      this.#followers.delete(follower)
      this.#measure()
    }
  }

  takes(level: LogLineLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= this.lowest
  }

  /** Whether the line is to be written, too. */
  tell(json: string, level: LogLineLevel): boolean {
    const rank = LOG_LEVELS.indexOf(level)
    for (const follower of this.#followers) {
      if (rank >= LOG_LEVELS.indexOf(follower.level)) follower.onLine(json, level)
    }
    return rank >= this.#own
  }

  #measure(): void {
    const levels = [...this.#followers].map(({ level }) => LOG_LEVELS.indexOf(level))
    this.lowest = Math.min(this.#own, ...levels)
  }
}
