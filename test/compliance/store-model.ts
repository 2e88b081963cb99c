/** The store as a few maps: what it should do, with nothing in the way of seeing that it is right. */
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RevisionEvents,
  StoreEvent,
  Txn,
} from '../../src/store/store.ts'
import { bytes, text } from './store-support.ts'

const byBytes = (a: string, b: string): number => Buffer.compare(bytes(a), bytes(b))
const inside = (key: string, [from, to]: readonly [string, string]): boolean =>
  byBytes(key, from) >= 0 && (to === '' || byBytes(key, to) < 0)

export interface ModelResult {
  readonly succeeded: boolean
  readonly wrote: boolean
  readonly results: readonly OperationResult[]
}

export class ModelStore {
  #kvs = new Map<string, KeyValue>()
  /** State after each revision. */
  readonly #past = new Map<number, Map<string, KeyValue>>()
  readonly #events: RevisionEvents[] = []

  /** `revision`: what the store calls this transaction, should it write. */
  apply(txn: Txn, revision: number): ModelResult {
    const succeeded = (txn.if ?? []).every((compare) => this.#holds(compare))
    const events: StoreEvent[] = []
    const results = (succeeded ? txn.then : (txn.else ?? [])).map((operation) => this.#run(operation, revision, events))
    if (events.length > 0) {
      this.#events.push({ revision, events })
      this.#past.set(revision, new Map(this.#kvs))
    }
    return { succeeded, wrote: events.length > 0, results }
  }

  range(bounds: readonly [string, string], limit = Number.POSITIVE_INFINITY, revision?: number): OperationResult {
    const kvs = revision === undefined ? this.#kvs : (this.#past.get(revision) ?? new Map<string, KeyValue>())
    const found = [...kvs.values()].filter(({ key }) => inside(key, bounds)).sort((a, b) => byBytes(a.key, b.key))
    return { kind: 'range', kvs: found.slice(0, limit), more: found.length > limit }
  }

  eventsSince(revision: number, bounds: readonly [string, string]): RevisionEvents[] {
    return this.#events
      .filter((one) => one.revision > revision)
      .map((one) => ({ ...one, events: one.events.filter((event) => inside(keyOf(event), bounds)) }))
      .filter(({ events }) => events.length > 0)
  }

  #holds(compare: Compare): boolean {
    const kv = this.#kvs.get(compare.key)
    if (compare.target === 'value') {
      return kv !== undefined && (text(kv.value) === text(compare.to)) === (compare.op === '=')
    }
    const actual = { version: kv?.version, create: kv?.createRevision, mod: kv?.modRevision }[compare.target] ?? 0
    return {
      '=': actual === compare.to,
      '!=': actual !== compare.to,
      '<': actual < compare.to,
      '>': actual > compare.to,
    }[compare.op]
  }

  #run(operation: Operation, revision: number, events: StoreEvent[]): OperationResult {
    if ('put' in operation) {
      const old = this.#kvs.get(operation.put)
      const kv: KeyValue = {
        key: operation.put,
        value: operation.value,
        createRevision: old?.createRevision ?? revision,
        modRevision: revision,
        version: (old?.version ?? 0) + 1,
        lease: operation.lease ?? 0,
      }
      this.#kvs.set(operation.put, kv)
      events.push({ type: 'put', kv })
      return { kind: 'put' }
    }
    if ('range' in operation) return this.range(operation.range, operation.limit)
    const bounds =
      'delete' in operation ? ([operation.delete, `${operation.delete}\0`] as const) : operation.deleteRange
    const doomed = [...this.#kvs.keys()].filter((key) => inside(key, bounds)).sort(byBytes)
    for (const key of doomed) {
      this.#kvs.delete(key)
      events.push({ type: 'delete', key, modRevision: revision })
    }
    return { kind: 'delete', deleted: doomed.length }
  }
}

const keyOf = (event: StoreEvent): string => (event.type === 'put' ? event.kv.key : event.key)
