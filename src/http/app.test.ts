import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { AtollError, type ErrorCode } from '../model/errors.ts'
import { systemClock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/ports.ts'
import { systemRandom } from '../runtime/random.ts'
import { type App, createApp, routes } from './app.ts'
import type { HttpLimits } from './limits.ts'
import { checkRow, type FakeMesh, fakeMesh, instance, kvRow, nodeRow } from './testing/fake-mesh.ts'

const logged: unknown[] = []
const logger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error: (fields) => void logged.push(fields),
  child: () => logger,
}

let mesh: FakeMesh
let clockMs = 0
let app: App

const start = (limits: Partial<HttpLimits> = {}): void => {
  app?.close()
  const clock = { ...systemClock, nowMs: () => clockMs }
  app = createApp({ mesh, clock, random: systemRandom, logger, version: '0.1.0', limits })
}

beforeEach(() => {
  mesh = fakeMesh()
  logged.length = 0
  start()
})
afterEach(() => app.close())

const call = async (path: string, init: RequestInit = {}): Promise<Response> =>
  app.fetch(new Request(`http://127.0.0.1${path}`, init), { remoteAddress: '127.0.0.1', acceptEncoding: '' })
const put = (path: string, body: unknown): Promise<Response> =>
  call(path, { method: 'PUT', body: typeof body === 'string' ? body : JSON.stringify(body) })
const textOf = async (path: string, init?: RequestInit): Promise<[number, string]> => {
  const response = await call(path, init)
  return [response.status, await response.text()]
}

describe('reads', () => {
  test('an entry of health/service, byte by byte, with every header', async () => {
    mesh.answers.service = [instance('a', 'web', { tags: ['<t>'], meta: { z: '1', a: '2' } })]
    const response = await call('/v1/health/service/web')
    expect(await response.text()).toBe(
      '[{"Node":{"ID":"","Node":"a","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,"CreateIndex":5,"ModifyIndex":6},' +
        '"Service":{"ID":"web","Service":"web","Tags":["\\u003ct\\u003e"],"Address":"","Meta":{"a":"2","z":"1"},"Port":80,"Weights":{"Passing":1,"Warning":1},' +
        '"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"CreateIndex":5,"ModifyIndex":6},' +
        '"Checks":[{"Node":"a","CheckID":"alive","Name":"alive","Status":"passing","Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],' +
        '"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":5,"ModifyIndex":6}]}]',
    )
    const headers = Object.fromEntries(response.headers)
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      vary: 'Accept-Encoding',
      'x-consul-default-acl-policy': 'allow',
      'x-consul-effective-consistency': 'leader',
      'x-consul-index': '7',
      'x-consul-knownleader': 'true',
      'x-consul-lastcontact': '0',
      'x-consul-query-backend': 'blocking-query',
      'x-atoll-datacenter': 'dc1',
      'x-atoll-source': 'catalog',
      'x-atoll-age-ms': '0',
    })
  })

  test('an age that nobody can tell is said to be so, and a number for the clients of Consul', async () => {
    const remote = { datacenter: 'us-1', distanceMs: 80, ageMs: Infinity, address: '198.18.0.1', port: 81 }
    mesh.answers.service = [{ ...instance('a', 'web'), remote }]
    mesh.meta = { datacenter: 'us-1', source: 'replica', ageMs: Infinity, consistency: 'stale' }
    const response = await call('/v1/health/service/web?dc=us-1')
    expect(response.headers.get('x-atoll-age-ms')).toBe('unknown')
    expect(response.headers.get('x-consul-lastcontact')).toBe('2147483647')
    expect(await response.json()).toMatchObject([{ Atoll: { Datacenter: 'us-1', AgeMs: null } }])
  })

  test('a remote instance shows where it is and the address to use from here', async () => {
    const remote = { datacenter: 'us-1', distanceMs: 80.25, ageMs: 12.4, address: '198.18.0.1', port: 81 }
    mesh.answers.service = [{ ...instance('a', 'web'), remote }]
    mesh.meta = {
      datacenter: 'us-1',
      source: 'replica',
      ageMs: 12.4,
      failover: { from: 'dc1', to: 'us-1' },
      consistency: 'stale',
    }
    const response = await call('/v1/health/service/web?passing')
    const [entry] = (await response.json()) as Record<string, Record<string, unknown>>[]
    expect(entry!.Node!.Datacenter).toBe('us-1')
    expect(entry!.Service).toMatchObject({ Address: '198.18.0.1', Port: 81 })
    expect(entry!.Atoll).toEqual({ Datacenter: 'us-1', DistanceMs: 80.25, AgeMs: 12 })
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-atoll-failover': 'dc1 -> us-1',
      'x-atoll-age-ms': '12',
      'x-consul-lastcontact': '12',
      'x-consul-effective-consistency': 'stale',
    })
    const flat = (await (await call('/v1/catalog/service/web')).json()) as Record<string, unknown>[]
    expect(flat[0]).toMatchObject({ Datacenter: 'us-1', ServiceAddress: '198.18.0.1', ServicePort: 81 })
  })

  test('parameters as Consul reads them', async () => {
    mesh.answers.service = []
    const asked = async (query: string) => {
      await call(`/v1/health/service/we%20b?${query}`)
      return mesh.asked.at(-1)!
    }
    expect((await asked('passing&tag=a&tag=b+c')).question).toMatchObject({
      service: 'we b',
      passing: true,
      tags: ['a', 'b c'],
    })
    expect((await asked('passing=false')).question).toMatchObject({ passing: false })
    expect((await asked('passing=1&near=_agent')).question).toMatchObject({ passing: true, near: '_agent' })
    expect((await asked('sort=load')).question).toMatchObject({ sort: 'load' })
    expect((await asked('sort=name')).question).not.toHaveProperty('sort')
    const meta = await asked('node-meta=a:b:c&node-meta=d')
    expect({ ...(meta.question as { nodeMeta: object }).nodeMeta }).toEqual({ a: 'b:c', d: '' })
    expect(meta.options.noFailover).toBe(true)
    expect((await asked('stale=')).options.consistency).toBe('stale')
    expect((await asked('consistent=false&dc=us-1')).options).toMatchObject({
      consistency: 'consistent',
      datacenter: 'us-1',
    })
    expect((await asked('dc=')).options.datacenter).toBeUndefined()
    expect((await asked('token=secret')).options.principal).toEqual({ token: 'secret' })
  })

  test.each([
    ['/v1/health/service/web?stale&consistent', 400, 'Cannot specify ?stale with ?consistent, conflicting semantics.'],
    ['/v1/health/service/web?passing=abc', 400, 'Invalid value for ?passing'],
    ['/v1/health/service/web?index=-1', 400, 'Invalid index'],
    ['/v1/health/service/web?wait=10', 400, 'Invalid wait time'],
    ['/v1/health/service/web?max_stale=abc', 400, 'Invalid max_stale value "abc"'],
    ['/v1/health/service/web?dc=dc9', 500, 'No path to datacenter'],
    ['/v1/health/service/', 400, 'Missing service name'],
    ['/v1/catalog/service/', 400, 'Missing service name'],
    ['/v1/health/state/', 400, 'Missing check state'],
    ['/v1/kv/', 400, 'Missing key name'],
    ['/v1/kv/k?raw;x=1', 500, ''],
    ['/v1/kv/k?raw=%zz', 500, ''],
    ['/v1/kv/100%zz', 400, '400 Bad Request'],
    [
      '/v1/kv/k?ns=team',
      400,
      'Bad request: Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature',
    ],
    ['/v1/agent/service/nope', 404, 'unknown service ID: nope'],
    ['/v1/bogus', 404, ''],
    ['/v1/catalog/nodes/', 404, ''],
    ['/V1/kv/k', 404, ''],
  ])('%s', async (path, status, body) => {
    mesh.answers.service = []
    expect(await textOf(path)).toEqual([status, body])
  })

  test('an unknown datacenter comes with the headers of an answer where Consul has them', async () => {
    const response = await call('/v1/catalog/nodes?dc=dc9')
    expect(response.status).toBe(500)
    expect(response.headers.get('x-consul-knownleader')).toBe('false')
    expect((await call('/v1/health/service/web?dc=dc9')).headers.has('x-consul-index')).toBe(false)
  })

  test('pretty and filter', async () => {
    mesh.answers.nodes = [nodeRow('a'), nodeRow('b', { meta: { rack: 'r1' } })]
    expect((await textOf('/v1/catalog/nodes?pretty'))[1]).toMatch(/^\[\n {4}\{\n {8}"ID": "",[\s\S]*\}\n\]\n$/)
    expect(JSON.parse((await textOf('/v1/catalog/nodes?filter=Meta.rack==r1'))[1])).toMatchObject([{ Node: 'b' }])
  })

  test('what is missing: null, [], {} and 404 as Consul has them', async () => {
    mesh.answers.services = []
    mesh.answers['kv-prefix'] = []
    mesh.answers['kv-keys'] = []
    mesh.answers.coordinates = []
    expect(await textOf('/v1/catalog/node/nope')).toEqual([200, 'null'])
    expect(await textOf('/v1/catalog/node-services/nope')).toEqual([200, '{"Node":null,"Services":null}'])
    expect(await textOf('/v1/catalog/services')).toEqual([200, '{}'])
    expect(await textOf('/v1/kv/nope')).toEqual([404, ''])
    expect((await call('/v1/kv/nope')).headers.get('x-consul-index')).toBe('7')
    expect((await call('/v1/kv/nope')).headers.has('content-type')).toBe(false)
    expect(await textOf('/v1/kv/nope/?recurse')).toEqual([404, ''])
    expect(await textOf('/v1/kv/?keys')).toEqual([200, '[]'])
    expect(await textOf('/v1/kv/nope?keys')).toEqual([404, ''])
    expect(await textOf('/v1/coordinate/node/nope')).toEqual([404, ''])
    expect(await textOf('/v1/coordinate/nodes')).toEqual([200, '[]'])
  })

  test('states: those that no check can be in are empty', async () => {
    mesh.answers.state = [checkRow('a', 'c')]
    expect(JSON.parse((await textOf('/v1/health/state/any'))[1])).toHaveLength(1)
    expect(await textOf('/v1/health/state/bogus')).toEqual([200, '[]'])
  })

  test('cached is a miss, then a hit, and never kept', async () => {
    mesh.answers.service = []
    const cache = async () => (await call('/v1/health/service/web?cached&passing')).headers
    expect((await cache()).get('x-cache')).toBe('MISS')
    const hit = await cache()
    expect([hit.get('x-cache'), hit.get('age'), hit.get('x-consul-query-backend')]).toEqual(['HIT', '0', 'streaming'])
    expect(await textOf('/v1/health/service/web?cached', { headers: { 'Cache-Control': 'max-age=abc' } })).toEqual([
      400,
      'Invalid Cache-Control header.',
    ])
  })
})

describe('kept answers', () => {
  test('a second request for the same URL prepares nothing, and follows the value', async () => {
    mesh.answers.service = [instance('a', 'web')]
    const first = await textOf('/v1/health/service/web?passing')
    expect(await textOf('/v1/health/service/web?passing')).toEqual(first)
    expect(mesh.prepared).toBe(1)
    mesh.answers.service = [instance('b', 'web')]
    mesh.meta = { index: 9 }
    const response = await call('/v1/health/service/web?passing')
    expect(response.headers.get('x-consul-index')).toBe('9')
    expect(await response.text()).toContain('"Node":"b"')
    expect(mesh.prepared).toBe(1)
  })

  test('what has to wait is not kept, and neither is what came with a token', async () => {
    mesh.immediate = false
    mesh.answers.services = []
    const preparations = async (init?: RequestInit): Promise<number> => {
      const before = mesh.prepared
      expect(await textOf('/v1/catalog/services', init)).toEqual([200, '{}'])
      return mesh.prepared - before
    }
    expect(await preparations()).toBeGreaterThan(0)
    expect(await preparations()).toBeGreaterThan(0)
    mesh.immediate = true
    const headers = { 'X-Consul-Token': 'a' }
    expect(await preparations({ headers })).toBe(1)
    expect(await preparations({ headers })).toBe(1)
    expect(await preparations()).toBe(1)
    expect(await preparations()).toBe(0)
    expect(await preparations({ headers })).toBe(0)
  })

  test('what only waits for a barrier is kept, and answered once behind each', async () => {
    mesh.immediate = false
    let pass = (): void => {}
    mesh.barrier = () => new Promise((resolve) => (pass = resolve))
    mesh.answers.kv = kvRow('k', 'v')
    const first = call('/v1/kv/k')
    pass()
    const body = await (await first).text()
    const { prepared } = mesh
    const ready = app.ready('/v1/kv/k', '')
    expect(ready).toBeInstanceOf(Promise)
    const second = call('/v1/kv/k')
    mesh.answers.kv = kvRow('k', 'changed')
    mesh.meta = { index: 8 }
    pass()
    expect(await (await second).text()).not.toBe(body)
    expect(mesh.prepared).toBe(prepared)
    mesh.barrier = () => Promise.reject(new AtollError('unavailable', 'no majority'))
    expect(await app.ready('/v1/kv/k', '')).toMatchObject({ status: 503, body: 'no majority' })
    expect(await textOf('/v1/kv/k')).toEqual([503, 'no majority'])
    mesh.barrier = () => Promise.reject(new Error('a fault of ours'))
    expect(await app.ready('/v1/kv/k', '')).toMatchObject({ status: 500 })
    expect(logged).toHaveLength(1)
    mesh.barrier = () => Promise.resolve()
    const { status, headers, body: sent } = (await app.ready('/v1/kv/k', ''))!
    expect(status).toBe(200)
    expect(headers[headers.indexOf('X-Consul-Index') + 1]).toBe('8')
    expect(sent).toContain(Buffer.from('changed').toString('base64'))
  })

  test('a failure of what is kept is an answer', async () => {
    mesh.answers.services = []
    await call('/v1/catalog/services')
    clockMs += 2_000
    mesh.prepare = () => {
      throw new AtollError('unavailable', 'the store of dc1 does not answer')
    }
    expect(await textOf('/v1/catalog/services')).toEqual([503, 'the store of dc1 does not answer'])
  })

  test('what is ready is what would be answered: status, headers, bytes', async () => {
    mesh.answers.kv = kvRow('käse', 'x')
    mesh.answers.service = Array.from({ length: 50 }, (_, i) => instance('a', `wéb-${i}`))
    mesh.answers['kv-prefix'] = []
    const paths = ['/v1/kv/k%C3%A4se', '/v1/kv/none?recurse', '/v1/health/service/web', '/v1/health/service/web?pretty']
    for (const path of paths) expect(app.ready(path, '')).toBeUndefined()
    for (const path of paths) {
      for (const acceptEncoding of ['', 'gzip']) {
        const url = new Request(`http://127.0.0.1${path}`)
        const answer = await app.fetch(url, { remoteAddress: '', acceptEncoding })
        const { status, headers, body } = (await app.ready(path, acceptEncoding))!
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
    mesh.answers.services = []
    await call('/v1/catalog/services')
    expect(app.ready('/v1/catalog/services', '')).toMatchObject({ status: 200, body: '{}' })
    mesh.immediate = false
    expect(app.ready('/v1/catalog/services', '')).toBeUndefined()
    mesh.immediate = true
    await call('/v1/catalog/services')
    clockMs += 2_000
    const { prepare } = mesh
    mesh.prepare = () => {
      throw new AtollError('unavailable', 'the store of dc1 does not answer')
    }
    expect(app.ready('/v1/catalog/services', '')).toBeUndefined()
    mesh.prepare = prepare
    await call('/v1/catalog/services')
    app.close()
    expect(app.ready('/v1/catalog/services', '')).toBeUndefined()
  })

  test('bounded in number and in bytes', async () => {
    start({ maxKeptAnswers: 2 })
    mesh.answers.services = []
    for (const path of ['?a', '?b', '?c', '?a']) await call(`/v1/catalog/services${path}`)
    expect(mesh.prepared).toBe(4)
    start({ maxKeptBytes: 1 })
    for (const path of ['?a', '?b', '?a']) await call(`/v1/catalog/services${path}`)
    expect(mesh.prepared).toBe(7)
  })
})

describe('blocking queries', () => {
  const settled = async (promise: Promise<unknown>): Promise<boolean> =>
    Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))])

  test('wait for an index above, and show it as the streaming backend does', async () => {
    mesh.answers.service = []
    const waiting = call('/v1/health/service/web?index=7&wait=10s')
    expect(await settled(waiting)).toBe(false)
    mesh.change(8)
    const response = await waiting
    expect(response.headers.get('x-consul-index')).toBe('8')
    expect(response.headers.get('x-consul-query-backend')).toBe('streaming')
  })

  test('are bounded; one that is given up makes room', async () => {
    start({ maxBlockingQueries: 1 })
    mesh.answers.service = []
    const abort = new AbortController()
    const first = call('/v1/health/service/web?index=7', { signal: abort.signal })
    const refused = await call('/v1/health/service/web?index=7')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
    abort.abort()
    await first
    expect(mesh.waiting.size).toBe(0)
    const next = call('/v1/health/service/web?index=7')
    expect(await settled(next)).toBe(false)
    app.close()
    await next
  })

  test('of datacenters and of the leader do not wait', async () => {
    mesh.answers.datacenters = ['dc1']
    expect(await textOf('/v1/catalog/datacenters?index=7&wait=10s')).toEqual([200, '["dc1"]'])
    expect(await textOf('/v1/status/leader?index=7&wait=10s')).toEqual([200, '"127.0.0.1:8300"'])
  })
})

describe('key and value', () => {
  test('entries: flags of 64 bits, base64, raw', async () => {
    mesh.answers.kv = kvRow('<a&b>', 'v', 18446744073709551615n)
    expect((await textOf('/v1/kv/%3Ca%26b%3E'))[1]).toBe(
      '[{"LockIndex":0,"Key":"\\u003ca\\u0026b\\u003e","Flags":18446744073709551615,"Value":"dg==","CreateIndex":5,"ModifyIndex":6}]',
    )
    expect(mesh.asked.at(-1)!.question).toEqual({ kind: 'kv', key: '<a&b>' })
    const raw = await call('/v1/kv/x?raw')
    expect(await raw.text()).toBe('v')
    expect([raw.headers.get('content-type'), raw.headers.get('x-content-type-options')]).toEqual([
      'text/plain',
      'nosniff',
    ])
    mesh.answers.kv = kvRow('e', '')
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
    expect(mesh.asked.at(-1)!.question).toEqual({ kind: 'kv', key })
  })

  test('writes', async () => {
    expect(await (await put('/v1/kv/a?flags=42&cas=7&dc=us-1', 'hello')).text()).toBe('true')
    expect(mesh.commands.at(-1)).toMatchObject({
      command: { kind: 'kv-put', key: 'a', value: new TextEncoder().encode('hello'), flags: 42n, cas: 7 },
      options: { datacenter: 'us-1' },
    })
    expect(await textOf('/v1/kv/dir/?recurse', { method: 'DELETE' })).toEqual([200, 'true'])
    expect(mesh.commands.at(-1)!.command).toEqual({ kind: 'kv-delete', key: 'dir/', recurse: true })
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
    expect(mesh.commands).toEqual([])
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

describe('registrations', () => {
  test('with the catalog: one command', async () => {
    const response = await put('/v1/catalog/register', {
      node: 'node-b',
      Address: '10.1.0.2',
      Datacenter: 'us-1',
      Service: { Service: 'web', Port: 8080, Tags: ['v2'], Weights: { Passing: 5, Warning: 2 } },
      Check: {
        Name: 'web alive',
        ServiceID: 'web',
        Definition: { TCP: '10.1.0.22:8080', Interval: '5s', Timeout: 1e9 },
      },
    })
    expect([response.status, await response.text()]).toEqual([200, 'true'])
    expect(mesh.commands).toMatchObject([
      {
        options: { datacenter: 'us-1' },
        command: {
          kind: 'register',
          keepNode: false,
          node: { id: '', node: 'node-b', address: '10.1.0.2', meta: null, owner: 'catalog' },
          services: [{ id: 'web', service: 'web', port: 8080, weights: { passing: 5, warning: 2 }, meta: null }],
          checks: [
            {
              checkId: 'web alive',
              status: 'critical',
              type: 'tcp',
              definition: { Interval: '5s', Timeout: '1s', TCP: '10.1.0.22:8080' },
            },
          ],
        },
      },
    ])
    expect(
      Object.keys(
        (mesh.commands[0]!.command as unknown as { checks: { definition: object }[] }).checks[0]!.definition,
      )[0],
    ).toBe('Interval')
  })

  test.each([
    [{ Address: '1.2.3.4' }, 500, 'Must provide node'],
    [{ Node: 'x' }, 500, 'Must provide address if SkipNodeUpdate is not set'],
    [{ ID: 'not-a-uuid', Node: 'x', Address: '1' }, 500, 'Bad node ID: uuid string is wrong length'],
    [{ Node: 'a', Address: '1', Service: { ID: 'only' } }, 500, 'Must provide service name with ID'],
    [{ Node: 'a', Address: '1', Check: { Node: 'z', Name: 'c' } }, 500, 'check node "z" does not match node "a"'],
    [{ Node: 'a', Bogus: 1 }, 400, 'Request decode failed: json: unknown field "Bogus"'],
    ['', 400, 'Request decode failed: EOF'],
  ])('refused by the catalog: %j', async (body, status, text) => {
    const response = await put('/v1/catalog/register', body)
    expect([response.status, await response.text()]).toEqual([status, text])
    expect(mesh.commands).toEqual([])
  })

  test('with the agent, and what it shows then', async () => {
    const response = await put('/v1/agent/service/register', {
      ID: 'web-1',
      Name: 'web',
      Tags: ['v1'],
      Port: 8080,
      Weights: { Passing: 5 },
      Check: { HTTP: 'http://127.0.0.1/', Interval: '1m', Header: { 'X-A': ['b'] } },
      Checks: [{ CheckID: 'b', TTL: '30s', Status: 'warning', DeregisterCriticalServiceAfter: '90m' }],
    })
    expect([response.status, await response.text()]).toEqual([200, ''])
    expect(mesh.local.services[0]).toMatchObject({
      id: 'web-1',
      service: 'web',
      weights: { passing: 5, warning: 0 },
      checks: [
        {
          checkId: '',
          type: 'http',
          interval: '',
          intervalMs: 60_000,
          http: { method: 'GET', headers: { 'X-A': ['b'] } },
        },
        { checkId: 'b', type: 'ttl', ttlMs: 30_000, status: 'warning', deregisterCriticalServiceAfterMs: 5_400_000 },
      ],
    })
    const shown = await call('/v1/agent/service/web-1')
    const body = (await shown.json()) as { ContentHash: string }
    expect(body).toMatchObject({ ID: 'web-1', Meta: {}, Weights: { Passing: 5, Warning: 0 }, Datacenter: 'dc1' })
    expect(body.ContentHash).toMatch(/^[0-9a-f]{16}$/)
    expect(shown.headers.get('x-consul-contenthash')).toBe(body.ContentHash)
    const waiting = call(`/v1/agent/service/web-1?hash=${body.ContentHash}&wait=10s`)
    await put('/v1/agent/service/register', { ID: 'web-1', Name: 'web', Port: 2 })
    expect(await (await waiting).json()).toMatchObject({ Port: 2 })
    expect(await textOf('/v1/agent/service/deregister/nope', { method: 'PUT' })).toEqual([200, ''])
  })

  test.each([
    [{ ID: 'x' }, 'Missing service name'],
    [{ Name: 'a', Address: '0.0.0.0' }, 'Invalid service address'],
    [
      { Name: 'a', Weights: { Passing: 70_000, Warning: 1 } },
      'Invalid Weights: DNS Weight must be between 0 and 65535',
    ],
    [
      { Name: 'a', Meta: { 'bad key!': 'x' } },
      "Invalid Service Meta: Couldn't load metadata pair ('bad key!', 'x'): Key contains invalid characters",
    ],
    [{ Name: 'a', Check: { Name: 'x' } }, 'Invalid check: TTL must be > 0 for TTL checks'],
    [{ Name: 'a', Check: { TTL: '10s', Status: 'bogus' } }, "Status for checks must 'passing', 'warning', 'critical'"],
    [{ Name: 'a', Check: { GRPC: 'nowhere', Interval: '1s' } }, 'Invalid check: GRPC: "nowhere" is no host:port'],
    [
      { Name: 'a', Check: { Script: 'true', Interval: '1s' } },
      'Invalid check: Script: give the program and its arguments as a list in Args',
    ],
    [{ Name: 'a', Check: { TCP: 'nowhere', Interval: '1s' } }, 'Invalid check: TCP: "nowhere" is no host:port'],
  ])('refused by the agent: %j', async (body, text) => {
    const response = await put('/v1/agent/service/register', body)
    expect([response.status, await response.text()]).toEqual([400, text])
  })
})

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
    ['/', '/ui/'],
  ])('%s moves to %s', async (path, location) => {
    const response = await call(path)
    expect([response.status, response.headers.get('location')]).toEqual([301, location])
    expect(await response.text()).toBe(`<a href="${location}">Moved Permanently</a>.\n\n`)
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
    mesh.execute = async () => {
      throw new AtollError(code as ErrorCode, 'what to do')
    }
    expect((await put('/v1/kv/a', 'x')).status).toBe(status)
  })

  test('a fault of ours gives nothing away, and is logged', async () => {
    mesh.execute = async () => {
      throw new Error('secret')
    }
    expect(await textOf('/v1/kv/a', { method: 'PUT', body: 'x' })).toEqual([
      500,
      'Internal error; see the log of the node',
    ])
    expect(logged).toHaveLength(1)
  })

  test('URLs, headers and bodies have bounds', async () => {
    start({ maxTargetLength: 100, maxHeaders: 10, maxBodyBytes: 100 })
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
  expect(logged).toEqual([])
})

describe('event streams', () => {
  const decoder = new TextDecoder()
  const reading = (response: Response) => {
    const reader = response.body!.getReader()
    return { next: async () => decoder.decode((await reader.read()).value), cancel: () => reader.cancel() }
  }

  test('an event for each change, with the index as its id, and room again when the client goes', async () => {
    start({ maxWatchers: 1 })
    mesh.answers.services = [{ service: 'web', tags: [] }]
    const response = await call('/v1/watch/catalog/services')
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events = reading(response)
    expect(await events.next()).toBe('retry: 1000\n\n')
    expect(await events.next()).toBe('id: 7\nevent: change\ndata: {"web":[]}\n\n')
    mesh.answers.services = [{ service: 'web', tags: ['a'] }]
    const next = events.next()
    mesh.change(8)
    expect(await next).toBe('id: 8\nevent: change\ndata: {"web":["a"]}\n\n')
    expect((await call('/v1/watch/catalog/services')).status).toBe(429)
    await events.cancel()
    const again = reading(await call('/v1/watch/catalog/services'))
    expect(await again.next()).toContain('retry')
    await again.cancel()
  })

  test('go on after Last-Event-ID', async () => {
    mesh.answers.services = []
    const response = await call('/v1/watch/catalog/services', { headers: { 'Last-Event-ID': '7' } })
    const events = reading(response)
    expect(await events.next()).toBe('retry: 1000\n\n')
    const next = events.next()
    mesh.change(9)
    expect(await next).toMatch(/^id: 9\n/)
    await events.cancel()
  })

  test('a client that takes nothing is given up', async () => {
    start({ maxWatchers: 1, stalledWatcherMs: 20 })
    mesh.answers.services = []
    const stalled = await call('/v1/watch/catalog/services')
    const next = await vi.waitFor(async () => {
      const answer = await call('/v1/watch/catalog/services')
      expect(answer.status).toBe(200)
      return answer
    })
    await next.body!.cancel()
    await stalled.body!.cancel()
  })

  test('end when the app closes, and a bad question is a status', async () => {
    mesh.answers['kv-prefix'] = []
    const events = reading(await call('/v1/watch/kv/a/'))
    await events.next()
    expect(await events.next()).toBe('id: 7\nevent: change\ndata: []\n\n')
    app.close()
    expect(await events.next()).toBe('')
    expect((await call('/v1/watch/health/service/web?dc=dc9')).status).toBe(500)
  })
})
