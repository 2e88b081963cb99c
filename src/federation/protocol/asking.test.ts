import { describe, expect, it } from 'vitest'
import { Asking } from './asking.ts'

const others = () => ['x', 'y']

describe('whom a replica asks', () => {
  it('is the nearest gateway of its datacenter, whether anything is missing or not', () => {
    expect(new Asking<string>().pick(['a', 'b'], false, others)).toEqual({ peer: 'a', thirdParty: false })
  })
  it('is others in turn while no gateway can be reached, when something is missing', () => {
    const asking = new Asking<string>()
    expect(asking.pick([], true, others)).toBeUndefined()
    for (const peer of ['x', 'y', 'x']) {
      asking.ask()
      expect(asking.pick([], false, others)).toBeUndefined()
      expect(asking.pick([], true, others)).toEqual({ peer, thirdParty: true })
    }
    asking.ask()
    expect(asking.pick([], true, () => [])).toBeUndefined()
  })
})

describe('a gateway that fails', () => {
  it('is followed by the next one at once, and by a pause when all have failed', () => {
    const asking = new Asking<string>()
    const asked: [string | undefined, number][] = []
    for (let i = 0; i < 5; i++) {
      const peer = asking.pick(['a', 'b'], true, others)?.peer
      asking.ended(false)
      asked.push([peer, asking.pauseMs()])
    }
    expect(asked).toEqual([
      ['a', 20],
      ['b', 250],
      ['a', 20],
      ['b', 500],
      ['a', 20],
    ])
    // The next one brings all that is missing: from then on it is the nearest again.
    expect(asking.pick(['a', 'b'], true, others)?.peer).toBe('b')
    asking.ended(true)
    expect(asking.pick(['a', 'b'], true, others)?.peer).toBe('a')
  })
  it('keeps its turn when others come and go, and when one connects', () => {
    const asking = new Asking<string>()
    asking.pick(['a', 'b', 'c'], true, others)
    asking.ended(false)
    asking.look()
    expect(asking.pick(['a', 'b', 'c'], true, others)?.peer).toBe('b')
    asking.ended(false)
    expect(asking.pick(['a'], true, others)?.peer).toBe('a')
    asking.ended(false)
    expect(asking.pauseMs()).toBe(250)
  })
})

describe('what is missing as a whole', () => {
  it('is asked of the near ones first, each once, and then of the origin, until nothing is missing', () => {
    const asking = new Asking<string>()
    const near = ['near-1', 'near-2']
    const pick = (need: boolean) => asking.pick(['origin'], need, others, near)
    expect(pick(true)).toEqual({ peer: 'near-1', thirdParty: true })
    expect(pick(true)).toEqual({ peer: 'near-2', thirdParty: true })
    expect(pick(true)).toEqual({ peer: 'origin', thirdParty: false })
    expect(pick(true)).toEqual({ peer: 'origin', thirdParty: false })
    expect(pick(false)).toEqual({ peer: 'origin', thirdParty: false })
    expect(pick(true)).toEqual({ peer: 'near-1', thirdParty: true })
  })
})

describe('the pause before the next try', () => {
  it('doubles from 250 ms to 5 s, and what fails cannot be hurried', () => {
    const asking = new Asking<string>()
    asking.pick(['a'], true, others)
    const pauses = Array.from({ length: 7 }, () => {
      asking.ended(false)
      expect(asking.mayWake).toBe(false)
      return asking.pauseMs()
    })
    expect(pauses).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000])
  })
  it('is short after what came whole, and once a gateway connected', () => {
    const asking = new Asking<string>()
    asking.pick(['a'], true, others)
    asking.ended(false)
    asking.look()
    expect(asking.mayWake).toBe(true)
    expect(asking.pauseMs()).toBe(20)
    asking.ended(false)
    asking.ended(true)
    expect(asking.pauseMs()).toBe(20)
  })
  it('is a second where there is nobody to ask', () => {
    const asking = new Asking<string>()
    asking.pick([], false, others)
    expect(asking.pauseMs()).toBe(1000)
  })
})
