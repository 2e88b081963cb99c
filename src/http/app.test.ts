import { describe, expect, test } from 'vitest'
import { AtollError, type ErrorCode } from '../model/errors.ts'
import { routes } from './app.ts'
import { appOverFakeMesh } from './testing/app-over-fake-mesh.ts'

const http = appOverFakeMesh()
const { call, put, start, textOf } = http

describe('methods and paths', () => {
  test.each([
    ['DELETE', '/v1/catalog/nodes', 405, 'OPTIONS,GET', 'method DELETE not allowed'],
    ['GET', '/v1/agent/service/deregister/web', 405, 'OPTIONS,PUT', 'method GET not allowed'],
    ['POST', '/v1/kv/k', 405, 'OPTIONS,GET,PUT,DELETE', 'method POST not allowed'],
    ['HEAD', '/v1/kv/k', 405, 'OPTIONS,GET,PUT,DELETE', ''],
    ['OPTIONS', '/v1/kv/k', 200, 'OPTIONS,GET,PUT,DELETE', ''],
    ['OPTIONS', '/v1/bogus', 404, null, ''],
    ['HEAD', '/v1/bogus', 404, null, ''],
  ])('%s %s', async (method, path, status, allow, text) => {
    const response = await call(path, { method })
    expect([response.status, response.headers.get('allow'), await response.text()]).toEqual([status, allow, text])
  })

  test.each([
    ['/v1/kv', '/v1/kv/'],
    ['/v1//catalog/nodes?x=1', '/v1/catalog/nodes?x=1'],
    ['/v1/kv/x//y', '/v1/kv/x/y'],
    ['/v1//kv/\u00ff%ff\u{1f4a9}', '/v1/kv/%C3%BF%ff%F0%9F%92%A9'],
  ])('%s moves to %s', async (path, location) => {
    const response = await call(path)
    expect([response.status, response.headers.get('location')]).toEqual([301, location])
    expect(await response.text()).toBe(`<a href="${location}">Moved Permanently</a>.\n\n`)
  })

  test.each(['name', 'id'])("a service's %s may hold what a header does not take", async (by) => {
    const response = await call(`/v1/agent/health/service/${by}/%F0%9F%92%A9%0A%C3%A9`)
    expect(response.status).toBe(404)
    const reason = Buffer.from(response.headers.get('x-consul-reason')!, 'latin1').toString()
    expect(reason).toMatch(/^Service(Id|Name) \u{1f4a9} \u00e9 not found$/iu)
  })

  test.each(['GET', 'HEAD', 'PUT'])('%s / is answered as by a Consul without its UI', async (method) => {
    const [status, body] = await textOf('/?a=b', { method })
    expect([status, /^Consul Agent: UI disabled\. .*\n$/.test(body)]).toEqual([200, method !== 'HEAD'])
  })

  test('every route says what it is for, and takes one parameter only where it names it', () => {
    for (const route of routes) {
      expect(route.summary, route.path).toMatch(/\w/)
      expect(route.path.endsWith('/'), route.path).toBe(route.rest !== undefined)
    }
  })
})

describe('errors', () => {
  const codes: Record<ErrorCode, number> = {
    invalid: 400,
    'not-found': 404,
    conflict: 409,
    'too-large': 413,
    forbidden: 403,
    'no-path': 500,
    unavailable: 503,
    timeout: 504,
    'unknown-outcome': 504,
    overloaded: 429,
    unsupported: 501,
    internal: 500,
  }
  test.each(Object.entries(codes))('%s is %d', async (code, status) => {
    http.mesh.execute = async () => {
      throw new AtollError(code as ErrorCode, 'what to do')
    }
    expect((await put('/v1/kv/a', 'x')).status).toBe(status)
  })

  test('a fault of ours gives nothing away, and is logged', async () => {
    http.mesh.execute = async () => {
      throw new Error('secret')
    }
    expect(await textOf('/v1/kv/a', { method: 'PUT', body: 'x' })).toEqual([
      500,
      'Internal error; see the log of the node',
    ])
    expect(http.errors).toHaveLength(1)
  })

  test('URLs, headers and bodies have bounds', async () => {
    start({ limits: { maxTargetLength: 100, maxHeaders: 10, maxBodyBytes: 100 } })
    expect((await call(`/v1/kv/${'a'.repeat(100)}`)).status).toBe(414)
    const headers = Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`x-${i}`, '1']))
    expect((await call('/v1/kv/a', { headers })).status).toBe(431)
    expect((await put('/v1/catalog/register', { Node: 'a'.repeat(100) })).status).toBe(413)
  })
})

test.each([{}, { 'content-length': '9' }])('a body that is cut off is no fault of the node: %j', async (headers) => {
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array(3)),
    pull: (controller) => controller.error(new Error('aborted')),
  })
  const answer = await call('/v1/kv/a', {
    method: 'PUT',
    headers: headers as never,
    body,
    duplex: 'half',
  } as RequestInit)
  expect(answer.status).toBe(400)
  expect(http.errors).toEqual([])
})
