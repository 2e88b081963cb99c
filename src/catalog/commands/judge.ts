import { AtollError } from '../../model/errors.ts'
import { keyPart } from '../../model/keys.ts'
import type { Command } from '../catalog.ts'
import type { Tables } from '../tables.ts'
import type { TxnOperation } from '../txn.ts'
import { planEventFire } from './event.ts'
import { planKvDelete, planKvPut } from './kv.ts'
import { planKvLock, planKvUnlock } from './lock.ts'
import type { Plan } from './plan.ts'
import { planQueryDelete, planQueryPut } from './prepared-query.ts'
import { planAgentSync, planRegister } from './register.ts'
import { planKvSequence } from './sequence.ts'
import { planLockDelayEnd, planSessionCreate, planSessionDestroy } from './session.ts'
import { planCheckStatus, planCoordinates, planDeregister, planFailoverReturn } from './small.ts'
import { planTxn } from './txn.ts'

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
    case 'kv-lock':
      return planKvLock(tables, command)
    case 'kv-unlock':
      return planKvUnlock(tables, command)
    case 'kv-sequence':
      return planKvSequence(tables, command)
    case 'session-create':
      return planSessionCreate(tables, command)
    case 'session-destroy':
      return planSessionDestroy(tables, command)
    case 'query-put':
      return planQueryPut(tables, command)
    case 'query-delete':
      return planQueryDelete(tables, command)
    case 'event-fire':
      return planEventFire(tables, command)
    case 'txn':
      return planTxn(tables, command)
    case 'lock-delay-end':
      return planLockDelayEnd(tables, command)
    case 'session-renew':
      throw new AtollError('internal', 'session-renew is no transaction')
  }
}

const MAX_LANES = 256
const kvLane = (key: string): string => `k/${key}`

function laneOf(operation: TxnOperation): string {
  if (operation.type === 'kv') return kvLane(operation.key)
  if (operation.type === 'node') return `n/${keyPart(operation.node.node)}`
  return `n/${keyPart(operation.type === 'service' ? operation.node : operation.check.node)}`
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
    case 'kv-lock':
    case 'kv-unlock':
      return [`k/${command.key}`]
    case 'kv-delete':
      return command.recurse ? [] : [`k/${command.key}`]
    case 'kv-sequence':
      return [`q/${command.prefix}`]
    case 'session-create':
      return [`u/${command.session.id}`]
    case 'session-renew':
      return []
    case 'session-destroy':
      return [`u/${command.session}`, ...tables.kvTable.heldBy(command.session).slice(0, MAX_LANES).map(kvLane)]
    case 'query-put':
      return [`p/${command.query.id}`, `pn/${keyPart(command.query.name)}`]
    case 'query-delete':
      return [`p/${command.query}`]
    case 'event-fire':
      return ['v']
    case 'txn':
      return command.operations.map(laneOf)
    case 'lock-delay-end':
      return [`d/${command.key}`]
  }
}
