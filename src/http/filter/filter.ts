/** `?filter=`: a boolean expression over an entry as the API shows it. Consul answers its errors with a 500. */
import { HttpError } from '../errors.ts'
import { GoMap, type Json, type JsonStruct } from '../json.ts'
import { parseBool } from '../query.ts'
import { type Expression, FilterSyntaxError, type Operator, parseFilter } from './parse.ts'

/** What a selector may name. */
export type Field =
  | 'string'
  | 'int'
  | 'bool'
  | 'strings'
  | { readonly map: 'string' | { readonly struct: Fields } }
  | { readonly struct: Fields }
  | { readonly list: Fields }
export interface Fields {
  readonly [name: string]: Field
}

export type Filter = (entry: Json) => boolean

const MAX_LENGTH = 4096

/** undefined for ''. Throws an HttpError 500 with Consul's text. */
export function filterOf(text: string, fields: Fields): Filter | undefined {
  if (text === '') return undefined
  try {
    if (text.length > MAX_LENGTH) throw new FilterSyntaxError(`the expression is longer than ${MAX_LENGTH} characters`)
    return compile(parseFilter(text), fields)
  } catch (error) {
    if (!(error instanceof FilterSyntaxError)) throw error
    throw new HttpError(500, `Failed to create boolean expression evaluator: ${error.message}`)
  }
}

function compile(expression: Expression, fields: Fields): Filter {
  switch (expression.kind) {
    case 'and': {
      const [left, right] = [compile(expression.left, fields), compile(expression.right, fields)]
      return (entry) => left(entry) && right(entry)
    }
    case 'or': {
      const [left, right] = [compile(expression.left, fields), compile(expression.right, fields)]
      return (entry) => left(entry) || right(entry)
    }
    case 'not': {
      const inner = compile(expression.inner, fields)
      return (entry) => !inner(entry)
    }
    case 'match':
      return compileMatch(expression.selector, expression.operator, expression.value, fields)
  }
}

const NAMES: Readonly<Record<Operator, string>> = {
  '==': 'Equal',
  '!=': 'Not Equal',
  in: 'In',
  'not in': 'Not In',
  'is empty': 'Is Empty',
  'is not empty': 'Is Not Empty',
  matches: 'Matches',
  'not matches': 'Not Matches',
}

const NEGATIVE: readonly Operator[] = ['!=', 'not in', 'is not empty', 'not matches']
const positive = (operator: Operator): Operator =>
  operator === '!=' ? '==' : (operator.replace('not ', '') as Operator)

function compileMatch(selector: readonly string[], operator: Operator, value: string, fields: Fields): Filter {
  const name = selector.join('.')
  const field = fieldOf(selector, { struct: fields })
  if (field === undefined) throw new FilterSyntaxError(`Selector "${name}" is not valid`)
  const test = testOf(field, positive(operator), value, name)
  if (test === undefined) {
    throw new FilterSyntaxError(`Invalid match operator "${NAMES[operator]}" for selector "${name}"`)
  }
  const negated = NEGATIVE.includes(operator)
  return (entry) => valuesAt(entry, selector, 0).some(test) !== negated
}

function fieldOf(selector: readonly string[], root: Field): Field | undefined {
  let field: Field | undefined = root
  for (const part of selector) {
    if (field === undefined || typeof field === 'string') return undefined
    if ('map' in field) field = field.map
    else {
      const fields: Fields = 'struct' in field ? field.struct : field.list
      field = Object.hasOwn(fields, part) ? fields[part] : undefined
    }
  }
  return field
}

type Test = (value: Json | undefined) => boolean

/** The test of one value; undefined when the operator does not go with the field. */
function testOf(field: Field, operator: Operator, value: string, name: string): Test | undefined {
  if (operator === 'matches') {
    if (field !== 'string') return undefined
    throw new FilterSyntaxError(`"matches" is not part of this version; use "contains" or "==" on ${name}`)
  }
  const isCollection = field === 'strings' || (typeof field === 'object' && !('struct' in field))
  if (operator === 'is empty') return isCollection ? (found) => sizeOf(found) === 0 : undefined
  if (operator === 'in') {
    if (field === 'string') return (found) => typeof found === 'string' && found.includes(value)
    if (field === 'strings') return (found) => Array.isArray(found) && found.includes(value)
    if (typeof field === 'object' && 'map' in field) {
      return (found) => found instanceof GoMap && found.entries.some(([key]) => key === value)
    }
    return undefined
  }
  if (field === 'string') return (found) => found !== undefined && found === value
  if (field === 'int') {
    const number = coerceInt(value, name)
    return (found) => found === number
  }
  if (field === 'bool') {
    const flag = coerceBool(value, name)
    return (found) => (found ?? false) === flag
  }
  return undefined
}

function sizeOf(value: Json | undefined): number {
  if (Array.isArray(value)) return value.length
  return value instanceof GoMap ? value.entries.length : 0
}

function coerceInt(value: string, name: string): number {
  if (/^[+-]?\d+$/.test(value)) return Number(value)
  throw new FilterSyntaxError(
    `Failed to coerce value "${value}" for selector "${name}": strconv.ParseInt: parsing "${value}": invalid syntax`,
  )
}

function coerceBool(value: string, name: string): boolean {
  const flag = parseBool(value)
  if (flag !== undefined) return flag
  throw new FilterSyntaxError(
    `Failed to coerce value "${value}" for selector "${name}": strconv.ParseBool: parsing "${value}": invalid syntax`,
  )
}

/** Every value that a selector names: of a list, one for each element. Fields left out are undefined. */
function valuesAt(value: Json | undefined, selector: readonly string[], at: number): (Json | undefined)[] {
  const part = selector[at]
  if (part === undefined) return [value]
  if (Array.isArray(value)) return value.flatMap((element) => valuesAt(element, selector, at))
  if (value instanceof GoMap) {
    const found = value.entries.find(([key]) => key === part)
    return found ? valuesAt(found[1], selector, at + 1) : []
  }
  if (typeof value !== 'object' || value === null) return []
  return valuesAt((value as JsonStruct)[part], selector, at + 1)
}
