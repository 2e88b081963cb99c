import { describe, expect, it } from 'vitest'
import { AtollError } from '../model/errors.ts'
import type { Logger } from '../runtime/ports.ts'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import { type Renewal, startHeartbeat } from './heartbeat.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const PERIOD_MS = 2_000

/** A heartbeat whose renewals end when the test says. */
function setUp() {
  const clock = new VirtualClock()
  const beats: { readonly atMs: number; end(result: Partial<Renewal> | Error): Promise<void> }[] = []
  const seen = { changes: 0 }
  const heartbeat = startHeartbeat({
    clock,
    random: new SeededRandom(1),
    logger: silent,
    periodMs: PERIOD_MS,
    renew: () => {
      const { promise, resolve, reject } = Promise.withResolvers<Renewal>()
      beats.push({
        atMs: clock.nowMs(),
        async end(result) {
          if (result instanceof Error) reject(result)
          else resolve({ server: 's1', registered: true, ...result })
          await clock.advance(0)
        },
      })
      return promise
    },
    onServerChanged: () => seen.changes++,
  })
  return { clock, beats, seen, heartbeat }
}
const lost = new AtollError('timeout', 'the connection closed')

describe('signs of life', () => {
  it('go out at once and once a period, one at a time', async () => {
    const { clock, beats, heartbeat } = setUp()
    expect(beats).toHaveLength(1)
    heartbeat.now()
    expect(beats).toHaveLength(1)
    await beats[0]!.end({})
    await clock.advance(PERIOD_MS * 0.89)
    expect(beats).toHaveLength(1)
    await clock.advance(PERIOD_MS * 0.22)
    expect(beats).toHaveLength(2)
    heartbeat.stop()
  })

  it('come sooner after one that nobody heard', async () => {
    const { clock, beats, heartbeat } = setUp()
    await beats[0]!.end(lost)
    await clock.advance(PERIOD_MS / 3)
    expect(beats).toHaveLength(2)
    heartbeat.stop()
  })

  it('one that was lost with its connection is done again at once when the next comes up meanwhile', async () => {
    const { beats, heartbeat } = setUp()
    heartbeat.now()
    await beats[0]!.end(lost)
    expect(beats).toHaveLength(2)
    heartbeat.stop()
  })

  it('notice another server, and one that does not know this node', async () => {
    const { clock, beats, seen, heartbeat } = setUp()
    for (const [i, [renewal, changes]] of (
      [
        [{}, 1],
        [{}, 1],
        [{ server: 's2' }, 2],
        [{ server: 's2', registered: false }, 3],
      ] as const
    ).entries()) {
      await beats[i]!.end(renewal)
      expect(seen.changes).toBe(changes)
      await clock.advance(PERIOD_MS * 1.2)
    }
    heartbeat.stop()
  })

  it('end for good', async () => {
    const { clock, beats, seen, heartbeat } = setUp()
    heartbeat.stop()
    heartbeat.now()
    await beats[0]!.end({})
    await clock.advance(10 * PERIOD_MS)
    expect([beats.length, seen.changes, clock.pendingTimers]).toEqual([1, 0, 0])
  })
})
