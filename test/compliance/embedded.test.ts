import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'
import type { Store, Txn } from '../../src/store/store.ts'
import { type OpenStore, storeCompliance } from './store.ts'
import { ModelStore } from './store-model.ts'
import { bounds, transaction } from './store-properties.ts'

const { clock, random } = await currentRuntime()

async function open(): Promise<OpenStore> {
  const path = await mkdtemp(join(tmpdir(), 'atoll-store-'))
  let current: Store = await openEmbedded({ path, clock, random })
  return {
    store: current,
    async reopen() {
      await current.close()
      current = await openEmbedded({ path, clock, random })
      return current
    },
    async destroy() {
      await current.close()
      await rm(path, { recursive: true })
    },
  }
}

storeCompliance('embedded', open)

/** What holds of this driver alone: the order of calls is the order of transactions, and history has a bound. */
describe('embedded, properties', () => {
  test('transactions that are under way together apply in the order of their calls', async () => {
    const property = fc.asyncProperty(fc.array(transaction, { maxLength: 60 }), async (txns) => {
      const store = await openEmbedded({ path: ':memory:', clock, random })
      try {
        const outcomes = await Promise.all(txns.map((txn) => store.txn(txn)))
        const model = new ModelStore()
        let revision = 0
        for (const [i, txn] of txns.entries()) {
          const expected = model.apply(txn, revision + 1)
          if (expected.wrote) revision++
          const { succeeded, results } = expected
          expect(outcomes[i]).toEqual({ succeeded, revision, results })
        }
      } finally {
        await store.close()
      }
    })
    await fc.assert(property, { numRuns: 25 })
  })

  test('every remembered revision reads as it was, however much is compacted and swept', async () => {
    const compactions = fc.array(fc.tuple(transaction, fc.option(fc.double({ min: 0, max: 1, noNaN: true }))), {
      minLength: 10,
      maxLength: 60,
    })
    const property = fc.asyncProperty(compactions, bounds, async (steps, range) => {
      const store = await openEmbedded({ path: ':memory:', clock, random, limits: { historyRevisions: 12 } })
      try {
        const model = new ModelStore()
        for (const [txn, share] of steps) {
          await step(store, model, txn, share)
          await comparePast(store, model, range)
        }
      } finally {
        await store.close()
      }
    })
    await fc.assert(property, { numRuns: 15 })
  })
})

async function step(store: Store, model: ModelStore, txn: Txn, share: number | null): Promise<void> {
  const { revision, results } = await store.txn(txn)
  expect(results).toEqual(model.apply(txn, revision).results)
  if (share === null) return
  const { compactedRevision } = store.status()
  await store.compact(compactedRevision + Math.floor((revision - compactedRevision) * share))
}

async function comparePast(store: Store, model: ModelStore, range: readonly [string, string]): Promise<void> {
  const { revision, compactedRevision } = store.status()
  for (let past = Math.max(1, compactedRevision); past <= revision; past++) {
    const { kvs, more } = await store.range(...range, { revision: past })
    expect({ kind: 'range', kvs, more }).toEqual(model.range(range, undefined, past))
  }
}
