import type { CoordinateRow } from '../../model/coordinate.ts'
import type { CheckRow, FailoverRecord, Instance, NodeRow, ServiceRow, Status } from '../../model/entries.ts'
import { worseOf } from '../../model/health.ts'
import { compareKeys, keyPart, type Table } from '../../model/keys.ts'
import type { CheckOutput } from '../codec.ts'
import { SortedMap } from '../sorted-map.ts'
import type { ServiceSummary } from '../view.ts'
import { CoordinateTable } from './coordinate-table.ts'
import { Graveyard } from './graveyard.ts'
import type { CheckState, EntryState, NodeState, ServiceState } from './states.ts'
import * as states from './states.ts'
import { nodeThing, serviceThing, type Waiters } from './waiters.ts'
import { type WholeName, Wholes } from './wholes.ts'

/**
 * Nodes, services, checks and coordinates, folded from changes of single keys. Changes of a batch may come in any order;
 * `flush` then works out what they come to, gives what changed a new version, and wakes who waits for it. Names are parts
 * of keys; all revisions are indexes.
 */
export class Registry {
  readonly #waiters: Waiters
  /** Services that lost something in a large deletion (e/d), each with the index, by node. */
  readonly bulkDeletions = new Map<string, readonly (readonly [service: string, index: number])[]>()
  readonly nodeStates = new Map<string, NodeState>()
  readonly serviceStates = new Map<string, ServiceState>()
  readonly #nodes = new SortedMap<NodeState>()
  /** Those with instances. */
  readonly #named = new SortedMap<ServiceState>()
  readonly #byId = new Map<string, NodeState>()
  readonly coordinateTable = new CoordinateTable()
  readonly #graves = new Graveyard()
  readonly #failovers = new Set<ServiceState>()
  readonly #wholes = new Wholes()
  readonly #dirtyNodes = new Set<NodeState>()
  readonly #dirtyEntries = new Set<EntryState>()
  readonly #dirtyServices = new Set<ServiceState>()
  readonly #listeners = new Set<(services: readonly string[]) => void>()
  /** Counts changes; versions are taken from it. */
  #tick: number
  /** What is put was there all along, and is only shown now: the wholes do not change. */
  #revealing = false

  #nodeRows: readonly NodeRow[] | undefined
  #summaries: readonly ServiceSummary[] | undefined
  #checkRows = new Map<Status | 'any', readonly CheckRow[]>()

  /** `firstVersion`: all versions are above it. */
  constructor(waiters: Waiters, firstVersion = 0) {
    this.#waiters = waiters
    this.#tick = firstVersion
  }

  /** No version is above it. */
  get lastVersion(): number {
    return this.#tick
  }

  /** Runs `put`, whose entries are no changes: nobody who reads lists of everything is told. */
  reveal(put: () => void): void {
    this.#revealing = true
    try {
      put()
      this.flush()
    } finally {
      this.#revealing = false
    }
  }

  // ---- changes

  putNode(part: string, row: NodeRow): void {
    const node = this.#node(part)
    if (node.row && node.row.id !== row.id) this.#unmapId(node)
    node.row = row
    if (row.id !== '') this.#byId.set(row.id.toLowerCase(), node)
    this.#touchNode(node, row.modifyIndex)
    this.#touchEntries(node, row.modifyIndex)
    this.#touch('nodes', row.modifyIndex)
  }

  deleteNode(part: string, index: number): void {
    const node = this.nodeStates.get(part)
    if (!node?.row) return
    this.#unmapId(node)
    node.row = undefined
    this.#touchNode(node, index)
    this.#touchEntries(node, index)
    this.#touch('nodes', index)
  }

  putService(nodePart: string, part: string, row: ServiceRow): void {
    const node = this.#node(nodePart)
    let entry = node.services.get(part)
    const service = this.#service(keyPart(row.service))
    if (!entry) {
      const order = `${nodePart}/${part}`
      entry = { part, node, order, row, service, status: 'critical', instance: undefined }
      node.services.set(part, entry)
      this.#join(service, entry)
    } else {
      entry.row = row
      if (entry.service !== service) {
        this.#leave(entry, row.modifyIndex)
        entry.service = service
        this.#join(service, entry)
      }
    }
    service.summary = undefined
    this.#dirtyEntries.add(entry)
    this.#raise(service, row.modifyIndex)
    this.#touchNode(node, row.modifyIndex)
    this.#touch('services', row.modifyIndex)
  }

  deleteService(nodePart: string, part: string, index: number): void {
    const node = this.nodeStates.get(nodePart)
    const entry = node?.services.get(part)
    if (!node || !entry) return
    node.services.delete(part)
    this.#leave(entry, index)
    this.#dirtyEntries.delete(entry)
    this.#touchNode(node, index)
    this.#touch('services', index)
  }

  /** `row` as it is without its output. */
  putCheck(nodePart: string, part: string, row: CheckRow): void {
    const node = this.#node(nodePart)
    const check = this.#check(node, part)
    const group = row.serviceId === '' ? '' : keyPart(row.serviceId)
    if (check.row && check.group !== group) {
      states.leaveGroup(node, check)
      this.#touchGroup(node, check.group, row.modifyIndex)
    }
    const isNew = !check.row || check.group !== group
    check.entryIndex = row.modifyIndex
    check.group = group
    check.row =
      check.outputIndex === 0
        ? row
        : {
            ...row,
            notes: check.notes,
            output: check.output,
            modifyIndex: Math.max(row.modifyIndex, check.outputIndex),
          }
    if (isNew) states.joinGroup(node, check)
    this.#touchGroup(node, group, row.modifyIndex)
  }

  deleteCheck(nodePart: string, part: string, index: number): void {
    const node = this.nodeStates.get(nodePart)
    const check = node?.checks.get(part)
    if (!node || !check?.row) return
    check.row = undefined
    check.entryIndex = 0
    states.leaveGroup(node, check)
    if (check.outputIndex === 0) node.checks.delete(part)
    this.#touchGroup(node, check.group, index)
  }

  putOutput(nodePart: string, part: string, { notes, output }: CheckOutput, index: number): void {
    const node = this.#node(nodePart)
    const check = this.#check(node, part)
    check.notes = notes
    check.output = output
    check.outputIndex = index
    this.#dirtyNodes.add(node)
    if (!check.row) return
    check.row = { ...check.row, notes, output, modifyIndex: Math.max(check.entryIndex, index) }
    this.#touchGroup(node, check.group, index)
  }

  deleteOutput(nodePart: string, part: string, index: number): void {
    const node = this.nodeStates.get(nodePart)
    const check = node?.checks.get(part)
    if (!node || !check || check.outputIndex === 0) return
    check.notes = ''
    check.output = ''
    check.outputIndex = 0
    if (!check.row) {
      node.checks.delete(part)
      this.#dirtyNodes.add(node)
      return
    }
    // An output only goes with its check: this one was written anew, without.
    check.row = { ...check.row, notes: '', output: '', modifyIndex: check.entryIndex }
    this.#touchGroup(node, check.group, index)
  }

  putCoordinate(key: string, row: CoordinateRow, index: number): void {
    this.coordinateTable.put(key, row, index)
    this.#touch('coordinates', index)
  }

  deleteCoordinate(key: string, index: number): void {
    if (this.coordinateTable.delete(key)) this.#touch('coordinates', index)
  }

  /** The service's own record of its index (e/i), or of a deletion that names it (e/d). */
  raiseService(part: string, index: number, ofRecord: boolean): void {
    const service = this.#service(part)
    if (ofRecord) service.recordIndex = index
    if (service.index < index) this.#raise(service, index)
  }

  putBulkDeletion(node: string, index: number, lost: readonly (readonly [service: string, index: number])[]): void {
    this.bulkDeletions.set(node, lost)
    for (const [service, at] of lost) this.raiseService(service, Math.min(at, index), false)
  }

  deleteBulkDeletion(node: string): void {
    this.bulkDeletions.delete(node)
  }

  raiseWhole(name: WholeName, index: number): void {
    if (this.#wholes.get(name).index < index) this.#touch(name, index)
  }

  /** Something of it changed that is not held here. */
  touchWhole(name: WholeName, index: number): void {
    this.#touch(name, index)
  }

  /** A node may have lost parts up to the index. */
  raiseNode(part: string, index: number): void {
    const node = this.nodeStates.get(part)
    if (node && node.index < index) this.#touchNode(node, index)
  }

  /** A node that was never held here is gone. */
  buryNode(part: string, index: number): void {
    if (!this.nodeStates.has(part)) this.#graves.bury(part, index)
  }

  /** Deletions up to the index happened that are not known: what is absent, and what may have lost a part, falls back on it. */
  forget(table: Table, index: number): void {
    if (table === 'nodes') {
      this.#graves.forget(index)
      this.raiseWhole('coordinates', index)
      return
    }
    for (const node of this.nodeStates.values()) if (node.index < index) this.#touchNode(node, index)
  }

  putFailover(part: string, record: FailoverRecord): void {
    const service = this.#service(part)
    service.failover = record
    this.#failovers.add(service)
    this.#raise(service, record.since)
  }

  deleteFailover(part: string, index: number): void {
    const service = this.serviceStates.get(part)
    if (!service?.failover) return
    service.failover = undefined
    this.#failovers.delete(service)
    this.#raise(service, index)
  }

  onServices(listener: (services: readonly string[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Works out what the changes come to. Nobody is called yet. */
  flush(): void {
    for (const node of this.#dirtyNodes) this.#settleNode(node)
    for (const entry of this.#dirtyEntries) this.#settleEntry(entry)
    for (const service of this.#dirtyServices) this.#settleService(service)
    if (!this.#revealing) this.#tellServices()
    this.#dirtyNodes.clear()
    this.#dirtyEntries.clear()
    this.#dirtyServices.clear()
    if (this.#wholes.isTouched('nodes')) this.#nodeRows = undefined
    if (this.#wholes.isTouched('services')) this.#summaries = undefined
    if (this.#wholes.isTouched('checks')) this.#checkRows.clear()
    this.#wholes.settle(() => ++this.#tick, this.#waiters)
  }

  // ---- what is there

  nodes(): readonly NodeRow[] {
    this.#nodeRows ??= [...this.#nodes.range()].flatMap(([, node]) => node.row ?? [])
    return this.#nodeRows
  }

  nodeById(id: string): NodeRow | undefined {
    return this.#byId.get(id.toLowerCase())?.row
  }

  servicesOf(part: string): readonly ServiceRow[] {
    const node = this.nodeStates.get(part)
    if (!node) return NO_ROWS
    node.serviceRows ??= [...node.services.values()].sort(states.byPart).map((entry) => entry.row)
    return node.serviceRows
  }

  checksOf(part: string): readonly CheckRow[] {
    const node = this.nodeStates.get(part)
    if (!node) return NO_ROWS
    node.checkRows ??= [...node.checks.values()].sort(states.byPart).flatMap((check) => check.row ?? [])
    return node.checkRows
  }

  services(): readonly ServiceSummary[] {
    this.#summaries ??= this.#named.valuesIn('', '').map((service) => {
      service.summary ??= states.summaryOf(service)
      return service.summary
    })
    return this.#summaries
  }

  instances(part: string): readonly Instance[] {
    const service = this.serviceStates.get(part)
    if (!service || service.entries.length === 0) return NO_ROWS
    if (!service.instances) {
      const instances: Instance[] = []
      for (const entry of service.entries) {
        entry.instance ??= states.instanceOf(entry)
        if (entry.instance) instances.push(entry.instance)
      }
      service.instances = instances
    }
    return service.instances
  }

  checksOfService(part: string): readonly CheckRow[] {
    const service = this.serviceStates.get(part)
    if (!service || service.entries.length === 0) return NO_ROWS
    service.checkRows ??= service.entries.flatMap((entry) => states.settled(entry.node, entry.part).rows)
    return service.checkRows
  }

  checks(status: Status | undefined): readonly CheckRow[] {
    const name = status ?? 'any'
    let rows = this.#checkRows.get(name)
    if (!rows) {
      rows = status ? this.checks(undefined).filter((row) => row.status === status) : this.#allChecks()
      this.#checkRows.set(name, rows)
    }
    return rows
  }

  failovers(): Iterable<FailoverRecord> {
    return [...this.#failovers].map((service) => service.failover!)
  }

  /** Version and index of a thing of which there is one. */
  whole(name: WholeName): { readonly version: number; readonly index: number } {
    return this.#wholes.get(name)
  }

  /** Negative versions are those of absent nodes, which differ by their deletion. */
  nodeVersion(part: string): number {
    return this.nodeStates.get(part)?.version ?? -this.#graves.at(part)
  }

  nodeIndex(part: string): number {
    return this.nodeStates.get(part)?.index ?? this.#graves.at(part)
  }

  // ---- within

  #node(part: string): NodeState {
    let node = this.nodeStates.get(part)
    if (!node) {
      node = states.newNode(part)
      node.index = this.#graves.at(part)
      this.#graves.revive(part)
      this.nodeStates.set(part, node)
      this.#nodes.set(part, node)
    }
    return node
  }

  #service(part: string): ServiceState {
    let service = this.serviceStates.get(part)
    if (!service) {
      service = states.newService(part)
      this.serviceStates.set(part, service)
    }
    return service
  }

  #check(node: NodeState, part: string): CheckState {
    let check = node.checks.get(part)
    if (!check) {
      check = { part, row: undefined, group: '', entryIndex: 0, outputIndex: 0, notes: '', output: '' }
      node.checks.set(part, check)
    }
    return check
  }

  #join(service: ServiceState, entry: EntryState): void {
    service.entries.splice(states.placeOf(service.entries, entry.order), 0, entry)
    if (service.entries.length === 1) this.#named.set(service.part, service)
  }

  #leave(entry: EntryState, index: number): void {
    const { service } = entry
    const at = states.placeOf(service.entries, entry.order)
    if (service.entries[at] === entry) service.entries.splice(at, 1)
    if (service.entries.length === 0) this.#named.delete(service.part)
    if (entry.status === 'passing') service.passing--
    entry.status = 'critical'
    service.summary = undefined
    this.#raise(service, index)
  }

  #unmapId(node: NodeState): void {
    const id = node.row!.id.toLowerCase()
    if (this.#byId.get(id) === node) this.#byId.delete(id)
  }

  #touch(name: WholeName, index: number): void {
    if (this.#revealing) return
    this.#wholes.touch(name, index)
  }

  #touchNode(node: NodeState, index: number): void {
    this.#dirtyNodes.add(node)
    if (node.index < index) node.index = index
  }

  #touchEntries(node: NodeState, index: number): void {
    for (const entry of node.services.values()) {
      this.#dirtyEntries.add(entry)
      this.#raise(entry.service, index)
    }
  }

  #touchGroup(node: NodeState, group: string, index: number): void {
    const members = node.groups.get(group)
    if (members) members.dirty = true
    this.#touchNode(node, index)
    this.#touch('checks', index)
    if (group === '') this.#touchEntries(node, index)
    const entry = node.services.get(group)
    if (!entry) return
    this.#dirtyEntries.add(entry)
    this.#raise(entry.service, index)
  }

  #raise(service: ServiceState, index: number): void {
    this.#dirtyServices.add(service)
    if (service.index < index) service.index = index
  }

  #settleNode(node: NodeState): void {
    node.version = ++this.#tick
    node.serviceRows = undefined
    node.checkRows = undefined
    if (!node.row && node.services.size === 0 && node.checks.size === 0) {
      this.nodeStates.delete(node.part)
      this.#nodes.delete(node.part)
      this.#graves.bury(node.part, node.index)
    }
    this.#waiters.wake(nodeThing(node.part))
  }

  #settleEntry(entry: EntryState): void {
    const { node, service } = entry
    const ofNode = states.settled(node, '')
    const own = states.settled(node, entry.part)
    const status = node.row ? worseOf(ofNode.status, own.status) : 'critical'
    if (status !== entry.status) {
      if (status === 'passing') service.passing++
      else if (entry.status === 'passing') service.passing--
      entry.status = status
    }
    entry.instance = undefined
    // What was there before the instance came counts for its service too.
    this.#raise(service, Math.max(entry.row.modifyIndex, node.row?.modifyIndex ?? 0, ofNode.index, own.index))
  }

  #settleService(service: ServiceState): void {
    service.version = ++this.#tick
    service.instances = undefined
    service.checkRows = undefined
    this.#waiters.wake(serviceThing(service.part))
  }

  #tellServices(): void {
    if (this.#listeners.size === 0 || this.#dirtyServices.size === 0) return
    const services = [...this.#dirtyServices].map(({ part }) => part)
    for (const listener of this.#listeners) listener(services)
  }

  #allChecks(): readonly CheckRow[] {
    // Their keys go on with a '/' after the node, which sorts names that begin alike in another order than nodes.
    const parts = [...this.nodeStates.keys()].map((part) => `${part}/`).sort(compareKeys)
    const rows: CheckRow[] = []
    for (const part of parts) for (const row of this.checksOf(part.slice(0, -1))) rows.push(row)
    return rows
  }
}

const NO_ROWS: readonly never[] = Object.freeze([])
