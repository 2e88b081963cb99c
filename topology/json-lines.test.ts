import { describe, expect, it } from 'vitest'
import { LineSplitter, parseLine } from './json-lines.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('LineSplitter', () => {
  it('gives whole lines, however they are cut, also within a character', () => {
    const lines: string[] = []
    const splitter = new LineSplitter((line) => lines.push(line))
    for (const byte of bytes('eins\nzwölf\n\ndrei')) splitter.push(new Uint8Array([byte]))
    expect(lines).toEqual(['eins', 'zwölf', ''])
    splitter.end()
    expect(lines.at(-1)).toBe('drei')
  })

  it('keeps no endless line', () => {
    const sizes: number[] = []
    const splitter = new LineSplitter((line) => sizes.push(line.length))
    for (let i = 0; i < 40; i++) splitter.push(new Uint8Array(64 * 1024).fill(120))
    expect(Math.max(...sizes)).toBeLessThanOrEqual((1 << 20) + 64 * 1024)
    expect(sizes.length).toBeGreaterThan(0)
  })
})

it('parseLine takes objects only', () => {
  expect(parseLine('{"a":1}')).toEqual({ a: 1 })
  for (const line of ['', 'null', '[1]', '"x"', '{"a":', 'listening on {"port":1}'])
    expect(parseLine(line)).toBeUndefined()
})
