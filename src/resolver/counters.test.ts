import { describe, expect, it } from 'vitest'
import { AnswerCounters } from './counters.ts'

describe('numbers of answers that may change datacenter', () => {
  it('only rise, and are the own index while that is higher', () => {
    const counters = new AnswerCounters(10)
    expect(counters.counts('web', 100)).toBe(false)
    expect(counters.next('web', 100)).toBe(101)
    expect(counters.next('web', 100)).toBe(102)
    expect(counters.current('web', 100)).toBe(102)
    expect(counters.next('web', 200)).toBe(200)
    expect(counters.next('web', 150)).toBe(201)
  })

  it('never show less after one was forgotten, not even the own index', () => {
    const counters = new AnswerCounters(1)
    for (let i = 0; i < 5; i++) counters.next('web', 100)
    counters.next('api', 1)
    // 'web' showed 105: its own index, risen to 102, must not make who knows 105 wait for the next change.
    expect(counters.counts('web', 102)).toBe(true)
    expect(counters.next('web', 102)).toBeGreaterThan(105)
    expect(counters.counts('db', 1000)).toBe(false)
  })

  it('keep nothing of names without end', () => {
    const counters = new AnswerCounters(10)
    const long = (i: number): string => `${i}${'x'.repeat(10_000)}`
    counters.next('web', 1)
    const numbers = Array.from({ length: 50 }, (_, i) => counters.next(long(i), 100))
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    // None of them pushed another one out.
    expect(counters.counts('web', 1)).toBe(true)
    expect(counters.counts('api', 50)).toBe(false)
  })
})
