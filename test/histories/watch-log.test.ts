import { describe, expect, it } from 'vitest'
import { type Change, judgeWatches, type Row, type WatchRecord } from './watch-log.ts'

const put = (key: string, value: string, index: number, createIndex = index, connection = 0): Change => ({
  key,
  value,
  index,
  createIndex,
  connection,
})
const gone = (key: string, index: number): Change => ({ key, value: null, index, createIndex: 0, connection: 0 })
const row = (key: string, value: string, index: number): Row => ({ key, value, index })

const CHANGES = [put('a', 'v1', 11), put('b', 'v2', 12), put('a', 'v3', 13, 11), gone('b', 14), put('b', 'v5', 15)]
const RIGHT: WatchRecord = {
  since: 10,
  acknowledged: ['v1', 'v3'].map((value) => ({ key: 'a', value })).concat({ key: 'b', value: 'v2' }),
  refused: [{ key: 'a', value: 'v4' }],
  streams: [{ name: 'w', changes: CHANGES }],
  polls: [
    { name: 'p', index: 12, rows: [row('a', 'v1', 11), row('b', 'v2', 12)] },
    { name: 'p', index: 14, rows: [row('a', 'v3', 13)] },
  ],
  final: [row('a', 'v3', 13), row('b', 'v5', 15)],
}
const withChanges = (changes: readonly Change[]): WatchRecord => ({ ...RIGHT, streams: [{ name: 'w', changes }] })
const without = (at: number): WatchRecord => withChanges(CHANGES.toSpliced(at, 1))

describe('watches', () => {
  it('that keep every guarantee are right', () => {
    expect(judgeWatches(RIGHT)).toEqual([])
    expect(judgeWatches({ ...RIGHT, streams: [...RIGHT.streams, { name: 'x', changes: CHANGES }] })).toEqual([])
  })

  it.each<[string, string, WatchRecord]>([
    ['an acknowledged write', 'complete', without(2)],
    ['a delete', 'complete', without(3)],
    ['a put that nobody heard the outcome of', 'complete', without(4)],
    ['what another one tells', 'complete', { ...RIGHT, streams: [...RIGHT.streams, { name: 'x', changes: [] }] }],
  ])('that leave out %s are not %s', (_, guarantee, record) => {
    expect(judgeWatches(record).map((finding) => finding.guarantee)).toContain(guarantee)
  })

  it.each<[string, string, WatchRecord]>([
    ['go back', 'ordered', withChanges([CHANGES[1]!, CHANGES[0]!, ...CHANGES.slice(2)])],
    ['tell a thing twice', 'no duplicates', withChanges([CHANGES[0]!, ...CHANGES])],
    [
      'begin again where they were',
      'resumable',
      withChanges([...CHANGES.slice(0, 2), ...CHANGES.slice(1).map((change) => ({ ...change, connection: 1 }))]),
    ],
    ['tell what was refused', 'true', withChanges([...CHANGES, put('a', 'v4', 16, 11)])],
    ['answer what never was', 'true', { ...RIGHT, polls: [{ name: 'p', index: 13, rows: [row('a', 'v3', 13)] }] }],
    ['answer what is old', 'true', { ...RIGHT, polls: [{ name: 'p', index: 14, rows: RIGHT.polls[0]!.rows }] }],
    ['answer with an index that goes back', 'ordered', { ...RIGHT, polls: [...RIGHT.polls].reverse() }],
    ['end', 'complete', { ...RIGHT, streams: [{ name: 'w', changes: CHANGES, failure: 'compacted' }] }],
  ])('that %s are not %s', (_, guarantee, record) => {
    expect(judgeWatches(record).map((finding) => finding.guarantee)).toContain(guarantee)
  })
})
