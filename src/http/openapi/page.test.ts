import { expect, test } from 'vitest'
import { page } from './page.ts'

test('the page stands alone, and its script is one that a browser can read', () => {
  const html = page()
  const script = /<script>([\s\S]*)<\/script>/.exec(html)![1]!
  expect(() => new Function(script)).not.toThrow()
  expect(html.replace(script, '')).not.toMatch(/\b(?:https?:)?\/\/\w/)
  expect([...script.matchAll(/fetch\(([^),]*)/g)].map((match) => match[1])).toEqual([
    'target',
    expect.stringMatching(/^["']\/v1\/openapi\.json["']$/),
  ])
  expect(script).not.toMatch(/innerHTML|document\.write|eval\(/)
})
