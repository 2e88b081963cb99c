/** The checks that a node runs by itself, by id: starts the runner of each definition's kind, and stops it. */
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { Clock, HttpProbe, Random, TcpProbe } from '../../runtime/ports.ts'
import { idKey } from '../registry.ts'
import { httpTimedOut, runHttpCheck } from './http.ts'
import { IntervalLoop, type IntervalOptions } from './interval.ts'
import type { Outcome } from './outcome.ts'
import { Slots } from './slots.ts'
import { runTcpCheck, tcpTimedOut } from './tcp.ts'
import { Threshold } from './threshold.ts'
import { TtlTimer } from './ttl.ts'

export interface ChecksOptions {
  readonly clock: Clock
  readonly random: Random
  readonly httpProbe: HttpProbe
  readonly tcpProbe: TcpProbe
  /** How many run at once. */
  readonly concurrent: number
  /** A check has come to an outcome that counts, perhaps the same as before. */
  readonly report: (checkId: string, outcome: Outcome) => void
}

interface Runner {
  readonly definition: LocalCheckDefinition
  stop(): void
  updated?(output: string): void
}

export class Checks {
  readonly #options: ChecksOptions
  readonly #slots: Slots
  readonly #runners = new Map<string, Runner>()

  constructor(options: ChecksOptions) {
    this.#options = options
    this.#slots = new Slots(options.concurrent)
  }

  /**
   * Runs a check from now on, in place of one of the same id. One that is registered again unchanged goes on as it is
   * (a service that registers itself every few seconds would otherwise never be checked); a TTL gets a full term.
   * `spread`: one of many that start together.
   */
  start(definition: LocalCheckDefinition, options: { spread: boolean }): void {
    const running = this.#runners.get(idKey(definition.checkId))
    if (running && definition.ttlMs === undefined && sameRun(running.definition, definition)) return
    this.stop(definition.checkId)
    const runner = this.#runnerOf(definition, options.spread)
    if (runner) this.#runners.set(idKey(definition.checkId), { definition, ...runner })
  }

  stop(checkId: string): void {
    this.#runners.get(idKey(checkId))?.stop()
    this.#runners.delete(idKey(checkId))
  }

  /** A TTL check was heard of: its term begins anew. */
  heard(checkId: string, output: string): void {
    this.#runners.get(idKey(checkId))?.updated?.(output)
  }

  stopAll(): void {
    for (const id of [...this.#runners.keys()]) this.stop(id)
  }

  #runnerOf(definition: LocalCheckDefinition, spread: boolean): Omit<Runner, 'definition'> | undefined {
    const { clock, httpProbe, tcpProbe } = this.#options
    const { http, tcp, ttlMs, checkId } = definition
    if (http) {
      return this.#loop(definition, spread, {
        run: (signal) => runHttpCheck(http, definition.outputMaxBytes, httpProbe, signal),
        timedOut: httpTimedOut(http),
      })
    }
    if (tcp) {
      return this.#loop(definition, spread, {
        run: (signal, timeoutMs) => runTcpCheck(tcp, timeoutMs, tcpProbe, signal),
        timedOut: tcpTimedOut(tcp),
      })
    }
    if (ttlMs !== undefined) {
      const timer = new TtlTimer({ clock, ttlMs, report: (outcome) => this.#options.report(checkId, outcome) })
      return { stop: () => timer.stop(), updated: (output) => timer.updated(output) }
    }
    // Maintenance has nothing to run.
    return undefined
  }

  #loop(
    definition: LocalCheckDefinition,
    spread: boolean,
    kind: Pick<IntervalOptions, 'run' | 'timedOut'>,
  ): Omit<Runner, 'definition'> {
    const loop = new IntervalLoop({
      ...kind,
      intervalMs: definition.intervalMs,
      timeoutMs: definition.timeoutMs,
      spread,
      threshold: new Threshold(definition.successBeforePassing, definition.failuresBeforeCritical),
      clock: this.#options.clock,
      random: this.#options.random,
      slots: this.#slots,
      report: (outcome) => this.#options.report(definition.checkId, outcome),
    })
    return { stop: () => loop.stop() }
  }
}

/** Whether two definitions run alike; names and notes do not matter. */
const sameRun = (a: LocalCheckDefinition, b: LocalCheckDefinition): boolean => signature(a) === signature(b)

const signature = (definition: LocalCheckDefinition): string =>
  JSON.stringify([
    definition.http ?? null,
    definition.tcp ?? null,
    definition.intervalMs,
    definition.timeoutMs,
    definition.successBeforePassing,
    definition.failuresBeforeCritical,
    definition.outputMaxBytes,
  ])
