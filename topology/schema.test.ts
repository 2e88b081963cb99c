import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { planMesh, portsInPlan } from './plan.ts'
import { PROJECT_ROOT } from './runtimes.ts'
import { loadTopology, parseTopology, TopologyError } from './schema.ts'

const two = {
  name: 'two',
  datacenters: [{ name: 'a' }, { name: 'b' }],
  links: [{ between: ['a', 'b'], rttMs: 80 }],
}

function problemOf(input: unknown): string {
  try {
    parseTopology(input, 'mesh.json')
  } catch (error) {
    expect(error).toBeInstanceOf(TopologyError)
    return (error as Error).message
  }
  throw new Error('was accepted')
}

describe('descriptions beside the launcher', () => {
  const files = readdirSync(join(PROJECT_ROOT, 'topology')).filter((name) => name.endsWith('.json'))
  it.each(files)('%s is valid and can be planned', async (file) => {
    const topology = await loadTopology(join(PROJECT_ROOT, 'topology', file))
    const plan = planMesh(topology, { dataDirectory: '/data' })
    expect(topology.name).toBe(file.replace('.json', ''))
    expect(new Set(portsInPlan(plan).map((each) => each.port)).size).toBe(portsInPlan(plan).length)
  })

  it('three-dc is the mesh that the README tells of', async () => {
    const topology = await loadTopology(join(PROJECT_ROOT, 'topology/three-dc.json'))
    const { nodes, backends } = planMesh(topology, { dataDirectory: '/data' })
    expect(nodes.map((node) => [node.name, node.runtime, node.httpPort])).toEqual([
      ['eu-1-server', 'node', 8500],
      ['eu-1-client', 'node', 8510],
      ['us-1-server', 'bun', 8520],
      ['us-1-client', 'bun', 8530],
      ['ap-1-server', 'deno', 8540],
      ['ap-1-client', 'deno', 8550],
    ])
    expect(topology.links.map((link) => [...link.between, link.rttMs])).toEqual([
      ['eu-1', 'us-1', 80],
      ['eu-1', 'ap-1', 230],
      ['us-1', 'ap-1', 150],
    ])
    expect(backends.map((each) => each.instances.map((instance) => [instance.id, instance.node]))).toEqual(
      ['eu-1', 'us-1', 'ap-1'].map((dc) => [
        ['web-1', `${dc}-client`],
        ['web-2', `${dc}-client`],
      ]),
    )
    expect(topology.flatNetwork).toBe(true)
  })
})

describe('errors name the field', () => {
  it.each<[string, unknown, string]>([
    ['a runtime that is none', { ...two, datacenters: [{ name: 'a', runtime: 'perl' }] }, 'datacenters[0].runtime: '],
    ['an unknown field', { ...two, datacenter: [] }, 'datacenter: there is no such field'],
    ['an unknown field below', { ...two, ports: { web: 1 } }, 'ports.web: there is no such field'],
    ['no name', { ...two, name: undefined }, 'name: '],
    ['a datacenter called nearest', { ...two, datacenters: [{ name: 'nearest' }] }, 'datacenters[0].name: "nearest"'],
    [
      'a datacenter twice',
      { ...two, datacenters: [{ name: 'a' }, { name: 'a' }] },
      'datacenters[1].name: "a" is there',
    ],
    [
      'a link to nowhere',
      { ...two, links: [{ between: ['a', 'c'], rttMs: 1 }] },
      'links[0].between: no datacenter "c"',
    ],
    ['a link that is missing', { ...two, links: [] }, 'links: no round-trip time between a and b'],
    ['a link to itself', { ...two, links: [{ between: ['a', 'a'], rttMs: 1 }] }, 'links[0].between: "a" twice'],
    ['a negative time', { ...two, links: [{ between: ['a', 'b'], rttMs: -1 }] }, 'links[0].rttMs: '],
    ['a contradiction', { ...two, matrix: { b: { a: 81 } } }, 'matrix.b.a: 81 ms between b and a, but 80 ms elsewhere'],
    ['two servers', { ...two, datacenters: [{ name: 'a', servers: 2 }] }, 'datacenters[0].servers: '],
    [
      'an even number of servers',
      { ...two, datacenters: [{ name: 'a', servers: 4, store: 'etcd:managed' }] },
      'datacenters[0].servers: use 1, 3, 5 or 7',
    ],
    [
      'too few runtimes',
      { ...two, datacenters: [{ name: 'a', runtime: ['node'] }, { name: 'b' }] },
      'datacenters[0].runtime: names 1 runtimes for 2 nodes',
    ],
    [
      'instances somewhere else',
      { ...two, services: [{ name: 'web', instances: { c: 1 } }] },
      'services[0].instances.c: no datacenter "c"',
    ],
    ['a service twice', { ...two, services: [{ name: 'web' }, { name: 'web' }] }, 'services[1].name: "web" is there'],
    ['nothing', null, 'the whole: '],
  ])('%s', (_, input, expected) => {
    expect(problemOf(input)).toContain(`mesh.json: ${expected}`)
  })

  it('lists all of them', () => {
    expect(problemOf({ ...two, name: 'A B', ports: { http: 0 } }).split('\n')).toHaveLength(2)
  })

  it('a file that is not there, and one that is no JSON', async () => {
    await expect(loadTopology('/no/such.json')).rejects.toThrow('/no/such.json: cannot be read')
    await expect(loadTopology(join(PROJECT_ROOT, 'bunfig.toml'))).rejects.toThrow('bunfig.toml: is no JSON')
  })
})

describe('plans', () => {
  it('names further clients, and runtimes one by one', () => {
    const topology = parseTopology({
      name: 'one',
      datacenters: [{ name: 'a', clients: 2, runtime: ['node', 'bun', 'deno'] }],
    })
    const { nodes } = planMesh(topology, { dataDirectory: '/data' })
    expect(nodes.map((node) => [node.name, node.runtime, node.dataDirectory])).toEqual([
      ['a-server', 'node', '/data/a-server'],
      ['a-client', 'bun', '/data/a-client'],
      ['a-client-2', 'deno', '/data/a-client-2'],
    ])
  })

  it('lets servers join those of all other datacenters, and clients their own', () => {
    const topology = parseTopology({
      name: 'three',
      datacenters: [{ name: 'a' }, { name: 'b' }, { name: 'c', clients: 0 }],
      matrix: { a: { b: 1, c: 2 }, c: { b: 3 } },
    })
    const { nodes } = planMesh(topology, { dataDirectory: '/data' })
    const port = (name: string) => `/ip4/127.0.0.1/tcp/${nodes.find((node) => node.name === name)!.libp2pPort}`
    expect(Object.fromEntries(nodes.map((node) => [node.name, node.join]))).toEqual({
      'a-server': [port('b-server'), port('c-server')],
      'a-client': [port('a-server')],
      'b-server': [port('a-server'), port('c-server')],
      'b-client': [port('b-server')],
      'c-server': [port('a-server'), port('b-server')],
    })
  })

  it('lets servers that run etcd join those beside them, too', () => {
    const topology = parseTopology({
      name: 'etcd',
      datacenters: [
        { name: 'a', servers: 3, store: 'etcd:managed', clients: 0 },
        { name: 'b', clients: 0 },
      ],
      matrix: { a: { b: 1 } },
    })
    const { nodes } = planMesh(topology, { dataDirectory: '/data' })
    expect(nodes.map((node) => [node.name, node.managedServers, node.join.length])).toEqual([
      ['a-server', 3, 3],
      ['a-server-2', 3, 3],
      ['a-server-3', 3, 3],
      ['b-server', undefined, 3],
    ])
  })

  it('refuses ports that meet, and ports above the last', () => {
    const topology = parseTopology({ ...two, ports: { http: 8500, libp2p: 8490 } })
    expect(() => planMesh(topology, { dataDirectory: '/data' })).toThrow(/^ports: 8500 would be both .*ports\.libp2p/)
    const high = parseTopology({ ...two, ports: { http: 65_530 } })
    expect(() => planMesh(high, { dataDirectory: '/data' })).toThrow('ports.http: there are too few ports above 65530')
  })
})
