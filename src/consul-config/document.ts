/** One file of Consul's configuration as a tree, and values of it in the type that a field has. Mistakes name file and field. */
import { parseDuration } from '../model/duration.ts'
import { AtollError } from '../model/errors.ts'

export type Tree = { readonly [key: string]: unknown }

export const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Where a value stands: the file (or the flags), and the field with dots. */
export interface Place {
  readonly source: string
  readonly field: string
}

export const wrong = ({ source, field }: Place, what: string): AtollError =>
  new AtollError('invalid', `${source}: ${field}: ${what}`, { field })

/** Whether a value says what a node without this field does anyway. */
export function isOff(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '' || value === 0) return true
  if (Array.isArray(value)) return value.every(isOff)
  return isTree(value) && Object.values(value).every(isOff)
}

export function text(value: unknown, place: Place): string {
  if (typeof value === 'string') return value
  throw wrong(place, `expected a text in quotes, not ${shown(value)}`)
}

/** Also in quotes, as Consul takes it. */
export function truth(value: unknown, place: Place): boolean {
  if (typeof value === 'boolean') return value
  if (value === 'true' || value === 'false') return value === 'true'
  throw wrong(place, `expected true or false, not ${shown(value)}`)
}

/** A whole number, also in quotes. */
export function integer(value: unknown, place: Place): number {
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value
  if (typeof number === 'number' && Number.isSafeInteger(number)) return number
  throw wrong(place, `expected a whole number, not ${shown(value)}`)
}

/** A list of texts; one alone is a list of one. */
export function texts(value: unknown, place: Place): string[] {
  if (typeof value === 'string') return [value]
  if (!Array.isArray(value)) throw wrong(place, `expected a list of texts, not ${shown(value)}`)
  return value.map((one, i) => text(one, { ...place, field: `${place.field}[${i}]` }))
}

/** Texts by name. HCL writes a block as a list of one map. */
export function textMap(value: unknown, place: Place): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tree(value, place)).map(([key, one]) => [
      key,
      text(one, { ...place, field: `${place.field}.${key}` }),
    ]),
  )
}

/** A map; several blocks of one name are one map, the last wins. */
export function tree(value: unknown, place: Place): Tree {
  if (isTree(value)) return value
  if (Array.isArray(value) && value.length > 0 && value.every(isTree)) {
    return Object.assign({}, ...value) as Tree
  }
  throw wrong(place, `expected an object, not ${shown(value)}`)
}

/** A definition's fields that hold a list of objects, in small letters; all others hold one. */
const OBJECT_LISTS: ReadonlySet<string> = new Set(['checks', 'services', 'upstreams', 'paths'])

/** Where one object belongs, HCL's list of one block is that block. */
export function withoutSingleBlocks(fields: Tree): Tree {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => {
      const one = Array.isArray(value) && value.length === 1 && !OBJECT_LISTS.has(key.toLowerCase()) ? value[0] : value
      if (isTree(one)) return [key, withoutSingleBlocks(one)]
      const list = Array.isArray(value) && value.length > 0 && value.every(isTree)
      return [key, list ? value.map(withoutSingleBlocks) : value]
    }),
  )
}

/** Milliseconds of "10s"; a number is nanoseconds, as in Go. */
export function durationMs(value: unknown, place: Place): number {
  if (typeof value === 'number') return value / 1e6
  const ms = parseDuration(text(value, place))
  if (ms !== undefined && ms >= 0) return ms
  throw wrong(place, `${shown(value)} is no duration; write it like "10s" or "1m30s"`)
}

export const seconds = (value: unknown, place: Place): number => Math.round(durationMs(value, place) / 1000)

function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 60)}...` : json
}
