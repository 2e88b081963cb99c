import { keyPart } from '../../model/keys.ts'
import type { Command } from '../catalog.ts'
import type { Tables } from '../tables.ts'
import { planKvDelete, planKvPut } from './kv.ts'
import type { Plan } from './plan.ts'
import { planAgentSync, planRegister } from './register.ts'
import { planCheckStatus, planCoordinates, planDeregister, planFailoverReturn } from './small.ts'

/** What the command comes to by the tables as they stand. Throws AtollError 'invalid' or 'conflict' when it may not be. */
export function judge(tables: Tables, command: Command): Plan {
  switch (command.kind) {
    case 'register':
      return planRegister(tables, command)
    case 'deregister':
      return planDeregister(tables, command)
    case 'agent-sync':
      return planAgentSync(tables, command)
    case 'check-status':
      return planCheckStatus(tables, command)
    case 'coordinate-update':
      return planCoordinates(tables, [command])
    case 'coordinate-batch':
      return planCoordinates(tables, command.rows)
    case 'failover-return':
      return planFailoverReturn(tables, command)
    case 'kv-put':
      return planKvPut(tables, command)
    case 'kv-delete':
      return planKvDelete(tables, command)
  }
}

/** Things whose writers take turns, because they would only conflict. */
export function lanesOf(tables: Tables, command: Command): readonly string[] {
  switch (command.kind) {
    case 'register':
    case 'agent-sync': {
      const { id, node } = command.node
      const former = id === '' ? undefined : tables.nodeById(id)
      return [
        `n/${keyPart(node)}`,
        ...(id === '' ? [] : [`i/${id.toLowerCase()}`]),
        ...(former ? [`n/${keyPart(former.node)}`] : []),
      ]
    }
    case 'deregister':
    case 'check-status':
      return [`n/${keyPart(command.node)}`]
    case 'coordinate-update':
      return [`x/${keyPart(command.node)}`]
    case 'coordinate-batch':
      return command.rows.map(({ node }) => `x/${keyPart(node)}`)
    case 'failover-return':
      return []
    case 'kv-put':
      return [`k/${command.key}`]
    case 'kv-delete':
      return command.recurse ? [] : [`k/${command.key}`]
  }
}
