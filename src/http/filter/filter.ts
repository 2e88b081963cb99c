/** `?filter=`: a boolean expression over an entry as the API shows it. */
import { isAtollError } from '../../model/errors.ts'
import { loadedRegexps, type Regexp } from '../../resolver/regexps.ts'
import { badRequest } from '../errors.ts'
import { GoMap, type Json, type JsonStruct } from '../json.ts'
import { parseBool } from '../query.ts'
import { type Expression, FilterSyntaxError, type Operator, parseFilter, placeOf } from './parse.ts'

/** What a selector may name. */
export type Field =
  | 'string'
  | 'int'
  | 'bool'
  | 'strings'
  /** A number that comparisons go with, and what it counts for where it is left out. */
  | { readonly number: number }
  | { readonly map: 'string' | { readonly struct: Fields } }
  | { readonly struct: Fields }
  | { readonly list: Fields }
export interface Fields {
  readonly [name: string]: Field
}

/** A test for the entries of one list; each time it is called it begins a new one, with all its work before it. */
export type Filter = () => Test<Json>

type Test<T> = (value: T) => boolean

const MAX_LENGTH = 4096
/** Regular expressions of one filter. */
const MAX_REGEXPS = 16
/** Instructions of regular expressions times characters of texts, over one list: a second or two at the very worst, and mostly a hundredth of that. */
export const MAX_REGEXP_WORK = 200_000_000

/** Whether the engine of regular expressions has to be loaded before `filterOf` is called. */
export const filterNeedsRegexps = (text: string): boolean => text.includes('matches') && loadedRegexps() === undefined

/** What compiling one expression takes part in. */
interface Compiling {
  readonly text: string
  readonly fields: Fields
  regexps: number
  /** What is left of MAX_REGEXP_WORK. */
  work: number
}

/** undefined for ''. Throws an HttpError 400 with Consul's text, and where in the expression the fault is. */
export function filterOf(text: string, fields: Fields): Filter | undefined {
  if (text === '') return undefined
  try {
    if (text.length > MAX_LENGTH) throw new FilterSyntaxError(`the expression is longer than ${MAX_LENGTH} characters`)
    const compiling: Compiling = { text, fields, regexps: 0, work: 0 }
    const test = compile(
      parseFilter(text, (selector) => isNumber(selector.reduce(fieldIn, { struct: fields }))),
      compiling,
    )
    return () => {
      compiling.work = MAX_REGEXP_WORK
      return test
    }
  } catch (error) {
    if (!(error instanceof FilterSyntaxError)) throw error
    throw badRequest(`Failed to create boolean expression evaluator: ${error.message}`)
  }
}

function compile(expression: Expression, compiling: Compiling): Test<Json> {
  switch (expression.kind) {
    case 'and': {
      const [left, right] = [compile(expression.left, compiling), compile(expression.right, compiling)]
      return (entry) => left(entry) && right(entry)
    }
    case 'or': {
      const [left, right] = [compile(expression.left, compiling), compile(expression.right, compiling)]
      return (entry) => left(entry) || right(entry)
    }
    case 'not': {
      const inner = compile(expression.inner, compiling)
      return (entry) => !inner(entry)
    }
    case 'match':
      try {
        return compileMatch(expression, compiling)
      } catch (error) {
        // What is wrong with a match is told as Consul does, which does not say where it is.
        if (!(error instanceof FilterSyntaxError)) throw error
        throw new FilterSyntaxError(`${error.message}, at ${placeOf(compiling.text, expression.at)}`)
      }
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
  '<': 'Less',
  '<=': 'Less Or Equal',
  '>': 'Greater',
  '>=': 'Greater Or Equal',
}

const NEGATIVE: readonly Operator[] = ['!=', 'not in', 'is not empty', 'not matches']
const positive = (operator: Operator): Operator =>
  operator === '!=' ? '==' : (operator.replace('not ', '') as Operator)

function compileMatch(
  { selector, operator, value }: Extract<Expression, { kind: 'match' }>,
  compiling: Compiling,
): Test<Json> {
  const name = selector.join('.')
  const steps = stepsOf(selector, compiling.fields)
  const field = steps.at(-1)!.field
  const test = testOf(field, positive(operator), value, name, compiling)
  if (test === undefined) {
    throw new FilterSyntaxError(`Invalid match operator "${NAMES[operator]}" for selector "${name}"`)
  }
  const negated = NEGATIVE.includes(operator)
  return (entry) => valuesAt(entry, steps, 0).some(test) !== negated
}

/** One part of a selector. */
interface Step {
  readonly name: string
  /** A key of a map, which need not be there; a field of a struct always is, if only as nothing. */
  readonly isKey: boolean
  readonly field: Field
}

function stepsOf(selector: readonly string[], root: Fields): readonly Step[] {
  const steps: Step[] = []
  let at: Field = { struct: root }
  for (const [i, name] of selector.entries()) {
    const isKey: boolean = typeof at === 'object' && 'map' in at
    const field = fieldIn(at, name)
    if (field === undefined) {
      throw new FilterSyntaxError(`Selector "${selector.slice(0, i + 1).join('.')}" is not valid`)
    }
    steps.push({ name, isKey, field })
    at = field
  }
  return steps
}

function fieldIn(field: Field | undefined, name: string): Field | undefined {
  if (typeof field !== 'object' || isNumber(field)) return undefined
  if ('map' in field) return field.map
  const fields: Fields = 'struct' in field ? field.struct : field.list
  return Object.hasOwn(fields, name) ? fields[name] : undefined
}

const isNumber = (field: Field | undefined): field is { readonly number: number } =>
  typeof field === 'object' && 'number' in field

/** The test of one value; undefined when the operator does not go with the field. */
function testOf(
  field: Field,
  operator: Operator,
  value: string,
  name: string,
  compiling: Compiling,
): Test<Json | undefined> | undefined {
  if (isNumber(field)) return numberTest(field.number, operator, value, name)
  if (operator === 'matches') return field === 'string' ? matchTest(value, compiling) : undefined
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
  if (field === 'string') return (found) => (found ?? '') === value
  if (field === 'int') {
    const number = coerceInt(value, name)
    return (found) => (found ?? 0) === number
  }
  if (field === 'bool') {
    const flag = coerceBool(value, name)
    return (found) => (found ?? false) === flag
  }
  return undefined
}

function matchTest(pattern: string, compiling: Compiling): Test<Json | undefined> {
  compiling.regexps++
  if (compiling.regexps > MAX_REGEXPS) throw new FilterSyntaxError(`more than ${MAX_REGEXPS} regular expressions`)
  let regexp: Regexp
  try {
    regexp = loadedRegexps()!(pattern)
  } catch (error) {
    if (!isAtollError(error) || error.code !== 'invalid') throw error
    throw new FilterSyntaxError(`Failed to compile regular expression ${JSON.stringify(pattern)}: ${error.message}`)
  }
  return (found) => {
    const text = typeof found === 'string' ? found : ''
    compiling.work -= regexp.size * (text.length + 1)
    if (compiling.work >= 0) return regexp.test(text)
    throw badRequest(
      'filter: its regular expressions take too long over so many entries; narrow them by other means first',
    )
  }
}

function numberTest(
  otherwise: number,
  operator: Operator,
  value: string,
  name: string,
): Test<Json | undefined> | undefined {
  const compare = COMPARE[operator]
  if (compare === undefined) return undefined
  if (!/^[+-]?\d+(?:\.\d+)?$/.test(value)) throw notCoerced(value, name, 'ParseFloat')
  const number = Number(value)
  return (found) => compare(typeof found === 'number' ? found : otherwise, number)
}

const COMPARE: Readonly<{ [O in Operator]?: (a: number, b: number) => boolean }> = {
  '==': (a, b) => a === b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}

function sizeOf(value: Json | undefined): number {
  if (Array.isArray(value)) return value.length
  return value instanceof GoMap ? value.entries.length : 0
}

function coerceInt(value: string, name: string): number {
  if (/^[+-]?\d+$/.test(value)) return Number(value)
  throw notCoerced(value, name, 'ParseInt')
}

function coerceBool(value: string, name: string): boolean {
  const flag = parseBool(value)
  if (flag !== undefined) return flag
  throw notCoerced(value, name, 'ParseBool')
}

const notCoerced = (value: string, name: string, by: string): FilterSyntaxError =>
  new FilterSyntaxError(
    `Failed to coerce value "${value}" for selector "${name}": strconv.${by}: parsing "${value}": invalid syntax`,
  )

/** Every value that a selector names: of a list, one for each element. Fields left out are undefined. */
function valuesAt(value: Json | undefined, steps: readonly Step[], at: number): (Json | undefined)[] {
  const step = steps[at]
  if (step === undefined) return [value]
  if (Array.isArray(value)) return value.flatMap((element) => valuesAt(element, steps, at))
  if (value instanceof GoMap) {
    const found = value.entries.find(([key]) => key === step.name)
    if (found === undefined && step.isKey) return []
    return valuesAt(found?.[1], steps, at + 1)
  }
  if (step.isKey) return []
  const list = steps[at - 1]?.field
  if (value === null && typeof list === 'object' && 'list' in list) return []
  if (typeof value !== 'object' || value === null) return valuesAt(undefined, steps, at + 1)
  return valuesAt((value as JsonStruct)[step.name], steps, at + 1)
}
