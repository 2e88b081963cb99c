import { expect, it } from 'vitest'
import type { ExportedChange } from '../federation/federation.ts'
import { systemClock } from '../runtime/clock.ts'
import { systemRandom } from '../runtime/random.ts'
import { openEmbedded } from '../store/embedded/embedded.ts'
import { exportSourceOf } from './export-source.ts'

it('never speaks of a revision whose changes a subscriber has not got', async () => {
  const store = await openEmbedded({ path: ':memory:', clock: systemClock, random: systemRandom })
  const source = exportSourceOf(store)
  const value = Uint8Array.of(1)
  for (const key of ['e/n/a', 'e/n/b', 'k/c']) await store.txn({ then: [{ put: key, value }] })
  expect(source.revision()).toBe(3)

  const got: ExportedChange[] = []
  const { promise: caughtUp, resolve } = Promise.withResolvers<void>()
  const subscription = source.subscribe(1, {
    onRevisions: (batch) => {
      got.push(...batch.flatMap(({ changes }) => changes))
      resolve()
    },
    onCompacted: () => {},
    onEnd: () => {},
  })
  expect([source.revision(), source.storeRevision()]).toEqual([1, 3])
  await caughtUp
  expect(got.map(({ key }) => key)).toEqual(['e/n/b'])
  await expect.poll(() => source.revision()).toBe(3)

  await store.txn({ then: [{ put: 'k/d', value }] })
  expect(source.revision()).toBe(4)
  subscription.cancel()
  await store.close()
})
