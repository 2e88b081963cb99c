import { isTemplate, MAX_QUERY_NAME, type PreparedQueryRow } from '../../model/prepared-query.ts'
import { SortedMap } from '../sorted-map.ts'
import { Graveyard } from './graveyard.ts'
import { QUERIES_THING, queryThing, type Waiters } from './waiters.ts'

/** Prepared queries by id, by name, and by the beginnings of names that templates stand for. */
export class QueryTable {
  readonly #rows = new SortedMap<PreparedQueryRow>((row) => row.modifyIndex)
  /** Ids by name in lower case. */
  readonly #byName = new Map<string, string>()
  /** Ids of templates by their names in lower case. */
  readonly #templates = new Map<string, string>()
  /** Lengths of the templates' names, the longest first; undefined when they have to be gathered anew. */
  #lengths: readonly number[] | undefined
  readonly #bySession = new Map<string, Set<string>>()
  readonly #graves = new Graveyard()
  readonly #waiters: Waiters
  #index = 0
  #list: readonly PreparedQueryRow[] | undefined

  constructor(waiters: Waiters) {
    this.#waiters = waiters
  }

  put(row: PreparedQueryRow): void {
    const former = this.#rows.get(row.id)
    if (former) this.#leave(former)
    this.#rows.set(row.id, row)
    this.#graves.revive(row.id)
    const name = row.name.toLowerCase()
    if (name !== '') this.#byName.set(name, row.id)
    if (isTemplate(row)) this.#templates.set(name, row.id)
    if (row.session !== '') {
      const bound = this.#bySession.get(row.session)
      if (bound) bound.add(row.id)
      else this.#bySession.set(row.session, new Set([row.id]))
    }
    this.#changed(row.id, row.modifyIndex)
  }

  delete(id: string, index: number): void {
    const row = this.#rows.get(id)
    if (!row) return
    this.#leave(row)
    this.#rows.delete(id)
    this.#graves.bury(id, index)
    this.#changed(id, index)
  }

  /** Deletions up to `index` happened that were not seen. */
  forget(index: number): void {
    this.#graves.forget(index)
    this.#index = Math.max(this.#index, index)
  }

  get(id: string): PreparedQueryRow | undefined {
    return this.#rows.get(id)
  }

  /** In the order of their ids. */
  list(): readonly PreparedQueryRow[] {
    this.#list ??= this.#rows.valuesIn('', '')
    return this.#list
  }

  /** The query of just that name, in any case. */
  named(name: string): PreparedQueryRow | undefined {
    const id = name === '' ? undefined : this.#byName.get(name.toLowerCase())
    return id === undefined ? undefined : this.#rows.get(id)
  }

  /** The template whose name is the longest beginning of this one. */
  templateFor(name: string): PreparedQueryRow | undefined {
    if (this.#templates.size === 0 || name.length > MAX_QUERY_NAME) return undefined
    this.#lengths ??= [...new Set([...this.#templates.keys()].map((prefix) => prefix.length))].sort((a, b) => b - a)
    const lower = name.toLowerCase()
    for (const length of this.#lengths) {
      const id = length <= lower.length ? this.#templates.get(lower.slice(0, length)) : undefined
      if (id !== undefined) return this.#rows.get(id)
    }
    return undefined
  }

  /** The one template with an empty name: it stands for every name. */
  catchAll(): PreparedQueryRow | undefined {
    const id = this.#templates.get('')
    return id === undefined ? undefined : this.#rows.get(id)
  }

  /** Ids of those that go with a session. */
  ofSession(session: string): readonly string[] {
    return [...(this.#bySession.get(session) ?? [])].sort()
  }

  /** Of the last change of any. */
  get index(): number {
    return this.#index
  }

  indexOf(id: string): number {
    return this.#rows.get(id)?.modifyIndex ?? this.#graves.at(id)
  }

  #leave(row: PreparedQueryRow): void {
    const name = row.name.toLowerCase()
    if (this.#byName.get(name) === row.id) this.#byName.delete(name)
    if (this.#templates.get(name) === row.id) this.#templates.delete(name)
    const bound = this.#bySession.get(row.session)
    if (bound?.delete(row.id) && bound.size === 0) this.#bySession.delete(row.session)
  }

  #changed(id: string, index: number): void {
    this.#list = undefined
    this.#lengths = undefined
    this.#index = Math.max(this.#index, index)
    this.#waiters.wake(queryThing(id))
    this.#waiters.wake(QUERIES_THING)
  }
}
