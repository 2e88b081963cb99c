import { expect, it } from 'vitest'
import { Threshold, type ThresholdOptions } from './threshold.ts'

/** What comes of results in a row: p, w, c; - where the status stays. */
const judge = (results: string, options: Partial<ThresholdOptions>): string => {
  const threshold = new Threshold({ successBeforePassing: 1, failuresBeforeCritical: 1, ...options })
  const names = { p: 'passing', w: 'warning', c: 'critical' } as const
  return [...results]
    .map((one) => threshold.judge({ status: names[one as 'p'], output: '' })?.status[0] ?? '-')
    .join('')
}

it.each([
  ['pcwc', {}, 'pcwc'],
  ['ppcpppp', { successBeforePassing: 3 }, '--c--pp'],
  ['pwpw', { successBeforePassing: 3 }, '--pw'],
  ['ccpccc', { failuresBeforeCritical: 3 }, '--p--c'],
  ['cccccpcc', { failuresBeforeCritical: 4, failuresBeforeWarning: 2 }, '-wwccp-w'],
  ['ccc', { failuresBeforeCritical: 3, failuresBeforeWarning: 1 }, 'wwc'],
])('%s with %j', (results, options, expected) => {
  expect(judge(results, options)).toBe(expected)
})
