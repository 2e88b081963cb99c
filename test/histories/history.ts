/** What clients did and heard, as a file that can be checked again: one JSON object a line. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Operation } from './checker.ts'
import type { KvOp } from './kv-model.ts'
import type { LockOp } from './lock-model.ts'
import type { SequenceOp } from './sequence-client.ts'
import type { WatchRecord } from './watch-log.ts'

export interface Recorded<Op> extends Operation<Op> {
  /** The key. */
  readonly key: string
  /** Whom it asked. */
  readonly node: string
}

export interface History {
  readonly kv: readonly Recorded<KvOp>[]
  readonly locks: readonly Recorded<LockOp>[]
  readonly sequences: readonly Recorded<SequenceOp>[]
  readonly watches: WatchRecord
}

export interface Overlap {
  readonly operations: number
  /** Of all operations, those during which another one on the same key was under way. */
  readonly share: number
  /** How many were under way on a key at a time, weighed by their durations. */
  readonly mean: number
}

/** Of operations with an outcome. */
export function overlapOf(operations: readonly Recorded<unknown>[]): Overlap {
  let overlapping = 0
  let busyMs = 0
  let sumMs = 0
  let count = 0
  for (const mine of byKey(operations).values()) {
    const known = mine.filter(({ returnMs }) => returnMs !== Number.POSITIVE_INFINITY)
    known.sort((a, b) => a.callMs - b.callMs)
    let lastMs = Number.NEGATIVE_INFINITY
    for (const [i, { callMs, returnMs }] of known.entries()) {
      if (callMs < lastMs || (known[i + 1]?.callMs ?? Number.POSITIVE_INFINITY) < returnMs) overlapping++
      busyMs += Math.max(0, returnMs - Math.max(callMs, lastMs))
      sumMs += returnMs - callMs
      lastMs = Math.max(lastMs, returnMs)
      count++
    }
  }
  return { operations: count, share: count === 0 ? 0 : overlapping / count, mean: busyMs === 0 ? 0 : sumMs / busyMs }
}

export function byKey<Op>(operations: readonly Recorded<Op>[]): Map<string, Recorded<Op>[]> {
  const parts = new Map<string, Recorded<Op>[]>()
  for (const each of operations) {
    const part = parts.get(each.key)
    if (part) part.push(each)
    else parts.set(each.key, [each])
  }
  return parts
}

/** JSON has no infinity: an operation without an outcome has `returnMs` null there. */
export function saveHistory(path: string, { kv, locks, sequences, watches }: History): void {
  const lines = [
    ...kv.map((each) => JSON.stringify({ of: 'kv', ...each })),
    ...locks.map((each) => JSON.stringify({ of: 'lock', ...each })),
    ...sequences.map((each) => JSON.stringify({ of: 'sequence', ...each })),
    JSON.stringify({ of: 'watches', ...watches }),
  ]
  writeFileSync(path, `${lines.join('\n')}\n`)
}

export function loadHistory(path: string): History {
  const kv: Recorded<KvOp>[] = []
  const locks: Recorded<LockOp>[] = []
  const sequences: Recorded<SequenceOp>[] = []
  let watches: WatchRecord = { acknowledged: [], refused: [], streams: [], polls: [], final: [], since: 0 }
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue
    const { of, ...rest } = JSON.parse(line)
    if (of === 'watches') watches = rest
    else if (of === 'sequence') sequences.push(rest)
    else (of === 'kv' ? kv : locks).push({ ...rest, returnMs: rest.returnMs ?? Number.POSITIVE_INFINITY })
  }
  return { kv, locks, sequences, watches }
}
