import { AtollError } from '../../model/errors.ts'
import { keyPart, keys } from '../../model/keys.ts'
import { checksOfSession, type SessionRow } from '../../model/session.ts'
import type { Compare, Operation } from '../../store/store.ts'
import type { Command } from '../catalog.ts'
import * as codec from '../codec.ts'
import type { NodeState } from '../tables/states.ts'
import type { Tables } from '../tables.ts'
import { createIs, MAX_PLAN_BYTES, MAX_PLAN_OPERATIONS, modIs, nothing, type Plan } from './plan.ts'
import { queryGone } from './prepared-query.ts'

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>

const invalid = (message: string, field: string): AtollError => new AtollError('invalid', message, { field })

/** The node and every check must be there, and no check critical, also at the moment at which it is written. */
export function planSessionCreate(tables: Tables, { session }: Of<'session-create'>): Plan {
  if (tables.session(session.id) || tables.sessionTable.ending.has(session.id)) {
    throw new AtollError('conflict', `session: there is one with the id ${session.id}`, { field: 'ID' })
  }
  const node = tables.registry.nodeStates.get(keyPart(session.node))
  if (!node?.row) throw invalid('Missing node registration', 'Node')
  const compares = new Map<string, Compare>()
  const rest = (compare: Compare): void => void compares.set(compare.key, compare)
  rest(modIs(keys.session(session.id), 0))
  rest(createIs(`e/n/${node.part}`, tables.revisionOf(node.row.createIndex)))
  for (const check of checksOfSession(session)) rest(standing(tables, node, check))
  const entry = { ...session, node: node.row.node, ending: false }
  const value = codec.encodeSession(entry)
  return { applied: true, if: [...compares.values()], then: [{ put: keys.session(session.id), value }] }
}

function standing(tables: Tables, node: NodeState, checkId: string): Compare {
  const part = keyPart(checkId)
  const check = node.checks.get(part)
  if (!check?.row) throw invalid(`Missing check '${checkId}' registration`, 'NodeChecks')
  if (check.row.status === 'critical') throw invalid(`Check '${checkId}' is in critical state`, 'NodeChecks')
  return modIs(`e/c/${node.part}/${part}`, tables.revisionOf(check.entryIndex))
}

/** Keys' entries and what is written beside them, with room for the session itself. */
const MAX_KEYS_AT_ONCE = Math.floor((MAX_PLAN_OPERATIONS - 8) / 2)

/**
 * Ends the session and releases (or deletes) what it holds, each key under its lock-delay, and removes the prepared queries
 * that go with it. One that holds more than one
 * transaction takes is over for everybody with the first, and gone with the last.
 */
export function planSessionDestroy(tables: Tables, { session: id }: Of<'session-destroy'>): Plan {
  const session = tables.session(id) ?? tables.sessionTable.ending.get(id)
  if (!session) return nothing()
  const compares: Compare[] = [
    modIs(keys.session(id), tables.revisionOf(session.modifyIndex)),
    // No key was acquired that the tables do not show yet.
    modIs(keys.sessionHold(id), tables.sessionTable.holds.get(id) ?? 0),
  ]
  const then: Operation[] = []
  let bytes = 0
  let released = 0
  const held = tables.kvTable.heldBy(id)
  for (const key of held) {
    const row = tables.kv(key)!
    bytes += row.value.length + 2 * key.length
    if (released === MAX_KEYS_AT_ONCE || (released > 0 && bytes > MAX_PLAN_BYTES)) break
    compares.push(modIs(keys.kv(key), tables.revisionOf(row.modifyIndex)))
    if (session.behavior === 'delete') then.push({ delete: keys.kv(key) })
    else then.push({ put: keys.kv(key), value: codec.encodeKv({ ...row, session: '' }) })
    if (session.lockDelayMs > 0) {
      then.push({ put: keys.lockDelay(key), value: codec.encodeLockDelay(session.lockDelayMs) })
    }
    released++
  }
  if (released > 0 && session.behavior === 'delete') then.push({ put: keys.kvIndex, value: codec.MARK })
  const bound = tables.queryTable.ofSession(id)
  let removed = 0
  for (const query of bound) {
    if (released + removed === MAX_KEYS_AT_ONCE) break
    const row = tables.queryTable.get(query)!
    compares.push(modIs(keys.query(query), tables.revisionOf(row.modifyIndex)))
    then.push(...queryGone(row))
    removed++
  }
  if (removed > 0) then.push({ put: keys.queryIndex, value: codec.MARK })
  const partial = released + removed < held.length + bound.length
  then.push(...(partial ? ending(session) : gone(id)))
  return { applied: true, if: compares, then, partial }
}

const ending = (session: SessionRow): Operation[] =>
  session.ending ? [] : [{ put: keys.session(session.id), value: codec.encodeSession({ ...session, ending: true }) }]

const gone = (id: string): Operation[] => [
  { delete: keys.session(id) },
  { delete: keys.sessionHold(id) },
  { delete: keys.sessionLease(id) },
  { put: keys.sessionIndex, value: codec.MARK },
]

/** Nothing when another delay has begun since. */
export function planLockDelayEnd(tables: Tables, { key, since }: Of<'lock-delay-end'>): Plan {
  const delay = tables.sessionTable.delays.get(key)
  if (delay?.modRevision !== since) return nothing()
  return { applied: true, if: [modIs(keys.lockDelay(key), since)], then: [{ delete: keys.lockDelay(key) }] }
}
