import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { closedAddress, type FakeNode, startFakeNode } from '../../test/cli/fake-node.ts'
import { ClientError, createClient } from './client.ts'

let node: FakeNode
beforeEach(async () => {
  node = await startFakeNode()
})
afterEach(() => node.close())

const failure = async (promise: Promise<unknown>): Promise<ClientError> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(ClientError)
  return error as ClientError
}

describe('an answer', () => {
  it('says where it came from', async () => {
    node.on('GET /v1/health/service/web', {
      headers: {
        'X-Consul-Index': '1099511627807',
        'X-Consul-KnownLeader': 'true',
        'X-Consul-LastContact': '7',
        'X-Consul-Effective-Consistency': 'stale',
        'X-Atoll-Datacenter': 'us-1',
        'X-Atoll-Source': 'replica',
        'X-Atoll-Age-Ms': '41',
        'X-Atoll-Failover': 'eu-1 -> us-1',
      },
      body: [],
    })
    const { value, meta } = await createClient({ address: node.address }).health.service('web')
    expect(value).toEqual([])
    expect(meta).toEqual({
      index: 1099511627807,
      datacenter: 'us-1',
      source: 'replica',
      ageMs: 41,
      failover: { from: 'eu-1', to: 'us-1' },
      consistency: 'stale',
      knownLeader: true,
      lastContactMs: 7,
    })
  })

  it('may say that nobody can tell its age', async () => {
    node.on('GET /v1/catalog/datacenters', {
      headers: { 'X-Atoll-Age-Ms': 'unknown', 'X-Consul-LastContact': '2147483647' },
      body: ['dc1'],
    })
    const { meta } = await createClient({ address: node.address }).catalog.datacenters()
    expect(meta).toMatchObject({ ageMs: Number.POSITIVE_INFINITY, lastContactMs: 2_147_483_647 })
  })

  it('may say nothing, as Consul does', async () => {
    node.on('GET /v1/catalog/datacenters', { body: ['dc1'] })
    const { value, meta } = await createClient({ address: node.address }).catalog.datacenters()
    expect(value).toEqual(['dc1'])
    expect(meta).toMatchObject({ index: 0, datacenter: undefined, failover: undefined, ageMs: undefined })
  })
})

describe('a question', () => {
  it('is spelled as the API spells it', async () => {
    node.on('GET /v1/health/service/w%20eb', { body: [] })
    await createClient({ address: node.address, token: 'secret' }).health.service('w eb', {
      dc: '*',
      passing: true,
      tags: ['a b', 'c'],
      near: '_agent',
      sort: 'load',
      nodeMeta: { rack: 'r1', zone: 'z:1' },
      stale: true,
      index: 7,
      waitMs: 50,
    })
    const { query, headers } = node.asked[0]!
    expect([...query]).toEqual([
      ['dc', '*'],
      ['stale', ''],
      ['index', '7'],
      ['wait', '50ms'],
      ['near', '_agent'],
      ['node-meta', 'rack:r1'],
      ['node-meta', 'zone:z:1'],
      ['passing', ''],
      ['tag', 'a b'],
      ['tag', 'c'],
      ['sort', 'load'],
    ])
    expect(headers['x-consul-token']).toBe('secret')
  })

  it('does not wait without an index', async () => {
    node.on('GET /v1/catalog/nodes', { body: [] })
    await createClient({ address: node.address }).catalog.nodes({ index: 0, waitMs: 5000 })
    expect(node.asked[0]!.query.has('wait')).toBe(false)
  })
})

describe('the agent', () => {
  it('registers, deregisters, joins and leaves', async () => {
    const paths = [
      'service/register',
      'service/deregister/web%2F1',
      'join/%2Fip4%2F10.0.0.1%2Ftcp%2F8300',
      'leave',
      'service/maintenance/web-1',
      'maintenance',
      'force-leave/n1',
      'check/update/c1',
      'service/load/web%2F1',
    ]
    for (const path of paths) node.on(`PUT /v1/agent/${path}`, {})
    const { agent } = createClient({ address: node.address })
    await agent.register({ Name: 'web', Port: 80 }, { replaceExistingChecks: true })
    await agent.deregister('web/1')
    await agent.join('/ip4/10.0.0.1/tcp/8300')
    await agent.leave()
    await agent.maintenance({ serviceId: 'web-1', enable: true, reason: 'a disk' })
    await agent.maintenance({ enable: false })
    await agent.forceLeave('n1')
    await agent.updateCheck('c1', 'warning', 'slow', { load: 0.5 })
    await agent.reportLoad('web/1', 0.25)
    expect(node.asked.map(({ path }) => path.replace('/v1/agent/', ''))).toEqual(paths)
    expect(node.asked[0]!.query.get('replace-existing-checks')).toBe('')
    expect(JSON.parse(node.asked[0]!.text)).toEqual({ Name: 'web', Port: 80 })
    expect(JSON.parse(node.asked[7]!.text)).toEqual({ Status: 'warning', Output: 'slow', Load: 0.5 })
    expect([...node.asked[8]!.query]).toEqual([['load', '0.25']])
    expect([...node.asked[4]!.query]).toEqual([
      ['enable', 'true'],
      ['reason', 'a disk'],
    ])
  })
})

describe('a failure', () => {
  it.each([
    [400, 'invalid'],
    [403, 'forbidden'],
    [404, 'not-found'],
    [405, 'unsupported'],
    [409, 'conflict'],
    [413, 'too-large'],
    [418, 'invalid'],
    [500, 'internal'],
    [504, 'unknown-outcome'],
  ])('of status %i is %s', async (status, code) => {
    node.on('PUT /v1/agent/service/register', { status, body: 'Missing service name\n' })
    const error = await failure(createClient({ address: node.address }).agent.register({ Name: '' }))
    expect(error).toMatchObject({ status, code, message: 'Missing service name' })
    expect(node.asked).toHaveLength(1)
  })

  it('has the code and the field that the node gave', async () => {
    node.on('GET /v1/catalog/nodes', {
      status: 500,
      headers: { 'X-Atoll-Error': 'no-path', 'X-Atoll-Field': 'dc' },
      body: 'No path to datacenter',
    })
    const error = await failure(createClient({ address: node.address }).catalog.nodes({ dc: 'nope' }))
    expect(error).toMatchObject({ code: 'no-path', field: 'dc', status: 500 })
  })

  it('is unreachable where nothing listens, also for a write', async () => {
    const client = createClient({ address: await closedAddress(), retries: 0 })
    expect(await failure(client.agent.self())).toMatchObject({ code: 'unreachable', status: 0 })
    expect(await failure(client.kv.put('k', 'v'))).toMatchObject({ code: 'unreachable', status: 0 })
  })

  it('is of unknown outcome when the connection of a write breaks', async () => {
    node.on('PUT /v1/kv/k', (_asked, response) => {
      response.socket?.destroy()
      return 'taken'
    })
    node.on('GET /v1/kv/k', (_asked, response) => {
      response.socket?.destroy()
      return 'taken'
    })
    const client = createClient({ address: node.address, retries: 1 })
    expect(await failure(client.kv.put('k', 'v'))).toMatchObject({ code: 'unknown-outcome' })
    expect(node.asked).toHaveLength(1)
    expect(await failure(client.kv.get('k'))).toMatchObject({ code: 'unreachable' })
    expect(node.asked).toHaveLength(3)
  })

  it('ends a call that gets no answer, or half of one', async () => {
    node.on('GET /v1/agent/self', () => 'taken')
    node.on('GET /v1/mesh', (_asked, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' })
      response.write('{')
      return 'taken'
    })
    const client = createClient({ address: node.address, timeoutMs: 50 })
    expect(await failure(client.agent.self())).toMatchObject({ code: 'timeout' })
    expect(await failure(client.mesh.status())).toMatchObject({ code: 'timeout' })
  })

  it('is told from the caller calling off', async () => {
    const stop = new AbortController()
    node.on('GET /v1/agent/self', () => {
      stop.abort()
      return 'taken'
    })
    const client = createClient({ address: node.address })
    expect(await failure(client.agent.self({ signal: stop.signal }))).toMatchObject({ code: 'aborted' })
    expect(await failure(client.agent.self({ signal: stop.signal }))).toMatchObject({ code: 'aborted' })
  })

  it('is waited out when nothing was changed', async () => {
    let calls = 0
    node.on('GET /v1/agent/self', () =>
      ++calls < 3 ? { status: 503, headers: { 'Retry-After': '0' }, body: 'no leader' } : { body: { Config: {} } },
    )
    const { value } = await createClient({ address: node.address }).agent.self()
    expect(value).toEqual({ Config: {} })
    expect(calls).toBe(3)
  })

  it('names an answer that no node gives', async () => {
    node.on('GET /v1/mesh', { headers: { 'Content-Type': 'text/html' }, body: '<html>' })
    node.on('GET /v1/explain/web', { status: 301, headers: { Location: '/ui/' } })
    node.on('GET /v1/agent/self', { body: 'x'.repeat(2000) })
    const client = createClient({ address: node.address, maxAnswerBytes: 1000 })
    expect(await failure(client.mesh.status())).toMatchObject({ code: 'bad-answer', status: 200 })
    expect(await failure(client.mesh.explain('web'))).toMatchObject({ code: 'invalid', status: 301 })
    expect(await failure(client.agent.self())).toMatchObject({ code: 'too-large' })
    // A key that is not there has an index; a path that is not there has none.
    expect(await failure(client.kv.get('k'))).toMatchObject({ code: 'not-found' })
  })

  it('is the address, when that is none', () => {
    expect(() => createClient({ address: 'unix:///tmp/x' })).toThrow(/127\.0\.0\.1:8500/)
    expect(() => createClient({ address: 'http://' })).toThrow(ClientError)
    expect(createClient({ address: 'localhost:8500' }).address).toBe('http://localhost:8500')
    expect(createClient({ address: ':8510' }).address).toBe('http://127.0.0.1:8510')
    expect(createClient({ address: 'https://host/base/' }).address).toBe('https://host/base')
    expect(createClient().address).toBe('http://127.0.0.1:8500')
  })
})
