import { describe, expect, test } from 'vitest'
import type { Opener } from './store.ts'
import { bytes, opened, put, Recorder, remove, watch } from './store-support.ts'

export function watchCompliance(open: Opener): void {
  describe('watch', () => {
    test('gives all events since a revision, old and new, whole revisions in order', async () => {
      const { store } = await opened(open)
      const first = await put(store, 'a', '1')
      const second = await put(store, 'a', '2')
      const { revision: third } = await store.txn({ then: [{ put: 'b', value: bytes('3') }, { delete: 'a' }] })
      const all = watch(store, '', '', first - 1).recorder
      const some = watch(store, '', '', first).recorder
      const fourth = await put(store, 'c', '4')
      await Promise.all([all.reaches(fourth), some.reaches(fourth)])
      const later = [`${second} a=2`, `${third} b=3`, `${third} -a`, `${fourth} c=4`]
      expect(all.events).toEqual([`${first} a=1`, ...later])
      expect(some.events).toEqual(later)
      expect(all.revisions.map(({ revision }) => revision)).toEqual([first, second, third, fourth])
    })

    test('events carry whole entries', async () => {
      const { store } = await opened(open)
      const { id } = await store.grantLease(60_000)
      const first = await put(store, 'a', '1')
      const live = watch(store, '', '', first).recorder
      const { revision } = await store.txn({ then: [{ put: 'a', value: bytes('2'), lease: id }] })
      const late = watch(store, '', '', first).recorder
      await Promise.all([live.reaches(revision), late.reaches(revision)])
      const kv = { key: 'a', value: bytes('2'), createRevision: first, modRevision: revision, version: 2, lease: id }
      expect(live.revisions).toEqual([{ revision, events: [{ type: 'put', kv }] }])
      expect(late.revisions).toEqual(live.revisions)
    })

    test('registers at once: what is written after the call is seen', async () => {
      const { store } = await opened(open)
      const since = await put(store, 'a', '0')
      const { recorder } = watch(store, '', '', since)
      const revision = await put(store, 'a', '1')
      await recorder.reaches(revision)
      expect(recorder.events).toEqual([`${revision} a=1`])
    })

    test('gives only its range, and no empty revisions', async () => {
      const { store } = await opened(open)
      const since = await put(store, 'z', '0')
      const live = watch(store, 'b', 'c', since).recorder
      await store.txn({ then: ['a', 'b', 'bb', 'c'].map((key) => ({ put: key, value: bytes('1') })) })
      await put(store, 'c', '2')
      const cleared = await store.txn({ then: [{ deleteRange: ['', ''] }] })
      const late = watch(store, 'b', 'c', since).recorder
      await Promise.all([live.reaches(cleared.revision), late.reaches(cleared.revision)])
      expect(live.events.map((event) => event.replace(/^\d+ /, ''))).toEqual(['b=1', 'bb=1', '-b', '-bb'])
      expect(live.revisions).toHaveLength(2)
      expect(late.events).toEqual(live.events)
    })

    test('a transaction that changes nothing shows nothing', async () => {
      const { store } = await opened(open)
      const since = await put(store, 'a', '0')
      const { recorder } = watch(store, '', '', since)
      await store.txn({ then: [{ delete: 'none' }, { deleteRange: ['x', 'y'] }, { range: ['', ''] }] })
      await store.txn({ if: [{ key: 'a', target: 'mod', op: '=', to: 0 }], then: [{ delete: 'a' }] })
      const revision = await put(store, 'a', '1')
      await recorder.reaches(revision)
      expect(recorder.events).toEqual([`${revision} a=1`])
    })

    test('a watch of the future waits for it', async () => {
      const { store } = await opened(open)
      const first = await put(store, 'a', '1')
      const { recorder } = watch(store, '', '', first + 1)
      const second = await put(store, 'a', '2')
      const third = await put(store, 'a', '3')
      await recorder.reaches(third)
      // Others may have taken revisions in between.
      expect(recorder.events).toEqual(second > first + 1 ? [`${second} a=2`, `${third} a=3`] : [`${third} a=3`])
    })

    test('catches up through a long history while others write: nothing lost, nothing twice', async () => {
      const { store } = await opened(open)
      const start = await put(store, 'n', 'start')
      let written = 0
      const write = async (count: number): Promise<void> => {
        for (let i = 0; i < count; i += 50) {
          await Promise.all(Array.from({ length: 50 }, () => put(store, 'n', String(written++))))
        }
      }
      await write(4500)
      const recorders = Array.from({ length: 5 }, () => watch(store, '', '', start).recorder)
      await write(1000)
      const last = await put(store, 'end', '')
      await Promise.all(recorders.map((recorder) => recorder.reaches(last)))
      const seen = recorders[0]!.revisions
      expect(seen).toHaveLength(5501)
      expect(seen.every(({ revision }, i) => i === 0 || revision > seen[i - 1]!.revision)).toBe(true)
      for (const recorder of recorders) expect(recorder.events).toEqual(recorders[0]!.events)
    })

    test('a revision larger than a page stays whole', async () => {
      const { store } = await opened(open)
      const keys = Array.from({ length: 3000 }, (_, i) => `k${i}`)
      let since = 0
      for (let i = 0; i < keys.length; i += 100) {
        since = (await store.txn({ then: keys.slice(i, i + 100).map((key) => ({ put: key, value: bytes('') })) }))
          .revision
      }
      const { revision } = await store.txn({ then: [{ deleteRange: ['', ''] }] })
      await put(store, 'after', '')
      const { recorder } = watch(store, '', '', since)
      await recorder.until(({ revisions }) => revisions.length >= 2)
      expect(recorder.revisions[0]!.revision).toBe(revision)
      expect(recorder.revisions[0]!.events).toHaveLength(keys.length)
    })

    test('says when its history is gone, and where it begins now', async () => {
      const { store } = await opened(open)
      const first = await put(store, 'a', '1')
      const second = await put(store, 'a', '2')
      const third = await remove(store, 'a')
      const live = watch(store, '', '', first).recorder
      await live.reaches(third)
      await store.compact(second)
      const { recorder } = watch(store, '', '', first)
      await recorder.until(({ compacted }) => compacted !== undefined)
      expect([recorder.compacted, recorder.events]).toEqual([second + 1, []])
      const next = watch(store, '', '', recorder.compacted! - 1).recorder
      const last = await put(store, 'b', '4')
      await Promise.all([next.reaches(last), live.reaches(last)])
      expect(next.events).toEqual([`${third} -a`, `${last} b=4`])
      expect(live.last).toBe(last)
    })

    test('is silent once cancelled', async () => {
      const { store } = await opened(open)
      const since = await put(store, 'a', '0')
      const live = watch(store, '', '', since)
      const old = watch(store, '', '', since - 1)
      const other = watch(store, '', '', since)
      live.watch.cancel()
      old.watch.cancel()
      old.watch.cancel()
      await other.recorder.reaches(await put(store, 'a', '1'))
      expect([live.recorder.events, old.recorder.events]).toEqual([[], []])
    })

    test('handlers may watch, cancel and write', async () => {
      const { store } = await opened(open)
      const since = await put(store, 'a', '0')
      const inner = new Recorder()
      const outer = store.watch('', '', since, {
        onRevisions(batch) {
          outer.cancel()
          store.watch('', '', batch.at(-1)!.revision, inner)
          put(store, 'b', 'from within').catch(() => {})
        },
        onCompacted() {},
        onEnd() {},
      })
      const first = await put(store, 'a', '1')
      await inner.until(({ revisions }) => revisions.length > 0)
      expect(inner.events).toEqual([`${inner.last} b=from within`])
      expect(inner.last).toBeGreaterThan(first)
    })
  })

  describe('barrier', () => {
    test('covers all that was acknowledged, and watches reach it', async () => {
      const { store } = await opened(open)
      const revision = await put(store, 'a', '1')
      const barrier = await store.barrier()
      expect(barrier).toBeGreaterThanOrEqual(revision)
      // Not from the beginning: others may have had history forgotten.
      const { recorder } = watch(store, '', '', revision - 1)
      await recorder.reaches(revision)
      await put(store, 'b', '2')
      expect(await store.barrier()).toBeGreaterThan(barrier)
    })
  })
}
