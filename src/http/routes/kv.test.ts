import { describe, expect, test } from 'vitest'
import { appOverFakeMesh } from '../testing/app-over-fake-mesh.ts'
import { kvRow } from '../testing/fake-mesh.ts'

const http = appOverFakeMesh()
const { call, put, textOf } = http

describe('key and value', () => {
  test('entries: flags of 64 bits, base64, raw', async () => {
    http.mesh.answers.kv = kvRow('<a&b>', 'v', 18446744073709551615n)
    expect((await textOf('/v1/kv/%3Ca%26b%3E'))[1]).toBe(
      '[{"LockIndex":0,"Key":"\\u003ca\\u0026b\\u003e","Flags":18446744073709551615,"Value":"dg==","CreateIndex":5,"ModifyIndex":6}]',
    )
    expect(http.mesh.asked.at(-1)!.question).toEqual({ kind: 'kv', key: '<a&b>' })
    const raw = await call('/v1/kv/x?raw')
    expect(await raw.text()).toBe('v')
    expect([raw.headers.get('content-type'), raw.headers.get('x-content-type-options')]).toEqual([
      'text/plain',
      'nosniff',
    ])
    http.mesh.answers.kv = kvRow('e', '')
    expect(JSON.parse((await textOf('/v1/kv/e'))[1])).toMatchObject([{ Value: null }])
  })

  test.each([
    ['/v1/kv/%C3%BC%20key/%E2%98%83', 'ü key/☃'],
    ['/v1/kv/esc%2Fslash', 'esc/slash'],
    ['/v1/kv/100%25', '100%'],
    ['/v1/kv/a+b', 'a+b'],
    ['/v1/kv/q%3Fx', 'q?x'],
    ['/v1/kv/dir/', 'dir/'],
  ])('the key of %s', async (path, key) => {
    await call(path)
    expect(http.mesh.asked.at(-1)!.question).toEqual({ kind: 'kv', key })
  })

  test('writes', async () => {
    expect(await (await put('/v1/kv/a?flags=42&cas=7&dc=us-1', 'hello')).text()).toBe('true')
    expect(http.mesh.commands.at(-1)).toMatchObject({
      command: { kind: 'kv-put', key: 'a', value: new TextEncoder().encode('hello'), flags: 42n, cas: 7 },
      options: { datacenter: 'us-1' },
    })
    expect(await textOf('/v1/kv/dir/?recurse', { method: 'DELETE' })).toEqual([200, 'true'])
    expect(http.mesh.commands.at(-1)!.command).toEqual({ kind: 'kv-delete', key: 'dir/', recurse: true })
  })

  test.each([
    ['PUT', '/v1/kv/b?flags=abc', 500, 'strconv.ParseUint: parsing "abc": invalid syntax'],
    [
      'PUT',
      '/v1/kv/b?flags=18446744073709551616',
      500,
      'strconv.ParseUint: parsing "18446744073709551616": value out of range',
    ],
    ['PUT', '/v1/kv/c?cas=', 500, 'strconv.ParseUint: parsing "": invalid syntax'],
    ['PUT', '/v1/kv/c?cas=1&acquire=x', 400, 'Conflicting flags: acquire=x&cas=1'],
    ['DELETE', '/v1/kv/c?cas=1&recurse', 400, 'Conflicting flags: cas=1&recurse='],
    ['PUT', '/v1/kv/', 400, 'Missing key name'],
    ['PUT', '/v1/session/create', 400, "Request decode failed: invalid character 'x' looking for beginning of value"],
    ['PUT', '/v1/session/destroy/', 400, 'Missing session'],
  ])('%s %s', async (method, path, status, text) => {
    expect(await textOf(path, { method, body: method === 'PUT' ? 'x' : null })).toEqual([status, text])
    expect(http.mesh.commands).toEqual([])
  })

  test('a value that is too large is a 413, with and without a declared length', async () => {
    const value = new Uint8Array(512 * 1024 + 1)
    const headers = { 'Content-Length': String(value.length) }
    expect((await call('/v1/kv/big', { method: 'PUT', body: value, headers })).status).toBe(413)
    const chunked = await call('/v1/kv/big', {
      method: 'PUT',
      body: new Blob([value]).stream(),
      duplex: 'half',
    } as RequestInit)
    expect([chunked.status, await chunked.text()]).toEqual([
      413,
      expect.stringMatching(/^Request body\(\d+ bytes\) too large/),
    ])
    expect((await put('/v1/kv/big', 'a'.repeat(512 * 1024))).status).toBe(200)
  })
})
