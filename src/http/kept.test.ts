import { describe, expect, test } from 'vitest'
import { AtollError } from '../model/errors.ts'
import { appOverFakeMesh } from './testing/app-over-fake-mesh.ts'
import { instance, kvRow } from './testing/fake-mesh.ts'

const http = appOverFakeMesh()
const { call, start, textOf } = http

describe('kept answers', () => {
  test('a second request for the same URL prepares nothing, and follows the value', async () => {
    http.mesh.answers.service = [instance('a', 'web')]
    const first = await textOf('/v1/health/service/web?passing')
    expect(await textOf('/v1/health/service/web?passing')).toEqual(first)
    expect(http.mesh.prepared).toBe(1)
    http.mesh.answers.service = [instance('b', 'web')]
    http.mesh.meta = { index: 9 }
    const response = await call('/v1/health/service/web?passing')
    expect(response.headers.get('x-consul-index')).toBe('9')
    expect(await response.text()).toContain('"Node":"b"')
    expect(http.mesh.prepared).toBe(1)
  })

  test('what has to wait is not kept, and neither is what came with a token', async () => {
    http.mesh.immediate = false
    http.mesh.answers.services = []
    const preparations = async (init?: RequestInit): Promise<number> => {
      const before = http.mesh.prepared
      expect(await textOf('/v1/catalog/services', init)).toEqual([200, '{}'])
      return http.mesh.prepared - before
    }
    expect(await preparations()).toBeGreaterThan(0)
    expect(await preparations()).toBeGreaterThan(0)
    http.mesh.immediate = true
    const headers = { 'X-Consul-Token': 'a' }
    expect(await preparations({ headers })).toBe(1)
    expect(await preparations({ headers })).toBe(1)
    expect(await preparations()).toBe(1)
    expect(await preparations()).toBe(0)
    expect(await preparations({ headers })).toBe(0)
  })

  test('what only waits for a barrier is kept, and answered once behind each', async () => {
    http.mesh.immediate = false
    let pass = (): void => {}
    http.mesh.barrier = () => new Promise((resolve) => (pass = resolve))
    http.mesh.answers.kv = kvRow('k', 'v')
    const first = call('/v1/kv/k')
    pass()
    const body = await (await first).text()
    const { prepared } = http.mesh
    const ready = http.app.ready('/v1/kv/k', '')
    expect(ready).toBeInstanceOf(Promise)
    const second = call('/v1/kv/k')
    http.mesh.answers.kv = kvRow('k', 'changed')
    http.mesh.meta = { index: 8 }
    pass()
    expect(await (await second).text()).not.toBe(body)
    expect(http.mesh.prepared).toBe(prepared)
    http.mesh.barrier = () => Promise.reject(new AtollError('unavailable', 'no majority'))
    expect(await http.app.ready('/v1/kv/k', '')).toMatchObject({ status: 503, body: 'no majority' })
    expect(await textOf('/v1/kv/k')).toEqual([503, 'no majority'])
    http.mesh.barrier = () => Promise.reject(new Error('a fault of ours'))
    expect(await http.app.ready('/v1/kv/k', '')).toMatchObject({ status: 500 })
    expect(http.errors).toHaveLength(1)
    http.mesh.barrier = () => Promise.resolve()
    const { status, headers, body: sent } = (await http.app.ready('/v1/kv/k', ''))!
    expect(status).toBe(200)
    expect(headers[headers.indexOf('X-Consul-Index') + 1]).toBe('8')
    expect(sent).toContain(Buffer.from('changed').toString('base64'))
  })

  test('a failure of what is kept is an answer', async () => {
    http.mesh.answers.services = []
    await call('/v1/catalog/services')
    http.clockMs += 2_000
    http.mesh.prepare = () => {
      throw new AtollError('unavailable', 'the store of dc1 does not answer')
    }
    expect(await textOf('/v1/catalog/services')).toEqual([503, 'the store of dc1 does not answer'])
  })

  test('what is ready is what would be answered: status, headers, bytes', async () => {
    http.mesh.answers.kv = kvRow('käse', 'x')
    http.mesh.answers.service = Array.from({ length: 50 }, (_, i) => instance('a', `wéb-${i}`))
    http.mesh.answers['kv-prefix'] = []
    const paths = ['/v1/kv/k%C3%A4se', '/v1/kv/none?recurse', '/v1/health/service/web', '/v1/health/service/web?pretty']
    for (const path of paths) expect(http.app.ready(path, '')).toBeUndefined()
    for (const path of paths) {
      for (const acceptEncoding of ['', 'gzip']) {
        const url = new Request(`http://127.0.0.1${path}`)
        const answer = await http.app.fetch(url, { remoteAddress: '', acceptEncoding })
        const { status, headers, body } = (await http.app.ready(path, acceptEncoding))!
        const bytes = Buffer.from(body as string, 'latin1')
        const pairs = headers.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), headers[i + 1]!]] : []))
        expect(status).toBe(answer.status)
        expect(Object.fromEntries(pairs)).toEqual({
          ...Object.fromEntries(answer.headers),
          'content-length': String(bytes.length),
        })
        expect(bytes.equals(new Uint8Array(await answer.arrayBuffer()))).toBe(true)
      }
    }
  })

  test('nothing is ready that has to wait, has changed into a failure, or belongs to a closed app', async () => {
    http.mesh.answers.services = []
    await call('/v1/catalog/services')
    expect(http.app.ready('/v1/catalog/services', '')).toMatchObject({ status: 200, body: '{}' })
    http.mesh.immediate = false
    expect(http.app.ready('/v1/catalog/services', '')).toBeUndefined()
    http.mesh.immediate = true
    await call('/v1/catalog/services')
    http.clockMs += 2_000
    const { prepare } = http.mesh
    http.mesh.prepare = () => {
      throw new AtollError('unavailable', 'the store of dc1 does not answer')
    }
    expect(http.app.ready('/v1/catalog/services', '')).toBeUndefined()
    http.mesh.prepare = prepare
    await call('/v1/catalog/services')
    http.close()
    expect(http.app.ready('/v1/catalog/services', '')).toBeUndefined()
  })

  test('bounded in number and in bytes', async () => {
    start({ limits: { maxKeptAnswers: 2 } })
    http.mesh.answers.services = []
    for (const path of ['?a', '?b', '?c', '?a']) await call(`/v1/catalog/services${path}`)
    expect(http.mesh.prepared).toBe(4)
    start({ limits: { maxKeptBytes: 1 } })
    for (const path of ['?a', '?b', '?a']) await call(`/v1/catalog/services${path}`)
    expect(http.mesh.prepared).toBe(7)
    // URLs count too.
    start({ limits: { maxKeptBytes: 10_000 } })
    const long = (name: string) => call(`/v1/catalog/services?${name}${'x'.repeat(6_000)}`)
    for (const name of ['a', 'a', 'b', 'a']) await long(name)
    expect(http.mesh.prepared).toBe(10)
  })
})
