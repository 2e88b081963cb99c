import { describe, expect, test } from 'vitest'
import type { Opener } from './store.ts'
import { bytes, opened, put, remove, shown } from './store-support.ts'

export function rangeCompliance(open: Opener): void {
  describe('range', () => {
    test('is half open, and open where a bound is empty', async () => {
      const { store } = await opened(open)
      for (const key of ['b', 'a', 'c', 'bb']) await put(store, key, key)
      const keysOf = async (from: string, to: string): Promise<string[]> =>
        (await store.range(from, to)).kvs.map(({ key }) => key)
      expect(await keysOf('', '')).toEqual(['a', 'b', 'bb', 'c'])
      expect(await keysOf('b', 'c')).toEqual(['b', 'bb'])
      expect(await keysOf('b', '')).toEqual(['b', 'bb', 'c'])
      expect(await keysOf('', 'b')).toEqual(['a'])
      expect(await keysOf('c', 'b')).toEqual([])
      expect(await keysOf('x', 'x')).toEqual([])
    })

    test('tells its revision, and whether the limit cut it', async () => {
      const { store } = await opened(open)
      await put(store, 'a', '1')
      const revision = await put(store, 'b', '2')
      expect(await store.range('', '', { limit: 1 })).toMatchObject({ revision, more: true, kvs: [{ key: 'a' }] })
      expect(await store.range('', '', { limit: 2 })).toMatchObject({ revision, more: false })
      expect(await store.range('', '', { limit: 3 })).toMatchObject({ revision, more: false })
    })

    test('reads many keys, as of one revision, while others write', async () => {
      const { store } = await opened(open)
      const keys = Array.from({ length: 5000 }, (_, i) => `k${String(i).padStart(5, '0')}`)
      for (let i = 0; i < keys.length; i += 100) {
        await store.txn({ then: keys.slice(i, i + 100).map((key) => ({ put: key, value: bytes('0') })) })
      }
      const ends = [keys[0]!, keys.at(-1)!]
      const writeEnds = (n: number): Promise<unknown> =>
        store.txn({ then: ends.map((key) => ({ put: key, value: bytes(String(n)) })) })
      await writeEnds(1)
      let reading = true
      const writer = (async () => {
        for (let n = 2; reading; n++) await writeEnds(n)
      })()
      const results = []
      for (let i = 0; i < 5; i++) results.push(await store.range('', ''))
      reading = false
      await writer
      for (const { kvs, more } of results) {
        expect([kvs.length, more]).toEqual([keys.length, false])
        expect(kvs[0]!.modRevision).toBe(kvs.at(-1)!.modRevision)
      }
    })

    test('reads the past until it is compacted', async () => {
      const { store } = await opened(open)
      const first = await put(store, 'a', '1')
      const second = await put(store, 'b', '1')
      const third = await put(store, 'a', '2')
      const fourth = await remove(store, 'b')
      const fifth = await put(store, 'b', '3')
      const at = async (revision: number): Promise<string[]> => shown((await store.range('', '', { revision })).kvs)
      const past = async (): Promise<string[][]> => [await at(third), await at(fourth), await at(fifth)]
      expect(await at(first)).toEqual(['a=1'])
      expect(await at(second)).toEqual(['a=1', 'b=1'])
      expect(await past()).toEqual([['a=2', 'b=1'], ['a=2'], ['a=2', 'b=3']])
      const limited = await store.range('', '', { revision: third, limit: 1 })
      expect([shown(limited.kvs), limited.more, limited.revision]).toEqual([['a=2'], true, third])

      await store.compact(third)
      await expect(at(second)).rejects.toMatchObject({ code: 'compacted' })
      expect(await past()).toEqual([['a=2', 'b=1'], ['a=2'], ['a=2', 'b=3']])
      await put(store, 'a', '4')
      expect(await past()).toEqual([['a=2', 'b=1'], ['a=2'], ['a=2', 'b=3']])
    })

    test('refuses a revision that is still to come', async () => {
      const { store } = await opened(open)
      const revision = await put(store, 'a', '1')
      await expect(store.range('', '', { revision: revision + 1000 })).rejects.toMatchObject({ code: 'invalid' })
      await expect(store.range('', '', { limit: -1 })).rejects.toMatchObject({ code: 'invalid' })
      await expect(store.range('\uD800', '')).rejects.toMatchObject({ code: 'invalid' })
    })

    test('compaction keeps what is current', async () => {
      const { store } = await opened(open)
      await put(store, 'a', '1')
      await put(store, 'a', '2')
      await remove(store, 'a')
      await put(store, 'b', '1')
      const last = await put(store, 'c', '1')
      await store.compact(last)
      await store.compact(last)
      expect(shown((await store.range('', '')).kvs)).toEqual(['b=1', 'c=1'])
      expect(shown((await store.range('', '', { revision: last })).kvs)).toEqual(['b=1', 'c=1'])
      expect(store.status().compactedRevision).toBe(last)
      await expect(store.compact(last + 1000)).rejects.toMatchObject({ code: 'invalid' })
    })
  })
}
