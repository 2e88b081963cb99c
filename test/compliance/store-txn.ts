import { describe, expect, test } from 'vitest'
import { type Compare, MAX_KEY_BYTES, MAX_TXN_OPERATIONS, MAX_VALUE_BYTES, type Txn } from '../../src/store/store.ts'
import type { Opener } from './store.ts'
import { bytes, get, opened, put, remove, shown, text } from './store-support.ts'

export function txnCompliance(open: Opener): void {
  describe('txn', () => {
    test('puts count versions and keep the revision of creation', async () => {
      const { store } = await opened(open)
      const first = await put(store, 'a', '1')
      const second = await put(store, 'a', '2')
      expect(second).toBeGreaterThan(first)
      expect(await get(store, 'a')).toEqual({
        key: 'a',
        value: bytes('2'),
        createRevision: first,
        modRevision: second,
        version: 2,
        lease: 0,
      })
      await remove(store, 'a')
      const third = await put(store, 'a', '3')
      expect(await get(store, 'a')).toMatchObject({ createRevision: third, modRevision: third, version: 1 })
    })

    test('all changes of one transaction have one revision', async () => {
      const { store } = await opened(open)
      await put(store, 'gone', 'x')
      const { succeeded, revision, results } = await store.txn({
        then: [
          { put: 'a', value: bytes('1') },
          { delete: 'gone' },
          { delete: 'never' },
          { put: 'b', value: bytes('2') },
        ],
      })
      expect(succeeded).toBe(true)
      expect(results).toEqual([
        { kind: 'put' },
        { kind: 'delete', deleted: 1 },
        { kind: 'delete', deleted: 0 },
        { kind: 'put' },
      ])
      const { kvs } = await store.range('', '')
      expect(kvs.map(({ key, modRevision }) => [key, modRevision])).toEqual([
        ['a', revision],
        ['b', revision],
      ])
    })

    test('operations see those before them in the list', async () => {
      const { store } = await opened(open)
      await put(store, 'a', '1')
      const { results, revision } = await store.txn({
        then: [
          { range: ['', ''] },
          { put: 'b', value: bytes('2') },
          { delete: 'a' },
          { range: ['', ''] },
          { range: ['', ''], limit: 1 },
        ],
      })
      const ranges = results.flatMap((result) => (result.kind === 'range' ? [result] : []))
      expect(ranges.map(({ kvs, more }) => [shown(kvs), more])).toEqual([
        [['a=1'], false],
        [['b=2'], false],
        [['b=2'], false],
      ])
      expect(ranges[1]!.kvs[0]).toMatchObject({ modRevision: revision, createRevision: revision, version: 1 })
    })

    test('ranges in it say when there is more', async () => {
      const { store } = await opened(open)
      await store.txn({ then: ['a', 'b', 'c'].map((key) => ({ put: key, value: bytes(key) })) })
      const { results } = await store.txn({
        then: [{ range: ['', ''], limit: 2 }, { range: ['b', ''], limit: 2 }, { range: ['a', 'a'] }],
      })
      expect(results.map((result) => result.kind === 'range' && [shown(result.kvs), result.more])).toEqual([
        [['a=a', 'b=b'], true],
        [['b=b', 'c=c'], false],
        [[], false],
      ])
    })

    test('deletes ranges, half open', async () => {
      const { store } = await opened(open)
      await store.txn({ then: ['a', 'b', 'b/1', 'c'].map((key) => ({ put: key, value: bytes(key) })) })
      const { results } = await store.txn({ then: [{ deleteRange: ['b', 'c'] }, { deleteRange: ['x', ''] }] })
      expect(results).toEqual([
        { kind: 'delete', deleted: 2 },
        { kind: 'delete', deleted: 0 },
      ])
      expect(shown((await store.range('', '')).kvs)).toEqual(['a=a', 'c=c'])
    })

    test('compares of every kind', async () => {
      const { store } = await opened(open)
      const create = await put(store, 'a', '1')
      const mod = await put(store, 'a', '2')
      const holds: Compare[] = [
        { key: 'a', target: 'version', op: '=', to: 2 },
        { key: 'a', target: 'version', op: '>', to: 1 },
        { key: 'a', target: 'version', op: '<', to: 3 },
        { key: 'a', target: 'version', op: '!=', to: 1 },
        { key: 'a', target: 'create', op: '=', to: create },
        { key: 'a', target: 'create', op: '<', to: mod },
        { key: 'a', target: 'mod', op: '=', to: mod },
        { key: 'a', target: 'mod', op: '>', to: create },
        { key: 'a', target: 'value', op: '=', to: bytes('2') },
        { key: 'a', target: 'value', op: '!=', to: bytes('22') },
        { key: 'none', target: 'version', op: '=', to: 0 },
        { key: 'none', target: 'create', op: '=', to: 0 },
        { key: 'none', target: 'mod', op: '<', to: 1 },
      ]
      const fails: Compare[] = [
        { key: 'a', target: 'version', op: '!=', to: 2 },
        { key: 'a', target: 'version', op: '<', to: 2 },
        { key: 'a', target: 'mod', op: '>', to: mod },
        { key: 'a', target: 'value', op: '=', to: bytes('1') },
        { key: 'a', target: 'value', op: '!=', to: bytes('2') },
        { key: 'none', target: 'mod', op: '>', to: 0 },
        { key: 'none', target: 'value', op: '=', to: bytes('') },
        { key: 'none', target: 'value', op: '!=', to: bytes('x') },
      ]
      for (const compare of holds)
        expect([compare, (await store.txn({ if: [compare], then: [] })).succeeded]).toEqual([compare, true])
      for (const compare of fails)
        expect([compare, (await store.txn({ if: [compare], then: [] })).succeeded]).toEqual([compare, false])
      expect((await store.txn({ if: holds, then: [] })).succeeded).toBe(true)
      expect((await store.txn({ if: [...holds, fails[0]!], then: [] })).succeeded).toBe(false)
    })

    test('runs `then` or `else`, never both', async () => {
      const { store } = await opened(open)
      const txn: Txn = {
        if: [{ key: 'lock', target: 'create', op: '=', to: 0 }],
        then: [{ put: 'lock', value: bytes('mine') }],
        else: [{ range: ['lock', 'lock\0'] }],
      }
      const won = await store.txn(txn)
      expect(won).toMatchObject({ succeeded: true, results: [{ kind: 'put' }] })
      const lost = await store.txn(txn)
      expect(lost.succeeded).toBe(false)
      expect(lost.results).toMatchObject([{ kind: 'range', kvs: [{ key: 'lock', modRevision: won.revision }] }])
      expect(lost.revision).toBeGreaterThanOrEqual(won.revision)
      expect(await get(store, 'lock')).toMatchObject({ version: 1 })
    })

    test('a failed compare without `else` changes nothing', async () => {
      const { store } = await opened(open)
      const { succeeded, results } = await store.txn({
        if: [{ key: 'a', target: 'version', op: '>', to: 0 }],
        then: [{ put: 'a', value: bytes('1') }],
      })
      expect([succeeded, results]).toEqual([false, []])
      expect(await get(store, 'a')).toBeUndefined()
    })

    test('counters that are raised at the same time lose nothing', async () => {
      const { store } = await opened(open)
      await put(store, 'n', '0')
      const raise = async (): Promise<void> => {
        for (;;) {
          const { value, modRevision } = (await get(store, 'n'))!
          const { succeeded } = await store.txn({
            if: [{ key: 'n', target: 'mod', op: '=', to: modRevision }],
            then: [{ put: 'n', value: bytes(String(Number(text(value)) + 1)) }],
          })
          if (succeeded) return
        }
      }
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          for (let i = 0; i < 5; i++) await raise()
        }),
      )
      expect(text((await get(store, 'n'))!.value)).toBe('40')
    })

    test('a caller may reuse its buffer at once', async () => {
      const { store } = await opened(open)
      const buffer = bytes('before')
      const written = store.txn({ then: [{ put: 'a', value: buffer }] })
      buffer.fill(0)
      await written
      expect(text((await get(store, 'a'))!.value)).toBe('before')
    })

    test('keys and values of every kind come back as they were', async () => {
      const { store } = await opened(open)
      const keys = [
        '\0',
        '\0\0',
        'a\0b',
        '\uFEFFbom',
        'ü',
        '\u{1F600}',
        '\uFFFF',
        '\u{10FFFF}',
        ' ',
        'x'.repeat(MAX_KEY_BYTES),
      ]
      for (const key of keys) await store.txn({ then: [{ put: key, value: new Uint8Array([0, 255, 128]) }] })
      await store.txn({ then: [{ put: 'empty', value: new Uint8Array(0) }] })
      const { kvs } = await store.range('', '')
      const byBytes = (a: string, b: string): number => Buffer.compare(bytes(a), bytes(b))
      expect(kvs.map(({ key }) => key)).toEqual([...keys, 'empty'].sort(byBytes))
      expect((await get(store, 'a\0b'))!.value).toEqual(new Uint8Array([0, 255, 128]))
      expect((await get(store, 'empty'))!.value).toEqual(new Uint8Array(0))
      const compare: Compare = { key: 'empty', target: 'value', op: '=', to: new Uint8Array(0) }
      expect((await store.txn({ if: [compare], then: [] })).succeeded).toBe(true)
    })

    test('takes the largest value and the longest lists', async () => {
      const { store } = await opened(open)
      await store.txn({ then: [{ put: 'large', value: new Uint8Array(MAX_VALUE_BYTES).fill(7) }] })
      expect((await get(store, 'large'))!.value).toHaveLength(MAX_VALUE_BYTES)
      const each = Array.from({ length: MAX_TXN_OPERATIONS }, (_, i) => `k${i}`)
      const { results } = await store.txn({
        if: each.map((key) => ({ key, target: 'version', op: '=', to: 0 })),
        then: each.map((key) => ({ put: key, value: bytes(key) })),
        else: each.map((key) => ({ delete: key })),
      })
      expect(results).toHaveLength(MAX_TXN_OPERATIONS)
    })

    test('refuses what is beyond the limits, and says what', async () => {
      const { store } = await opened(open)
      const value = bytes('x')
      const many = Array.from({ length: MAX_TXN_OPERATIONS + 1 }, (_, i) => `k${i}`)
      const refused: [Txn, string][] = [
        [{ then: [{ put: '', value }] }, 'then.put'],
        [{ then: [{ put: '\uD800', value }] }, 'surrogate'],
        [{ then: [{ delete: 'a\uDC00' }] }, 'surrogate'],
        [{ then: [{ put: 'ü'.repeat(MAX_KEY_BYTES / 2 + 1), value }] }, '4096'],
        [{ then: [{ put: 'a', value: new Uint8Array(MAX_VALUE_BYTES + 1) }] }, 'then.value'],
        [{ then: many.map((put) => ({ put, value })) }, String(MAX_TXN_OPERATIONS)],
        [{ if: many.map((key) => ({ key, target: 'mod', op: '=', to: 0 })), then: [] }, String(MAX_TXN_OPERATIONS)],
        [{ then: [], else: many.map((key) => ({ delete: key })) }, String(MAX_TXN_OPERATIONS)],
        [
          {
            then: [
              { put: 'a', value },
              { put: 'a', value },
            ],
          },
          'twice',
        ],
        [{ then: [{ put: 'a', value }, { delete: 'a' }] }, 'twice'],
        [{ then: [{ deleteRange: ['', 'b'] }, { put: 'a', value }] }, 'twice'],
        [{ if: [{ key: '\uDFFF', target: 'mod', op: '=', to: 0 }], then: [] }, 'if.key'],
        [{ then: [{ range: ['', ''], limit: 0 }] }, 'limit'],
      ]
      for (const [txn, names] of refused) {
        await expect(store.txn(txn)).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining(names) })
      }
      expect((await store.range('', '')).kvs).toEqual([])
    })
  })
}
