import { describe, expect, it } from 'vitest'
import { Awareness } from './awareness.ts'

const TICK_MS = 200

/** Score after ticks with these pauses between them. */
function scoreAfter(...pausesMs: number[]): { score: number; lateMs: number } {
  const awareness = new Awareness({ tickMs: TICK_MS })
  awareness.tick(0)
  let nowMs = 0
  let lateMs = 0
  for (const pauseMs of pausesMs) {
    nowMs += pauseMs
    lateMs += awareness.tick(nowMs)
  }
  return { score: awareness.score, lateMs }
}
const times = (count: number, pauseMs: number): number[] => Array<number>(count).fill(pauseMs)

describe('awareness', () => {
  it.each([
    ['in time', times(50, TICK_MS), 0, 0],
    ['a little late', times(50, TICK_MS + 20), 0, 0],
    ['late, and not enough to doubt', [400], 0, 200],
    ['late once', [650], 1, 450],
    ['stood still', [20_200], 2, 20_000],
    ['starves', times(4, 700), 4, 2000],
    ['starves for long: the score has an end', times(40, 700), 4, 20_000],
    ['recovers a point every three seconds', [2000, ...times(15, TICK_MS)], 1, 1800],
    ['recovers', [2000, ...times(30, TICK_MS)], 0, 1800],
  ])('%s', (_, pauses, score, lateMs) => {
    expect(scoreAfter(...pauses)).toEqual({ score, lateMs })
  })

  it('multiplies time', () => {
    const awareness = new Awareness({ tickMs: TICK_MS })
    expect(awareness.factor).toBe(1)
    awareness.doubt(0)
    awareness.doubt(0)
    expect(awareness.factor).toBe(3)
    awareness.doubt(0, 9)
    expect(awareness.factor).toBe(1 + awareness.maxScore)
  })

  it('does not blame its first tick', () => {
    const awareness = new Awareness({ tickMs: TICK_MS })
    expect(awareness.tick(1e9)).toBe(0)
    expect(awareness.score).toBe(0)
  })
})
