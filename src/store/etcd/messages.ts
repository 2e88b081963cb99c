/** The contract's transactions as etcd's messages, and its answers as the contract's. */
import { create } from '@bufbuild/protobuf'
import {
  type Compare as ContractCompare,
  type KeyValue as ContractKeyValue,
  type Operation,
  type OperationResult,
  StoreError,
  type Txn,
} from '../store.ts'
import type { KeySpace } from './key-space.ts'
import {
  type Compare,
  Compare_CompareResult as CompareResult,
  CompareSchema,
  Compare_CompareTarget as CompareTarget,
  type KeyValue,
  type RequestOp,
  RequestOpSchema,
  type ResponseOp,
} from './proto/etcd_pb.js'

/** etcd takes requests of 1.5 MiB, less what it wraps them in. */
const MAX_REQUEST_BYTES = 1_500_000
const OVERHEAD_BYTES = 40

/** One branch of a transaction, ready to be sent. */
export interface Branch {
  readonly operations: readonly RequestOp[]
  /** What the contract's operations were, in their order. */
  readonly asked: readonly Operation[]
  /** Whether it may change something. */
  readonly writes: boolean
  /** Whether it is sure to change a key that watches see: it puts one. */
  readonly shows: boolean
}

export interface MappedTxn {
  readonly compares: readonly Compare[]
  readonly then: Branch
  readonly else: Branch
}

const RESULTS = {
  '=': CompareResult.EQUAL,
  '!=': CompareResult.NOT_EQUAL,
  '<': CompareResult.LESS,
  '>': CompareResult.GREATER,
} as const

/** Copies the values: the caller may go on with its buffers. Throws StoreError 'invalid' when it is too large for one request. */
export function mapTxn(txn: Txn, keys: KeySpace): MappedTxn {
  const mapped = {
    compares: (txn.if ?? []).map((compare) => mapCompare(compare, keys)),
    then: mapBranch(txn.then, keys),
    else: mapBranch(txn.else ?? [], keys),
  }
  const bytes = sizeOf(txn)
  if (bytes > MAX_REQUEST_BYTES) {
    throw new StoreError(
      'invalid',
      `then: the transaction takes ${bytes} bytes; on etcd all its keys and values take at most ${MAX_REQUEST_BYTES}: divide it`,
    )
  }
  return mapped
}

/** About what it takes on the way: keys of UTF-16 units at their longest. */
function sizeOf(txn: Txn): number {
  let bytes = 0
  for (const compare of txn.if ?? []) {
    bytes += OVERHEAD_BYTES + lengthOf(compare.key) + (compare.target === 'value' ? compare.to.byteLength : 0)
  }
  for (const list of [txn.then, txn.else ?? []]) {
    for (const operation of list) {
      bytes += OVERHEAD_BYTES
      if ('put' in operation) bytes += lengthOf(operation.put) + operation.value.byteLength
      else if ('delete' in operation) bytes += lengthOf(operation.delete)
      else
        bytes += ('range' in operation ? operation.range : operation.deleteRange).reduce((n, k) => n + lengthOf(k), 0)
    }
  }
  return bytes
}

const lengthOf = (key: string): number => Buffer.byteLength(key)

function mapCompare(compare: ContractCompare, keys: KeySpace): Compare {
  const key = keys.data(compare.key)
  const result = RESULTS[compare.op]
  if (compare.target === 'value') {
    return create(CompareSchema, {
      key,
      result,
      target: CompareTarget.VALUE,
      targetUnion: { case: 'value', value: compare.to.slice() },
    })
  }
  return compareNumber(key, compare.target, result, compare.to)
}

function compareNumber(
  key: Uint8Array,
  target: 'version' | 'create' | 'mod',
  result: CompareResult,
  to: number,
): Compare {
  const value = wholeOf(to, result)
  if (target === 'version') {
    const targetUnion = { case: 'version', value } as const
    return create(CompareSchema, { key, result, target: CompareTarget.VERSION, targetUnion })
  }
  if (target === 'create') {
    const targetUnion = { case: 'createRevision', value } as const
    return create(CompareSchema, { key, result, target: CompareTarget.CREATE, targetUnion })
  }
  const targetUnion = { case: 'modRevision', value } as const
  return create(CompareSchema, { key, result, target: CompareTarget.MOD, targetUnion })
}

/** etcd compares whole numbers: a fraction is on the same side of all of them as the next one. */
function wholeOf(to: number, result: CompareResult): bigint {
  if (Math.abs(to) > Number.MAX_SAFE_INTEGER) return BigInt(Math.sign(to) * Number.MAX_SAFE_INTEGER)
  if (Number.isInteger(to)) return BigInt(to)
  if (result === CompareResult.EQUAL || result === CompareResult.NOT_EQUAL) return -1n
  return BigInt(result === CompareResult.LESS ? Math.ceil(to) : Math.floor(to))
}

/** Holds while the key was not written since `modRevision`; 0: while there is none. */
export const unchanged = (key: Uint8Array, modRevision: bigint): Compare => {
  const targetUnion = { case: 'modRevision', value: modRevision } as const
  return create(CompareSchema, { key, result: CompareResult.EQUAL, target: CompareTarget.MOD, targetUnion })
}

export const putOp = (key: Uint8Array, value: Uint8Array, lease = 0n): RequestOp =>
  create(RequestOpSchema, { request: { case: 'requestPut', value: { key, value, lease } } })

export const rangeOp = ({ key, rangeEnd }: { key: Uint8Array; rangeEnd?: Uint8Array }, limit = 0n): RequestOp =>
  create(RequestOpSchema, { request: { case: 'requestRange', value: { key, rangeEnd, limit } } })

export const deleteOp = ({ key, rangeEnd }: { key: Uint8Array; rangeEnd?: Uint8Array }): RequestOp =>
  create(RequestOpSchema, { request: { case: 'requestDeleteRange', value: { key, rangeEnd } } })

function mapBranch(list: readonly Operation[], keys: KeySpace): Branch {
  const asked = list.map((operation) =>
    'put' in operation ? { ...operation, value: operation.value.slice() } : operation,
  )
  const operations: RequestOp[] = []
  let writes = false
  let shows = false
  for (const operation of asked) {
    if (isEmpty(operation)) continue
    writes ||= !('range' in operation)
    shows ||= 'put' in operation
    operations.push(mapOperation(operation, keys))
  }
  return { operations, asked, writes, shows }
}

/** etcd means something else by a range that ends where it begins. */
function isEmpty(operation: Operation): boolean {
  if ('put' in operation || 'delete' in operation) return false
  const [from, to] = 'range' in operation ? operation.range : operation.deleteRange
  return isEmptyRange(from, to)
}

export const isEmptyRange = (from: string, to: string): boolean =>
  to !== '' && Buffer.compare(Buffer.from(from), Buffer.from(to)) >= 0

function mapOperation(operation: Operation, keys: KeySpace): RequestOp {
  if ('put' in operation) {
    return putOp(keys.data(operation.put), operation.value, BigInt(operation.lease ?? 0))
  }
  if ('delete' in operation) return deleteOp({ key: keys.data(operation.delete) })
  if ('deleteRange' in operation) return deleteOp(keys.dataRange(...operation.deleteRange))
  return rangeOp(keys.dataRange(...operation.range), BigInt(operation.limit ?? 0))
}

/** What the operations of a branch gave; `responses` are those of its own operations, in order. */
export function resultsOf(branch: Branch, responses: readonly ResponseOp[], keys: KeySpace): OperationResult[] {
  let next = 0
  return branch.asked.map((operation): OperationResult => {
    if (isEmpty(operation)) return emptyResult(operation)
    const { response } = responses[next++]!
    if (response.case === 'responseRange') {
      const { kvs, more } = response.value
      return { kind: 'range', kvs: kvs.map((kv) => readKeyValue(kv, keys)), more }
    }
    if (response.case === 'responseDeleteRange') return { kind: 'delete', deleted: Number(response.value.deleted) }
    return { kind: 'put' }
  })
}

const emptyResult = (operation: Operation): OperationResult =>
  'range' in operation ? { kind: 'range', kvs: [], more: false } : { kind: 'delete', deleted: 0 }

export const readKeyValue = (kv: KeyValue, keys: KeySpace): ContractKeyValue => ({
  key: keys.dataKey(kv.key),
  value: kv.value,
  createRevision: Number(kv.createRevision),
  modRevision: Number(kv.modRevision),
  version: Number(kv.version),
  lease: Number(kv.lease),
})
