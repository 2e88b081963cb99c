import { status as codes } from '@grpc/grpc-js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Operation, Txn } from '../store.ts'
import { Batches } from './batches.ts'
import { CallError } from './call-error.ts'
import { Commit, type Slot } from './commit.ts'
import { KeySpace } from './key-space.ts'
import { mapTxn } from './messages.ts'
import type { TxnRequest, TxnResponse } from './proto/etcd_pb.js'
import { FakeEtcd } from './testing/fake-etcd.ts'

const keys = new KeySpace('x/')
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const key = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ put: key, value: fc.constantFrom('1', '2').map(bytes) }) },
  { weight: 1, arbitrary: fc.record({ delete: key }) },
)
const nameOf = (one: Operation): unknown => ('put' in one ? one.put : 'delete' in one ? one.delete : one)
const txn: fc.Arbitrary<Txn> = fc.record({
  if: fc.array(
    fc.record({
      key,
      target: fc.constant('version' as const),
      op: fc.constantFrom('=' as const, '>' as const),
      to: fc.integer({ min: 0, max: 2 }),
    }),
    { maxLength: 2 },
  ),
  then: fc.uniqueArray(operation, { minLength: 1, maxLength: 3, selector: nameOf }),
})

interface Prepared {
  readonly commit: Commit
  readonly mapped: ReturnType<typeof mapTxn>
}

/** The same commits for any etcd that was prepared the same. */
function prepare(etcd: FakeEtcd, txns: readonly Txn[]): Prepared[] {
  return txns.map((each, n) => {
    const slot: Slot = { key: keys.slot('p', n), mod: etcd.put(`x/s/p/${n}`, bytes('')) }
    const mapped = mapTxn(each, keys)
    return { commit: new Commit(mapped, slot, n, keys), mapped }
  })
}

const present = (etcd: FakeEtcd): number[] => ['a', 'b', 'c', 'd', 'e'].map((name) => etcd.versionOf(`x/d/${name}`))

describe('commits that go together', () => {
  it('do what they would have done one after the other, in the order of their calls', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(txn, { minLength: 1, maxLength: 30 }), async (txns) => {
        const [one, other] = [new FakeEtcd(), new FakeEtcd()]
        let calls = 0
        const batches = new Batches(async (request) => {
          calls++
          return one.txn(request)
        })
        const answers = await Promise.all(
          prepare(one, txns).map(async ({ commit, mapped }) =>
            commit.answer(await batches.submit(commit.request(), mapped, 1)),
          ),
        )
        const expected = prepare(other, txns).map(({ commit }) => commit.answer(other.txn(commit.request())))
        expect(answers).toEqual(expected)
        expect(present(one)).toEqual(present(other))
        expect(calls).toBeLessThanOrEqual(txns.length)
      }),
      { numRuns: 300 },
    )
  })

  it('are few calls where they are many', async () => {
    const etcd = new FakeEtcd()
    const txns = Array.from({ length: 64 }, (_, n) => ({ then: [{ put: `k${n}`, value: bytes('1') }] }))
    let calls = 0
    const batches = new Batches(async (request) => {
      calls++
      return etcd.txn(request)
    })
    await Promise.all(prepare(etcd, txns).map(({ commit, mapped }) => batches.submit(commit.request(), mapped, 1)))
    expect(calls).toBeLessThanOrEqual(8)
  })

  const answering = (fails: (request: TxnRequest) => number | undefined) => {
    const etcd = new FakeEtcd()
    const sent: number[] = []
    const batches = new Batches(async (request): Promise<TxnResponse> => {
      sent.push(request.compare.length === 0 ? request.success.length : 1)
      const code = fails(request)
      if (code !== undefined) throw new CallError(code, 'failed')
      return etcd.txn(request)
    })
    return { etcd, sent, batches }
  }
  const puts = (count: number): Txn[] =>
    Array.from({ length: count }, (_, n) => ({ then: [{ put: `k${n}`, value: bytes('1') }] }))

  it('are sent one by one when the request was refused as a whole', async () => {
    const isBatch = ({ compare }: TxnRequest): boolean => compare.length === 0
    const { etcd, sent, batches } = answering((request) => (isBatch(request) ? codes.INVALID_ARGUMENT : undefined))
    const all = prepare(etcd, puts(8)).map(({ commit, mapped }) => batches.submit(commit.request(), mapped, 1))
    await Promise.all(all)
    expect(sent).toEqual([8, ...Array(8).fill(1)])
    expect(Array.from({ length: 8 }, (_, n) => etcd.versionOf(`x/d/k${n}`))).toEqual(Array(8).fill(1))
  })

  it('are all of unknown outcome when the answer is lost, and none is sent again', async () => {
    const { etcd, sent, batches } = answering(() => codes.UNAVAILABLE)
    const all = prepare(etcd, puts(8)).map(({ commit, mapped }) => batches.submit(commit.request(), mapped, 1))
    const outcomes = await Promise.allSettled(all)
    expect(outcomes.every((each) => each.status === 'rejected' && each.reason.isOpen)).toBe(true)
    expect(sent.reduce((sum, size) => sum + size, 0)).toBe(8)
  })
})
