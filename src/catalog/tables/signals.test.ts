import { expect, it } from 'vitest'
import { encodeOutcome } from '../codec.ts'
import { Signals } from './signals.ts'

const answerOf = (bytes: number) => ({ entries: [], errors: [{ operation: 0, what: 'x'.repeat(bytes) }] })

it('answers of transactions are bounded by number and by bytes, the oldest go first; their outcomes stay', () => {
  const signals = new Signals()
  const put = (id: string, bytes: number) =>
    signals.putOutcome(id, { value: encodeOutcome(false, '', answerOf(bytes)), createRevision: 1, modRevision: 1 })
  const held = () => [...signals.outcomes].filter(([, { answer }]) => answer).map(([id]) => id)
  for (let i = 0; i < 1_100; i++) put(`small-${i}`, 10)
  expect(held()).toHaveLength(1_024)
  expect(held()[0]).toBe('small-76')
  for (let i = 0; i < 100; i++) put(`large-${i}`, 60_000)
  expect(held().every((id) => id.startsWith('large-'))).toBe(true)
  expect(held().length).toBeLessThan(70)
  expect(signals.outcomes.size).toBe(1_200)
  for (const id of held()) signals.deleteOutcome(id)
  put('large-0', 60_000)
  for (let i = 0; i < 60; i++) put('large-0', 60_000)
  expect(held()).toEqual(['large-0'])
})
