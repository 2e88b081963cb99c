import { expect, test } from 'vitest'
import type { HttpProbe } from '../../runtime/ports.ts'
import { SeededRandom, VirtualClock } from '../../runtime/virtual.ts'
import { Backends, http, probesOf, ttl } from '../testing/harness.ts'
import { Checks } from './checks.ts'
import type { Outcome } from './outcome.ts'

function setUp(options: { concurrent?: number; httpProbe?: HttpProbe } = {}) {
  const clock = new VirtualClock()
  const backends = new Backends()
  const reports: [string, Outcome['status']][] = []
  const outputs: string[] = []
  const checks = new Checks({
    clock,
    random: new SeededRandom(7),
    probes: probesOf(options.httpProbe ?? backends.probe),
    own: { checks: [], hasService: () => false },
    readNode: () => Promise.resolve(undefined),
    reportLoad: () => {},
    concurrent: options.concurrent ?? 128,
    report: (id, { status, output }) => {
      reports.push([id, status])
      outputs.push(output)
    },
  })
  return { clock, backends, reports, outputs, checks }
}

test('a check that was just registered runs within a second, then about once an interval', async () => {
  const { clock, backends, checks } = setUp()
  checks.start(http('h'), { spread: false })
  await clock.advance(1000)
  expect(backends.asked).toBe(1)
  await clock.advance(100_000)
  expect(backends.asked).toBeGreaterThanOrEqual(10)
  expect(backends.asked).toBeLessThanOrEqual(12)
  checks.stopAll()
  expect(clock.pendingTimers).toBe(0)
})

test('a thousand checks that start together are spread over their interval', async () => {
  const { clock, backends, checks } = setUp({ concurrent: 16 })
  for (let i = 0; i < 1000; i++) checks.start(http(`h${i}`), { spread: true })
  const perSecond: number[] = []
  for (let second = 0; second < 10; second++) {
    const before = backends.asked
    await clock.advance(1000)
    perSecond.push(backends.asked - before)
  }
  expect(backends.asked).toBeGreaterThanOrEqual(1000)
  expect(Math.max(...perSecond)).toBeLessThan(160)
  expect(backends.most).toBeLessThanOrEqual(16)
  checks.stopAll()
})

test('checks that hang get half of the slots at most, the others go on', async () => {
  const { clock, backends, reports, checks } = setUp({ concurrent: 8 })
  for (let i = 0; i < 40; i++) {
    backends.codes.set(`hang${i}`, 'hang')
    checks.start(http(`hang${i}`, { timeoutMs: 9000 }), { spread: false })
  }
  // Each of them has shown by then that it hangs.
  await clock.advance(60_000)
  for (let i = 0; i < 10; i++) checks.start(http(`ok${i}`), { spread: false })
  await clock.advance(2000)
  expect(new Set(reports.filter(([, status]) => status === 'passing').map(([id]) => id)).size).toBe(10)
  expect(backends.running).toBe(4)
  checks.stopAll()
  await clock.advance(0)
  expect([backends.running, clock.pendingTimers]).toEqual([0, 0])
})

test('a run is critical when its time is over, even if the probe does not heed it', async () => {
  const { clock, reports, outputs, checks } = setUp({ httpProbe: () => new Promise(() => {}) })
  checks.start(http('h', { timeoutMs: 2000 }), { spread: false })
  await clock.advance(3100)
  expect(reports).toEqual([['h', 'critical']])
  expect(outputs[0]).toContain('Get "http://backend.test/h": context deadline exceeded')
  checks.stopAll()
})

test('thresholds hold back a change of mind', async () => {
  const { clock, backends, reports, checks } = setUp()
  checks.start(http('h', { successBeforePassing: 2, failuresBeforeCritical: 3, intervalMs: 1000 }), { spread: false })
  const runs = async (n: number): Promise<number> => {
    const until = backends.asked + n
    reports.length = 0
    while (backends.asked < until) await clock.advance(50)
    return reports.length
  }
  expect(await runs(1)).toBe(0)
  expect(await runs(1)).toBe(1)
  backends.codes.set('h', 503)
  expect(await runs(2)).toBe(0)
  expect(await runs(1)).toBe(1)
  backends.codes.set('h', 429)
  expect(await runs(1)).toBe(0)
  expect(await runs(1)).toBe(1)
  expect(reports).toEqual([['h', 'warning']])
  checks.stopAll()
})

test('to register the same check over and over does not keep it from running; a changed one starts anew', async () => {
  const { clock, backends, checks } = setUp()
  checks.start(http('h', { intervalMs: 60_000 }), { spread: true })
  for (let i = 0; i < 65; i++) {
    await clock.advance(1000)
    checks.start(http('H', { intervalMs: 60_000, name: `name ${i}` }), { spread: true })
  }
  expect(backends.asked).toBeGreaterThanOrEqual(1)
  const before = backends.asked
  checks.start(http('h', { intervalMs: 50_000 }), { spread: false })
  await clock.advance(1000)
  expect(backends.asked).toBe(before + 1)
  checks.stopAll()
  expect(clock.pendingTimers).toBe(0)
})

test('a TTL begins anew with every update, and lapses once', async () => {
  const { clock, reports, outputs, checks } = setUp()
  checks.start(ttl('t', { ttlMs: 5000 }), { spread: false })
  await clock.advance(4999)
  checks.heard('t', 'said')
  await clock.advance(4999)
  expect(reports).toEqual([])
  await clock.advance(60_000)
  expect(reports).toEqual([['t', 'critical']])
  expect(outputs).toEqual(['TTL expired (last output before timeout follows): said'])
  checks.stopAll()
})
