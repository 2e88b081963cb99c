import { AtollError } from '../model/errors.ts'
import { keyPart, keys } from '../model/keys.ts'
import type { Clock, Logger, Random } from '../runtime/ports.ts'
import type { Compare, KeyValue, OperationResult, Store, TxnResult } from '../store/store.ts'
import type { Command, CommandResult, ExecuteOptions } from './catalog.ts'
import * as codec from './codec.ts'
import { judge, lanesOf } from './commands/judge.ts'
import type { Plan } from './commands/plan.ts'
import { answerAt } from './commands/txn.ts'
import { validate } from './commands/validate.ts'
import { toAtollError } from './errors.ts'
import { Lanes, type Turn } from './lanes.ts'
import type { Tables } from './tables.ts'

/** How a command is executed on behalf of a duty. */
export interface GuardedOptions extends ExecuteOptions {
  /** Must hold too, or nothing is done and the command rejects with 'conflict'. At most four. */
  readonly guard?: readonly Compare[]
}

export interface ExecutorOptions {
  readonly store: Store
  readonly tables: Tables
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** The tables hold everything acknowledged before the call; undefined when they do now. */
  readonly current: () => Promise<void> | undefined
  /** Resolves when the tables hold that revision. */
  readonly reach: (revision: number) => Promise<void> | undefined
  /** Commands that may be under way at once; more are refused as 'overloaded'. Default 16,384. */
  readonly maxInFlight?: number
}

/** Attempts of one transaction against writers of other processes. */
const MAX_CONFLICTS = 64
/** Transactions that one command may be divided into. */
const MAX_PARTS = 10_000
const MAX_PAUSE_MS = 50

/**
 * Makes transactions of commands: judges a command by the tables, compares in the store what it judged, and judges again
 * when that had changed meanwhile. Commands of this process that touch the same things take turns.
 */
export class Executor {
  readonly #o: ExecutorOptions
  readonly #lanes = new Lanes()
  readonly #maxInFlight: number
  #inFlight = 0

  constructor(options: ExecutorOptions) {
    this.#o = options
    this.#maxInFlight = options.maxInFlight ?? 16_384
  }

  get inFlight(): number {
    return this.#inFlight
  }

  async execute(command: Command, options: GuardedOptions = {}): Promise<CommandResult> {
    validate(command)
    if (this.#o.tables.signals.restoring) {
      throw new AtollError(
        'unavailable',
        'a snapshot is being restored; try again in a moment, or restore it once more if that was cut off',
      )
    }
    if (this.#inFlight >= this.#maxInFlight) {
      throw new AtollError('overloaded', `${this.#inFlight} commands are under way; try again later`)
    }
    this.#inFlight++
    const names = this.#standsInLine(command) ? lanesOf(this.#o.tables, command) : []
    const { requestId } = options
    const turns = [this.#lanes.acquire(requestId === undefined ? names : [...names, `r/${requestId}`])]
    try {
      if (turns[0]!.granted) await turns[0]!.granted
      return await this.#run(command, options, turns)
    } catch (error) {
      throw toAtollError(error)
    } finally {
      this.#inFlight--
      for (const turn of turns) turn.release()
    }
  }

  /** `turns` gains at most one, at the services that lose a passing instance. */
  async #run(command: Command, options: GuardedOptions, turns: Turn[]): Promise<CommandResult> {
    const { tables } = this.#o
    let current = false
    let conflicts = 0
    for (let part = 0; part < MAX_PARTS; part++) {
      const outcome = this.#outcomeOf(options.requestId)
      if (outcome) return outcome
      let plan: Plan
      try {
        plan = judge(tables, command)
      } catch (error) {
        // The tables of a distributed store may be behind: nothing is refused by old ones.
        const wait = current ? undefined : this.#o.current()
        if (!wait) throw error
        await wait
        current = true
        continue
      }
      if (plan.then.length === 0) {
        const wait = current ? undefined : this.#o.current()
        if (wait) {
          await wait
          current = true
          continue
        }
        if (options.requestId === undefined || plan.reads) return resultOf(plan, tables.index)
      }
      if (turns.length === 1 && plan.lowered && plan.lowered.length > 0) {
        const turn = this.#lanes.acquire(plan.lowered.map((service) => `s/${service}`))
        turns.push(turn)
        if (turn.granted) {
          await turn.granted
          continue
        }
      }
      const { number } = plan
      const result = await (number ? this.#commitNumbered(plan, number, options) : this.#commit(plan, options))
      if (!result.succeeded) await this.#afterConflict(++conflicts, result, options)
      const behind = this.#o.reach(result.revision)
      if (behind) await this.#catchUp(behind, result, plan, command)
      if (result.succeeded && !plan.partial) return resultOf(plan, tables.indexOf(result.revision))
    }
    throw new AtollError('internal', `${command.kind}: more than ${MAX_PARTS} transactions`)
  }

  /**
   * Numbers need no turns where the store is this process's alone: it takes transactions in their order, and each compares the
   * number before. Where other servers write too, they would come in any order and fail.
   */
  #standsInLine(command: Command): boolean {
    return command.kind !== 'kv-sequence' || this.#o.store.status().driver !== 'embedded'
  }

  async #commitNumbered(
    plan: Plan,
    { prefix, number }: NonNullable<Plan['number']>,
    options: GuardedOptions,
  ): Promise<TxnResult> {
    const taken = this.#o.tables.numbers.take(prefix, number)
    let succeeded = false
    try {
      const result = await this.#commit(plan, options)
      succeeded = result.succeeded
      return result
    } finally {
      taken.end(succeeded)
    }
  }

  /** The next one in turn must see what this one wrote, also in what it does not compare (a range that it deletes). */
  async #catchUp(behind: Promise<void>, { succeeded }: TxnResult, plan: Plan, command: Command): Promise<void> {
    try {
      await behind
    } catch (error) {
      // It is done, whatever became of the tables.
      if (!succeeded || plan.partial) throw error
      this.#o.logger.warn({ error, command: command.kind }, 'the tables did not follow a command')
    }
  }

  #outcomeOf(requestId: string | undefined): CommandResult | undefined {
    if (requestId === undefined) return undefined
    const { tables } = this.#o
    const outcome = tables.signals.outcomes.get(keyPart(requestId))
    if (!outcome) return undefined
    const { applied, key, answer, modRevision } = outcome
    const index = tables.indexOf(modRevision)
    const txn = answer && answerAt(codec.decodeTxnAnswer(answer), index)
    return { index, applied, ...(key !== '' && { key }), ...(txn && { txn }) }
  }

  #commit(plan: Plan, { requestId, guard = [] }: GuardedOptions): Promise<TxnResult> {
    const compares = guard.length > 0 ? [...plan.if, ...guard] : plan.if
    // What failed is read back, to tell a guard that fell from a plan that is old.
    const others = guard.map(({ key }) => ({ range: [key, `${key}\0`] as const }))
    if (requestId === undefined || plan.partial) {
      return this.#o.store.txn({ if: compares, then: plan.then, else: others })
    }
    const key = keys.request(requestId)
    return this.#o.store.txn({
      if: [...compares, { key, target: 'create', op: '=', to: 0 }],
      then: [...plan.then, { put: key, value: codec.encodeOutcome(plan.applied, plan.key, plan.txn) }],
      else: others,
    })
  }

  async #afterConflict(conflicts: number, result: TxnResult, { guard = [] }: GuardedOptions): Promise<void> {
    for (const [i, compare] of guard.entries()) {
      if (!holds(compare, result.results[i])) {
        throw new AtollError(
          'conflict',
          `${compare.key} is not what this command rests on any more; nothing was changed`,
        )
      }
    }
    if (conflicts >= MAX_CONFLICTS) {
      throw new AtollError('overloaded', `other writers changed the same entries ${conflicts} times; try again later`)
    }
    if (conflicts > 2) {
      await this.#o.clock.sleep(this.#o.random.float() * Math.min(MAX_PAUSE_MS, 2 ** (conflicts - 2)))
    }
  }
}

const resultOf = ({ applied, key, txn }: Plan, index: number): CommandResult => ({
  index,
  applied,
  ...(key !== undefined && { key }),
  ...(txn && { txn: answerAt(txn, index) }),
})

function holds(compare: Compare, result: OperationResult | undefined): boolean {
  const kv: KeyValue | undefined = result?.kind === 'range' ? result.kvs[0] : undefined
  if (compare.target === 'value') throw new AtollError('internal', 'a guard compares revisions')
  const found = { version: kv?.version ?? 0, create: kv?.createRevision ?? 0, mod: kv?.modRevision ?? 0 }
  const value = found[compare.target]
  if (compare.op === '=') return value === compare.to
  if (compare.op === '!=') return value !== compare.to
  return compare.op === '<' ? value < compare.to : value > compare.to
}
