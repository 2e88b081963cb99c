import { describe, expect, it } from 'vitest'
import type { Status } from './entries.ts'
import { isStatus, STATUSES, statusRank, worseOf, worstStatus } from './health.ts'

describe('health', () => {
  it('orders the statuses', () => {
    expect(STATUSES.map(statusRank)).toEqual([0, 1, 2])
    expect(worseOf('passing', 'warning')).toBe('warning')
    expect(worseOf('critical', 'warning')).toBe('critical')
  })

  it('takes the worst, and passing without any', () => {
    const of = (...statuses: Status[]) => worstStatus(statuses.map((status) => ({ status })))
    expect(of()).toBe('passing')
    expect(of('passing', 'warning')).toBe('warning')
    expect(of('warning', 'critical', 'passing')).toBe('critical')
  })

  it('knows its words', () => {
    expect(isStatus('warning')).toBe(true)
    expect(isStatus('maintenance')).toBe(false)
  })
})
