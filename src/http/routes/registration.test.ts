import { describe, expect, test } from 'vitest'
import { appOverFakeMesh } from '../testing/app-over-fake-mesh.ts'

const http = appOverFakeMesh()
const { call, put, start, textOf } = http

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
    expect(http.mesh.commands).toMatchObject([
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
        (http.mesh.commands[0]!.command as unknown as { checks: { definition: object }[] }).checks[0]!.definition,
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
    expect(http.mesh.commands).toEqual([])
  })

  test('a wait that is none takes no place of those who wait', async () => {
    start({ limits: { maxBlockingQueries: 1 } })
    await put('/v1/agent/service/register', { Name: 'web' })
    for (let i = 0; i < 2; i++) expect((await call('/v1/agent/service/web?hash=x&wait=soon')).status).toBe(400)
    expect((await call('/v1/agent/service/web?hash=x&wait=1s')).status).toBe(200)
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
    expect(http.mesh.local.services[0]).toMatchObject({
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
