import { describe, expect, test } from 'vitest'
import type { Opener } from './store.ts'
import { bytes, get, opened, put, watch } from './store-support.ts'

const unknownLease = { code: 'no-lease' }

export function leaseCompliance(open: Opener): void {
  describe('lease', () => {
    test('revoking it deletes its keys, in one revision', async () => {
      const { store } = await opened(open)
      const { id, ttlMs } = await store.grantLease(60_000)
      expect(ttlMs).toBe(60_000)
      const { revision } = await store.txn({
        then: [
          { put: 'a', value: bytes('1'), lease: id },
          { put: 'b', value: bytes('2'), lease: id },
          { put: 'c', value: bytes('3') },
        ],
      })
      expect(await get(store, 'a')).toMatchObject({ lease: id })
      const { recorder } = watch(store, '', '', revision)
      await store.revokeLease(id)
      await recorder.until(({ revisions }) => revisions.length > 0)
      expect(recorder.events).toEqual([`${recorder.last} -a`, `${recorder.last} -b`])
      expect((await store.range('', '')).kvs.map(({ key }) => key)).toEqual(['c'])
      await store.revokeLease(id)
      await expect(store.renewLease(id)).rejects.toMatchObject(unknownLease)
    })

    test('a key is bound by its last put', async () => {
      const { store } = await opened(open)
      const first = await store.grantLease(60_000)
      const second = await store.grantLease(60_000)
      expect(second.id).not.toBe(first.id)
      const bind = (key: string, lease: number): Promise<unknown> =>
        store.txn({ then: [{ put: key, value: bytes(''), lease }] })
      await bind('freed', first.id)
      await put(store, 'freed', '')
      await bind('moved', first.id)
      await bind('moved', second.id)
      await bind('bound', first.id)
      await store.revokeLease(first.id)
      expect((await store.range('', '')).kvs.map(({ key, lease }) => [key, lease])).toEqual([
        ['freed', 0],
        ['moved', second.id],
      ])
    })

    test('no key can be bound to one that there is not, and then nothing is written', async () => {
      const { store } = await opened(open)
      const txn = {
        then: [
          { put: 'a', value: bytes('1') },
          { put: 'b', value: bytes('2'), lease: 987_654 },
        ],
      }
      await expect(store.txn(txn)).rejects.toMatchObject(unknownLease)
      expect((await store.range('', '')).kvs).toEqual([])
      await expect(store.renewLease(987_654)).rejects.toMatchObject(unknownLease)
      await store.revokeLease(987_654)
    })

    test('terms below two seconds are refused', async () => {
      const { store } = await opened(open)
      for (const ttlMs of [1999, 0, -1, Number.NaN]) {
        await expect(store.grantLease(ttlMs)).rejects.toMatchObject({
          code: 'invalid',
          message: expect.stringContaining('ttlMs'),
        })
      }
    })

    test('lapses without renewal, and not with it', async () => {
      const { store } = await opened(open)
      const left = await store.grantLease(2000)
      const kept = await store.grantLease(2000)
      const { revision } = await store.txn({
        then: [
          { put: 'left', value: bytes(''), lease: left.id },
          { put: 'kept', value: bytes(''), lease: kept.id },
        ],
      })
      const { recorder } = watch(store, '', '', revision)
      const renewal = setInterval(() => store.renewLease(kept.id).catch(() => {}), 500)
      try {
        await recorder.until(({ revisions }) => revisions.length > 0)
      } finally {
        clearInterval(renewal)
      }
      expect(recorder.events).toEqual([`${recorder.last} -left`])
      await expect(store.renewLease(left.id)).rejects.toMatchObject(unknownLease)
      await store.renewLease(kept.id)
    })
  })
}
