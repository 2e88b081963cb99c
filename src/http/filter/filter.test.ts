import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { loadRegexps } from '../../resolver/regexps.ts'
import { HttpError } from '../errors.ts'
import { GoMap } from '../json.ts'
import { healthFields } from './fields.ts'
import { filterOf, MAX_REGEXP_WORK } from './filter.ts'

const entry = {
  Node: { Node: 'node-a', Meta: new GoMap([['rack', 'r1']]) },
  Service: {
    ID: 'web-a',
    Service: 'web',
    Tags: ['v1', 'blue'],
    Port: 80,
    Meta: new GoMap([['with-dash', 'y']]),
    EnableTagOverride: false,
    Load: 0.25,
  },
  Checks: [{ Status: 'passing' }, { Status: 'warning' }],
}

beforeAll(async () => void (await loadRegexps()))

describe('filters', () => {
  test.each([
    ['Service.Port == 80', true],
    ['Service.Port != 80', false],
    ['Service.Port == "80"', true],
    ['Service.Port==81 or Service.Tags contains "blue"', true],
    ['blue in Service.Tags', true],
    ['"blue" not in Service.Tags', false],
    ['Service.Tags not contains green', true],
    ['Service.Tags is empty', false],
    ['Service.Tags is not empty', true],
    ['not Service.Port == 80', false],
    ['not (Service.Port == 81 or Service.ID == x) and Service.ID contains "eb-"', true],
    ['(((Service.Port == 80)))', true],
    ['Service.Meta["with-dash"] == y', true],
    ['Service.Meta contains with', false],
    ['Service.Meta.nokey == x', false],
    ['Service.Meta.nokey != x', true],
    ['rack in Node.Meta', true],
    ['Checks.Status == warning', true],
    ['Checks.Status != critical', true],
    ['Checks is empty', false],
    ['Service.EnableTagOverride == false', true],
    ['Node.Node == `node-a`', true],
    ['Service.Port   ==\t80', true],
    ['Node.Meta.rack==r1 and Checks.Status==warning', true],
    ['Node.Node matches "^node-[ab]$"', true],
    ['Node.Node not matches `b$`', true],
    ['Node.Node matches ode', true],
    ['Node.Meta.rack matches "r[12]"', true],
    ['Node.Meta.nokey matches ".*"', false],
    ['Node.Meta.nokey not matches ".*"', true],
    ['Checks.Status matches "^w"', true],
    ['Service.Connect.Native == false', true],
    ['Service.Kind == ""', true],
    ['Service.Load < 0.5', true],
    ['Service.Load<0.25', false],
    ['Service.Load <= "0.25" and Service.Load >= 0.25', true],
    ['Service.Load > 0.25', false],
    ['not Service.Load > 0.25', true],
    ['Service.Load == 0.25 and Service.Load != 0.3', true],
  ])('%s', (text, expected) => {
    expect(filterOf(text, healthFields)!()(entry)).toBe(expected)
  })

  test('who does not say how busy it is counts as half busy', () => {
    const unknown = { ...entry, Service: { ...entry.Service, Load: undefined } }
    const of = (text: string) => filterOf(text, healthFields)!()(unknown)
    expect([of('Service.Load < 0.6'), of('Service.Load < 0.5'), of('Service.Load == 0.5')]).toEqual([true, false, true])
  })

  test('none', () => {
    expect(filterOf('', healthFields)).toBeUndefined()
  })

  test.each([
    ['Service.Port', '1:13 (12): no match found, expected: "!=", ".", "==", "[", [ \\t\\r\\n] or [a-zA-Z0-9_]'],
    ['Bogus == 1', 'Selector "Bogus" is not valid'],
    ['Service.Bogus == 1', 'Selector "Service.Bogus" is not valid'],
    [
      'Service.Port == abc',
      'Failed to coerce value "abc" for selector "Service.Port": strconv.ParseInt: parsing "abc": invalid syntax',
    ],
    [
      'Service.Port > 80',
      '1:14 (13): no match found, expected: "!=", "==", "contains", "in", "is", "matches", "not" or [ \\t\\r\\n]',
    ],
    [
      'Service.Load < x',
      'Failed to coerce value "x" for selector "Service.Load": strconv.ParseFloat: parsing "x": invalid syntax',
    ],
    ['Service.Load is empty', 'Invalid match operator "Is Empty" for selector "Service.Load"'],
    ['Service.Load.x == 1', 'Selector "Service.Load.x" is not valid'],
    ['Service.Port == 80 && x', '1:20 (19): no match found, expected: "and", "or", [ \\t\\r\\n] or EOF'],
    ['(Service.Port == 80', '1:20 (19): rule "grouping": Unmatched parentheses'],
    ['Service.Port is empty', 'Invalid match operator "Is Empty" for selector "Service.Port"'],
    ['Service.Tags == blue', 'Invalid match operator "Equal" for selector "Service.Tags"'],
    ['Service == x', 'Invalid match operator "Equal" for selector "Service"'],
    ['Service.Meta.i == "a', '1:21 (20): rule "string": Unterminated string literal'],
    ['Service.ID matches "["', 'Failed to compile regular expression "[": error parsing regexp: missing closing ]: `['],
    ['Service.Port matches 8', 'Invalid match operator "Matches" for selector "Service.Port", at 1:1 (0)'],
    ['Node == x or\n  Bogus == 1', 'Invalid match operator "Equal" for selector "Node", at 1:1 (0)'],
    ['Node.Node == x or\n  Bogus == 1', 'Selector "Bogus" is not valid, at 2:3 (20)'],
    ['Service.Port == 80 and', '1:23 (22): no match found, expected: [ \\t\\r\\n]'],
    [`${'Node.Node matches a or '.repeat(16)}Node.Node matches b`, 'more than 16 regular expressions'],
    [`Node.Node matches "${'a'.repeat(513)}"`, 'Failed to compile regular expression'],
    [`${'('.repeat(5000)}`, 'the expression is longer than 4096 characters'],
    [`${'('.repeat(4000)}`, '1:102 (101): the expression is nested too deeply'],
  ])('%s', (text, message) => {
    const act = () => filterOf(text, healthFields)
    expect(act).toThrow(`Failed to create boolean expression evaluator: ${message}`)
    expect(act).toThrow(expect.objectContaining({ status: 400 }))
  })
})

describe('regular expressions', () => {
  test('of what a client likes take no longer than their bound', () => {
    const test = filterOf('Node.Node matches "(a*)*b"', healthFields)!()
    const long = { Node: { Node: 'a'.repeat(5_000) } }
    expect(test(long)).toBe(false)
    const many = filterOf(`Node.Node matches "${'(a|b|c)'.repeat(60)}"`, healthFields)!
    const list = many()
    const perEntry = MAX_REGEXP_WORK / 5_000 / 100
    const all = () => {
      for (let i = 0; i < perEntry; i++) list(long)
    }
    expect(all).toThrow('narrow them by other means first')
    expect(many()({ Node: { Node: 'a' } })).toBe(false)
  })
})

/** What an expression means, said in another way: over plain objects, by trying all values. */
type Tree =
  | { readonly op: 'and' | 'or'; readonly a: Tree; readonly b: Tree }
  | { readonly op: 'not'; readonly a: Tree }
  | { readonly op: 'match'; readonly field: string; readonly how: string; readonly value: string }

const VALUES = ['', 'a', 'b', 'ab', '7', '70']
const leaf = fc
  .record({
    field: fc.constantFrom('ID', 'Port', 'Load', 'Tags', 'Meta', 'Meta.k'),
    how: fc.nat(5),
    value: fc.constantFrom(...VALUES),
  })
  .map(({ field, how, value }): Tree => {
    const allowed: Record<string, string[]> = {
      ID: ['==', '!=', 'contains', 'not contains', 'matches', 'not matches'],
      'Meta.k': ['==', '!=', 'contains', 'not contains', 'matches', 'not matches'],
      Port: ['==', '!='],
      Load: ['==', '!=', '<', '<=', '>', '>='],
      Tags: ['contains', 'not contains', 'is empty', 'is not empty', 'in', 'not in'],
      Meta: ['contains', 'not contains', 'is empty', 'is not empty', 'in', 'not in'],
    }
    const hows = allowed[field]!
    return {
      op: 'match',
      field,
      how: hows[how % hows.length]!,
      value: (field === 'Port' || field === 'Load') && !/^\d/.test(value) ? '7' : value,
    }
  })
const trees = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.record({ op: fc.constantFrom('and' as const, 'or' as const), a: tie('tree'), b: tie('tree') }),
    fc.record({ op: fc.constant('not' as const), a: tie('tree') }),
  ),
})).tree

function written(tree: Tree): string {
  if (tree.op === 'not') return `not (${written(tree.a)})`
  if (tree.op !== 'match') return `(${written(tree.a)}) ${tree.op} (${written(tree.b)})`
  const { field, how, value } = tree
  if (how.startsWith('is')) return `${field} ${how}`
  if (how.endsWith('in')) return `"${value}" ${how} ${field}`
  return `${field} ${how} "${value}"`
}

interface Entry {
  readonly ID: string
  readonly Port: number
  readonly Load?: number | undefined
  readonly Tags: readonly string[]
  readonly Meta: Readonly<Record<string, string>>
}

function naive(tree: Tree, entry: Entry): boolean {
  if (tree.op === 'not') return !naive(tree.a, entry)
  if (tree.op !== 'match') {
    const [a, b] = [naive(tree.a, entry), naive(tree.b, entry)]
    return tree.op === 'and' ? a && b : a || b
  }
  if (/\bnot\b|^!/.test(tree.how))
    return !naive({ ...tree, how: tree.how.replace('not ', '').replace('!=', '==') }, entry)
  const { field, how, value } = tree
  if (field === 'Load') {
    const [load, than] = [entry.Load ?? 50, Number(value)]
    const order = load === than ? '=' : load < than ? '<' : '>'
    return how === '==' ? order === '=' : how.includes(order)
  }
  const texts =
    field === 'ID' ? [entry.ID] : field === 'Port' ? [String(entry.Port)] : 'k' in entry.Meta ? [entry.Meta.k!] : []
  const members = field === 'Tags' ? entry.Tags : Object.keys(entry.Meta)
  if (how === 'is empty') return members.length === 0
  if (field === 'Tags' || field === 'Meta') return members.includes(value)
  if (how === '==') return texts.includes(value)
  // The values are no metacharacters: as a regular expression each means what it holds.
  return texts.some((text) => text.includes(value))
}

describe('whatever is asked', () => {
  const fields = { ID: 'string', Port: 'int', Load: { number: 50 }, Tags: 'strings', Meta: { map: 'string' } } as const
  const entries = fc.record({
    ID: fc.constantFrom(...VALUES),
    Port: fc.constantFrom(7, 70, 0),
    Load: fc.constantFrom(7, 70, 0, undefined),
    Tags: fc.uniqueArray(fc.constantFrom('a', 'b', 'ab')),
    Meta: fc.dictionary(fc.constantFrom('k', 'a'), fc.constantFrom(...VALUES), { noNullPrototype: true }),
  })

  test('expressions mean what they say', () => {
    fc.assert(
      fc.property(trees, entries, (tree, entry) => {
        const json = { ...entry, Meta: new GoMap(Object.entries(entry.Meta)) }
        expect(filterOf(written(tree), fields)!()(json)).toBe(naive(tree, entry))
      }),
      { numRuns: 2_000 },
    )
  })

  test('10,000 texts of any bytes are filters, or refused with a 400', () => {
    const words = [
      'Service',
      '.Port',
      '.Meta',
      '[',
      ']',
      '"',
      '`',
      ' == ',
      ' in ',
      ' matches ',
      'not ',
      ' and ',
      '(',
      ')',
      '8',
      '(a+)+$',
      '\n',
      ' is empty',
      '.Load',
      ' <',
    ]
    const bytes = fc.uint8Array({ maxLength: 64 }).map((some) => new TextDecoder().decode(some))
    const texts = fc.oneof(
      bytes,
      fc.array(fc.oneof(fc.constantFrom(...words), bytes), { maxLength: 12 }).map((some) => some.join('')),
    )
    fc.assert(
      fc.property(texts, (text) => {
        try {
          filterOf(text, healthFields)?.()(entry)
        } catch (error) {
          expect(error).toBeInstanceOf(HttpError)
          expect(error).toMatchObject({
            status: 400,
            message: expect.stringMatching(/^Failed to create boolean expression evaluator: ./),
          })
        }
      }),
      { numRuns: 10_000 },
    )
  })
})
