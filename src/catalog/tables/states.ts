/** What the registry keeps of each node, service, instance and check. Changed only by `Registry`. */
import type { CheckRow, FailoverRecord, Instance, NodeRow, ServiceRow, Status } from '../../model/entries.ts'
import { worstStatus } from '../../model/health.ts'
import { compareKeys } from '../../model/keys.ts'
import type { ServiceSummary } from '../view.ts'

export interface NodeState {
  /** The name as a part of a key. */
  readonly part: string
  row: NodeRow | undefined
  readonly services: Map<string, EntryState>
  readonly checks: Map<string, CheckState>
  /** Its checks by the service (part of its id) that they belong to; '' for the node's own. */
  readonly groups: Map<string, CheckGroup>
  version: number
  index: number
  serviceRows: readonly ServiceRow[] | undefined
  checkRows: readonly CheckRow[] | undefined
}

/** One instance of a service. */
export interface EntryState {
  readonly part: string
  readonly node: NodeState
  /** Place among the instances of a service. */
  readonly order: string
  row: ServiceRow
  service: ServiceState
  /** Worst of the checks of the node and of its own; critical without a node. */
  status: Status
  instance: Instance | undefined
}

export interface CheckState {
  readonly part: string
  /** undefined while only its output is there. */
  row: CheckRow | undefined
  group: string
  /** Index of the last change of the entry and of its output, each by itself. */
  entryIndex: number
  outputIndex: number
  notes: string
  output: string
}

/** Checks of one service on one node, or of the node itself, in order. */
export interface CheckGroup {
  readonly members: CheckState[]
  rows: readonly CheckRow[]
  status: Status
  index: number
  dirty: boolean
}

export interface ServiceState {
  readonly part: string
  readonly entries: EntryState[]
  /** Number of entries that are passing. */
  passing: number
  version: number
  index: number
  /** Index of its e/i record. */
  recordIndex: number
  failover: FailoverRecord | undefined
  summary: ServiceSummary | undefined
  instances: readonly Instance[] | undefined
  checkRows: readonly CheckRow[] | undefined
}

export const newNode = (part: string): NodeState => ({
  part,
  row: undefined,
  services: new Map(),
  checks: new Map(),
  groups: new Map(),
  version: 0,
  index: 0,
  serviceRows: undefined,
  checkRows: undefined,
})

export const newService = (part: string): ServiceState => ({
  part,
  entries: [],
  passing: 0,
  version: 0,
  index: 0,
  recordIndex: 0,
  failover: undefined,
  summary: undefined,
  instances: undefined,
  checkRows: undefined,
})

export const NO_CHECKS: readonly CheckRow[] = Object.freeze([])

export const byPart = (a: { readonly part: string }, b: { readonly part: string }): number =>
  compareKeys(a.part, b.part)

export function joinGroup(node: NodeState, check: CheckState): CheckGroup {
  let group = node.groups.get(check.group)
  if (!group) {
    group = { members: [], rows: NO_CHECKS, status: 'passing', index: 0, dirty: true }
    node.groups.set(check.group, group)
  }
  group.members.push(check)
  group.dirty = true
  return group
}

export function leaveGroup(node: NodeState, check: CheckState): void {
  const group = node.groups.get(check.group)
  if (!group) return
  const at = group.members.indexOf(check)
  if (at >= 0) group.members.splice(at, 1)
  group.dirty = true
  if (group.members.length === 0) node.groups.delete(check.group)
}

/** What the group comes to, worked out anew when one of its checks changed. */
export function settled(node: NodeState, name: string): CheckGroup {
  const group = node.groups.get(name)
  if (!group) return NO_GROUP
  if (group.dirty) {
    group.members.sort(byPart)
    group.rows = group.members.map((check) => check.row!)
    group.status = worstStatus(group.rows)
    group.index = 0
    for (const row of group.rows) group.index = Math.max(group.index, row.modifyIndex)
    group.dirty = false
  }
  return group
}
const NO_GROUP: CheckGroup = { members: [], rows: NO_CHECKS, status: 'passing', index: 0, dirty: false }

/** Where an entry of that order is or belongs. */
export function placeOf(entries: readonly EntryState[], order: string): number {
  let low = 0
  let high = entries.length
  if (high > 0 && compareKeys(entries[high - 1]!.order, order) < 0) return high
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareKeys(entries[middle]!.order, order) < 0) low = middle + 1
    else high = middle
  }
  return low
}

export function summaryOf(service: ServiceState): ServiceSummary {
  const tags = new Set<string>()
  for (const { row } of service.entries) for (const tag of row.tags) tags.add(tag)
  return { service: service.entries[0]!.row.service, tags: [...tags] }
}

/** Undefined while its node is not there. */
export function instanceOf(entry: EntryState): Instance | undefined {
  const { node, row, status } = entry
  if (!node.row) return undefined
  const ofNode = settled(node, '').rows
  const own = settled(node, entry.part).rows
  const checks = own.length === 0 ? ofNode : ofNode.length === 0 ? own : [...ofNode, ...own]
  return { node: node.row, service: row, checks, status }
}
