/** What both drivers refuse before anything is sent: keys, values, ranges and transactions beyond the contract's limits. */
import { compareKeys } from '../model/keys.ts'
import {
  type Compare,
  MAX_KEY_BYTES,
  MAX_TXN_OPERATIONS,
  MAX_VALUE_BYTES,
  type Operation,
  StoreError,
  type Txn,
} from './store.ts'

const invalid = (message: string): StoreError => new StoreError('invalid', message)

const shown = (key: string): string => JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}...` : key)

export function assertKey(key: string, field: string): void {
  if (key === '') throw invalid(`${field}: a key must not be empty`)
  assertBound(key, field)
}

/** As a key, but may be empty. */
export function assertBound(key: string, field: string): void {
  if (!key.isWellFormed()) throw invalid(`${field}: the key ${shown(key)} holds half of a surrogate pair`)
  // A UTF-16 unit takes at most three bytes.
  if (key.length * 3 > MAX_KEY_BYTES && Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw invalid(`${field}: the key ${shown(key)} is longer than ${MAX_KEY_BYTES} bytes`)
  }
}

export function assertRange(from: string, to: string, limit: number | undefined, field: string): void {
  assertBound(from, `${field}.from`)
  assertBound(to, `${field}.to`)
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit > 0)) {
    throw invalid(`${field}.limit: ${limit} is no positive whole number`)
  }
}

export function assertTxn(txn: Txn): void {
  assertCount(txn.if, 'if')
  for (const compare of txn.if ?? []) assertCompare(compare)
  assertOperations(txn.then, 'then')
  if (txn.else) assertOperations(txn.else, 'else')
}

function assertCount(list: readonly unknown[] | undefined, field: string): void {
  if (list && list.length > MAX_TXN_OPERATIONS) {
    throw invalid(`${field}: ${list.length} entries; a transaction takes at most ${MAX_TXN_OPERATIONS} per list`)
  }
}

function assertCompare(compare: Compare): void {
  assertKey(compare.key, 'if.key')
  if (compare.target !== 'value' && !Number.isFinite(compare.to)) throw invalid(`if.to: ${compare.to} is no number`)
}

function assertOperations(operations: readonly Operation[], field: string): void {
  assertCount(operations, field)
  for (const operation of operations) {
    if ('put' in operation) {
      assertKey(operation.put, `${field}.put`)
      assertValue(operation.value, operation.put, field)
      if (operation.lease !== undefined && !(Number.isSafeInteger(operation.lease) && operation.lease >= 0)) {
        throw invalid(`${field}.lease: ${operation.lease} is no lease id`)
      }
    } else if ('delete' in operation) assertKey(operation.delete, `${field}.delete`)
    else if ('deleteRange' in operation) assertRange(...operation.deleteRange, undefined, `${field}.deleteRange`)
    else assertRange(...operation.range, operation.limit, `${field}.range`)
  }
  if (operations.length > 1) assertWrittenOnce(operations, field)
}

function assertValue(value: Uint8Array, key: string, field: string): void {
  if (!(value instanceof Uint8Array)) throw invalid(`${field}.value: the value of ${shown(key)} is no Uint8Array`)
  if (value.byteLength > MAX_VALUE_BYTES) {
    throw invalid(
      `${field}.value: ${value.byteLength} bytes for ${shown(key)}; a value takes at most ${MAX_VALUE_BYTES}`,
    )
  }
}

/** No key is put twice, or put and deleted. Deletes may overlap: the later one finds nothing. */
function assertWrittenOnce(operations: readonly Operation[], field: string): void {
  const puts = new Set<string>()
  const deletes = new Set<string>()
  const ranges: (readonly [string, string])[] = []
  for (const operation of operations) {
    if ('put' in operation) {
      if (puts.has(operation.put)) throw twice(operation.put, field)
      puts.add(operation.put)
    } else if ('delete' in operation) deletes.add(operation.delete)
    else if ('deleteRange' in operation) ranges.push(operation.deleteRange)
  }
  for (const key of puts) {
    if (deletes.has(key) || ranges.some(([from, to]) => inRange(key, from, to))) throw twice(key, field)
  }
}

const twice = (key: string, field: string): StoreError =>
  invalid(`${field}: the key ${shown(key)} is written twice; a transaction may write a key once per list`)

export const inRange = (key: string, from: string, to: string): boolean =>
  (from === '' || compareKeys(key, from) >= 0) && (to === '' || compareKeys(key, to) < 0)
