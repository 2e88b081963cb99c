import type { KvRow } from '../../model/entries.ts'
import { prefixEnd } from '../../model/keys.ts'
import { SortedMap } from '../sorted-map.ts'
import { Graveyard } from './graveyard.ts'
import { kvThing, type Waiters } from './waiters.ts'

/** The KV store in the order of its keys, with the index of every key and prefix. */
export class KvTable {
  readonly #rows = new SortedMap<KvRow>((row) => row.modifyIndex)
  readonly #graves = new Graveyard()
  readonly #waiters: Waiters
  /** Keys by the session that holds them. */
  readonly #held = new Map<string, Set<string>>()

  constructor(waiters: Waiters) {
    this.#waiters = waiters
  }

  /** Counts the changes: while it stands, every index does. */
  changes = 0

  get size(): number {
    return this.#rows.size
  }

  put(row: KvRow): void {
    this.#hold(row.key, this.#rows.get(row.key)?.session ?? '', row.session)
    this.#rows.set(row.key, row)
    this.#graves.revive(row.key)
    this.#changed(row.key)
  }

  delete(key: string, index: number): void {
    this.#hold(key, this.#rows.get(key)?.session ?? '', '')
    if (!this.#rows.delete(key)) return
    this.#graves.bury(key, index)
    this.#changed(key)
  }

  /** Deletions up to `index` happened that were not seen. */
  forget(index: number): void {
    this.#graves.forget(index)
    this.changes++
  }

  get(key: string): KvRow | undefined {
    return this.#rows.get(key)
  }

  /** Keys that the session holds, in no order. */
  heldBy(session: string): readonly string[] {
    return [...(this.#held.get(session) ?? [])]
  }

  #hold(key: string, before: string, after: string): void {
    if (before === after) return
    const former = this.#held.get(before)
    if (former?.delete(key) && former.size === 0) this.#held.delete(before)
    if (after === '') return
    const held = this.#held.get(after)
    if (held) held.add(key)
    else this.#held.set(after, new Set([key]))
  }

  under(prefix: string): readonly KvRow[] {
    return this.#rows.valuesIn(prefix, prefixEnd(prefix))
  }

  isEmptyUnder(prefix: string): boolean {
    return !this.#rows.keyFrom(prefix)?.startsWith(prefix)
  }

  *all(): Iterable<KvRow> {
    for (const [, row] of this.#rows.range()) yield row
  }

  keys(prefix: string, separator: string): readonly string[] {
    if (separator === '') return this.under(prefix).map((row) => row.key)
    const found: string[] = []
    const end = prefixEnd(prefix)
    let key = this.#rows.keyFrom(prefix)
    while (key?.startsWith(prefix)) {
      const at = key.indexOf(separator, prefix.length)
      if (at < 0) found.push(key)
      else found.push(key.slice(0, at + separator.length))
      const next = at < 0 ? `${key}\0` : prefixEnd(found.at(-1)!)
      if (next === '' || (end !== '' && next === end)) break
      key = this.#rows.keyFrom(next)
    }
    return found
  }

  /** Of the key's last change; once it is gone, of its deletion. */
  indexOf(key: string): number {
    return this.#rows.get(key)?.modifyIndex ?? this.#graves.at(key)
  }

  /** Of the last change of anything under the prefix. */
  indexUnder(prefix: string): number {
    const end = prefixEnd(prefix)
    return Math.max(this.#rows.rankIn(prefix, end), this.#graves.within(prefix, end))
  }

  #changed(key: string): void {
    this.changes++
    if (this.#waiters.size === 0) return
    this.#waiters.wake(kvThing(key))
    this.#waiters.wakePrefixesOf(key)
  }
}
