/**
 * What a transaction gave whose answer got lost: it is run again, in memory, on what its operations would have found before
 * it. Only for transactions that are known to have been applied.
 */
import { compareKeys } from '../../model/keys.ts'
import type { KeyValue, Operation, OperationResult } from '../store.ts'
import { inRange } from '../validate.ts'

/** Ranges of keys whose former state the results depend on; none when there is nothing but puts. */
export function rangesRead(operations: readonly Operation[]): (readonly [from: string, to: string])[] {
  const ranges = operations.flatMap((operation): (readonly [string, string])[] => {
    if ('put' in operation) return []
    if ('delete' in operation) return [[operation.delete, `${operation.delete}\0`]]
    return ['range' in operation ? operation.range : operation.deleteRange]
  })
  if (ranges.length === 0) return []
  // A range may show what was put before it in the list, with the version that it has.
  const puts = operations.flatMap((operation) => ('put' in operation ? [operation.put] : []))
  const unread = puts.filter((key) => !ranges.some(([from, to]) => inRange(key, from, to)))
  return [...ranges, ...unread.map((key) => [key, `${key}\0`] as const)]
}

/** `before`: everything in `rangesRead`, as of the revision before. */
export function replay(
  operations: readonly Operation[],
  before: readonly KeyValue[],
  revision: number,
): OperationResult[] {
  const kvs = new Map(before.map((kv) => [kv.key, kv]))
  const within = (from: string, to: string): KeyValue[] =>
    [...kvs.values()].filter(({ key }) => inRange(key, from, to)).sort((a, b) => compareKeys(a.key, b.key))
  return operations.map((operation): OperationResult => {
    if ('put' in operation) {
      const old = kvs.get(operation.put)
      kvs.set(operation.put, {
        key: operation.put,
        value: operation.value,
        createRevision: old?.createRevision ?? revision,
        modRevision: revision,
        version: (old?.version ?? 0) + 1,
        lease: operation.lease ?? 0,
      })
      return { kind: 'put' }
    }
    if ('delete' in operation) return { kind: 'delete', deleted: kvs.delete(operation.delete) ? 1 : 0 }
    if ('deleteRange' in operation) {
      const doomed = within(...operation.deleteRange)
      for (const { key } of doomed) kvs.delete(key)
      return { kind: 'delete', deleted: doomed.length }
    }
    const found = within(...operation.range)
    const limit = operation.limit ?? found.length
    return { kind: 'range', kvs: found.slice(0, limit), more: found.length > limit }
  })
}
