import { describe, expect, it } from 'vitest'
import { MAX_COORDINATES } from '../catalog/catalog.ts'
import type { CoordinateRow } from '../model/coordinate.ts'
import type { NodeRow } from '../model/entries.ts'
import { originCoordinate } from '../model/vivaldi.ts'
import { silentLogger } from '../runtime/logger.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { CoordinateWriter } from './coordinate-writer.ts'

function setUp() {
  const clock = new VirtualClock()
  const stored = new Map<string, CoordinateRow>()
  const batches: number[] = []
  const state = { fails: false }
  const writer = new CoordinateWriter({
    view: {
      node: (name) => (name.startsWith('gone') ? undefined : ({ node: name, id: `id-${name}` } as NodeRow)),
      coordinatesOf: (name) => (stored.has(name) ? [stored.get(name)!] : []),
    },
    write: async (rows) => {
      if (state.fails) throw new Error('the store is closed')
      batches.push(rows.length)
      for (const row of rows) stored.set(row.node, row)
    },
    clock,
    logger: silentLogger,
  })
  return { clock, stored, batches, state, writer }
}

const at = (heightMs: number, error = 0.5) => ({ ...originCoordinate(), error, height: heightMs / 1000 })

describe('coordinates on their way into the catalog', () => {
  it('are gathered, and written once they have moved', async () => {
    const { clock, stored, batches, writer } = setUp()
    for (let i = 0; i < 50; i++) {
      writer.put('a', 'id-a', at(1 + i / 100))
      writer.put('b', 'id-b', at(20))
    }
    await clock.advance(5_000)
    expect(batches).toEqual([2])
    expect(stored.get('a')!.coordinate.height).toBeCloseTo(0.00149)
    writer.put('a', 'id-a', at(1.6))
    writer.put('b', 'id-b', at(20.9))
    await clock.advance(5_000)
    expect(batches).toEqual([2])
    writer.put('a', 'id-a', at(1.9))
    writer.put('b', 'id-b', at(21.5))
    await clock.advance(5_000)
    expect(batches).toEqual([2, 2])
    writer.put('a', 'id-a', at(1.9, 0.1))
    await clock.advance(5_000)
    expect(batches).toEqual([2, 2, 1])
    writer.close()
    expect(clock.pendingTimers).toBe(0)
  })

  it('of nodes that are not registered, or by another id, are let go', async () => {
    const { clock, batches, writer } = setUp()
    writer.put('gone', 'id-gone', at(1))
    writer.put('a', 'id-other', at(1))
    await clock.advance(10_000)
    expect(batches).toEqual([])
    writer.close()
  })

  it('go in bounded transactions, a bounded number of them at once', async () => {
    const { clock, batches, writer } = setUp()
    for (let i = 0; i < 700; i++) writer.put(`n${i}`, `id-n${i}`, at(1))
    await clock.advance(5_000)
    expect(batches).toEqual(new Array(5).fill(MAX_COORDINATES))
    await clock.advance(5_000)
    expect(batches.length).toBe(7)
    writer.close()
  })

  it('survive a store that fails', async () => {
    const { clock, stored, state, writer } = setUp()
    state.fails = true
    writer.put('a', 'id-a', at(1))
    await clock.advance(5_000)
    state.fails = false
    writer.put('a', 'id-a', at(1))
    await clock.advance(5_000)
    expect(stored.size).toBe(1)
    writer.close()
  })
})
