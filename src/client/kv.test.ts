import { afterEach, beforeEach, expect, it } from 'vitest'
import { type FakeNode, startFakeNode } from '../../test/cli/fake-node.ts'
import { createClient, type KvClient } from './client.ts'

let node: FakeNode
let kv: KvClient
beforeEach(async () => {
  node = await startFakeNode()
  kv = createClient({ address: node.address }).kv
})
afterEach(() => node.close())

const row = (key: string, value: string | null, flags = '0') =>
  `{"LockIndex":0,"Key":${JSON.stringify(key)},"Flags":${flags},"Value":${JSON.stringify(value)},"CreateIndex":16,"ModifyIndex":18}`

it('gets bytes, and flags of 64 bits', async () => {
  node.on('GET /v1/kv/b', {
    headers: { 'X-Consul-Index': '18' },
    body: `[${row('b', 'AP+A', '18446744073709551615')}]`,
  })
  const { value, meta } = await kv.get('b')
  expect(meta.index).toBe(18)
  expect(value).toEqual({
    key: 'b',
    value: new Uint8Array([0, 255, 128]),
    flags: 18446744073709551615n,
    createIndex: 16,
    modifyIndex: 18,
    lockIndex: 0,
    session: '',
  })
})

it('gives undefined or nothing with an index for what is not there', async () => {
  const missing = { status: 404, headers: { 'X-Consul-Index': '24' }, body: '' }
  for (const path of ['b', 'dir/']) node.on(`GET /v1/kv/${path}`, missing)
  expect(await kv.get('b')).toMatchObject({ value: undefined, meta: { index: 24 } })
  expect(await kv.getRaw('b')).toMatchObject({ value: undefined, meta: { index: 24 } })
  expect(await kv.list('dir/')).toMatchObject({ value: [], meta: { index: 24 } })
  expect(await kv.keys('dir/', { separator: '/' })).toMatchObject({ value: [], meta: { index: 24 } })
  expect([...node.asked[3]!.query]).toEqual([
    ['keys', ''],
    ['separator', '/'],
  ])
})

it('lists in order, empty values too', async () => {
  node.on('GET /v1/kv/', { body: `[${row('a', null)},${row('b', 'eA==', '42')}]` })
  const { value } = await kv.list('')
  expect(value.map((pair) => [pair.key, pair.value.length, pair.flags])).toEqual([
    ['a', 0, 0n],
    ['b', 1, 42n],
  ])
})

it('writes with cas and flags, and tells when cas did not match', async () => {
  node.on('PUT /v1/kv/a', ({ query }) => ({ body: query.get('cas') === '3' ? 'false' : 'true' }))
  node.on('DELETE /v1/kv/a', { body: 'true' })
  expect(await kv.put('a', new Uint8Array([0, 255]), { cas: 0, flags: 18446744073709551615n, dc: 'eu-1' })).toBe(true)
  expect(await kv.put('a', 'text', { cas: 3 })).toBe(false)
  expect(await kv.delete('a', { cas: 18 })).toBe(true)
  expect(await kv.deleteTree('a')).toBe(true)
  expect(node.asked.map(({ query }) => query.toString())).toEqual([
    'dc=eu-1&cas=0&flags=18446744073709551615',
    'cas=3',
    'cas=18',
    'recurse=',
  ])
  expect([...node.asked[0]!.body]).toEqual([0, 255])
  expect(node.asked[1]!.text).toBe('text')
})

it('keeps every key, whatever a URL would make of it', async () => {
  const keys = ['a/b', 'ü key/☃', '100%', 'q?x', 'h#x', 'a+b', '/lead', 'x//y', 'x/../y', './z', 'dir/', 'x/..']
  const missing = { status: 404, headers: { 'X-Consul-Index': '1' } }
  node.fallback = () => missing
  for (const key of keys) await kv.getRaw(key)
  expect(node.asked.map(({ path }) => decodeURIComponent(path.slice('/v1/kv/'.length)))).toEqual(keys)
  expect(node.asked[0]!.path).toBe('/v1/kv/a/b')
  await expect(kv.put('..', 'x')).rejects.toMatchObject({ code: 'invalid', field: 'key' })
  await expect(kv.list('.')).rejects.toMatchObject({ code: 'invalid', field: 'key' })
})
