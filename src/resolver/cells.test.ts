import { describe, expect, it } from 'vitest'
import { Cell, CellCache, type Evaluation } from './cells.ts'
import type { Routes } from './routes.ts'

const routes = { version: 1 } as Routes
const cellOf = (value: () => unknown, expiresAtMs?: number): Cell =>
  new Cell(
    (): Evaluation => ({
      value: value(),
      index: 1,
      datacenter: 'eu-1',
      failover: undefined,
      topics: [],
      routed: false,
      expiresAtMs,
    }),
    routes,
    () => 0,
  )
const rows = (count: number): unknown[] => Array.from({ length: count }, (_, i) => i)

describe('answers that are kept', () => {
  it('are bounded in number', () => {
    const cache = new CellCache(3, 1_000_000)
    const first = cache.get('a', () => cellOf(() => 1))
    for (const key of ['b', 'c', 'a', 'd']) cache.get(key, () => cellOf(() => 1))
    expect(cache.size).toBe(3)
    expect(cache.get('a', () => cellOf(() => 1))).toBe(first)
  })

  it('and in what they hold together, also when they grow later', () => {
    const cache = new CellCache(1_000, 1_000)
    let length = 10
    const growing = cache.get('growing', () => cellOf(() => rows(length), 0))
    growing.current()
    for (let i = 0; i < 20; i++) cache.get(`key-${i}`, () => cellOf(() => rows(10))).current()
    expect(cache.size).toBe(21)
    length = 900
    cache.get('growing', () => cellOf(() => 1)).current()
    expect(cache.size).toBeLessThan(7)
    expect(cache.get('growing', () => cellOf(() => 1))).toBe(growing)
    length = 0
    growing.current()
    for (let i = 0; i < 30; i++) cache.get(`other-${i}`, () => cellOf(() => rows(10))).current()
    expect(cache.size).toBeGreaterThan(30)
  })

  it('and in the length of what is asked', () => {
    const cache = new CellCache(10_000, 10_000)
    for (let i = 0; i < 100; i++) cache.get(`${i} ${'x'.repeat(16_000)}`, () => cellOf(() => 1)).current()
    expect(cache.size).toBeLessThan(11)
  })

  it('a cell that was dropped still answers, and counts no more', () => {
    const cache = new CellCache(1, 100)
    let length = 1
    const dropped = cache.get('a', () => cellOf(() => rows(length), 0))
    dropped.current()
    cache.get('b', () => cellOf(() => 1)).current()
    length = 5_000
    expect(dropped.current().value).toHaveLength(5_000)
    expect(cache.size).toBe(1)
  })
})
