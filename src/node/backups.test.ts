import { gunzipSync } from 'node:zlib'
import { describe, expect, it, vi } from 'vitest'
import { MemoryDisk } from '../agent/testing/memory-disk.ts'
import type { Logger } from '../runtime/ports.ts'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import { Backups } from './backups.ts'

const HOUR_MS = 3_600_000

function setUp({ files = [] as string[], kept = 3, everyMs = HOUR_MS } = {}) {
  const clock = new VirtualClock({ wallMs: Date.UTC(2026, 10, 26, 20, 0, 0) })
  const disk = new MemoryDisk()
  for (const name of files) disk.files.set(`b/${name}`, new Uint8Array([1]))
  const state = { index: 7, saves: 0, fails: false }
  const errors: string[] = []
  const logger: Logger = { debug() {}, info() {}, warn() {}, error: (_, m) => errors.push(m), child: () => logger }
  const save = async () => {
    state.saves++
    const bytes = (async function* () {
      yield new TextEncoder().encode(`at ${state.index}`)
      if (state.fails) throw new Error('the store failed')
    })()
    return { index: state.index, bytes }
  }
  const random = new SeededRandom(1)
  const backups = new Backups({ save, directory: 'b', everyMs, kept, clock, random, disk, logger })
  const names = (): string[] => [...disk.files.keys()].map((path) => path.slice(2)).sort()
  const text = (name: string): string => new TextDecoder().decode(gunzipSync(disk.files.get(`b/${name}`)!))
  /** A stream that compresses takes more than a turn. */
  const written = (count: number): Promise<void> => vi.waitFor(() => expect(names()).toHaveLength(count))
  return { clock, disk, state, errors, backups, names, text, written }
}

describe('backups', () => {
  it('are written, whole, some time after the start and then again and again', async () => {
    const { clock, state, backups, names, text, written } = setUp()
    await clock.advance(50_000)
    expect(names()).toEqual([])
    await clock.advance(20_000)
    await written(1)
    expect(names()[0]).toMatch(/^20261126T20010\dZ-7\.snap$/)
    expect(text(names()[0]!)).toBe('at 7')
    state.index = 8
    await clock.advance(1.1 * HOUR_MS)
    await written(2)
    expect(text(names()[1]!)).toBe('at 8')
    await backups.close()
    expect(clock.pendingTimers).toBe(0)
  })

  it('are bounded in number: the newest stay, and what has another name', async () => {
    const files = ['20261126T100000Z-1.snap', '20261126T110000Z-2.snap', '20261126T120000Z-3.snap', 'mine.snap']
    const { clock, backups, names, written, disk } = setUp({ files })
    await clock.advance(70_000)
    await vi.waitFor(() => expect(disk.files.has('b/20261126T100000Z-1.snap')).toBe(false))
    await written(4)
    expect(names()).toEqual([...files.slice(1, 3), expect.stringMatching(/-7\.snap$/), 'mine.snap'])
    await backups.close()
  })

  it('are not repeated before their time by a server that starts again, nor held back by a clock that went back', async () => {
    const recent = setUp({ files: ['20261126T193000Z-1.snap'] })
    await recent.clock.advance(29 * 60_000)
    expect(recent.state.saves).toBe(0)
    await recent.clock.advance(5 * 60_000)
    expect(recent.state.saves).toBe(1)
    await recent.backups.close()
    const future = setUp({ files: ['20301126T193000Z-1.snap'] })
    await future.clock.advance(1.1 * HOUR_MS)
    expect(future.state.saves).toBe(1)
    await future.backups.close()
  })

  it('are not written again while nothing changes', async () => {
    const { clock, state, backups, names, written } = setUp()
    await clock.advance(70_000)
    await written(1)
    await clock.advance(3 * HOUR_MS)
    expect(state.saves).toBeGreaterThanOrEqual(3)
    expect(names()).toHaveLength(1)
    await backups.close()
  })

  it.each(['the store', 'the disk'])(
    'that fail by %s are told of and tried again; those before stay',
    async (which) => {
      const { clock, disk, state, errors, backups, names, written } = setUp({ files: ['20261126T100000Z-1.snap'] })
      if (which === 'the store') state.fails = true
      else disk.failWith = new Error('no space left')
      await clock.advance(70_000)
      await vi.waitFor(() => expect(errors).toHaveLength(1))
      expect(names()).toHaveLength(1)
      state.fails = false
      disk.failWith = undefined
      await clock.advance(400_000)
      await written(2)
      await backups.close()
    },
  )
})
