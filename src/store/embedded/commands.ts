/** Packs commands for the worker, and unpacks what became of them. */
import {
  type Compare,
  type KeyValue,
  type Operation,
  type OperationResult,
  type RevisionEvents,
  StoreError,
  type StoreEvent,
  type Txn,
  type TxnResult,
} from '../store.ts'
import { type Packed, type Packer, Unpacker } from './packer.ts'
import { COMMAND, COMPARE_OP, HEADER_NUMBERS, NO_LIMIT, OPERATION, RECORD_NUMBERS, STATUS, TARGET } from './protocol.ts'
import { unpackRow } from './rows.ts'

export type Command =
  | { readonly kind: 'txn'; readonly txn: Txn }
  | { readonly kind: 'grant'; readonly ttlMs: number }
  | { readonly kind: 'revoke'; readonly id: number }

export type Outcome = TxnResult | { readonly leaseId: number } | StoreError

export function packCommand(packer: Packer, command: Command): void {
  if (command.kind === 'txn') {
    packTxn(packer, command.txn)
    return
  }
  packer.number(command.kind === 'grant' ? COMMAND.grant : COMMAND.revoke)
  packer.number(command.kind === 'grant' ? command.ttlMs : command.id)
  packer.number(0)
  packer.number(0)
}

function packTxn(packer: Packer, txn: Txn): void {
  packer.number(COMMAND.txn)
  packer.number(txn.if?.length ?? 0)
  packer.number(txn.then.length)
  packer.number(txn.else?.length ?? 0)
  if (txn.if) for (const compare of txn.if) packCompare(packer, compare)
  for (const operation of txn.then) packOperation(packer, operation)
  if (txn.else) for (const operation of txn.else) packOperation(packer, operation)
}

function packCompare(packer: Packer, compare: Compare): void {
  packer.number(TARGET[compare.target])
  packer.number(COMPARE_OP[compare.op])
  packer.text(compare.key)
  if (compare.target === 'value') packer.blob(compare.to)
  else {
    packer.number(compare.to)
    packer.number(0)
  }
}

function packOperation(packer: Packer, operation: Operation): void {
  if ('put' in operation) {
    packer.number(OPERATION.put)
    packer.text(operation.put)
    packer.blob(operation.value)
    packer.number(operation.lease ?? 0)
  } else if ('delete' in operation) {
    packer.number(OPERATION.delete)
    packer.text(operation.delete)
    packer.number(0)
    packer.number(0)
    packer.number(0)
  } else {
    const [from, to] = 'range' in operation ? operation.range : operation.deleteRange
    packer.number('range' in operation ? OPERATION.range : OPERATION.deleteRange)
    packer.text(from)
    packer.text(to)
    packer.number('range' in operation ? (operation.limit ?? NO_LIMIT) : 0)
  }
}

/** What a value may keep in memory beside itself. */
const SPARE_BYTES = 64

const PUT_RESULT: OperationResult = { kind: 'put' }
const DELETED_NONE: OperationResult = { kind: 'delete', deleted: 0 }
const DELETED_ONE: OperationResult = { kind: 'delete', deleted: 1 }

/** Reads the results of a batch, command by command, and gathers the events where somebody wants them. */
export class ResultReader {
  readonly #request: Packed
  readonly #results: Unpacker
  readonly #events: RevisionEvents[] | undefined
  /** Where the running command begins in the request. */
  #at = 0

  constructor(request: Packed, results: Packed, events: RevisionEvents[] | undefined) {
    this.#request = request
    this.#results = new Unpacker(results)
    this.#events = events
  }

  read(command: Command): Outcome {
    if (command.kind === 'txn') return this.#txn(command.txn)
    this.#at += HEADER_NUMBERS
    if (command.kind === 'grant') return { leaseId: this.#results.number() }
    return this.#revoke()
  }

  #txn(txn: Txn): Outcome {
    const start = this.#at
    const compares = txn.if?.length ?? 0
    this.#at += HEADER_NUMBERS + (compares + txn.then.length + (txn.else?.length ?? 0)) * RECORD_NUMBERS
    const status = this.#results.number()
    const revision = this.#results.number()
    if (status === STATUS.noLease) {
      return new StoreError('no-lease', `lease ${revision} is unknown or has lapsed; grant a new one`)
    }
    const succeeded = status === STATUS.succeeded
    const skipped = compares + (succeeded ? 0 : txn.then.length)
    const operations = succeeded ? txn.then : (txn.else ?? [])
    const first = start + HEADER_NUMBERS + skipped * RECORD_NUMBERS
    const events: StoreEvent[] = []
    const results = operations.map((operation, i) =>
      this.#operation(operation, first + i * RECORD_NUMBERS, revision, events),
    )
    if (events.length > 0) this.#events?.push({ revision, events })
    return { succeeded, revision, results }
  }

  #operation(operation: Operation, record: number, revision: number, events: StoreEvent[]): OperationResult {
    if ('put' in operation) {
      const createRevision = this.#results.number()
      const version = this.#results.number()
      if (this.#events) {
        const value = this.#valueOf(operation.value, record)
        const lease = operation.lease ?? 0
        const kv: KeyValue = { key: operation.put, value, createRevision, modRevision: revision, version, lease }
        events.push({ type: 'put', kv })
      }
      return PUT_RESULT
    }
    if ('delete' in operation) {
      if (this.#results.number() === 0) return DELETED_NONE
      events.push({ type: 'delete', key: operation.delete, modRevision: revision })
      return DELETED_ONE
    }
    if ('deleteRange' in operation) return { kind: 'delete', deleted: this.#deleted(revision, events) }
    const count = this.#results.number()
    const more = this.#results.number() === 1
    return { kind: 'range', kvs: Array.from({ length: count }, () => unpackRow(this.#results)), more }
  }

  /** The writer's own; of a small view the bytes alone, which must not keep a large buffer in memory. */
  #valueOf(value: Uint8Array, record: number): Uint8Array {
    if (value.buffer.byteLength <= 2 * value.byteLength + SPARE_BYTES) return value
    const { numbers, bytes } = this.#request
    const start = numbers[record + 3]!
    return bytes.slice(start, start + numbers[record + 4]!)
  }

  #deleted(revision: number, events: StoreEvent[]): number {
    const count = this.#results.number()
    for (let i = 0; i < count; i++) events.push({ type: 'delete', key: this.#results.text(), modRevision: revision })
    return count
  }

  #revoke(): Outcome {
    const revision = this.#results.number()
    const events: StoreEvent[] = []
    const deleted = this.#deleted(revision, events)
    if (deleted > 0) this.#events?.push({ revision, events })
    return { succeeded: true, revision, results: [{ kind: 'delete', deleted }] }
  }
}
