/** Judges a history: every key and lock by itself for linearizability, and the watches by their guarantees. */
import { type CheckLimits, check, type Operation, type Verdict } from './checker.ts'
import { byKey, type History, type Recorded } from './history.ts'
import { type KvOp, kvModel } from './kv-model.ts'
import { type LockOp, lockModel, withLapses } from './lock-model.ts'
import { judgeWatches } from './watch-log.ts'

export interface Finding {
  readonly what: string
  /** The key, or the watch. */
  readonly of: string
  readonly detail: string
}

export interface Judgement {
  readonly findings: readonly Finding[]
  /** Keys for which neither was shown within the limits. */
  readonly gaveUp: readonly string[]
  readonly steps: number
}

export function judge(history: History, limits: CheckLimits = {}): Judgement {
  const findings: Finding[] = []
  const gaveUp: string[] = []
  let steps = 0
  const take = (of: string, verdict: Verdict<unknown>): void => {
    steps += verdict.steps
    if (verdict.verdict === 'gave-up') gaveUp.push(of)
    if (verdict.verdict === 'not-linearizable') findings.push({ what: 'not linearizable', of, detail: shown(verdict) })
  }
  for (const [key, operations] of byKey(history.kv)) {
    const { model, narrowed, contradictions } = kvModel(operations)
    for (const { what, operation } of contradictions) findings.push({ what, of: key, detail: line(operation) })
    if (contradictions.length === 0) take(key, check(narrowed, model, limits))
  }
  for (const [key, operations] of byKey(history.locks)) take(key, check(withLapses(operations), lockModel, limits))
  for (const { guarantee, watch, detail } of judgeWatches(history.watches)) {
    findings.push({ what: `a watch is not ${guarantee}`, of: watch, detail })
  }
  const beyondKeys = [...readsApartFromWatches(history), ...tornTransactions(history), ...wrongNumbers(history)]
  return { findings: [...findings, ...beyondKeys], gaveUp, steps }
}

/** A value that was read at an index was told at that index. */
function readsApartFromWatches({ kv, watches }: History): Finding[] {
  const log = watches.streams[0]
  if (!log) return []
  const indexes = new Map(log.changes.map(({ key, value, index }) => [`${key} ${value}`, index]))
  return kv.flatMap((operation): Finding[] => {
    const { op, key } = operation
    if (op.kind !== 'get' || op.value === null || indexes.get(`${key} ${op.value}`) === op.index) return []
    const told = indexes.get(`${key} ${op.value}`) ?? 'never'
    return [{ what: 'reads and watches disagree', of: key, detail: `told at ${told}: ${line(operation)}` }]
  })
}

/** What one transaction wrote to two keys is told of both, at one index. */
function tornTransactions({ kv, watches }: History): Finding[] {
  const both = new Map(kv.flatMap(({ op, key }) => (op.kind === 'put' && op.with ? [[op.value, [key, op.with]]] : [])))
  return watches.streams.flatMap(({ name, changes }): Finding[] => {
    const told = new Map<string, number>()
    for (const { key, value, index } of changes) {
      if (value !== null && both.has(value)) told.set(`${key} ${value}`, index)
    }
    return [...both].flatMap(([value, [key, other]]): Finding[] => {
      const [at, otherAt] = [told.get(`${key} ${value}`), told.get(`${other} ${value}`)]
      if (at === otherAt) return []
      const detail = `${value} at ${at ?? 'no index'} to ${key}, at ${otherAt ?? 'no index'} to ${other}`
      return [{ what: 'a transaction in two parts', of: name, detail }]
    })
  })
}

/** Sequential keys: every number once, and above all those that had been given when it was asked for. */
function wrongNumbers({ sequences }: History): Finding[] {
  return [...byKey(sequences)].flatMap(([key, operations]): Finding[] => {
    const byReturn = [...operations].sort((a, b) => a.returnMs - b.returnMs)
    const given = new Set<number>()
    let next = 0
    let highest = 0
    return [...operations]
      .sort((a, b) => a.callMs - b.callMs)
      .flatMap((operation): Finding[] => {
        while (next < byReturn.length && byReturn[next]!.returnMs < operation.callMs) {
          highest = Math.max(highest, byReturn[next++]!.op.number)
        }
        const { number } = operation.op
        const isWrong = !(number > highest) || given.has(number)
        given.add(number)
        return isWrong
          ? [{ what: 'a number that was given before', of: key, detail: `${line(operation)} after ${highest}` }]
          : []
      })
  })
}

const LAST = 12

/** The end of the longest order that there is, and what does not follow it. */
function shown({ order, blocked }: Extract<Verdict<unknown>, { verdict: 'not-linearizable' }>): string {
  const last = order.slice(-LAST).map(line)
  return ['', ...last, `does not follow: ${line(blocked)}`].join('\n      ')
}

function line(operation: Operation<unknown>): string {
  const { op, callMs, returnMs } = operation
  const { node } = operation as Partial<Recorded<KvOp | LockOp>>
  const until = returnMs === Number.POSITIVE_INFINITY ? 'open' : returnMs.toFixed(1)
  return `${callMs.toFixed(1)} to ${until}${node === undefined ? '' : ` ${node}`}: ${JSON.stringify(op)}`
}
