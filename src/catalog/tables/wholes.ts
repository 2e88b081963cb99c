import type { Table } from '../../model/keys.ts'
import type { Waiters } from './waiters.ts'

export type WholeName = Table | 'coordinates'

interface Whole {
  version: number
  index: number
  dirty: boolean
}

/** Version and index of the things of which there is one: all nodes, all services, all checks, all coordinates. */
export class Wholes {
  readonly #wholes: Record<WholeName, Whole> = {
    nodes: { version: 0, index: 0, dirty: false },
    services: { version: 0, index: 0, dirty: false },
    checks: { version: 0, index: 0, dirty: false },
    coordinates: { version: 0, index: 0, dirty: false },
  }

  get(name: WholeName): { readonly version: number; readonly index: number } {
    return this.#wholes[name]
  }

  touch(name: WholeName, index: number): void {
    const whole = this.#wholes[name]
    whole.dirty = true
    if (whole.index < index) whole.index = index
  }

  isTouched(name: WholeName): boolean {
    return this.#wholes[name].dirty
  }

  /** Gives those that were touched a new version, and wakes who waits for them. */
  settle(nextVersion: () => number, waiters: Waiters): void {
    for (const [name, whole] of Object.entries(this.#wholes)) {
      if (!whole.dirty) continue
      whole.dirty = false
      whole.version = nextVersion()
      waiters.wake(name)
    }
  }
}
