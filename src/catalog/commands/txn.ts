import { AtollError, isAtollError } from '../../model/errors.ts'
import { type Compare, MAX_VALUE_BYTES, type Operation } from '../../store/store.ts'
import type { Command } from '../catalog.ts'
import type { Tables } from '../tables.ts'
import { isWrite, type TxnAnswer, type TxnEntry, type TxnError, type TxnOperation } from '../txn.ts'
import { fits, type Plan } from './plan.ts'
import { PENDING, Refusal } from './refusal.ts'
import { settle } from './settle.ts'
import { TxnKv } from './txn-kv.ts'
import { TxnRegistry } from './txn-registry.ts'

/**
 * All operations in order, each seeing what those before it did; then one transaction of the store, which compares all
 * that was looked at and written. Keys that others add under a tree while it is read by a transaction that also writes
 * are not compared: the store compares single keys.
 */
export function planTxn(tables: Tables, { operations }: Extract<Command, { kind: 'txn' }>): Plan {
  const kv = new TxnKv(tables)
  const registry = new TxnRegistry(tables)
  const entries: TxnEntry[] = []
  const errors = refused(operations)
  if (errors.length === 0) {
    for (const [at, operation] of operations.entries()) {
      try {
        entries.push(...(operation.type === 'kv' ? kv.run(operation) : registry.run(operation)))
      } catch (error) {
        if (!(error instanceof Refusal) && !isRefused(error)) throw error
        errors.push({ operation: at, what: (error as Error).message })
      }
    }
  }
  const applied = errors.length === 0
  const txn: TxnAnswer = { entries: applied ? entries : [], errors }
  const reads = !operations.some(isWrite)
  if (!applied || reads) return { applied, if: [], then: [], reads, txn }
  return { ...whole(tables, kv, registry), txn }
}

/** What is wrong with an operation whatever the catalog holds: then none is tried. */
function refused(operations: readonly TxnOperation[]): TxnError[] {
  return operations.flatMap((operation, at): TxnError[] => {
    const what = faultOf(operation)
    return what === undefined ? [] : [{ operation: at, what }]
  })
}

function faultOf(operation: TxnOperation): string | undefined {
  if (operation.type === 'kv') return operation.key === '' ? 'Must provide key' : undefined
  if (operation.verb === 'get') return undefined
  if (operation.type === 'node') return operation.node.node === '' ? 'Must provide node' : undefined
  if (operation.type === 'check') return operation.check.node === '' ? 'Must provide node' : undefined
  if (operation.node === '') return 'Must provide node'
  return operation.service.service === '' ? 'Must provide service name with ID' : undefined
}

const isRefused = (error: unknown): boolean =>
  isAtollError(error) && (error.code === 'invalid' || error.code === 'conflict')

/** One transaction or none. */
function whole(tables: Tables, kv: TxnKv, registry: TxnRegistry): Plan {
  const settled = settle(tables, registry.drafts(), { if: registry.compares(), forGood: true })
  const compares = new Map<string, Compare>()
  for (const compare of [...registry.compares(), ...settled.if, ...kv.compares()]) {
    compares.set(`${compare.key} ${compare.target}`, compare)
  }
  const then: Operation[] = [...settled.then, ...kv.operations()]
  const plan: Plan = { applied: true, if: [...compares.values()], then, lowered: settled.lowered ?? [] }
  if (settled.partial || !fits(plan)) {
    throw new AtollError(
      'too-large',
      `the transaction compares ${plan.if.length} and changes ${plan.then.length} entries of at most ${MAX_VALUE_BYTES} bytes in all; divide it`,
      { field: 'operations' },
    )
  }
  return plan
}

/** With the index of the transaction where it wrote. */
export const answerAt = ({ entries, errors }: TxnAnswer, index: number): TxnAnswer => ({
  entries: entries.map((entry) => settled(entry, index)),
  errors,
})

function settled(entry: TxnEntry, index: number): TxnEntry {
  const { createIndex, modifyIndex } = entry.row
  if (createIndex !== PENDING && modifyIndex !== PENDING) return entry
  const indexes = {
    createIndex: createIndex === PENDING ? index : createIndex,
    modifyIndex: modifyIndex === PENDING ? index : modifyIndex,
  }
  return { type: entry.type, row: { ...entry.row, ...indexes } } as TxnEntry
}
