/**
 * A JSON value into the shape of a zod schema, by the rules of Go's encoding/json: keys match in any case, null leaves a
 * field as it was, unknown fields are refused. The schemas stay plain zod, so that they also describe the API.
 */
import * as z from 'zod'
import { parseDuration } from '../../model/duration.ts'
import { badRequest } from '../errors.ts'
import { JsonSyntaxError, type JsonValue, parseFirstJson } from './go-json.ts'

/** A duration: text as Go writes it ("10s") or a number of nanoseconds. Decoded to milliseconds. */
export const duration = (): z.ZodType<number> =>
  z.union([z.string(), z.number()]).meta({ atoll: 'duration' }) as unknown as z.ZodType<number>

/** Another spelling under which a field is taken too. */
export const aliased = <T extends z.ZodType>(schema: T, ...aliases: string[]): T => schema.meta({ aliases }) as T

/** Bytes in base64. */
export const base64 = (): z.ZodType<Uint8Array> =>
  z.string().meta({ atoll: 'base64' }) as unknown as z.ZodType<Uint8Array>

interface Meta {
  readonly atoll?: 'duration' | 'base64'
  readonly aliases?: readonly string[]
  /** Fields that are not known are passed over. */
  readonly lenient?: boolean
  /** The name of the Go type, as it stands in error messages. */
  readonly goType?: string
}

class DecodeError extends Error {}

/** Throws an HttpError 400 that says what Go would say. */
export function decodeBody<T extends z.ZodType>(
  schema: T,
  bytes: Uint8Array,
  failed = 'Request decode failed: ',
): z.output<T> {
  try {
    const value = parseFirstJson(bytes)
    return (decode(schema, value, []) ?? zeroOf(schema)) as z.output<T>
  } catch (error) {
    if (error instanceof JsonSyntaxError || error instanceof DecodeError) {
      throw badRequest(failed + error.message)
    }
    throw error
  }
}

interface Def {
  readonly type: string
  readonly innerType?: z.ZodType
  readonly element?: z.ZodType
  readonly valueType?: z.ZodType
}

const defOf = (schema: z.ZodType): Def => schema.def as unknown as Def
const metaOf = (schema: z.ZodType): Meta => (schema.meta() ?? {}) as Meta

function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema
  while (['optional', 'nullable', 'default', 'readonly'].includes(defOf(inner).type) && defOf(inner).innerType) {
    inner = defOf(inner).innerType!
  }
  return inner
}

function decode(outer: z.ZodType, value: JsonValue, path: readonly string[]): unknown {
  const schema = unwrap(outer)
  if (value === null) return undefined
  if (metaOf(schema).atoll === 'duration') return decodeDuration(value, path)
  if (metaOf(schema).atoll === 'base64' && typeof value === 'string') return decodeBase64(value)
  const def = defOf(schema)
  switch (def.type) {
    case 'string':
    case 'boolean':
      if (typeof value === def.type) return value
      break
    case 'number':
      if (typeof value === 'number' && (!isInteger(schema) || Number.isSafeInteger(value))) return value
      break
    case 'bigint':
      if (isUint64(value)) return BigInt(value)
      break
    case 'array':
      if (Array.isArray(value))
        return value.map((element) => decode(def.element!, element, path) ?? zeroOf(def.element!))
      break
    case 'record':
      if (value instanceof Map) return decodeRecord(def.valueType!, value, path)
      break
    case 'object':
      if (value instanceof Map) return decodeObject(schema as z.ZodObject, value, path)
      break
    default:
      return plain(value)
  }
  throw mismatch(value, schema, path)
}

function decodeRecord(schema: z.ZodType, value: Map<string, JsonValue>, path: readonly string[]): object {
  const record: Record<string, unknown> = Object.create(null)
  for (const [key, element] of value) record[key] = decode(schema, element, path) ?? zeroOf(schema)
  return record
}

/** Fields by their names in lower case, aliases too; made once for each schema. */
const fieldsOf = new WeakMap<z.ZodObject, Map<string, string>>()

function fieldNames(schema: z.ZodObject): Map<string, string> {
  let names = fieldsOf.get(schema)
  if (!names) {
    names = new Map()
    for (const [name, field] of Object.entries(schema.shape)) {
      names.set(name.toLowerCase(), name)
      for (const alias of aliasesOf(field as z.ZodType)) names.set(alias, name)
    }
    fieldsOf.set(schema, names)
  }
  return names
}

function aliasesOf(field: z.ZodType): readonly string[] {
  const own = metaOf(field).aliases
  if (own) return own
  const inner = defOf(field).innerType
  return inner ? aliasesOf(inner) : []
}

function decodeObject(schema: z.ZodObject, value: Map<string, JsonValue>, path: readonly string[]): object {
  const names = fieldNames(schema)
  const object: Record<string, unknown> = {}
  for (const [key, element] of value) {
    const name = names.get(key.toLowerCase())
    if (name === undefined && metaOf(schema).lenient) continue
    if (name === undefined) throw new DecodeError(`json: unknown field ${JSON.stringify(key)}`)
    const decoded = decode(schema.shape[name] as z.ZodType, element, [...path, name])
    if (decoded !== undefined) object[name] = decoded
  }
  return object
}

function decodeDuration(value: JsonValue, path: readonly string[]): number {
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value) / 1e6
  if (typeof value !== 'string') throw new DecodeError(`json: ${path.join('.')} is no duration; write it like "10s"`)
  if (value === '') return 0
  const ms = parseDuration(value)
  if (ms === undefined) throw new DecodeError(`time: invalid duration ${JSON.stringify(value)}`)
  return ms
}

/** As Go's decoder, which tells where it stopped, and passes over line ends. */
function decodeBase64(text: string): Uint8Array {
  const plain = text.replace(/[\r\n]/g, '')
  const good = /^(?:[A-Za-z0-9+/]{4})*/.exec(plain)![0].length
  const rest = plain.slice(good)
  if (rest !== '' && !/^(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)$/.test(rest)) {
    const at = good + /^[A-Za-z0-9+/]*/.exec(rest)![0].length
    throw new DecodeError(`illegal base64 data at input byte ${at}`)
  }
  return Uint8Array.from(atob(plain), (char) => char.charCodeAt(0))
}

/** What Go gives for a null inside a list or a map. */
function zeroOf(schema: z.ZodType): unknown {
  switch (defOf(unwrap(schema)).type) {
    case 'string':
      return ''
    case 'number':
      return 0
    case 'boolean':
      return false
    case 'array':
      return []
    default:
      return {}
  }
}

/** Maps to objects without a prototype, for values that are kept as they came. */
function plain(value: JsonValue): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'bigint') return Number(value)
  if (!(value instanceof Map)) return value
  const object: Record<string, unknown> = Object.create(null)
  for (const [key, element] of value) object[key] = plain(element)
  return object
}

function isUint64(value: JsonValue): value is number | bigint {
  if (typeof value === 'bigint') return value >= 0n && value < 2n ** 64n
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

const isInteger = (schema: z.ZodType): boolean => (schema as z.ZodNumber).isInt === true

/** Of a number that its field cannot hold, the number too. */
function kindOf(value: JsonValue, wanted: string): string {
  if (typeof value === 'string') return 'string'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint' || typeof value === 'number') {
    return wanted === 'number' || wanted === 'bigint' ? `number ${value}` : 'number'
  }
  return Array.isArray(value) ? 'array' : 'object'
}

function goTypeOf(schema: z.ZodType): string {
  const inner = unwrap(schema)
  const goType = metaOf(inner).goType
  if (goType) return goType
  const def = defOf(inner)
  switch (def.type) {
    case 'boolean':
      return 'bool'
    case 'number':
      return isInteger(inner) ? 'int' : 'float64'
    case 'bigint':
      return 'uint64'
    case 'array':
      return `[]${goTypeOf(def.element!)}`
    case 'record':
      return `map[string]${goTypeOf(def.valueType!)}`
    case 'object':
      return 'struct'
    default:
      return def.type
  }
}

function mismatch(value: JsonValue, schema: z.ZodType, path: readonly string[]): DecodeError {
  const target =
    path.length === 0
      ? `value of type ${goTypeOf(schema)}`
      : `struct field .${path.join('.')} of type ${goTypeOf(schema)}`
  return new DecodeError(`json: cannot unmarshal ${kindOf(value, defOf(schema).type)} into Go ${target}`)
}
