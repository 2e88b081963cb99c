import { describe, expect, it } from 'vitest'
import { History } from './history.ts'

/** '' until 1000, 'a' from 1000..1010, 'b' from 2000..2010, 'a' again from 3000..3010. */
function history(): History {
  const out = new History()
  for (const [state, beganMs] of [
    ['a', 1000],
    ['b', 2000],
    ['a', 3000],
  ] as const) {
    out.begin(state, beganMs)
    out.acknowledge(beganMs + 10)
  }
  return out
}
const asked = (atMs: number, ageMs: number, floor = 0) => ({ askedMs: atMs, answeredMs: atMs + 5, ageMs, floor })

describe('a history', () => {
  it.each([
    ['what is so', 'a', asked(1500, 0), 1],
    ['what was begun', 'b', asked(1996, 0), 2],
    ['what may still be so', 'a', asked(2009, 0), 1],
    ['what was so, with its age', 'a', asked(2900, 900), 1],
    ['what was so, within the slack', 'a', asked(2100, 0), 1],
    ['what is so again', 'a', asked(3500, 0), 3],
    ['the first of all', '', asked(1500, 500), 0],
  ])('takes %s', (_, state, question, version) => {
    expect(history().judge(state, question, 100)).toEqual({ ok: true, version })
  })

  it.each([
    ['what never was', 'c', asked(1500, 0), 'never', 0],
    ['what was not begun yet', 'b', asked(1900, 0), 'never', 0],
    ['what is older than it says', 'a', asked(2900, 700), 'older-than-it-says', 90],
    ['what goes back on one node', 'a', asked(2005, 0, 2), 'went-back', 0],
  ])('finds %s', (_, state, question, wrong, byMs) => {
    expect(history().judge(state, question, 100)).toEqual({ ok: false, wrong, byMs })
  })

  it('knows what must be seen', () => {
    const h = history()
    expect([h.latest, h.acked]).toEqual([3, 3])
    h.begin('c', 4000)
    expect([h.latest, h.acked]).toEqual([4, 3])
    expect(h.judge('a', asked(9000, 0), 0)).toMatchObject({ ok: true, version: 3 })
    expect(h.judge('c', asked(9000, 0), 0)).toMatchObject({ ok: true, version: 4 })
  })
})
