import { describe, expect, test } from 'vitest'
import type { Command } from '../catalog/catalog.ts'
import { queryEntry } from '../catalog/testing/prepared-query.ts'
import { AtollError } from '../model/errors.ts'
import { appOverFakeMesh } from './testing/app-over-fake-mesh.ts'
import { instance } from './testing/fake-mesh.ts'

const ID = 'bbbbbbbb-0000-0000-0000-000000000001'
const row = { ...queryEntry(ID, { name: 'q', dnsTtl: '7s' }), createIndex: 5, modifyIndex: 6 }

const http = appOverFakeMesh()
const call = async (path: string, method = 'GET', body?: unknown): Promise<[number, string]> => {
  const response = await http.send(method, path, body)
  return [response.status, await response.text()]
}
const create = (body: object) => call('/v1/query?dc=us-1', 'POST', body)
const stored = (): Extract<Command, { kind: 'query-put' }> =>
  http.mesh.commands.at(-1)!.command as Extract<Command, { kind: 'query-put' }>
const service = { Service: 'web' }

describe('storing', () => {
  test('goes to the datacenter that is named, in the words of the catalog', async () => {
    const [status, text] = await create({
      name: 'q',
      Template: { Type: 'name_prefix_match', Regexp: '^(.*)$', RemoveEmptyTags: true },
      Service: { ...service, Failover: { Targets: [{ Datacenter: 'eu-1' }, { Datacenter: 'uk-1' }] }, Tags: [] },
      DNS: { TTL: '1m' },
    })
    expect(status).toBe(200)
    expect(http.mesh.commands[0]!.options.datacenter).toBe('us-1')
    expect(stored()).toMatchObject({
      create: true,
      query: {
        id: JSON.parse(text).ID,
        name: 'q',
        template: { type: 'name_prefix_match', regexp: '^(.*)$', removeEmptyTags: true },
        service: { service: 'web', failover: { targets: ['eu-1', 'uk-1'], datacenters: null }, tags: [] },
        dnsTtl: '1m',
      },
    })
    expect(await call(`/v1/query/${ID.toUpperCase()}`, 'PUT', { Name: 'q', Service: service })).toEqual([200, ''])
    expect(stored()).toMatchObject({ create: false, query: { id: ID } })
    expect(await call(`/v1/query/${ID}`, 'DELETE')).toEqual([200, ''])
    expect(http.mesh.commands.at(-1)!.command).toEqual({ kind: 'query-delete', query: ID })
  })

  test.each([
    [{ Failover: { Targets: [{ Peer: 'p' }] } }, "Invalid prepared query: Failover.Targets: Peer 'p'"],
    [{ Failover: { Targets: [{}] } }, 'Invalid prepared query: Failover.Targets: give a Datacenter'],
    [
      { Failover: { NearestN: 1, Targets: [{ Datacenter: 'a' }] } },
      'Targets cannot be populated with NearestN or Datacenters',
    ],
    [{ Peer: 'p' }, "Peer 'p': peering is not there"],
    [{ ServiceMeta: { 'a b': 'x' } }, 'Key contains invalid characters'],
  ])('refuses %j', async (more, fault) => {
    const [status, text] = await create({ Name: 'q', Service: { ...service, ...more } })
    expect([status, http.mesh.commands]).toEqual([500, []])
    expect(text).toContain(fault)
  })

  test('an order by load is stored and shown; another is refused by its name', async () => {
    await create({ Name: 'q', Service: { ...service, Sort: 'load' } })
    expect(stored()).toMatchObject({ query: { service: { sort: 'load' } } })
    http.mesh.answers.queries = [{ ...row, service: { ...row.service, sort: 'load' } }]
    expect(JSON.parse((await call('/v1/query'))[1])).toMatchObject([{ Service: { Connect: false, Sort: 'load' } }])
    const refused = await http.send('POST', '/v1/query', { Name: 'q', Service: { ...service, Sort: 'random' } })
    expect([refused.status, refused.headers.get('x-atoll-field')]).toEqual([400, 'Service.Sort'])
  })

  test('tells what the catalog refused, and where', async () => {
    http.mesh.execute = async () => {
      throw new AtollError('conflict', 'taken')
    }
    expect(await create({ Name: 'q', Service: service })).toEqual([
      500,
      'rpc error making call: raft apply failed: taken',
    ])
  })
})

describe('executing', () => {
  const execution = (isOrdered: boolean) => ({
    query: row,
    instances: ['a', 'b', 'c', 'd'].map((name) => instance(name, 'web')),
    isOrdered,
    failovers: 2,
  })
  const nodesOf = async (path: string): Promise<string[]> =>
    (JSON.parse((await call(path))[1]) as { Nodes: { Node: { Node: string } }[] }).Nodes.map(({ Node }) => Node.Node)

  test('keeps an order by nearness, and shares the load otherwise', async () => {
    http.mesh.answers['query-execute'] = execution(true)
    expect(await nodesOf('/v1/query/q/execute')).toEqual(['a', 'b', 'c', 'd'])
    expect(await nodesOf('/v1/query/q/execute?limit=2')).toEqual(['a', 'b'])
    http.mesh.answers['query-execute'] = execution(false)
    const first = new Set<string>()
    for (let i = 0; i < 60; i++) first.add((await nodesOf('/v1/query/q/execute?limit=1'))[0]!)
    expect([...first].sort()).toEqual(['a', 'b', 'c', 'd'])
  })

  test('says what it is about, and where it came from', async () => {
    http.mesh.answers['query-execute'] = { ...execution(true), instances: [] }
    http.mesh.meta = { datacenter: 'us-1', ageMs: 12, source: 'replica', consistency: 'stale' }
    expect(JSON.parse((await call('/v1/query/a%2Fb/execute?near=_agent&connect&sort=load'))[1])).toEqual({
      Service: 'web',
      Nodes: [],
      DNS: { TTL: '7s' },
      Datacenter: 'us-1',
      Failovers: 2,
      Index: 7,
      LastContact: 12e6,
      KnownLeader: true,
      ConsistencyLevel: 'stale',
      NotModified: false,
      Backend: 0,
    })
    expect(http.mesh.asked.at(-1)!.question).toEqual({
      kind: 'query-execute',
      query: 'a/b',
      sort: 'load',
      near: '_agent',
      connect: true,
    })
  })

  test('waits for an index', async () => {
    http.mesh.answers['query-execute'] = execution(true)
    const answer = call('/v1/query/q/execute?index=7&wait=10s')
    while (http.mesh.waiting.size === 0) await new Promise((resolve) => setImmediate(resolve))
    http.mesh.change(9)
    expect(JSON.parse((await answer)[1])).toMatchObject({ Index: 9 })
  })

  test('of what is not there is a 404, here and elsewhere', async () => {
    expect(await call('/v1/query/nope/execute')).toEqual([404, 'Query not found'])
    expect(await call('/v1/query/nope/explain?dc=us-1')).toEqual([404, 'rpc error making call: Query not found'])
    expect(await call(`/v1/query/${ID}`)).toEqual([404, 'Query not found'])
  })
})
