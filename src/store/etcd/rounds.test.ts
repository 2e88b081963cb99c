import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Rounds } from './rounds.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Rounds of which a test says when they end. */
function setUp() {
  let now = 0
  const begun: { readonly at: number; readonly end: (error?: Error) => void }[] = []
  const open = new Set<(error?: Error) => void>()
  const rounds = new Rounds<number>(() => {
    const at = ++now
    return new Promise((resolve, reject) => {
      const end = (error?: Error): void => {
        open.delete(end)
        if (error) reject(error)
        else resolve(at)
      }
      open.add(end)
      begun.push({ at, end })
    })
  })
  return { rounds, begun, open, tick: () => ++now }
}

describe('rounds', () => {
  test('all of a turn share one, and who comes later joins none that has begun', async () => {
    const { rounds, begun } = setUp()
    const first = [rounds.join(), rounds.join()]
    expect(first[0]).toBe(first[1])
    expect(begun).toHaveLength(0)
    await turn()
    expect(begun).toHaveLength(1)
    const second = rounds.join()
    expect(second).not.toBe(first[0])
    await turn()
    // Two are under way at once, a third waits for a place.
    expect(begun).toHaveLength(2)
    const third = rounds.join()
    await turn()
    expect(rounds.join()).toBe(third)
    expect(begun).toHaveLength(2)
    begun[1]!.end()
    expect(await second).toBe(2)
    await turn()
    expect(begun).toHaveLength(3)
    begun[0]!.end()
    begun[2]!.end()
    expect(await Promise.all([...first, third])).toEqual([1, 1, 3])
  })

  test('one that fails frees its place, and fails for those only who joined it', async () => {
    const { rounds, begun } = setUp()
    const failing = rounds.join()
    await turn()
    begun[0]!.end(new Error('no majority'))
    await expect(failing).rejects.toThrow('no majority')
    for (let i = 1; i <= 3; i++) {
      const next = rounds.join()
      await turn()
      begun[i]!.end()
      expect(await next).toBe(i + 1)
    }
  })

  test('one that fails fails those who wait for a place too, and nobody who comes then', async () => {
    const { rounds, begun } = setUp()
    const underWay = [rounds.join()]
    await turn()
    underWay.push(rounds.join())
    await turn()
    const waiting = rounds.join()
    await turn()
    begun[0]!.end(new Error('no majority'))
    await expect(waiting).rejects.toThrow('no majority')
    await expect(underWay[0]).rejects.toThrow('no majority')
    const next = rounds.join()
    await turn()
    expect(begun).toHaveLength(3)
    for (const { end } of begun.slice(1)) end()
    expect(await Promise.all([underWay[1], next])).toEqual([2, 3])
  })

  test('whatever comes when, each is served by a round that began after it came, two at most under way', async () => {
    const step = fc.constantFrom('join', 'turn', 'end', 'end-newest')
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { rounds, open, tick } = setUp()
        const joined: Promise<void>[] = []
        for (const what of steps) {
          if (what === 'join') {
            const came = tick()
            joined.push(rounds.join().then((began) => void expect(began).toBeGreaterThan(came)))
          } else if (what === 'turn') await turn()
          else [...open].at(what === 'end' ? 0 : -1)?.()
          expect(open.size).toBeLessThanOrEqual(2)
        }
        let done = false
        const all = Promise.all(joined).then(() => {
          done = true
        })
        while (!done) {
          for (const end of [...open]) end()
          await turn()
        }
        await all
      }),
      { numRuns: 200 },
    )
  })
})
