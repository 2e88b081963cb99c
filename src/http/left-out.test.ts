import { beforeEach, describe, expect, test } from 'vitest'
import type { Member } from '../model/member.ts'
import { LogTap } from '../runtime/log-tap.ts'
import { pinoLogger } from '../runtime/logger.ts'
import type { Machine } from './route.ts'
import { appOverFakeMesh } from './testing/app-over-fake-mesh.ts'
import { checkRow, instance, nodeRow, serviceRow } from './testing/fake-mesh.ts'

const http = appOverFakeMesh()
let members: Member[]

const member = (name: string, more: Partial<Member> = {}): Member => ({
  name,
  address: '127.0.0.1',
  port: 8300,
  datacenter: 'dc1',
  role: 'server',
  status: 'alive',
  id: `id-${name}`,
  peerId: 'p',
  runtime: 'node',
  version: '0.1.0',
  ...more,
})

const tap = new LogTap('warn')
const machine: Machine = {
  report: async () => ({
    memory: { total: 8 },
    cpus: [{ modelName: 'm', mhz: 1 }],
    host: { hostname: 'h', uptimeS: 5, os: 'linux', platformVersion: '', kernelVersion: '', kernelArch: '' },
    disk: { path: '/', totalBytes: 10, freeBytes: 4, files: 2, freeFiles: 1 },
  }),
  memory: () => ({ residentBytes: 4, heapUsedBytes: 1, heapTotalBytes: 2, externalBytes: 3 }),
  metricsHost: 'h',
  log: tap,
}

beforeEach(() => {
  members = [member('n1')]
  Object.assign(http.mesh.agent, { members: async () => members })
  Object.assign(http.mesh.answers, {
    nodes: [],
    services: [],
    sessions: [],
    state: [],
    coordinates: [],
    datacenters: ['dc1'],
  })
  http.start({ machine })
})
const call = (path: string, method = 'GET', body?: unknown): Promise<Response> => http.send(method, path, body)
const answerOf = async (...args: Parameters<typeof call>): Promise<[number, string]> => {
  const answer = await call(...args)
  return [answer.status, await answer.text()]
}
const jsonOf = async (path: string): Promise<unknown> => (await call(path)).json()

describe('what is left out', () => {
  const CONNECT_OFF = 'Connect must be enabled in order to use this endpoint'

  test.each([
    ['GET', '/v1/connect/ca/roots'],
    ['GET', '/v1/agent/connect/ca/roots'],
    ['GET', '/v1/agent/connect/ca/leaf/web'],
    ['POST', '/v1/agent/connect/authorize'],
    ['POST', '/v1/connect/intentions'],
    ['DELETE', '/v1/connect/intentions/exact?source=a&destination=b'],
    ['GET', '/v1/discovery-chain/web'],
  ])('%s %s answers as a Consul without Connect', async (method, path) => {
    expect(await answerOf(path, method)).toEqual([500, CONNECT_OFF])
  })

  test('configuration entries are none, and cannot be written', async () => {
    expect(await answerOf('/v1/config/service-defaults')).toEqual([200, '[]'])
    expect(await answerOf('/v1/config/service-defaults/web')).toEqual([
      404,
      'Config entry not found for "service-defaults" / "web"',
    ])
    expect(await answerOf('/v1/config/bogus')).toEqual([500, 'invalid config entry kind: bogus'])
    expect((await call('/v1/config/service-defaults')).headers.get('x-consul-index')).toBe('7')
    const written = await call('/v1/config', 'PUT', { Kind: 'service-defaults', Name: 'web' })
    expect([written.status, written.headers.get('x-atoll-field')]).toEqual([501, 'Kind'])
    expect(await answerOf('/v1/config', 'PUT', {})).toEqual([
      400,
      'Bad request: Request decoding failed: Payload does not contain a kind/Kind key at the top level',
    ])
    expect(await answerOf('/v1/config/service-defaults/web', 'DELETE')).toEqual([200, '{}'])
  })

  test('nobody peers', async () => {
    expect(await answerOf('/v1/peerings')).toEqual([200, '[]'])
    expect((await answerOf('/v1/peering/x'))[0]).toBe(404)
    expect((await answerOf('/v1/peering/token', 'POST', {}))[0]).toBe(500)
  })
})

describe('operator', () => {
  test('servers are told as members of Raft, the leader among them', async () => {
    members.push(member('n2', { address: '127.0.0.2' }), member('c1', { role: 'client' }))
    const { Servers } = (await jsonOf('/v1/operator/raft/configuration')) as { Servers: Record<string, unknown>[] }
    expect(Servers.map(({ Node, Address, Leader }) => [Node, Address, Leader])).toEqual([
      ['n1', '127.0.0.1:8300', true],
      ['n2', '127.0.0.2:8300', false],
    ])
    expect(await answerOf('/v1/operator/raft/configuration?dc=dc7')).toEqual([500, 'No path to datacenter'])
  })

  test('a server that failed makes the datacenter unhealthy, and can be removed; one that lives cannot', async () => {
    expect((await answerOf('/v1/operator/autopilot/health'))[0]).toBe(200)
    members.push(member('n2', { address: '127.0.0.2', status: 'failed' }))
    const health = await call('/v1/operator/autopilot/health')
    expect([health.status, await health.json()]).toMatchObject([429, { Healthy: false, FailureTolerance: 0 }])
    expect((await answerOf('/v1/operator/raft/peer?id=id-n1', 'DELETE'))[1]).toMatch(/^id "id-n1" is alive/)
    expect(await answerOf('/v1/operator/raft/peer?address=127.0.0.2:8300', 'DELETE')).toEqual([200, 'true'])
    expect(http.mesh.local.calls).toEqual([['forceLeave', 'n2']])
  })

  test('the configuration of autopilot takes what is so, and refuses changes by their field', async () => {
    const path = '/v1/operator/autopilot/configuration'
    expect(await answerOf(path, 'PUT', await jsonOf(path))).toEqual([200, 'true'])
    const refused = await call(path, 'PUT', { MaxTrailingLogs: 500 })
    expect([refused.status, refused.headers.get('x-atoll-field')]).toEqual([501, 'MaxTrailingLogs'])
    expect(await answerOf(`${path}?cas=5`, 'PUT', {})).toEqual([200, 'false'])
  })

  test('usage counts instances by what they are', async () => {
    const native = { ...instance('a', 'web'), service: serviceRow('a', 'web', { connect: { Native: true } }) }
    const proxy = { ...instance('a', 'web'), service: serviceRow('a', 'web', { kind: 'connect-proxy' }) }
    http.mesh.answers.registrations = [native, proxy]
    http.mesh.answers.nodes = [nodeRow('a')]
    const answer = await call('/v1/operator/usage')
    expect(answer.headers.get('x-consul-index')).toBe('7')
    expect(await answer.json()).toMatchObject({
      Index: 7,
      LastContact: 0,
      KnownLeader: true,
      ConsistencyLevel: 'leader',
      NotModified: false,
      Backend: 0,
      ResultsFilteredByACLs: false,
      Usage: {
        dc1: {
          Nodes: 1,
          Services: 1,
          ServiceInstances: 2,
          BillableServiceInstances: 1,
          ConnectServiceInstances: { 'connect-native': 1, 'connect-proxy': 1, 'mesh-gateway': 0 },
        },
      },
    })
  })
})

describe('what newer clients send and read', () => {
  test('a locality and a definition of 1.21 are kept', async () => {
    const locality = { Region: 'r', Zone: 'z' }
    const Check = { Name: 'c', Status: 'passing', Definition: { TCP: 'a:1', TCPUseTLS: true, OSService: '' } }
    const Weights = { Passing: 0, Warning: 0 }
    const Service = { Service: 'web', Locality: locality, PeerName: '', Weights }
    const answer = await call('/v1/catalog/register', 'PUT', {
      Node: 'a',
      Address: '1.1.1.1',
      Locality: locality,
      Service,
      Check,
    })
    expect(answer.status).toBe(200)
    expect(http.mesh.commands[0]!.command).toMatchObject({
      node: { locality: { region: 'r', zone: 'z' } },
      services: [{ locality: { region: 'r', zone: 'z' }, weights: { passing: 1, warning: 1 } }],
      checks: [{ type: 'tcp', definition: { TCP: 'a:1', TCPUseTLS: true } }],
    })
    http.mesh.answers.service = [
      { ...instance('a', 'web'), service: serviceRow('a', 'web', { locality: { region: 'r', zone: 'z' } }) },
    ]
    expect(await jsonOf('/v1/catalog/service/web')).toMatchObject([{ ServiceLocality: locality }])
    expect(await jsonOf('/v1/health/service/web')).toMatchObject([{ Service: { Locality: locality } }])
  })

  test('the index of events is made of the last id, and waiting with it waits for another', async () => {
    const event = (id: string) => ({
      id,
      name: 'e',
      payload: new Uint8Array(),
      nodeFilter: '',
      serviceFilter: '',
      tagFilter: '',
      time: 2,
    })
    http.mesh.answers.events = [event('b54fe110-7af5-cafc-d1fb-afc8ba432b1c')] as never
    const first = await call('/v1/event/list')
    const index = BigInt('0xb54fe1107af5cafc') ^ BigInt('0xd1fbafc8ba432b1c')
    expect(first.headers.get('x-consul-index')).toBe(String(index))
    const waiting = call(`/v1/event/list?index=${index}`)
    await expect.poll(() => http.mesh.waiting.size).toBe(1)
    http.mesh.answers.events = [event('00000000-0000-0000-0000-000000000009')] as never
    http.mesh.change(8)
    expect((await waiting).headers.get('x-consul-index')).toBe('9')
    expect((await call('/v1/event/list?index=5')).headers.get('x-consul-index')).toBe('9')
  })

  test('joining oneself is done', async () => {
    const self = (await jsonOf('/v1/agent/self')) as { DebugConfig: { SerfAdvertiseAddrLAN: string } }
    expect(
      await answerOf(`/v1/agent/join/${self.DebugConfig.SerfAdvertiseAddrLAN.replace('tcp://', '')}`, 'PUT'),
    ).toEqual([200, ''])
    expect(http.mesh.local.calls).toEqual([])
  })
})

test('the overviews count instances and the checks that count for them', async () => {
  http.mesh.answers.nodes = [nodeRow('a')]
  const service = serviceRow('a', 'web', { tags: ['v1'], meta: { 'external-source': 'nomad' } })
  http.mesh.answers.registrations = [{ node: nodeRow('a'), service }]
  http.mesh.answers.state = [
    checkRow('A', 'alive', { status: 'warning' }),
    checkRow('a', 'other', { serviceId: 'else' }),
    checkRow('b', 'alive'),
  ]
  expect(await jsonOf('/v1/internal/ui/services')).toMatchObject([
    {
      Name: 'web',
      Tags: ['v1'],
      Nodes: ['a'],
      ExternalSources: ['nomad'],
      InstanceCount: 1,
      ChecksPassing: 0,
      ChecksWarning: 1,
    },
  ])
  expect(await jsonOf('/v1/internal/ui/nodes')).toMatchObject([
    { Node: 'a', Services: [{ ID: 'web' }], Checks: [{}, {}] },
  ])
  expect(http.mesh.asked).toHaveLength(6)
  expect(await jsonOf('/v1/internal/ui/catalog-overview')).toMatchObject({ Nodes: [{ Total: 1, Warning: 1 }] })
})

describe('the machine', () => {
  test('metrics carry the host, those of Prometheus do not', async () => {
    const { Gauges } = (await jsonOf('/v1/agent/metrics')) as { Gauges: { Name: string; Value: number }[] }
    expect(Gauges).toContainEqual({ Name: 'consul.h.runtime.alloc_bytes', Value: 1, Labels: {} })
    const text = (await answerOf('/v1/agent/metrics?format=prometheus'))[1]
    expect(text).toContain('# TYPE consul_runtime_alloc_bytes gauge\nconsul_runtime_alloc_bytes 1\n')
    expect(text).toContain('atoll_agent_checks{status="critical"} 0\n')
  })

  test('host', async () => {
    expect(await jsonOf('/v1/agent/host')).toMatchObject({
      Memory: { total: 8 },
      Disk: { total: 10, used: 6, inodesUsed: 1 },
      Errors: null,
    })
  })

  test('monitor tells what is logged from then on, below what is written, too, and ends with its reader', async () => {
    const written: string[] = []
    const logger = pinoLogger({ level: 'warn', tap, destination: { write: (line) => void written.push(line) } })
    const child = logger.child({ part: 'agent' })
    const answer = await call('/v1/agent/monitor?loglevel=debug')
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toMatch(/ \[INFO\] {2}agent: following the log: loglevel=debug\n$/)
    child.debug({ id: 'a b' }, 'hello')
    expect((await reader.read()).value).toMatch(/^\S+Z \[DEBUG\] agent: hello: id="a b"\n$/)
    expect(written).toEqual([])
    await reader.cancel()
    expect(tap.lowest).toBe(2)
    child.warn({}, 'still written')
    expect(written).toHaveLength(1)
  })

  test('a slow reader is told how many lines are missing', async () => {
    const logger = pinoLogger({ level: 'warn', tap, destination: { write() {} } })
    const answer = await call('/v1/agent/monitor?logjson')
    for (let i = 0; i < 1_000; i++) logger.info({ i }, 'line')
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('are missing')) text += (await reader.read()).value
    expect(
      text
        .split('\n')
        .filter((line) => line !== '')
        .every((line) => '@message' in JSON.parse(line)),
    ).toBe(true)
    await reader.cancel()
  })

  test('closing ends those who follow', async () => {
    const answer = await call('/v1/agent/monitor')
    http.close()
    await answer.text()
    expect(tap.lowest).toBe(2)
  })

  test('levels are known ones', async () => {
    expect(await answerOf('/v1/agent/monitor?loglevel=bogus')).toEqual([400, 'Bad request: Unknown log level: bogus'])
  })
})
