import { AtollError } from '../../model/errors.ts'
import { keyPart } from '../../model/keys.ts'
import type { Clock, Logger } from '../../runtime/ports.ts'
import type { Compare } from '../../store/store.ts'
import type { OpenCatalog } from '../open.ts'

export interface ReturnsOptions {
  readonly catalog: OpenCatalog
  readonly clock: Clock
  readonly logger: Logger
  readonly guard: Compare
  /** How long a service must have had passing instances, without a break, before lookups return to it. */
  readonly steadyMs: number
  /** A record of a service that has no instance at all is dropped after so long. */
  readonly forgetMs: number
}

const TICK_MS = 250

interface Watched {
  /** The record: another one means that the service went down again. */
  readonly since: number
  passing: boolean
  /** When it became so. */
  fromMs: number
}

/** Lets lookups return to services whose failover record has stood while they were steady. */
export class Returns {
  readonly #o: ReturnsOptions
  readonly #watched = new Map<string, Watched>()
  readonly #busy = new Set<string>()
  readonly #stop: () => void

  constructor(options: ReturnsOptions) {
    this.#o = options
    const ticker = options.clock.every(TICK_MS, () => this.#tick())
    this.#stop = () => ticker.cancel()
    this.#tick()
  }

  close(): void {
    this.#stop()
  }

  #tick(): void {
    const now = this.#o.clock.nowMs()
    const { registry } = this.#o.catalog.view
    const seen = new Set<string>()
    for (const { service, since } of registry.failovers()) {
      const part = keyPart(service)
      seen.add(part)
      const state = registry.serviceStates.get(part)!
      const passing = state.passing > 0
      let watched = this.#watched.get(part)
      if (watched?.since !== since || watched.passing !== passing) {
        watched = { since, passing, fromMs: now }
        this.#watched.set(part, watched)
      }
      const forMs = now - watched.fromMs
      const due = passing ? forMs >= this.#o.steadyMs : state.entries.length === 0 && forMs >= this.#o.forgetMs
      if (due && !this.#busy.has(part)) void this.#return(part, service, since)
    }
    for (const part of this.#watched.keys()) if (!seen.has(part)) this.#watched.delete(part)
  }

  async #return(part: string, service: string, since: number): Promise<void> {
    this.#busy.add(part)
    try {
      await this.#o.catalog.execute({ kind: 'failover-return', service, since }, { guard: [this.#o.guard] })
      this.#o.logger.info({ service }, 'lookups return to a service that is steady again')
    } catch (error) {
      if (error instanceof AtollError && error.code === 'conflict') return
      this.#o.logger.warn({ error, service }, 'the return of a service could not be recorded; trying again')
    } finally {
      this.#busy.delete(part)
    }
  }
}
