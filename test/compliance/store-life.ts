import { describe, expect, test } from 'vitest'
import type { Opener } from './store.ts'
import { bytes, get, opened, put, remove, shown, watch } from './store-support.ts'

export function lifeCompliance(open: Opener): void {
  describe('life', () => {
    test('what was acknowledged is there after reopening: entries, history, leases, epoch', async () => {
      const { store, reopen } = await opened(open)
      const { epoch } = store
      expect(epoch).toMatchObject({ generation: 0, random: expect.stringMatching(/^[0-9a-f]{16}$/) })
      const { id } = await store.grantLease(60_000)
      const first = await put(store, 'a', '1')
      await remove(store, 'a')
      const last = (await store.txn({ then: [{ put: 'b', value: bytes('2'), lease: id }] })).revision
      const { recorder } = watch(store, '', '', first - 1)
      await recorder.reaches(last)

      const again = await reopen()
      expect(again.epoch).toEqual(epoch)
      expect(shown((await again.range('', '')).kvs)).toEqual(['b=2'])
      expect(shown((await again.range('', '', { revision: first })).kvs)).toEqual(['a=1'])
      const replayed = watch(again, '', '', first - 1).recorder
      await replayed.reaches(last)
      expect(replayed.revisions).toEqual(recorder.revisions)
      expect(await put(again, 'c', '3')).toBeGreaterThan(last)
      await again.renewLease(id)
      const next = await again.grantLease(60_000)
      expect(next.id).not.toBe(id)
      await again.revokeLease(id)
      expect(await get(again, 'b')).toBeUndefined()
    })

    test('a raised generation is another life, and stays', async () => {
      const { store, reopen } = await opened(open)
      const before = store.epoch
      const raised = await store.raiseGeneration(3)
      expect(raised.generation).toBe(3)
      expect(raised.random).not.toBe(before.random)
      expect(store.epoch).toEqual(raised)
      expect(await store.raiseGeneration(2)).toEqual(raised)
      expect(await store.raiseGeneration(3)).toEqual(raised)
      expect((await reopen()).epoch).toEqual(raised)
    })

    test('close finishes what was accepted, ends watches and refuses the rest', async () => {
      const { store, reopen } = await opened(open)
      const { recorder } = watch(store, '', '', store.status().revision)
      const accepted = Array.from({ length: 50 }, (_, i) => put(store, `k${i}`, 'x'))
      const closed = store.close()
      await expect(store.txn({ then: [] })).rejects.toMatchObject({ code: 'closed' })
      const revisions = await Promise.all(accepted)
      await Promise.all([closed, store.close()])
      expect(recorder.ended).toEqual({ error: undefined })
      await expect(put(store, 'late', 'x')).rejects.toMatchObject({ code: 'closed' })
      await expect(store.range('', '')).rejects.toMatchObject({ code: 'closed' })
      await expect(store.grantLease(5000)).rejects.toMatchObject({ code: 'closed' })
      const afterwards = watch(store, '', '', 0).recorder
      await afterwards.until(({ ended }) => ended !== undefined)
      const again = await reopen()
      expect((await again.range('k', 'l')).kvs).toHaveLength(50)
      expect(again.status().revision).toBeGreaterThanOrEqual(Math.max(...revisions))
    })

    test('status tells where it stands', async () => {
      const { store } = await opened(open)
      const revision = await put(store, 'a', '1')
      expect(store.status()).toMatchObject({ compactedRevision: expect.any(Number) })
      expect(store.status().revision).toBeGreaterThanOrEqual(revision)
      expect(store.status().sizeBytes).toBeGreaterThan(0)
      expect(store.status().failure).toBeUndefined()
    })
  })
}
