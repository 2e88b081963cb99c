import { describe, expect, it } from 'vitest'
import type { History } from './history.ts'
import { judge } from './judge.ts'

const change = (key: string, value: string, index: number) => ({ key, value, index, createIndex: index, connection: 0 })
const number = (callMs: number, returnMs: number, given: number) => ({
  key: 'seq/',
  node: 's1',
  op: { number: given },
  callMs,
  returnMs,
})
const both = (key: string, other: string, applied?: boolean) => ({
  key,
  node: 's1',
  op: { kind: 'put', value: 'v1', with: other, ...(applied !== undefined && { applied }) } as const,
  callMs: 0,
  returnMs: applied === undefined ? Number.POSITIVE_INFINITY : 1,
})

function findings(parts: Partial<History>, changes: readonly ReturnType<typeof change>[] = []): string[] {
  const final = changes.map(({ key, value, index }) => ({ key, value, index }))
  const watches = { since: 0, acknowledged: [], refused: [], streams: [{ name: 'w', changes }], polls: [], final }
  const found = judge({ kv: [], locks: [], sequences: [], watches, ...parts }).findings
  return found.map(({ what }) => what)
}

describe('a transaction on two keys', () => {
  const kv = [both('a', 'b', true), both('b', 'a', true)]
  const open = [both('a', 'b'), both('b', 'a')]
  it('is told of both at one index, or of none', () => {
    expect(findings({ kv }, [change('a', 'v1', 5), change('b', 'v1', 5)])).toEqual([])
    expect(findings({ kv: open })).toEqual([])
  })
  it.each([
    ['half of it', [change('a', 'v1', 5)]],
    ['two revisions', [change('a', 'v1', 5), change('b', 'v1', 6)]],
  ])('is wrong as %s', (_, changes) => {
    expect(findings({ kv: open }, changes)).toEqual(['a transaction in two parts'])
  })
})

describe('sequential numbers', () => {
  it('may come in any order while they are asked for at the same time', () => {
    expect(findings({ sequences: [number(0, 9, 2), number(1, 8, 1), number(10, 11, 3), number(12, 13, 7)] })).toEqual(
      [],
    )
  })
  it.each([
    ['one twice', [number(0, 9, 1), number(1, 8, 1)]],
    ['one below what was given before', [number(0, 1, 2), number(2, 3, 1)]],
    ['none', [number(0, 1, Number.NaN)]],
  ])('are wrong with %s', (_, sequences) => {
    expect(findings({ sequences })).toEqual(['a number that was given before'])
  })
})
