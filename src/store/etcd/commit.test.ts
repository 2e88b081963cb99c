import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Commit, type Slot } from './commit.ts'
import { KeySpace } from './key-space.ts'
import { mapTxn } from './messages.ts'
import type { TxnRequest } from './proto/etcd_pb.js'
import { FakeEtcd } from './testing/fake-etcd.ts'

const keys = new KeySpace('x/')
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** What becomes of a request: its answer comes, it is done but its answer is lost, it is done later, or never. */
const fate = fc.constantFrom('answered' as const, 'answer lost' as const, 'late' as const, 'lost' as const)

/** Raises a counter when it stands at `expected`; writes a mark of its own in both branches, or only reads in `else`. */
const txnOf = (n: number, guarded: boolean, elseWrites: boolean) =>
  mapTxn(
    {
      if: guarded ? [{ key: 'gate', target: 'version', op: '>', to: 0 }] : [],
      then: [{ put: `then/${n}`, value: bytes('x') }],
      else: elseWrites ? [{ put: `else/${n}`, value: bytes('x') }] : [{ range: ['gate', 'gate\0'] }],
    },
    keys,
  )

describe('a commit', () => {
  it('is applied at most once and its outcome is told rightly, whatever becomes of requests and answers', () => {
    const one = fc.record({
      fates: fc.array(fate, { minLength: 1, maxLength: 5 }),
      guarded: fc.boolean(),
      elseWrites: fc.boolean(),
      /** When what was late is done: after so many further requests. */
      lateness: fc.integer({ min: 0, max: 6 }),
    })
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 8 }), fc.boolean(), (commits, gateOpen) => {
        const etcd = new FakeEtcd()
        if (gateOpen) etcd.put('x/d/gate', bytes('open'))
        const slot: Slot = { key: keys.slot('p', 0), mod: etcd.put('x/s/p/0', bytes('')) }
        const late: { request: TxnRequest; after: number }[] = []
        const runLate = (): void => {
          for (const entry of late.splice(0)) {
            if (entry.after-- <= 0) etcd.txn(entry.request)
            else late.push(entry)
          }
        }
        const told: ('then' | 'else' | 'read')[] = []
        for (const [n, { fates, guarded, elseWrites, lateness }] of commits.entries()) {
          const queue = [...fates]
          const send = (request: TxnRequest) => {
            runLate()
            const fate = queue.shift() ?? 'answered'
            if (fate === 'late') late.push({ request, after: lateness })
            if (fate === 'late' || fate === 'lost') return undefined
            const response = etcd.txn(request)
            return fate === 'answered' ? response : undefined
          }
          told.push(run(slot, n, txnOf(n, guarded, elseWrites), send))
        }
        for (const { request } of late) etcd.txn(request)
        for (const [n, { guarded, elseWrites }] of commits.entries()) {
          const wanted = !guarded || gateOpen ? 'then' : elseWrites ? 'else' : 'read'
          expect(told[n]).toBe(wanted)
          expect(etcd.versionOf(`x/d/then/${n}`)).toBe(wanted === 'then' ? 1 : 0)
          expect(etcd.versionOf(`x/d/else/${n}`)).toBe(wanted === 'else' ? 1 : 0)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('notices that its slot is gone or another holds it, and has then done nothing', () => {
    for (const elseWrites of [false, true]) {
      const etcd = new FakeEtcd()
      const slot: Slot = { key: keys.slot('p', 0), mod: etcd.put('x/s/p/0', bytes('')) }
      const commit = new Commit(txnOf(1, false, elseWrites), slot, 1, keys)
      etcd.remove('x/s/p/0')
      expect(commit.answer(etcd.txn(commit.request()))).toEqual({ kind: 'slot-lost' })
      expect(commit.resolve(etcd.txn(commit.resolution()))).toEqual({ kind: 'slot-lost' })
      etcd.put('x/s/p/0', bytes('of another'))
      expect(commit.answer(etcd.txn(commit.request()))).toEqual({ kind: 'slot-lost' })
      expect(commit.resolve(etcd.txn(commit.resolution()))).toEqual({ kind: 'slot-lost' })
      expect([etcd.versionOf('x/d/then/1'), etcd.versionOf('x/d/else/1')]).toEqual([0, 0])
    }
  })

  it('shows in the watched range whenever it writes its slot', () => {
    for (const list of [
      [{ delete: 'none' }],
      [{ put: 'a', value: bytes('1') }],
      [{ deleteRange: ['x', 'y'] as const }],
    ]) {
      const etcd = new FakeEtcd()
      const slot: Slot = { key: keys.slot('p', 0), mod: etcd.put('x/s/p/0', bytes('')) }
      const commit = new Commit(mapTxn({ then: list }, keys), slot, 1, keys)
      const { header } = etcd.txn(commit.request())
      expect(etcd.changedAt(Number(header!.revision)).some((key) => key > 'x/d' && key < 'x/i')).toBe(true)
      const resolution = new Commit(mapTxn({ then: list }, keys), { ...slot, mod: header!.revision }, 2, keys)
      const burnt = etcd.txn(resolution.resolution())
      expect(etcd.changedAt(Number(burnt.header!.revision))).toContain('x/h')
    }
  })
})

/** As the committer does it: again when it was surely not applied, and asks until that is known. */
function run(
  slot: Slot,
  n: number,
  txn: ReturnType<typeof txnOf>,
  send: (request: TxnRequest) => ReturnType<FakeEtcd['txn']> | undefined,
): 'then' | 'else' | 'read' {
  for (let attempt = 0; ; attempt++) {
    const commit = new Commit(txn, slot, n * 100 + attempt, keys)
    const response = send(commit.request())
    if (response) {
      const answer = commit.answer(response)
      if (answer.kind !== 'done') throw new Error('nobody else has the slot')
      if (answer.wrote) slot.mod = response.header!.revision
      return answer.succeeded ? 'then' : answer.wrote ? 'else' : 'read'
    }
    let resolved: ReturnType<Commit['resolve']> | undefined
    while (!resolved) {
      const answer = send(commit.resolution())
      resolved = answer && commit.resolve(answer)
    }
    if (resolved.kind === 'slot-lost') throw new Error('nobody else has the slot')
    slot.mod = resolved.revision
    if (resolved.kind === 'applied') return resolved.succeeded ? 'then' : 'else'
  }
}
