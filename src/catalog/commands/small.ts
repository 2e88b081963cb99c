import type { CoordinateRow } from '../../model/coordinate.ts'
import { keyPart, keys } from '../../model/keys.ts'
import type { Compare, Operation } from '../../store/store.ts'
import type { Command } from '../catalog.ts'
import * as codec from '../codec.ts'
import type { Tables } from '../tables.ts'
import { Draft } from './draft.ts'
import { createIs, modIs, nothing, type Plan } from './plan.ts'
import { equal } from './same.ts'
import { settle } from './settle.ts'

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>

/** What is not there needs no removal. A service goes with its checks, a node with everything. */
export function planDeregister(tables: Tables, command: Of<'deregister'>): Plan {
  const draft = Draft.of(tables, command.node)
  if (!draft.state) return nothing()
  if (command.serviceId) draft.removeService(keyPart(command.serviceId))
  else if (command.checkId) draft.removeCheck(keyPart(command.checkId))
  else draft.removeAll()
  return settle(tables, [draft], { forGood: true })
}

export function planCheckStatus(tables: Tables, command: Of<'check-status'>): Plan {
  const draft = Draft.of(tables, command.node)
  const check = draft.check(keyPart(command.checkId))
  const ofNode = command.ifNodeId === undefined || draft.state?.row?.id.toLowerCase() === command.ifNodeId.toLowerCase()
  if (!check || !ofNode) return nothing()
  if (check.status === command.status && check.output === command.output) return nothing()
  // As it is stored: the name and tags that its service has by now are none of this command's business.
  draft.checks.set(keyPart(command.checkId), { ...check, status: command.status, output: command.output })
  return settle(tables, [draft])
}

/** A node that is not there has no coordinate. Of several for one node and segment the last counts. */
export function planCoordinates(tables: Tables, rows: readonly CoordinateRow[]): Plan {
  const guards = new Map<string, Compare>()
  const puts = new Map<string, Operation>()
  for (const { node: name, segment, coordinate } of rows) {
    const node = tables.registry.nodeStates.get(keyPart(name))
    if (!node?.row) continue
    const row = { node: node.row.node, segment, coordinate }
    const stored = tables.coordinatesOf(name).find((other) => keyPart(other.segment) === keyPart(segment))
    const key = keys.coordinate(name, segment)
    if (stored && equal(stored, row)) puts.delete(key)
    else puts.set(key, { put: key, value: codec.encodeCoordinate(row) })
    guards.set(node.part, createIs(`e/n/${node.part}`, tables.revisionOf(node.row.createIndex)))
  }
  if (puts.size === 0) return nothing()
  return { applied: true, if: [...guards.values()], then: [...puts.values()] }
}

export function planFailoverReturn(tables: Tables, command: Of<'failover-return'>): Plan {
  const record = tables.failover(command.service)
  if (record?.since !== command.since) return nothing()
  const key = keys.failover(command.service)
  return {
    applied: true,
    if: [modIs(key, tables.revisionOf(record.since))],
    then: [{ delete: key }, { put: keys.serviceIndex(command.service), value: codec.MARK }],
  }
}
