import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Compare, Operation, Store, Txn } from '../../src/store/store.ts'
import type { Opener } from './store.ts'
import { ModelStore } from './store-model.ts'
import { bytes, Recorder } from './store-support.ts'

/** Few enough to collide, odd enough to sort wrongly. */
const KEYS = ['a', 'a\0', 'a/b', 'b', 'ü', '\uFFFF', '\u{1F600}']
const key = fc.constantFrom(...KEYS)
const bound = fc.constantFrom('', ...KEYS)
export const bounds = fc.tuple(bound, bound)
const value = fc.constantFrom('', '1', '2', 'longer than the others').map(bytes)

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ put: key, value }) },
  { weight: 2, arbitrary: fc.record({ delete: key }) },
  { weight: 1, arbitrary: fc.record({ deleteRange: bounds }) },
  { weight: 1, arbitrary: fc.record({ range: bounds, limit: fc.integer({ min: 1, max: 4 }) }) },
)

const standsAlone = (list: readonly Operation[]): boolean =>
  list.length === 1 || !list.some((operation) => 'deleteRange' in operation)

/** Writes every key once at most, as the contract asks; ranges to delete stand alone. */
const operations = fc.oneof(
  { weight: 6, arbitrary: fc.uniqueArray(operation, { maxLength: 4, selector: writtenKey }).filter(standsAlone) },
  { weight: 1, arbitrary: fc.tuple(fc.record({ range: bounds }), fc.record({ deleteRange: bounds })) },
)

function writtenKey(operation: Operation): unknown {
  if ('put' in operation) return operation.put
  return 'delete' in operation ? operation.delete : operation
}

const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({
    key,
    target: fc.constantFrom('version' as const, 'create' as const, 'mod' as const),
    op: fc.constantFrom('=' as const, '!=' as const, '<' as const, '>' as const),
    to: fc.integer({ min: 0, max: 5 }),
  }),
  fc.record({
    key,
    target: fc.constant('value' as const),
    op: fc.constantFrom('=' as const, '!=' as const),
    to: value,
  }),
)

export const transaction: fc.Arbitrary<Txn> = fc.record(
  { if: fc.array(compare, { maxLength: 2 }), then: operations, else: operations },
  { requiredKeys: ['then'] },
)

const share = fc.double({ min: 0, max: 1, noNaN: true })

export function propertyCompliance(open: Opener): void {
  describe('properties', () => {
    test('any transactions: results, ranges of any revision and watches from any revision are those of the model', async () => {
      const property = fc.asyncProperty(
        fc.array(transaction, { minLength: 1, maxLength: 40 }),
        fc.array(fc.tuple(share, bounds), { minLength: 1, maxLength: 4 }),
        async (txns, readings) => {
          const opened = await open()
          try {
            await compareWithModel(opened.store, txns, readings)
          } finally {
            await opened.destroy()
          }
        },
      )
      await fc.assert(property, { numRuns: 25 })
    })
  })
}

type Reading = readonly [share: number, bounds: readonly [string, string]]

async function compareWithModel(store: Store, txns: readonly Txn[], readings: readonly Reading[]): Promise<void> {
  const model = new ModelStore()
  const start = store.status().revision
  const revisions = [start]
  const watches: [Recorder, since: number, Reading][] = []
  const watchFrom = (since: number, reading: Reading): void => {
    const recorder = new Recorder()
    store.watch(...reading[1], since, recorder)
    watches.push([recorder, since, reading])
  }
  const at = (part: number): number => revisions[Math.floor(part * (revisions.length - 1))]!
  for (const [i, txn] of txns.entries()) {
    // Some watches begin on the way, in the past.
    for (const reading of readings) if (Math.floor(reading[0] * txns.length) === i) watchFrom(at(reading[0]), reading)
    const { succeeded, revision, results } = await store.txn(txn)
    const expected = model.apply(txn, revision)
    expect({ succeeded, results }).toEqual({ succeeded: expected.succeeded, results: expected.results })
    if (expected.wrote) {
      expect(revision).toBeGreaterThan(revisions.at(-1)!)
      revisions.push(revision)
    }
  }
  for (const [part, bounds] of readings) {
    const revision = at(part)
    watchFrom(revision, [part, bounds])
    const past = await store.range(...bounds, { revision, limit: 3 })
    expect({ kind: 'range', kvs: past.kvs, more: past.more }).toEqual(model.range(bounds, 3, revision))
  }
  const { kvs } = await store.range('', '')
  expect({ kind: 'range', kvs, more: false }).toEqual(model.range(['', '']))
  for (const [recorder, since, [, bounds]] of watches) {
    const expected = model.eventsSince(since, bounds)
    await recorder.reaches(expected.at(-1)?.revision ?? 0)
    expect(recorder.revisions).toEqual(expected)
  }
}
