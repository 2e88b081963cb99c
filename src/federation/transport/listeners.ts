import type { Logger } from '../../runtime/ports.ts'

/** Who is told of something; one that fails is logged and holds up nobody. */
export class Listeners<T> {
  readonly #listeners = new Set<(value: T) => void>()
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** The returned function takes the listener back. */
  add(listener: (value: T) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  emit(value: T): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(value)
      } catch (error) {
        this.#logger.error({ error }, 'a listener of the host failed')
      }
    }
  }

  clear(): void {
    this.#listeners.clear()
  }
}
