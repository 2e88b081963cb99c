import { keys, type Table } from '../../model/keys.ts'
import * as codec from '../codec.ts'
import type { EventTable } from './event-table.ts'
import type { KvTable } from './kv-table.ts'
import type { QueryTable } from './query-table.ts'
import type { Registry } from './registry.ts'
import type { SessionTable } from './session-table.ts'
import type { Signals } from './signals.ts'

/** What became of one key; `value` null: deleted at `modRevision` (0: at the revision of the whole). */
export interface Change {
  readonly key: string
  readonly value: Uint8Array | null
  readonly createRevision: number
  readonly modRevision: number
  readonly lease?: number
}
type Put = Change & { readonly value: Uint8Array }

export type Sequences = Map<string, { readonly last: number; readonly modRevision: number }>

interface Position {
  /** Indexes. */
  readonly create: number
  readonly mod: number
  /** Deletions up to `mod` happened before and were not seen. */
  readonly loading: boolean
}

/** What is done about the keys of one prefix; `rest` is the key without it. */
interface Family {
  put(rest: string, kv: Put, at: Position): void
  delete(rest: string, index: number): void
}

/** Takes changes of single keys, as `model/keys.ts` lays them out, to the tables that they belong to. Unknown keys are ignored. */
export class Fold {
  readonly #registry: Registry
  readonly #kv: KvTable
  readonly #sessions: SessionTable
  readonly #events: EventTable
  readonly #queries: QueryTable
  readonly #sequences: Sequences
  readonly #signals: Signals
  readonly #indexOf: (revision: number) => number
  readonly #onUnreadable: (key: string, error: unknown) => void
  readonly #families: ReadonlyMap<string, Family>

  constructor(
    registry: Registry,
    kv: KvTable,
    sessions: SessionTable,
    events: EventTable,
    queries: QueryTable,
    sequences: Sequences,
    signals: Signals,
    indexOf: (revision: number) => number,
    onUnreadable: (key: string, error: unknown) => void,
  ) {
    this.#registry = registry
    this.#kv = kv
    this.#sessions = sessions
    this.#events = events
    this.#queries = queries
    this.#sequences = sequences
    this.#signals = signals
    this.#indexOf = indexOf
    this.#onUnreadable = onUnreadable
    this.#families = new Map([...this.#exported(), ...this.#private(), ...this.#ofSessions()])
  }

  /** `loading`: deletions up to this revision happened before and were not seen. */
  put(kv: Put, loading: boolean): void {
    const length = prefixLength(kv.key)
    const family = this.#families.get(kv.key.slice(0, length))
    if (!family) return
    const at = { create: this.#indexOf(kv.createRevision), mod: this.#indexOf(kv.modRevision), loading }
    try {
      family.put(kv.key.slice(length), kv, at)
    } catch (error) {
      this.#onUnreadable(kv.key, error)
    }
  }

  delete(key: string, modRevision: number): void {
    const length = prefixLength(key)
    this.#families.get(key.slice(0, length))?.delete(key.slice(length), this.#indexOf(modRevision))
  }

  #exported(): [string, Family][] {
    const registry = this.#registry
    const node: Family = {
      put: (rest, kv, { create, mod }) => registry.putNode(rest, codec.decodeNode(kv.value, create, mod)),
      delete: (rest, index) => registry.deleteNode(rest, index),
    }
    const service: Family = {
      put: (rest, kv, { create, mod }) =>
        registry.putService(...pair(rest), codec.decodeService(kv.value, create, mod)),
      delete: (rest, index) => registry.deleteService(...pair(rest), index),
    }
    const check: Family = {
      put: (rest, kv, { create, mod }) => registry.putCheck(...pair(rest), codec.decodeCheck(kv.value, create, mod)),
      delete: (rest, index) => registry.deleteCheck(...pair(rest), index),
    }
    const serviceIndex: Family = {
      put: (rest, _, { mod }) => registry.raiseService(rest, mod, true),
      delete: () => {},
    }
    const bulkDeletion: Family = {
      put: (rest, kv, { mod }) => {
        const lost = codec.decodeBulkDeletion(kv.value)
        registry.putBulkDeletion(
          rest,
          mod,
          lost.map(([service, revision]) => [service, revision === 0 ? mod : this.#indexOf(revision)]),
        )
      },
      delete: (rest) => registry.deleteBulkDeletion(rest),
    }
    const failover: Family = {
      put: (rest, kv, { mod }) => registry.putFailover(rest, { service: codec.decodeFailover(kv.value), since: mod }),
      delete: (rest, index) => registry.deleteFailover(rest, index),
    }
    const tableIndex: Family = {
      put: (rest, _, { mod, loading }) => {
        if (!isTable(rest)) return
        registry.raiseWhole(rest, mod)
        if (loading) registry.forget(rest, mod)
      },
      delete: () => {},
    }
    return [
      ['e/n/', node],
      ['e/s/', service],
      ['e/c/', check],
      ['e/i/', serviceIndex],
      ['e/d/', bulkDeletion],
      ['e/f/', failover],
      ['e/t/', tableIndex],
    ]
  }

  #private(): [string, Family][] {
    const registry = this.#registry
    const signals = this.#signals
    const kv: Family = {
      put: (rest, { value }, { create, mod }) => this.#kv.put(codec.decodeKv(rest, value, create, mod)),
      delete: (rest, index) => this.#kv.delete(rest, index),
    }
    const privateIndex: Family = {
      put: (rest, _, { mod, loading }) => {
        if (loading && rest === 'kv') this.#kv.forget(mod)
        if (loading && rest === 'sessions') this.#sessions.forget(mod)
        if (loading && rest === 'queries') this.#queries.forget(mod)
      },
      delete: () => {},
    }
    const event: Family = {
      put: (rest, { value }, { create, mod }) => this.#events.put(rest, codec.decodeEvent(value, create, mod)),
      delete: (rest) => this.#events.delete(rest),
    }
    const query: Family = {
      put: (rest, { value }, { create, mod }) => this.#queries.put(codec.decodePreparedQuery(rest, value, create, mod)),
      delete: (rest, index) => this.#queries.delete(rest, index),
    }
    const sequence: Family = {
      put: (rest, { value, modRevision }) =>
        void this.#sequences.set(rest, { last: codec.decodeSequence(value), modRevision }),
      delete: (rest) => void this.#sequences.delete(rest),
    }
    const output: Family = {
      put: (rest, { value }, { mod }) => registry.putOutput(...pair(rest), codec.decodeOutput(value), mod),
      delete: (rest, index) => registry.deleteOutput(...pair(rest), index),
    }
    const coordinate: Family = {
      put: (rest, { value }, { mod }) => registry.putCoordinate(rest, codec.decodeCoordinate(value), mod),
      delete: (rest, index) => registry.deleteCoordinate(rest, index),
    }
    const lease: Family = {
      put: (rest, stored) => signals.putLease(rest, stored),
      delete: (rest) => signals.deleteLease(rest),
    }
    const outcome: Family = {
      put: (rest, stored) => signals.putOutcome(rest, stored),
      delete: (rest) => signals.deleteOutcome(rest),
    }
    const system: Family = {
      put: (rest, stored) => signals.putSystem(rest, stored),
      delete: (rest) => signals.deleteSystem(rest),
    }
    return [
      ['k/', kv],
      ['t/', privateIndex],
      ['v/', event],
      ['p/i/', query],
      ['q/', sequence],
      ['o/', output],
      ['x/', coordinate],
      ['l/', lease],
      ['r/', outcome],
      ['sys/', system],
    ]
  }

  #ofSessions(): [string, Family][] {
    const sessions = this.#sessions
    const session: Family = {
      put: (rest, { value }, { create, mod }) => sessions.put(codec.decodeSession(rest, value, create, mod)),
      delete: (rest, index) => sessions.delete(rest, index),
    }
    const lease: Family = {
      put: (rest, stored) => sessions.putLease(rest, stored.lease ?? 0, stored.modRevision),
      delete: (rest) => sessions.deleteLease(rest),
    }
    const hold: Family = {
      put: (rest, stored) => void sessions.holds.set(rest, stored.modRevision),
      delete: (rest) => void sessions.holds.delete(rest),
    }
    const delay: Family = {
      put: (rest, stored) => sessions.putDelay(rest, codec.decodeLockDelay(stored.value), stored.modRevision),
      delete: (rest) => sessions.deleteDelay(rest),
    }
    return [
      ['u/s/', session],
      ['u/r/', lease],
      ['u/h/', hold],
      ['u/d/', delay],
    ]
  }

  /** Every key that the tables hold something of, with its mod revision; 0 where that is not known. */
  modRevisions(): Map<string, number> {
    const offset = this.#indexOf(2) - 2
    const found = new Map<string, number>()
    for (const node of this.#registry.nodeStates.values()) {
      if (node.row) found.set(`e/n/${node.part}`, node.row.modifyIndex - offset)
      for (const { part, row } of node.services.values())
        found.set(`e/s/${node.part}/${part}`, row.modifyIndex - offset)
      for (const check of node.checks.values()) {
        if (check.row) found.set(`e/c/${node.part}/${check.part}`, check.entryIndex - offset)
        if (check.outputIndex > 0) found.set(`o/${node.part}/${check.part}`, check.outputIndex - offset)
      }
    }
    for (const service of this.#registry.serviceStates.values()) {
      if (service.recordIndex > 0) found.set(`e/i/${service.part}`, service.recordIndex - offset)
      if (service.failover) found.set(`e/f/${service.part}`, service.failover.since - offset)
    }
    for (const part of this.#registry.bulkDeletions.keys()) found.set(`e/d/${part}`, 0)
    for (const [key, index] of this.#registry.coordinateTable.indexes()) found.set(`x/${key}`, index - offset)
    for (const row of this.#kv.all()) found.set(keys.kv(row.key), row.modifyIndex - offset)
    for (const [slot, row] of this.#events.slots) found.set(keys.event(slot), row.modifyIndex - offset)
    for (const row of this.#queries.list()) found.set(keys.query(row.id), row.modifyIndex - offset)
    for (const [prefix, { modRevision }] of this.#sequences) found.set(keys.sequence(prefix), modRevision)
    for (const row of this.#sessions.all()) found.set(keys.session(row.id), row.modifyIndex - offset)
    for (const [id, { modRevision }] of this.#sessions.leases) found.set(keys.sessionLease(id), modRevision)
    for (const [id, modRevision] of this.#sessions.holds) found.set(keys.sessionHold(id), modRevision)
    for (const [key, { modRevision }] of this.#sessions.delays) found.set(keys.lockDelay(key), modRevision)
    for (const [id, lease] of this.#signals.leases) found.set(`l/${id}`, lease.modRevision)
    for (const [id, outcome] of this.#signals.outcomes) found.set(`r/${id}`, outcome.modRevision)
    if (this.#signals.restoring) found.set(keys.restoring, 0)
    if (this.#signals.leader) found.set(keys.leader, this.#signals.leader.modRevision)
    return found
  }
}

const isTable = (name: string): name is Table => name === 'nodes' || name === 'services' || name === 'checks'

/** Length of what names the key's family. */
const prefixLength = (key: string): number => (/^(?:[eup]|sys)\//.test(key) ? 4 : 2)

/** The two parts of the rest of a key. */
function pair(rest: string): [string, string] {
  const at = rest.indexOf('/')
  return at < 0 ? [rest, ''] : [rest.slice(0, at), rest.slice(at + 1)]
}
