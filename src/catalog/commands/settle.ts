import { AtollError } from '../../model/errors.ts'
import { keys, prefixEnd } from '../../model/keys.ts'
import { type Compare, MAX_VALUE_BYTES, type Operation } from '../../store/store.ts'
import * as codec from '../codec.ts'
import type { Tables } from '../tables.ts'
import { type Draft, groupOf } from './draft.ts'
import { createIs, fits, MAX_PLAN_OPERATIONS, modIs, nothing, type Plan } from './plan.ts'
import { sameCheck, sameOutput } from './same.ts'
import { type Tally, tallyOf } from './tally.ts'

export interface SettleOptions {
  /** Beside what the drafts themselves rest on. */
  readonly if?: readonly Compare[]
  /** Who removes the last instance means to remove the service: no failover record is needed for its return. */
  readonly forGood?: boolean
}

/** The transaction that makes drafts true; a part of it when one transaction cannot take all. */
export function settle(tables: Tables, drafts: readonly Draft[], options: SettleOptions = {}): Plan {
  const changing = drafts.filter((draft) => draft.node !== undefined || draft.services.size + draft.checks.size > 0)
  if (changing.length === 0) return nothing()
  const plan = write(tables, changing, options)
  if (fits(plan)) return plan
  const draft = changing[0]!
  if (changing.length > 1) return { ...settle(tables, [draft], options), partial: true }
  const half = draft.half()
  return half ? { ...settle(tables, [half], options), partial: true } : writeBulk(tables, draft, options)
}

function write(tables: Tables, drafts: readonly Draft[], options: SettleOptions): Plan {
  const writer = new Writer(tables, options)
  for (const draft of drafts) writer.draft(draft)
  const tally = tallyOf(drafts)
  for (const [service, { lowered, lost }] of tally) {
    if (lowered) writer.compare(modIs(keys.serviceIndex(service), recordRevision(tables, service)))
    const record = recordChange(tables, tally, service, options)
    if (record) writer.operation(record)
    if (lowered || lost || (record && 'delete' in record)) writer.put(`e/i/${service}`, codec.MARK)
  }
  return writer.plan([...tally].filter(([, { lowered }]) => lowered).map(([service]) => service))
}

/**
 * For a node with so many services that one transaction cannot name each: first the failover records, then all changes with
 * one key that lists the services. Their writers are then told apart only within this process.
 */
function writeBulk(tables: Tables, draft: Draft, options: SettleOptions): Plan {
  const tally = tallyOf([draft])
  const writer = new Writer(tables, options)
  const records: Operation[] = []
  const lost: string[] = []
  for (const [service, of] of tally) {
    const record = recordChange(tables, tally, service, options)
    const known = tables.registry.serviceStates.get(service)?.failover !== undefined
    if (record && (!known || 'delete' in record)) records.push(record)
    if (of.lost) lost.push(service)
  }
  if (records.length > 0) {
    for (const record of records.slice(0, MAX_PLAN_OPERATIONS / 2)) {
      writer.operation(record)
      if ('delete' in record) writer.put(record.delete.replace(/^e\/f\//, 'e/i/'), codec.MARK)
    }
    return { ...writer.plan([]), partial: true }
  }
  writer.draft(draft)
  if (lost.length > 0) writer.put(`e/d/${draft.part}`, codec.encodeBulkDeletion(withFormer(tables, draft.part, lost)))
  return writer.plan([...tally].filter(([, of]) => of.lowered).map(([service]) => service))
}

/** The services that are lost now, and those of the node's former record that no younger record of their own covers. */
function withFormer(tables: Tables, node: string, lost: readonly string[]): codec.BulkDeletion {
  const names = new Set(lost)
  const former = tables.registry.bulkDeletions.get(node) ?? []
  const kept = former.filter(([service, index]) => {
    const state = tables.registry.serviceStates.get(service)
    return !names.has(service) && (state?.recordIndex ?? 0) < index
  })
  return [
    ...lost.map((service): [string, number] => [service, 0]),
    ...kept.map(([service, index]): [string, number] => [service, tables.revisionOf(index)]),
  ]
}

/** What becomes of the service's failover record, if anything. */
function recordChange(tables: Tables, tally: Tally, service: string, options: SettleOptions): Operation | undefined {
  const state = tables.registry.serviceStates.get(service)
  const change = tally.get(service)!
  const key = `e/f/${service}`
  if (options.forGood && change.instances < 0 && (state?.entries.length ?? 0) + change.instances === 0) {
    return state?.failover ? { delete: key } : undefined
  }
  const before = state?.passing ?? 0
  if (!change.lowered || before === 0 || before + change.passing > 0) return undefined
  return { put: key, value: codec.encodeFailover(change.name) }
}

const recordRevision = (tables: Tables, service: string): number => {
  const index = tables.registry.serviceStates.get(service)?.recordIndex ?? 0
  return index === 0 ? 0 : tables.revisionOf(index)
}

/** Collects compares and operations, each key once. */
class Writer {
  readonly #tables: Tables
  readonly #if = new Map<string, Compare>()
  readonly #then = new Map<string, Operation>()

  constructor(tables: Tables, options: SettleOptions) {
    this.#tables = tables
    for (const compare of options.if ?? []) this.compare(compare)
  }

  plan(lowered: readonly string[]): Plan {
    return { applied: true, if: [...this.#if.values()], then: [...this.#then.values()], lowered }
  }

  compare(compare: Compare): void {
    this.#if.set(`${compare.key} ${compare.target}`, compare)
  }

  operation(operation: Operation): void {
    if ('put' in operation) this.#then.set(operation.put, operation)
    else if ('delete' in operation) this.#then.set(operation.delete, operation)
    else this.#then.set(('deleteRange' in operation ? operation.deleteRange : operation.range).join(' '), operation)
  }

  put(key: string, value: Uint8Array): void {
    if (value.length > MAX_VALUE_BYTES) {
      throw new AtollError('too-large', `${key}: ${value.length} bytes; an entry takes at most ${MAX_VALUE_BYTES}`)
    }
    this.operation({ put: key, value })
  }

  draft(draft: Draft): void {
    const key = `e/n/${draft.part}`
    const stored = draft.state?.row
    const revision = stored ? this.#tables.revisionOf(stored.modifyIndex) : 0
    if (draft.node === null) {
      this.compare(modIs(key, revision))
      this.#removeNode(draft)
      return
    }
    if (draft.node) {
      this.compare(modIs(key, revision))
      this.put(key, codec.encodeNode(draft.node))
    } else this.compare(createIs(key, stored ? this.#tables.revisionOf(stored.createIndex) : 0))
    for (const part of draft.services.keys()) this.#service(draft, part)
    for (const part of draft.checks.keys()) this.#check(draft, part)
  }

  #service(draft: Draft, part: string): void {
    const key = `e/s/${draft.part}/${part}`
    const stored = draft.state?.services.get(part)?.row
    const entry = draft.services.get(part)
    this.compare(modIs(key, stored ? this.#tables.revisionOf(stored.modifyIndex) : 0))
    if (entry) this.put(key, codec.encodeService(entry))
    else {
      this.operation({ delete: key })
      this.put(keys.tableIndex('services'), codec.MARK)
    }
  }

  #check(draft: Draft, part: string): void {
    const key = `e/c/${draft.part}/${part}`
    const outputKey = `o/${draft.part}/${part}`
    const state = draft.state?.checks.get(part)
    const stored = state?.row
    const entry = draft.checks.get(part)
    const revisionOf = (index: number): number => (index === 0 ? 0 : this.#tables.revisionOf(index))
    this.compare(modIs(key, revisionOf(state?.entryIndex ?? 0)))
    this.compare(modIs(outputKey, revisionOf(state?.outputIndex ?? 0)))
    if (!entry) {
      this.operation({ delete: key })
      if (state && state.outputIndex > 0) this.operation({ delete: outputKey })
      this.put(keys.tableIndex('checks'), codec.MARK)
      return
    }
    if (entry.serviceId !== '') this.#serviceOf(draft, groupOf(entry))
    if (!stored || !sameCheck(stored, entry) || stored.owner !== entry.owner) this.put(key, codec.encodeCheck(entry))
    if (stored ? !sameOutput(stored, entry) : entry.notes !== '' || entry.output !== '') {
      this.put(outputKey, codec.encodeOutput(entry))
    }
  }

  /** A check rests on its service being there. */
  #serviceOf(draft: Draft, part: string): void {
    const stored = draft.state?.services.get(part)?.row
    if (!stored || draft.services.has(part)) return
    this.compare(createIs(`e/s/${draft.part}/${part}`, this.#tables.revisionOf(stored.createIndex)))
  }

  #removeNode(draft: Draft): void {
    const { part, state } = draft
    this.operation({ delete: `e/n/${part}` })
    for (const prefix of [`e/s/${part}/`, `e/c/${part}/`, `o/${part}/`, `x/${part}/`]) {
      this.operation({ deleteRange: [prefix, prefixEnd(prefix)] })
    }
    this.put(keys.tableIndex('nodes'), codec.MARK)
    if (state && state.services.size > 0) this.put(keys.tableIndex('services'), codec.MARK)
    if (state && state.checks.size > 0) this.put(keys.tableIndex('checks'), codec.MARK)
  }
}
