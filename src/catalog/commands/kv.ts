import type { KvRow } from '../../model/entries.ts'
import { keys, prefixEnd } from '../../model/keys.ts'
import type { Command } from '../catalog.ts'
import * as codec from '../codec.ts'
import type { Tables } from '../tables.ts'
import { modIs, nothing, type Plan } from './plan.ts'

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>

/** A put of what is there already changes nothing; of a locked key it keeps the lock. */
export function planKvPut(tables: Tables, command: Of<'kv-put'>): Plan {
  const stored = tables.kv(command.key)
  if (command.cas !== undefined && command.cas !== (stored?.modifyIndex ?? 0)) return nothing(false)
  if (stored && stored.flags === command.flags && sameBytes(stored.value, command.value)) return nothing()
  const value = codec.encodeKv({
    value: command.value,
    flags: command.flags,
    lockIndex: stored?.lockIndex ?? 0,
    session: stored?.session ?? '',
  })
  return { applied: true, if: [isStill(tables, command.key, stored)], then: [{ put: keys.kv(command.key), value }] }
}

export function planKvDelete(tables: Tables, command: Of<'kv-delete'>): Plan {
  const gone = { put: keys.kvIndex, value: codec.MARK }
  if (command.recurse) {
    const prefix = keys.kv(command.key)
    if (tables.kvTable.isEmptyUnder(command.key)) return nothing()
    return { applied: true, if: [], then: [{ deleteRange: [prefix, prefixEnd(prefix)] }, gone] }
  }
  const stored = tables.kv(command.key)
  // As in Consul: a compare with 0 never holds for a key that is there, and a key that is not there is deleted anyway.
  if (!stored) return nothing()
  if (command.cas !== undefined && command.cas !== stored.modifyIndex) return nothing(false)
  return {
    applied: true,
    if: [isStill(tables, command.key, stored)],
    then: [{ delete: keys.kv(command.key) }, gone],
  }
}

export const isStill = (tables: Tables, key: string, row: KvRow | undefined) =>
  modIs(keys.kv(key), row ? tables.revisionOf(row.modifyIndex) : 0)

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
