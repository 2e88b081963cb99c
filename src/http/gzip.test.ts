import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../runtime/clock.ts'
import { silentLogger } from '../runtime/logger.ts'
import { systemRandom } from '../runtime/random.ts'
import { type App, createApp } from './app.ts'
import { acceptsGzip, gzipped } from './gzip.ts'
import { type FakeMesh, fakeMesh, instance } from './testing/fake-mesh.ts'

test.each([
  ['', false],
  ['gzip', true],
  ['gzip, deflate, br', true],
  ['deflate,GZIP;q=0.5', true],
  ['*', true],
  ['br', false],
  ['gzip;q=0', false],
  ['gzip;q=x', false],
  ['not-gzip', false],
])('Accept-Encoding: %s', (header, accepts) => expect(acceptsGzip(header)).toBe(accepts))

test('what is small or very large stays as it is, and bodies are compressed once', () => {
  const encoded = (length: number) => ({ status: 200, bytes: new Uint8Array(length), headers: {} })
  for (const kept of [encoded(1_023), encoded(256 * 1024 + 1), { ...encoded(0), bytes: null }]) {
    expect(gzipped(kept)).toBe(kept)
  }
  const body = encoded(5_000)
  expect(gzipped(body)).toBe(gzipped(body))
  expect(gzipped(body).bytes!.length).toBeLessThan(100)
})

describe('answers', () => {
  let mesh: FakeMesh
  let app: App
  const call = async (path: string, acceptEncoding: string): Promise<Response> =>
    app.fetch(new Request(`http://127.0.0.1${path}`), { remoteAddress: '', acceptEncoding })

  beforeEach(() => {
    mesh = fakeMesh()
    mesh.answers.service = Array.from({ length: 20 }, (_, i) => instance('a', `web-${i}`))
    app = createApp({ mesh, clock: systemClock, random: systemRandom, logger: silentLogger, version: '0.1.0' })
  })
  afterEach(() => app.close())

  test.each(['/v1/health/service/web', '/v1/health/service/web?index=1', '/v1/catalog/service/web?cached'])(
    '%s is compressed for who takes it, first and kept',
    async (path) => {
      const plain = await (await call(path, '')).text()
      for (let i = 0; i < 3; i++) {
        const answer = await call(path, 'gzip')
        expect(answer.headers.get('content-encoding')).toBe('gzip')
        expect(answer.headers.get('x-consul-index')).toBe('7')
        const bytes = new Uint8Array(await answer.arrayBuffer())
        expect(bytes.length).toBeLessThan(plain.length / 4)
        expect(gunzipSync(bytes).toString()).toBe(plain)
      }
      const again = await call(path, 'identity')
      expect([again.headers.get('content-encoding'), await again.text()]).toEqual([null, plain])
    },
  )

  test('a change is a new body', async () => {
    await call('/v1/health/service/web', 'gzip')
    mesh.answers.service = [...mesh.answers.service!, instance('b', 'web-new')]
    const bytes = await (await call('/v1/health/service/web', 'gzip')).arrayBuffer()
    expect(gunzipSync(new Uint8Array(bytes)).toString()).toContain('web-new')
  })
})
