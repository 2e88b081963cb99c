import { describe, expect, test } from 'vitest'
import type { Clock } from './ports.ts'
import { currentRuntime } from './runtime.ts'
import { SeededRandom, VirtualClock } from './virtual.ts'

const { clock: systemClock, random: systemRandom } = await currentRuntime()

/** Every clock keeps these; `pass` lets at least `ms` go by. */
function clockContract(name: string, open: () => { clock: Clock; pass(ms: number): Promise<void> }): void {
  describe(name, () => {
    test('after runs once, in the order of due times, and not when cancelled', async () => {
      const { clock, pass } = open()
      const ran: string[] = []
      clock.after(30, () => ran.push('late'))
      clock.after(5, () => ran.push('early'))
      clock.after(5, () => ran.push('never')).cancel()
      await pass(60)
      expect(ran).toEqual(['early', 'late'])
    })

    test('every repeats until it is cancelled, also from within', async () => {
      const { clock, pass } = open()
      let ran = 0
      const timer = clock.every(5, () => {
        if (++ran === 3) timer.cancel()
      })
      await pass(60)
      expect(ran).toBe(3)
      timer.cancel()
    })

    test('sleep takes its time', async () => {
      const { clock, pass } = open()
      const start = clock.nowMs()
      const slept = clock.sleep(10).then(() => clock.nowMs() - start)
      await pass(30)
      expect(await slept).toBeGreaterThanOrEqual(9)
    })

    test('sleep rejects with the reason of its signal, before and during', async () => {
      const { clock } = open()
      const reason = new Error('enough')
      await expect(clock.sleep(60_000, AbortSignal.abort(reason))).rejects.toBe(reason)
      const controller = new AbortController()
      const slept = clock.sleep(60_000, controller.signal)
      controller.abort(reason)
      await expect(slept).rejects.toBe(reason)
    })

    test('a deadline aborts with a timeout', async () => {
      const { clock, pass } = open()
      const { signal } = clock.deadline(10)
      expect(signal.aborted).toBe(false)
      await pass(30)
      expect(signal.reason).toMatchObject({ code: 'timeout' })
    })

    test('a deadline follows its parent, and is silent once done', async () => {
      const { clock, pass } = open()
      const parent = new AbortController()
      const followed = clock.deadline(60_000, parent.signal)
      const finished = clock.deadline(10, parent.signal)
      finished.done()
      await pass(30)
      parent.abort(new Error('parent'))
      expect(followed.signal.reason).toMatchObject({ message: 'parent' })
      expect(finished.signal.aborted).toBe(false)
      expect(clock.deadline(10, parent.signal).signal.reason).toMatchObject({ message: 'parent' })
    })
  })
}

clockContract('systemClock', () => ({
  clock: systemClock,
  pass: (ms) => systemClock.sleep(ms),
}))

clockContract('VirtualClock', () => {
  const clock = new VirtualClock()
  return { clock, pass: (ms) => clock.advance(ms) }
})

describe('systemClock', () => {
  test('a delay beyond 32 bits does not fire at once', async () => {
    let fired = false
    const timer = systemClock.after(2 ** 33, () => {
      fired = true
    })
    await systemClock.sleep(10)
    timer.cancel()
    expect(fired).toBe(false)
  })
})

describe('VirtualClock', () => {
  test('runs what falls due within the span, promises in between, and leaks nothing', async () => {
    const clock = new VirtualClock({ startMs: 1000, wallMs: 5_000_000 })
    const at: number[] = []
    const work = (async () => {
      for (let i = 0; i < 3; i++) {
        await clock.sleep(100)
        at.push(clock.nowMs())
      }
    })()
    await clock.advance(1000)
    await work
    expect(at).toEqual([1100, 1200, 1300])
    expect(clock.nowMs()).toBe(2000)
    expect(clock.wallMs()).toBe(5_001_000)
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('VirtualClock.stall', () => {
  test('makes timers late', async () => {
    const clock = new VirtualClock()
    const at: number[] = []
    clock.after(100, () => at.push(clock.nowMs()))
    clock.stall(5000)
    expect(at).toEqual([])
    await clock.advance(0)
    expect(at).toEqual([5000])
  })
})

describe('random', () => {
  test('bytes of any length, floats in [0, 1), UUIDs of version 4', () => {
    for (const random of [systemRandom, new SeededRandom(7)]) {
      expect(random.bytes(100_000)).toHaveLength(100_000)
      expect(new Set(random.bytes(1000)).size).toBeGreaterThan(200)
      const float = random.float()
      expect(float >= 0 && float < 1).toBe(true)
      expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    }
  })

  test('one seed, one sequence', () => {
    const sequence = (seed: number): number[] => {
      const random = new SeededRandom(seed)
      return Array.from({ length: 5 }, () => random.float())
    }
    expect(sequence(1)).toEqual(sequence(1))
    expect(sequence(1)).not.toEqual(sequence(2))
  })
})
