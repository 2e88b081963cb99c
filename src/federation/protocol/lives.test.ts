import { describe, expect, it } from 'vitest'
import { FormerLife, OwnEcho } from './lives.ts'

const at = (boot: number, sequence: number) => ({ boot, sequence })

describe('a former life', () => {
  it('that goes on is a second process', () => {
    const former = new FormerLife(at(1, 10), 0)
    const said = [4000, 5000, 6000, 7000].map((nowMs, i) => former.heard(at(1, 11 + i), nowMs))
    expect(said).toEqual([false, false, true, true])
  })

  it.each([
    ['stragglers', [at(1, 11), at(1, 12), at(1, 13), at(1, 14)], 2900],
    ['the same again and again', [at(1, 11), at(1, 11), at(1, 11), at(1, 11)], 9000],
    ['what it said before', [at(1, 7), at(1, 8), at(1, 9), at(1, 10)], 9000],
    ['lives before that', [at(0, 50), at(0, 51), at(0, 52), at(0, 53)], 9000],
  ])('is over for: %s', (_, stamps, nowMs) => {
    const former = new FormerLife(at(1, 10), 0)
    expect(stamps.some((stamp) => former.heard(stamp, nowMs))).toBe(false)
  })
})

describe('the own echo', () => {
  it('moves a young process above its former life, whose clock was ahead', () => {
    const echo = new OwnEcho(0)
    expect(echo.heard(at(5, 1), at(4, 1), 9000)).toBe('move')
    expect(echo.heard(at(3, 99), at(4, 1), 9000)).toBe('nothing')
  })

  it('is a twin later on, and when that falls silent this one goes on above it', () => {
    const echo = new OwnEcho(0)
    const own = at(4, 100)
    const said = [20_000, 20_100, 21_000, 22_000].map((nowMs, i) => echo.heard(at(5, i === 1 ? 0 : i), own, nowMs))
    expect(said).toEqual(['nothing', 'nothing', 'nothing', 'twin'])
    expect(echo.tick(26_000)).toBeUndefined()
    expect(echo.tick(27_000)).toEqual(at(5, 3))
    expect(echo.tick(28_000)).toBeUndefined()
  })
})
