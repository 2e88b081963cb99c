import type { CoordinateRow } from '../../model/coordinate.ts'
import { prefixEnd } from '../../model/keys.ts'
import { SortedMap } from '../sorted-map.ts'

/** Coordinates by `<node>/<segment>`, as parts of keys. */
export class CoordinateTable {
  readonly #entries = new SortedMap<{ readonly row: CoordinateRow; readonly index: number }>()
  #rows: readonly CoordinateRow[] | undefined

  put(key: string, row: CoordinateRow, index: number): void {
    this.#entries.set(key, { row, index })
    this.#rows = undefined
  }

  delete(key: string): boolean {
    this.#rows = undefined
    return this.#entries.delete(key)
  }

  all(): readonly CoordinateRow[] {
    this.#rows ??= this.#entries.valuesIn('', '').map(({ row }) => row)
    return this.#rows
  }

  ofNode(part: string): readonly CoordinateRow[] {
    return this.#entries.valuesIn(`${part}/`, prefixEnd(`${part}/`)).map(({ row }) => row)
  }

  /** Each key with the index at which it was written. */
  *indexes(): Iterable<[key: string, index: number]> {
    for (const [key, { index }] of this.#entries.range()) yield [key, index]
  }
}
