import { keys } from '../../model/keys.ts'
import type { Command } from '../catalog.ts'
import * as codec from '../codec.ts'
import type { Tables } from '../tables.ts'
import { acquired, mayHold, requireSession } from './lock.ts'
import { modIs, type Plan } from './plan.ts'

/** Digits of the number at the end: with so many the order of keys is that of numbers for ever. */
const DIGITS = 16

/** A new key under the prefix, numbered by a counter that outlives its keys. Held by the session, when one is given. */
export function planKvSequence(tables: Tables, command: Extract<Command, { kind: 'kv-sequence' }>): Plan {
  const { prefix, value, flags } = command
  const session = command.session === '' ? undefined : requireSession(tables, command.session)
  const counter = tables.sequences.get(prefix)
  const underWay = tables.numbers.last(prefix)
  const before = underWay ?? counter?.last
  let number = (before ?? 0) + 1
  // Somebody may have written such a key by its name.
  while (tables.kv(keyOf(prefix, number)) || tables.sessionTable.delays.has(keyOf(prefix, number))) number++
  const key = keyOf(prefix, number)
  const entry = { value, flags, lockIndex: session ? 1 : 0, session: session?.id ?? '' }
  return {
    applied: true,
    if: [
      before === undefined
        ? modIs(keys.sequence(prefix), 0)
        : { key: keys.sequence(prefix), target: 'value', op: '=', to: codec.encodeSequence(before) },
      modIs(keys.kv(key), 0),
      ...(session ? mayHold(tables, key, session) : []),
    ],
    then: [
      { put: keys.sequence(prefix), value: codec.encodeSequence(number) },
      { put: keys.kv(key), value: codec.encodeKv(entry) },
      ...(session ? [acquired(session)] : []),
    ],
    key,
    number: { prefix, number },
  }
}

const keyOf = (prefix: string, number: number): string => prefix + String(number).padStart(DIGITS, '0')
