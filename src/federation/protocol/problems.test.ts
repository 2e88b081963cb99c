import { describe, expect, it } from 'vitest'
import { type Problem, Problems } from './problems.ts'

const problem = (node: string, message = 'x'): Problem => ({ kind: 'key-in-use', datacenter: 'eu-1', node, message })

describe('problems', () => {
  it('are told once, shown latest first with their newest words, and again when they come back', () => {
    const problems = new Problems({ keepMs: 1000 })
    expect(problems.note(problem('a'), 0)).toBe(true)
    expect(problems.note(problem('b'), 100)).toBe(true)
    expect(problems.note(problem('a', 'y'), 900)).toBe(false)
    expect(problems.list(1000)).toEqual([
      { ...problem('a', 'y'), firstMs: 0, lastMs: 900 },
      { ...problem('b'), firstMs: 100, lastMs: 100 },
    ])
    expect(problems.list(1100).map(({ node }) => node)).toEqual(['a'])
    expect(problems.note(problem('a'), 5000)).toBe(true)
  })

  it('are bounded', () => {
    const problems = new Problems({ max: 3 })
    for (let i = 0; i < 1000; i++) problems.note(problem(`n${i}`), i)
    expect(problems.list(1000).map(({ node }) => node)).toEqual(['n999', 'n998', 'n997'])
  })
})
