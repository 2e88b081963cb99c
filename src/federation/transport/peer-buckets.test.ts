import { expect, it } from 'vitest'
import { VirtualClock } from '../../runtime/virtual.ts'
import { PeerBuckets } from './peer-buckets.ts'

const RATE = { perSecond: 1, burst: 10 }

it('are the same for whoever comes back, and one for each peer and use', () => {
  const buckets = new PeerBuckets(new VirtualClock())
  const frames = buckets.of('a', 'frames', RATE)
  expect(buckets.of('a', 'frames', RATE)).toBe(frames)
  expect(buckets.of('a', 'gossip', RATE)).not.toBe(frames)
  expect(buckets.of('b', 'frames', RATE)).not.toBe(frames)
})

it('are bounded, and remember those who owe something', async () => {
  const clock = new VirtualClock()
  const buckets = new PeerBuckets(clock)
  const debtor = buckets.of('debtor', 'frames', RATE)
  debtor.spend(1000, 0)
  for (let i = 0; i < 40_000; i++) buckets.of(`p${i}`, 'frames', RATE)
  expect(buckets.of('debtor', 'frames', RATE)).toBe(debtor)
  // Where all owe something the oldest goes.
  for (let i = 0; i < 40_000; i++) buckets.of(`q${i}`, 'frames', RATE).spend(1000, 0)
  expect(buckets.of('debtor', 'frames', RATE)).not.toBe(debtor)
})
