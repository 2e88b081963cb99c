import { describe, expect, test, vi } from 'vitest'
import { appOverFakeMesh } from './testing/app-over-fake-mesh.ts'
import { checkRow, instance, nodeRow } from './testing/fake-mesh.ts'

const http = appOverFakeMesh()
const { call, start, textOf } = http

describe('reads', () => {
  test('an entry of health/service, byte by byte, with every header', async () => {
    http.mesh.answers.service = [instance('a', 'web', { tags: ['<t>'], meta: { z: '1', a: '2' } })]
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
    http.mesh.answers.service = [{ ...instance('a', 'web'), remote }]
    http.mesh.meta = { datacenter: 'us-1', source: 'replica', ageMs: Infinity, consistency: 'stale' }
    const response = await call('/v1/health/service/web?dc=us-1')
    expect(response.headers.get('x-atoll-age-ms')).toBe('unknown')
    expect(response.headers.get('x-consul-lastcontact')).toBe('2147483647')
    expect(await response.json()).toMatchObject([{ Atoll: { Datacenter: 'us-1', AgeMs: null } }])
  })

  test.each(['health/service', 'catalog/service', 'health/checks'])('%s of a peer has nothing', async (path) => {
    http.mesh.answers.service = [instance('a', 'web')]
    http.mesh.answers['service-checks'] = [checkRow('a', 'alive')]
    const answer = await call(`/v1/${path}/web?peer=cluster-02&passing`)
    expect([answer.status, answer.headers.get('x-consul-index'), await answer.text()]).toEqual([200, '7', '[]'])
    if (path === 'health/service') expect(http.mesh.asked.at(-1)!.options.noFailover).toBe(true)
    expect(await textOf(`/v1/${path}/web?peer=`)).not.toEqual([200, '[]'])
  })

  test('a remote instance shows where it is and the address to use from here', async () => {
    const remote = { datacenter: 'us-1', distanceMs: 80.25, ageMs: 12.4, address: '198.18.0.1', port: 81 }
    http.mesh.answers.service = [{ ...instance('a', 'web'), remote }]
    http.mesh.meta = {
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
    http.mesh.answers.service = []
    const asked = async (query: string) => {
      await call(`/v1/health/service/we%20b?${query}`)
      return http.mesh.asked.at(-1)!
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
    http.mesh.answers.service = []
    expect(await textOf(path)).toEqual([status, body])
  })

  test('an unknown datacenter comes with the headers of an answer where Consul has them', async () => {
    const response = await call('/v1/catalog/nodes?dc=dc9')
    expect(response.status).toBe(500)
    expect(response.headers.get('x-consul-knownleader')).toBe('false')
    expect((await call('/v1/health/service/web?dc=dc9')).headers.has('x-consul-index')).toBe(false)
  })

  test('pretty and filter', async () => {
    http.mesh.answers.nodes = [nodeRow('a'), nodeRow('b', { meta: { rack: 'r1' } })]
    expect((await textOf('/v1/catalog/nodes?pretty'))[1]).toMatch(/^\[\n {4}\{\n {8}"ID": "",[\s\S]*\}\n\]\n$/)
    expect(JSON.parse((await textOf('/v1/catalog/nodes?filter=Meta.rack==r1'))[1])).toMatchObject([{ Node: 'b' }])
  })

  test('what is missing: null, [], {} and 404 as Consul has them', async () => {
    http.mesh.answers.services = []
    http.mesh.answers['kv-prefix'] = []
    http.mesh.answers['kv-keys'] = []
    http.mesh.answers.coordinates = []
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
    const refused = await http.put('/v1/coordinate/update', { Node: 'a' })
    expect([refused.status, refused.headers.get('x-atoll-field')]).toEqual([400, 'Coord'])
  })

  test('a node that has no coordinate yet is waited for, as one of the bounded number', async () => {
    start({ limits: { maxBlockingQueries: 1 } })
    http.mesh.answers.coordinates = []
    const waiting = call('/v1/coordinate/node/a?index=7')
    await vi.waitFor(() => expect(http.mesh.waiting.size).toBe(1))
    expect((await call('/v1/coordinate/node/a?index=7')).status).toBe(429)
    const coordinate = { vec: [0], error: 1, adjustment: 0, height: 0 }
    http.mesh.answers.coordinates = [{ node: 'a', segment: '', coordinate }]
    http.mesh.change(8)
    const answer = await waiting
    expect([answer.status, answer.headers.get('x-consul-index')]).toEqual([200, '8'])
    expect(await answer.json()).toMatchObject([{ Node: 'a' }])
  })

  test('states: those that no check can be in are empty', async () => {
    http.mesh.answers.state = [checkRow('a', 'c')]
    expect(JSON.parse((await textOf('/v1/health/state/any'))[1])).toHaveLength(1)
    expect(await textOf('/v1/health/state/bogus')).toEqual([200, '[]'])
  })

  test('cached is a miss, then a hit, and never kept', async () => {
    http.mesh.answers.service = []
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

describe('blocking queries', () => {
  const settled = async (promise: Promise<unknown>): Promise<boolean> =>
    Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))])

  test('wait for an index above, and show it as the streaming backend does', async () => {
    http.mesh.answers.service = []
    const waiting = call('/v1/health/service/web?index=7&wait=10s')
    expect(await settled(waiting)).toBe(false)
    http.mesh.change(8)
    const response = await waiting
    expect(response.headers.get('x-consul-index')).toBe('8')
    expect(response.headers.get('x-consul-query-backend')).toBe('streaming')
  })

  test('are bounded; one that is given up makes room', async () => {
    start({ limits: { maxBlockingQueries: 1 } })
    http.mesh.answers.service = []
    const abort = new AbortController()
    const first = call('/v1/health/service/web?index=7', { signal: abort.signal })
    const refused = await call('/v1/health/service/web?index=7')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
    abort.abort()
    await first
    expect(http.mesh.waiting.size).toBe(0)
    const next = call('/v1/health/service/web?index=7')
    expect(await settled(next)).toBe(false)
    http.close()
    await next
  })

  test('of datacenters and of the leader do not wait', async () => {
    http.mesh.answers.datacenters = ['dc1']
    expect(await textOf('/v1/catalog/datacenters?index=7&wait=10s')).toEqual([200, '["dc1"]'])
    expect(await textOf('/v1/status/leader?index=7&wait=10s')).toEqual([200, '"127.0.0.1:8300"'])
  })
})
