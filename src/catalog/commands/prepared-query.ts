import { AtollError } from '../../model/errors.ts'
import { keys } from '../../model/keys.ts'
import { isTemplate, type PreparedQueryEntry } from '../../model/prepared-query.ts'
import { isUuid } from '../../model/uuid.ts'
import { type Compare, MAX_VALUE_BYTES, type Operation } from '../../store/store.ts'
import type { Command } from '../catalog.ts'
import * as codec from '../codec.ts'
import type { Tables } from '../tables.ts'
import { acquired, requireSession } from './lock.ts'
import { modIs, nothing, type Plan } from './plan.ts'
import { equal } from './same.ts'

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>

/** A name belongs to one query: a key of its own holds it, so that two writers cannot both take it. */
export function planQueryPut(tables: Tables, { query, create }: Of<'query-put'>): Plan {
  const stored = tables.queryTable.get(query.id)
  if (!create && !stored) throw missing(query.id)
  if (create && stored) throw conflict(`ID: there is a prepared query with the id ${query.id}`, 'ID')
  requireFreeName(tables, query)
  const compares: Compare[] = [modIs(keys.query(query.id), stored ? tables.revisionOf(stored.modifyIndex) : 0)]
  const then: Operation[] = []
  if (query.session !== '') {
    const session = requireSession(tables, query.session)
    compares.push(modIs(keys.session(session.id), tables.revisionOf(session.modifyIndex)))
    then.push(acquired(session))
  }
  if (stored && equal({ ...stored, ...query }, stored)) return nothing()
  const [former, wanted] = [stored && claimOf(stored), claimOf(query)]
  if (former !== undefined && former !== wanted) then.push({ delete: former })
  if (wanted !== undefined && former !== wanted) {
    compares.push(modIs(wanted, 0))
    then.push({ put: wanted, value: codec.MARK })
  }
  const value = codec.encodePreparedQuery(query)
  if (value.length > MAX_VALUE_BYTES) {
    throw new AtollError('too-large', `query: ${value.length} bytes; an entry takes at most ${MAX_VALUE_BYTES}`)
  }
  then.push({ put: keys.query(query.id), value })
  return { applied: true, if: compares, then }
}

export function planQueryDelete(tables: Tables, { query: id }: Of<'query-delete'>): Plan {
  const stored = tables.queryTable.get(id)
  if (!stored) throw missing(id)
  return {
    applied: true,
    if: [modIs(keys.query(id), tables.revisionOf(stored.modifyIndex))],
    then: [...queryGone(stored), { put: keys.queryIndex, value: codec.MARK }],
  }
}

/** The removal of a query and of its hold on its name. */
export function queryGone(query: PreparedQueryEntry): Operation[] {
  const claim = claimOf(query)
  return [{ delete: keys.query(query.id) }, ...(claim === undefined ? [] : [{ delete: claim }])]
}

/** Those without a name need none, but for the template that stands for all names. */
const claimOf = (query: PreparedQueryEntry): string | undefined =>
  query.name === '' && !isTemplate(query) ? undefined : keys.queryName(query.name)

function requireFreeName(tables: Tables, query: PreparedQueryEntry): void {
  const { queryTable } = tables
  const holder = query.name === '' && isTemplate(query) ? queryTable.catchAll() : queryTable.named(query.name)
  if (holder && holder.id !== query.id) {
    const fault =
      query.name === ''
        ? 'a query template with an empty name already exists'
        : `name '${query.name}' aliases an existing query name`
    throw conflict(fault, 'Name')
  }
  // Queries are asked for by either.
  if (isUuid(query.name) && queryTable.get(query.name.toLowerCase())) {
    throw conflict(`name '${query.name}' aliases an existing query ID`, 'Name')
  }
}

const conflict = (message: string, field: string): AtollError => new AtollError('conflict', message, { field })

const missing = (id: string): AtollError =>
  new AtollError('not-found', `Cannot modify non-existent prepared query: '${id}'`, { field: 'ID' })
