import fc from 'fast-check'
import { expect, it } from 'vitest'
import { editDistance, suggest } from './suggest.ts'

it.each([
  ['', '', 0],
  ['kv', 'kv', 0],
  ['qeury', 'query', 1],
  ['regster', 'register', 1],
  ['memberss', 'members', 1],
  ['mash', 'mesh', 1],
  ['abc', '', 3],
])('the distance of %j and %j is %i', (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance)
})

it('is symmetric, and zero for equals alone', () => {
  const word = fc.string({ maxLength: 12 })
  fc.assert(
    fc.property(word, word, (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a))
      expect(editDistance(a, b) === 0).toBe(a === b)
    }),
  )
})

it('suggests what is near, and nothing else', () => {
  const known = ['members', 'mesh', 'kv', 'register', 'deregister']
  expect(suggest('member', known)).toBe('members')
  expect(suggest('reg', known)).toBe('register')
  expect(suggest('derigester', known)).toBe('deregister')
  expect(suggest('nomad', known)).toBeUndefined()
  expect(suggest('', known)).toBeUndefined()
})
