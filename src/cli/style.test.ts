import { describe, expect, it } from 'vitest'
import { createPaint, formatAge, formatMs, hostPort, printable, renderTable, wrap } from './style.ts'

const plain = createPaint(false, {})

describe('an age', () => {
  it('may be unknown, or nothing to tell', () => {
    expect([0, 4200, null, Number.POSITIVE_INFINITY, undefined].map(formatAge)).toEqual([
      '0 ms',
      '4.2 s',
      'unknown',
      'unknown',
      '-',
    ])
  })
})

describe('a table', () => {
  const columns = [
    { title: 'NAME', cut: true },
    { title: 'N', align: 'right' as const },
    { title: 'TAGS', cut: true },
  ]

  it('is aligned, without blanks at the ends', () => {
    expect(
      renderTable(
        columns,
        [
          ['ü☃', '7', ''],
          ['longer', '12', 'a'],
        ],
        plain,
      ),
    ).toEqual(['NAME     N  TAGS', 'ü☃       7', 'longer  12  a'])
  })

  it('cuts the last of the columns that may be cut first, none below eight', () => {
    const row = ['a-name-of-20-letters', '1', 'tags-of-eighteen-l']
    expect(renderTable(columns, [row], plain, 37)[1]).toBe('a-name-of-20-letters  1  tags-of-eig…')
    expect(renderTable(columns, [row], plain, 26)[1]).toBe('a-name-of-20…  1  tags-of…')
    expect(renderTable(columns, [row], plain, 5)[1]).toBe('a-name-…  1  tags-of…')
  })

  it('measures text, not colour', () => {
    const paint = createPaint(true, {})
    const [, line] = renderTable([{ title: 'A' }, { title: 'B' }], [[['good', 'x'], 'y']], paint)
    expect(line).toBe('\x1b[32mx\x1b[0m  y')
  })
})

it('colours terminals only, unless told not to', () => {
  expect(createPaint(true, {})('bad', 'x')).toBe('\x1b[31mx\x1b[0m')
  expect(createPaint(true, { NO_COLOR: '' })('bad', 'x')).not.toBe('x')
  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) expect(createPaint(true, env)('bad', 'x')).toBe('x')
  expect(createPaint(false, {})('bad', 'x')).toBe('x')
})

it('shows control characters instead of sending them', () => {
  expect(printable('a\x1b[2J\u202eb\x9b')).toBe('a\\u001b[2J\\u202eb\\u009b')
})

it.each([
  [0, '0 ms'],
  [0.84, '0.8 ms'],
  [82.4, '82 ms'],
  [999.7, '1000 ms'],
  [4230, '4.2 s'],
  [180_000, '3 min'],
  [7_200_000, '2 h'],
  [432_000_000, '5 d'],
  [null, '-'],
  [undefined, '-'],
])('%s ms is %s', (ms, text) => {
  expect(formatMs(ms)).toBe(text)
})

it('wraps words', () => {
  expect(wrap('one two three', 7)).toEqual(['one two', 'three'])
  expect(wrap('unbreakable', 3)).toEqual(['unbreakable'])
})

it('brackets IPv6', () => {
  expect(hostPort('::1', 80)).toBe('[::1]:80')
  expect(hostPort('10.0.0.1', 80)).toBe('10.0.0.1:80')
})
