import type { Indexed } from '../../model/entries.ts'
import { keyPart } from '../../model/keys.ts'
import type { Compare } from '../../store/store.ts'
import type { Tables } from '../tables.ts'
import type { TxnEntry, TxnOperation } from '../txn.ts'
import { Draft } from './draft.ts'
import { claim } from './identity.ts'
import { modIs } from './plan.ts'
import { PENDING, Refusal } from './refusal.ts'
import { keepingAgent } from './register.ts'

type Of<T extends TxnOperation['type']> = Extract<TxnOperation, { type: T }>

const quoted = JSON.stringify

/**
 * Throws `Refusal` where the verb is none, or what is stored does not allow it: `stored` is the modify index of `of`, undefined
 * when there is none.
 */
function judge(kind: string, verb: string, of: string, stored: number | undefined, index: number): void {
  switch (verb) {
    case 'get':
      if (stored === undefined) throw new Refusal(`${of} doesn't exist`)
      return
    case 'cas':
      if (index !== (stored ?? 0)) throw new Refusal(`failed to set ${of}, index is stale`)
      return
    case 'delete-cas':
      if (stored !== undefined && stored !== index) throw new Refusal(`failed to delete ${of}, index is stale`)
      return
    case 'set':
    case 'delete':
      return
    default:
      throw new Refusal(`unknown ${kind} verb ${quoted(verb)}`)
  }
}

/** Nodes, services and checks in a transaction, over drafts of the nodes that it touches. */
export class TxnRegistry {
  readonly #tables: Tables
  readonly #drafts = new Map<string, Draft>()
  readonly #compares = new Map<string, Compare>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  drafts(): Draft[] {
    return [...this.#drafts.values()]
  }

  compares(): Compare[] {
    return [...this.#compares.values()]
  }

  /** Throws `Refusal`, or AtollError 'invalid' or 'conflict'. */
  run(operation: Exclude<TxnOperation, { type: 'kv' }>): TxnEntry[] {
    switch (operation.type) {
      case 'node':
        return this.#node(operation)
      case 'service':
        return this.#service(operation)
      case 'check':
        return this.#check(operation)
    }
  }

  #draft(node: string): Draft {
    const part = keyPart(node)
    let draft = this.#drafts.get(part)
    if (!draft) {
      draft = Draft.of(this.#tables, node)
      this.#drafts.set(part, draft)
    }
    return draft
  }

  #compare(key: string, index: number): void {
    this.#compares.set(key, modIs(key, index === 0 ? 0 : this.#tables.revisionOf(index)))
  }

  #node({ verb, node, index }: Of<'node'>): TxnEntry[] {
    const name = node.node || (this.#tables.nodeById(node.id)?.node ?? '')
    const draft = this.#draft(name)
    const stored = this.#rowOf(draft)
    this.#compare(`e/n/${draft.part}`, draft.state?.row?.modifyIndex ?? 0)
    const of = `node ${quoted(node.node || node.id)}`
    judge('Node', verb, of, stored?.row.modifyIndex, index)
    if (verb === 'get') return [stored!]
    if (verb.startsWith('delete')) {
      if (draft.node) throw new Refusal(`${of} is written and deleted in one transaction`)
      if (stored) draft.removeAll()
      return []
    }
    if (draft.node === null) throw new Refusal(`${of} is deleted and written in one transaction`)
    const wanted = draft.state?.row ? keepingAgent(draft.state.row, node) : node
    const claimed = claim(this.#tables, wanted)
    if (claimed.renamed !== undefined) throw new Refusal(`${of}: its id belongs to node ${claimed.renamed}`)
    for (const compare of claimed.if) this.#compares.set(compare.key, compare)
    draft.putNode(wanted)
    return [this.#rowOf(draft)!]
  }

  #rowOf(draft: Draft): Extract<TxnEntry, { type: 'node' }> | undefined {
    const entry = draft.nodeEntry()
    return entry && { type: 'node', row: { ...entry, ...indexes(draft.node !== undefined, draft.state?.row) } }
  }

  #service({ verb, node, service, index }: Of<'service'>): TxnEntry[] {
    const id = service.id || service.service
    const draft = this.#draft(node)
    const part = keyPart(id)
    const was = draft.state?.services.get(part)?.row
    const row = (): Extract<TxnEntry, { type: 'service' }> | undefined => {
      const entry = draft.node === null ? undefined : draft.service(part)
      return entry && { type: 'service', row: { ...entry, ...indexes(draft.services.has(part), was) } }
    }
    const stored = row()
    this.#compare(`e/s/${draft.part}/${part}`, was?.modifyIndex ?? 0)
    const of = `service ${quoted(id)} on node ${quoted(node)}`
    judge('Service', verb, of, stored?.row.modifyIndex, index)
    if (verb === 'get') return [stored!]
    if (verb.startsWith('delete')) {
      if (stored) draft.removeService(part)
      return []
    }
    this.#requireNode(draft)
    draft.putService(service)
    return [row()!]
  }

  #check({ verb, check, index }: Of<'check'>): TxnEntry[] {
    const id = check.checkId || check.name
    const draft = this.#draft(check.node)
    const part = keyPart(id)
    const was = draft.state?.checks.get(part)
    const row = (): Extract<TxnEntry, { type: 'check' }> | undefined => {
      const entry = draft.node === null ? undefined : draft.check(part)
      return entry && { type: 'check', row: { ...entry, ...indexes(draft.checks.has(part), was?.row) } }
    }
    const stored = row()
    this.#compare(`e/c/${draft.part}/${part}`, was?.entryIndex ?? 0)
    this.#compare(`o/${draft.part}/${part}`, was?.outputIndex ?? 0)
    const of = `check ${quoted(id)} on node ${quoted(check.node)}`
    judge('Check', verb, of, stored?.row.modifyIndex, index)
    if (verb === 'get') return [stored!]
    if (verb.startsWith('delete')) {
      if (stored) draft.removeCheck(part)
      return []
    }
    this.#requireNode(draft)
    draft.putCheck(check)
    return [row()!]
  }

  #requireNode(draft: Draft): void {
    if (draft.node === null || !draft.nodeEntry()) throw new Refusal('Missing node registration')
  }
}

const indexes = (changed: boolean, stored: Indexed | undefined): Indexed => ({
  createIndex: stored?.createIndex ?? PENDING,
  modifyIndex: changed || !stored ? PENDING : stored.modifyIndex,
})
