import { describe, expect, test } from 'vitest'
import { GoMap } from '../json.ts'
import { healthFields } from './fields.ts'
import { filterOf } from './filter.ts'

const entry = {
  Node: { Node: 'node-a', Meta: new GoMap([['rack', 'r1']]) },
  Service: {
    ID: 'web-a',
    Service: 'web',
    Tags: ['v1', 'blue'],
    Port: 80,
    Meta: new GoMap([['with-dash', 'y']]),
    EnableTagOverride: false,
  },
  Checks: [{ Status: 'passing' }, { Status: 'warning' }],
}

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
  ])('%s', (text, expected) => {
    expect(filterOf(text, healthFields)!(entry)).toBe(expected)
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
    ['Service.Port == 80 && x', '1:20 (19): no match found, expected: "and", "or", [ \\t\\r\\n] or EOF'],
    ['(Service.Port == 80', '1:20 (19): rule "grouping": Unmatched parentheses'],
    ['Service.Port is empty', 'Invalid match operator "Is Empty" for selector "Service.Port"'],
    ['Service.Tags == blue', 'Invalid match operator "Equal" for selector "Service.Tags"'],
    ['Service == x', 'Invalid match operator "Equal" for selector "Service"'],
    ['Service.Meta.i == "a', '1:21 (20): rule "string": Unterminated string literal'],
    ['Service.ID matches "(a+)+$"', '"matches" is not part of this version; use "contains" or "==" on Service.ID'],
    [`${'('.repeat(5000)}`, 'the expression is longer than 4096 characters'],
    [`${'('.repeat(4000)}`, '1:102 (101): the expression is nested too deeply'],
  ])('%s', (text, message) => {
    const act = () => filterOf(text, healthFields)
    expect(act).toThrow(`Failed to create boolean expression evaluator: ${message}`)
    expect(act).toThrow(expect.objectContaining({ status: 500 }))
  })
})
