import type { Clock, Random, Timer } from '../runtime/ports.ts'
import type { Outcome } from './checks/outcome.ts'
import type { KeptStatus } from './persisted.ts'
import { type CheckState, idKey } from './registry.ts'

/** Of an output that is kept across restarts. */
const KEPT_OUTPUT_UNITS = 1024
/** When a critical service could not be deregistered, the next attempt. */
const REAP_AGAIN_MS = 60_000

export interface HealthOptions {
  readonly clock: Clock
  readonly random: Random
  /** About how long a change of the output alone is held back; 0: not at all. */
  readonly updateIntervalMs: number
  /** What the catalog shows of the check has changed. */
  readonly changed: (checkId: string) => void
  /** The check was critical for as long as its service may be. */
  readonly criticalForTooLong: (check: CheckState) => void
}

interface Timers {
  output?: Timer
  reap?: Timer
}

/**
 * The health of the checks: what turns is told at once, what only says something else is told later, and a service
 * whose check stays critical is given up in the end.
 */
export class Health {
  readonly #options: HealthOptions
  readonly #timers = new Map<string, Timers>()

  constructor(options: HealthOptions) {
    this.#options = options
  }

  /** The check is there, new or again, with the status that it has. */
  begin(check: CheckState): void {
    this.#timers.set(idKey(check.definition.checkId), {})
    this.#watchCritical(check)
  }

  end(checkId: string): void {
    const timers = this.#timers.get(idKey(checkId))
    timers?.output?.cancel()
    timers?.reap?.cancel()
    this.#timers.delete(idKey(checkId))
  }

  stop(): void {
    for (const id of [...this.#timers.keys()]) this.end(id)
  }

  /** Whether the status turned. */
  update(check: CheckState, outcome: Outcome): boolean {
    if (check.status === outcome.status) {
      if (check.output !== outcome.output) this.#outputChanged(check, outcome.output)
      return false
    }
    check.status = outcome.status
    check.output = outcome.output
    this.#publish(check)
    this.#watchCritical(check)
    return true
  }

  toKeep(checks: Iterable<CheckState>): KeptStatus[] {
    const kept: KeptStatus[] = []
    for (const { definition, status, output, validUntilWallMs } of checks) {
      kept.push({
        checkId: definition.checkId,
        status,
        output: output.slice(0, KEPT_OUTPUT_UNITS).toWellFormed(),
        ...(validUntilWallMs === undefined ? {} : { validUntilWallMs }),
      })
    }
    return kept
  }

  #outputChanged(check: CheckState, output: string): void {
    const { clock, random, updateIntervalMs } = this.#options
    check.output = output
    const timers = this.#timers.get(idKey(check.definition.checkId))
    if (!timers || timers.output) return
    if (updateIntervalMs <= 0) {
      this.#publish(check)
      return
    }
    timers.output = clock.after(updateIntervalMs * (0.5 + random.float()), () => this.#publish(check))
  }

  #publish(check: CheckState): void {
    const timers = this.#timers.get(idKey(check.definition.checkId))
    timers?.output?.cancel()
    if (timers) timers.output = undefined
    check.catalogOutput = check.output
    this.#options.changed(check.definition.checkId)
  }

  #watchCritical(check: CheckState): void {
    const { clock, criticalForTooLong } = this.#options
    const timers = this.#timers.get(idKey(check.definition.checkId))
    if (!timers) return
    timers.reap?.cancel()
    timers.reap = undefined
    if (check.status !== 'critical') {
      check.criticalSinceMs = undefined
      return
    }
    check.criticalSinceMs ??= clock.nowMs()
    const { deregisterCriticalServiceAfterMs: limitMs, serviceId } = check.definition
    if (limitMs <= 0 || serviceId === '') return
    const due = (): void => {
      timers.reap = clock.after(REAP_AGAIN_MS, due)
      criticalForTooLong(check)
    }
    timers.reap = clock.after(check.criticalSinceMs + limitMs - clock.nowMs(), due)
  }
}
