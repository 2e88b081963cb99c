/** The checks that a node runs by itself, by id: starts the runner of each definition's kind, and stops it. */
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { Clock, Random } from '../../runtime/ports.ts'
import type { CheckProbes } from '../../runtime/probes.ts'
import { idKey } from '../registry.ts'
import { type AliasedNode, aliasOutcome } from './alias.ts'
import { IntervalLoop } from './interval.ts'
import { type IntervalKind, intervalKindOf, type ReadNode } from './kinds.ts'
import type { Outcome } from './outcome.ts'
import { Slots } from './slots.ts'
import { Threshold } from './threshold.ts'
import { TtlTimer } from './ttl.ts'

export interface ChecksOptions {
  readonly clock: Clock
  readonly random: Random
  readonly probes: CheckProbes
  /** For aliases: what is registered with this node, and what the catalog knows of others. */
  readonly own: AliasedNode
  readonly readNode: ReadNode
  /** How many run at once. */
  readonly concurrent: number
  /** A check has come to an outcome that counts, perhaps the same as before. */
  readonly report: (checkId: string, outcome: Outcome) => void
  /** A run was told how busy its service is. */
  readonly reportLoad: (serviceId: string, load: number) => void
}

interface Runner {
  readonly definition: LocalCheckDefinition
  stop(): void
  updated?(output: string): void
  /** Of an alias of this node's own: something that it may depend on has changed. */
  ownChanged?(): void
}

/** Of aliases of other nodes. */
const ALIAS_INTERVAL_MS = 10_000
/** Aliases of aliases settle within as many rounds as they are deep; rings of them do not go on for ever. */
const MAX_ALIAS_ROUNDS = 32

export class Checks {
  readonly #options: ChecksOptions
  readonly #slots: Slots
  readonly #runners = new Map<string, Runner>()
  readonly #aliases = new Set<string>()
  #ownChanged = false
  #following = false

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
    if (!runner) return
    this.#runners.set(idKey(definition.checkId), { definition, ...runner })
    if (runner.ownChanged) this.#aliases.add(idKey(definition.checkId))
  }

  stop(checkId: string): void {
    this.#runners.get(idKey(checkId))?.stop()
    this.#runners.delete(idKey(checkId))
    this.#aliases.delete(idKey(checkId))
  }

  /** What is registered here has changed, or turned: aliases follow at once. */
  ownChanged(): void {
    this.#ownChanged = true
    if (this.#following || this.#aliases.size === 0) return
    this.#following = true
    for (let round = 0; this.#ownChanged && round < MAX_ALIAS_ROUNDS; round++) {
      this.#ownChanged = false
      for (const key of [...this.#aliases]) this.#runners.get(key)?.ownChanged?.()
    }
    this.#following = false
  }

  /** A TTL check was heard of: its term begins anew. */
  heard(checkId: string, output: string): void {
    this.#runners.get(idKey(checkId))?.updated?.(output)
  }

  stopAll(): void {
    for (const id of [...this.#runners.keys()]) this.stop(id)
  }

  #runnerOf(definition: LocalCheckDefinition, spread: boolean): Omit<Runner, 'definition'> | undefined {
    const { clock, probes, own, readNode, report } = this.#options
    const { ttlMs, alias, checkId } = definition
    const kind = intervalKindOf(definition, probes, readNode)
    if (kind) return this.#loop(definition, spread, kind)
    if (ttlMs !== undefined) {
      const timer = new TtlTimer({ clock, ttlMs, report: (outcome) => report(checkId, outcome) })
      return { stop: () => timer.stop(), updated: (output) => timer.updated(output) }
    }
    if (alias) return { stop: () => {}, ownChanged: () => report(checkId, aliasOutcome(alias, own, checkId)) }
    // Maintenance has nothing to run.
    return undefined
  }

  #loop(definition: LocalCheckDefinition, spread: boolean, kind: IntervalKind): Omit<Runner, 'definition'> {
    const loop = new IntervalLoop({
      timedOut: kind.timedOut,
      run: async (signal, timeoutMs) => {
        const outcome = await kind.run(signal, timeoutMs)
        if (outcome.load !== undefined && !signal.aborted) this.#options.reportLoad(definition.serviceId, outcome.load)
        return outcome
      },
      intervalMs: definition.alias ? ALIAS_INTERVAL_MS : definition.intervalMs,
      timeoutMs: definition.timeoutMs,
      spread,
      threshold: new Threshold(definition),
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

const signature = (definition: LocalCheckDefinition): string => {
  const { checkId: _id, name: _name, notes: _notes, serviceId: _service, status: _status, ...run } = definition
  const { deregisterCriticalServiceAfterMs: _after, type: _type, definition: _shown, fromFile: _file, ...rest } = run
  return JSON.stringify(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)))
}
