import { AtollError } from '../../model/errors.ts'
import { keys } from '../../model/keys.ts'
import type { SessionRow } from '../../model/session.ts'
import type { Compare, Operation } from '../../store/store.ts'
import type { Command } from '../catalog.ts'
import * as codec from '../codec.ts'
import type { Tables } from '../tables.ts'
import { isStill, sameBytes } from './kv.ts'
import { modIs, nothing, type Plan } from './plan.ts'

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>

/** The session, which must stand. */
export function requireSession(tables: Tables, id: string): SessionRow {
  const session = tables.session(id)
  if (session) return session
  const fault = id === '' ? 'missing session' : `invalid session ${JSON.stringify(id)}`
  throw new AtollError('invalid', fault, { field: 'acquire' })
}

/** That the session still stands, and no lock-delay of the key does. */
export const mayHold = (tables: Tables, key: string, session: SessionRow): Compare[] => [
  modIs(keys.session(session.id), tables.revisionOf(session.modifyIndex)),
  { key: keys.lockDelay(key), target: 'create', op: '=', to: 0 },
]

/** A free key gets the session and the next LockIndex; its holder may write it again; for others it is not applied. */
export function planKvLock(tables: Tables, command: Of<'kv-lock'>): Plan {
  const session = requireSession(tables, command.session)
  const stored = tables.kv(command.key)
  const holder = stored?.session ?? ''
  if (holder !== '' && holder !== session.id) return nothing(false)
  if (holder === '' && tables.sessionTable.delays.has(command.key)) return nothing(false)
  if (holder !== '' && stored!.flags === command.flags && sameBytes(stored!.value, command.value)) return nothing()
  const lockIndex = (stored?.lockIndex ?? 0) + (holder === '' ? 1 : 0)
  const value = codec.encodeKv({ value: command.value, flags: command.flags, lockIndex, session: session.id })
  return {
    applied: true,
    if: [isStill(tables, command.key, stored), ...mayHold(tables, command.key, session)],
    then: [{ put: keys.kv(command.key), value }, ...(holder === '' ? [acquired(session)] : [])],
  }
}

/** What the end of the session compares. */
export const acquired = (session: SessionRow): Operation => ({ put: keys.sessionHold(session.id), value: codec.MARK })

/** Writes the value and lets the key go; not applied for who does not hold it. */
export function planKvUnlock(tables: Tables, command: Of<'kv-unlock'>): Plan {
  const stored = tables.kv(command.key)
  if (!stored || stored.session !== command.session) return nothing(false)
  const { value, flags } = command
  const released = codec.encodeKv({ value, flags, lockIndex: stored.lockIndex, session: '' })
  return {
    applied: true,
    if: [isStill(tables, command.key, stored)],
    then: [{ put: keys.kv(command.key), value: released }],
  }
}
