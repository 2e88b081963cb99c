import { describe, expect, it } from 'vitest'
import { Breaker } from './breaker.ts'

const timeOut = (breaker: Breaker, now: number): void => {
  breaker.begin()
  breaker.timedOut(now)
}

describe('breaker', () => {
  it('opens after three timeouts in a row', () => {
    const breaker = new Breaker()
    timeOut(breaker, 0)
    timeOut(breaker, 0)
    breaker.begin()
    breaker.succeeded()
    timeOut(breaker, 0)
    timeOut(breaker, 0)
    expect(breaker.allows(0)).toBe(true)
    timeOut(breaker, 0)
    expect(breaker.allows(999)).toBe(false)
  })

  it('lets one probe through, and closes with its success', () => {
    const breaker = new Breaker()
    for (let i = 0; i < 3; i++) timeOut(breaker, 0)
    expect(breaker.allows(1000)).toBe(true)
    breaker.begin()
    expect(breaker.allows(1000)).toBe(false)
    breaker.succeeded()
    expect(breaker.allows(1000)).toBe(true)
    expect(breaker.isOpen).toBe(false)
  })

  it('waits twice as long after each probe that failed, up to a bound', () => {
    const breaker = new Breaker()
    for (let i = 0; i < 3; i++) timeOut(breaker, 0)
    let now = 0
    const pauses: number[] = []
    for (let i = 0; i < 6; i++) {
      let pause = 0
      while (!breaker.allows(now + pause)) pause += 100
      pauses.push(pause)
      now += pause
      timeOut(breaker, now)
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000])
  })

  it('is not opened further by calls that were under way', () => {
    const breaker = new Breaker()
    for (let i = 0; i < 3; i++) timeOut(breaker, 0)
    breaker.timedOut(500)
    expect(breaker.allows(1000)).toBe(true)
  })

  it('takes another probe when the first was withdrawn', () => {
    const breaker = new Breaker()
    for (let i = 0; i < 3; i++) timeOut(breaker, 0)
    breaker.begin()
    breaker.withdrawn()
    expect(breaker.allows(1000)).toBe(true)
  })
})
