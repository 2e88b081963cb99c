/** The npm package `consul`, a client that this project did not write, against a node. */
import Consul from 'consul'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type NodeProcess, startNodeProcess } from './node-process.ts'

let node: NodeProcess
let consul: Consul

beforeAll(async () => {
  node = await startNodeProcess({ datacenter: 'dc1', node: 'n1' })
  consul = new Consul({ host: '127.0.0.1', port: node.http })
}, 90_000)
afterAll(() => node?.stop())

/** Until `look` gives something. */
async function eventually<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = performance.now() + 20_000
  for (;;) {
    const found = await look()
    if (found) return found
    if (performance.now() > deadline) throw new Error('it did not come to pass')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

type Entry = { Service: { ID: string; Port: number }; Checks: { Status: string; Output: string }[] }
const passing = async (service: string): Promise<Entry[]> =>
  (await consul.health.service({ service, passing: true })) as Entry[]

describe('the npm package consul', () => {
  test('services and TTL checks of the agent', async () => {
    await consul.agent.service.register({
      name: 'web',
      id: 'web-1',
      port: 8080,
      tags: ['v1'],
      meta: { owner: 'team-a' },
      check: { ttl: '10m' },
    } as never)
    expect(await consul.agent.services()).toMatchObject({
      'web-1': { ID: 'web-1', Service: 'web', Port: 8080, Tags: ['v1'], Meta: { owner: 'team-a' } },
    })
    expect(await consul.agent.checks()).toMatchObject({ 'service:web-1': { Status: 'critical', Type: 'ttl' } })
    await eventually(async () => ((await consul.health.service('web')) as Entry[]).length === 1)
    expect(await passing('web')).toEqual([])
    await consul.agent.check.pass({ id: 'service:web-1', note: 'well' } as never)
    const [entry] = await eventually(async () => {
      const entries = await passing('web')
      return entries.length > 0 && entries
    })
    expect(entry!.Service).toMatchObject({ ID: 'web-1', Port: 8080 })
    await consul.agent.check.fail('service:web-1')
    await eventually(async () => (await passing('web')).length === 0)
    await consul.agent.check.warn('service:web-1')
    await consul.agent.service.maintenance({ id: 'web-1', enable: true, reason: 'disk' })
    await eventually(async () => '_service_maintenance:web-1' in ((await consul.agent.checks()) as object))
    await consul.agent.service.maintenance({ id: 'web-1', enable: false })
    await consul.agent.service.deregister('web-1')
    await eventually(async () => ((await consul.health.service('web')) as Entry[]).length === 0)
  })

  test('a check of its own, and the agent itself', async () => {
    await consul.agent.check.register({ name: 'mem', ttl: '1m' } as never)
    await consul.agent.check.pass('mem')
    expect(await consul.agent.checks()).toMatchObject({ mem: { Status: 'passing' } })
    await consul.agent.check.deregister('mem')
    expect(await consul.agent.checks()).not.toHaveProperty('mem')
    expect(await consul.agent.self()).toMatchObject({ Config: { Datacenter: 'dc1', NodeName: 'n1' } })
    expect(await consul.agent.members()).toMatchObject([{ Name: 'n1', Status: 1 }])
    expect(await consul.status.leader()).toMatch(/:\d+$/)
    expect(await consul.status.peers()).toHaveLength(1)
  })

  test('the catalog', async () => {
    await consul.catalog.register({
      node: 'db-1',
      address: '10.0.0.9',
      service: { service: 'db', port: 5432, tags: ['primary'] },
      check: { node: 'db-1', name: 'alive', status: 'passing', serviceid: 'db' },
    } as never)
    expect(await consul.catalog.datacenters()).toEqual(['dc1'])
    expect(await consul.catalog.node.list()).toEqual(
      expect.arrayContaining([expect.objectContaining({ Node: 'db-1' })]),
    )
    expect(await consul.catalog.service.list()).toMatchObject({ db: ['primary'], consul: [] })
    expect(await consul.catalog.service.nodes('db')).toMatchObject([{ Node: 'db-1', ServicePort: 5432 }])
    expect(await consul.catalog.node.services('db-1')).toMatchObject({ Services: { db: { Port: 5432 } } })
    expect(await consul.health.node('db-1')).toMatchObject([{ Name: 'alive', Status: 'passing' }])
    expect(await consul.health.checks('db')).toMatchObject([{ ServiceID: 'db' }])
    expect(await consul.health.state('any')).toEqual(
      expect.arrayContaining([expect.objectContaining({ Name: 'alive' })]),
    )
    expect(await passing('db')).toMatchObject([{ Service: { ID: 'db' } }])
    await consul.catalog.deregister({ node: 'db-1' })
    expect(await consul.catalog.service.nodes('db')).toEqual([])
  })

  test('keys and values', async () => {
    expect(await consul.kv.set('dir/a', 'one')).toBe(true)
    const entry = (await consul.kv.get('dir/a')) as { Value: string; ModifyIndex: number }
    expect(entry).toMatchObject({ Key: 'dir/a', Value: 'one', Flags: 0 })
    // This client gives undefined for a false.
    expect(await consul.kv.set({ key: 'dir/a', value: 'two', cas: '1' } as never)).toBeFalsy()
    expect(await consul.kv.set({ key: 'dir/a', value: 'two', cas: String(entry.ModifyIndex), flags: 7 } as never)).toBe(
      true,
    )
    await consul.kv.set('dir/sub/b', 'three')
    expect(await consul.kv.get({ key: 'dir/', recurse: true })).toMatchObject([
      { Value: 'two', Flags: 7 },
      { Value: 'three' },
    ])
    expect(await consul.kv.keys({ key: 'dir/', separator: '/' })).toEqual(['dir/a', 'dir/sub/'])
    expect(String(await consul.kv.get({ key: 'dir/a', raw: true } as never))).toBe('two')
    await consul.kv.del({ key: 'dir/', recurse: true })
    expect(await consul.kv.get('dir/a')).toBeFalsy()
  })

  test('sessions, and keys that they hold', async () => {
    const { ID: id } = (await consul.session.create({ name: 's', ttl: '30s', behavior: 'delete' } as never)) as {
      ID: string
    }
    expect(await consul.session.info(id)).toMatchObject({ ID: id, Name: 's', TTL: '30s', Behavior: 'delete' })
    expect(await consul.session.list()).toMatchObject([{ ID: id }])
    expect(await consul.session.node('n1')).toMatchObject([{ ID: id }])
    expect(await consul.session.renew(id)).toMatchObject([{ ID: id }])
    expect(await consul.kv.set({ key: 'held', value: 'x', acquire: id } as never)).toBe(true)
    expect(await consul.kv.get('held')).toMatchObject({ Session: id, LockIndex: 1 })
    await consul.session.destroy(id)
    expect(await eventually(async () => (await consul.kv.get('held')) === undefined)).toBe(true)
  })

  test('transactions', async () => {
    const operation = (verb: string, more: object = {}) => ({ KV: { Verb: verb, Key: 'txn/a', ...more } })
    const value = Buffer.from('one').toString('base64')
    expect(
      await consul.transaction.create([operation('set', { Value: value }), operation('get')] as never),
    ).toMatchObject({
      Results: [{ KV: { Key: 'txn/a' } }, { KV: { Key: 'txn/a', Value: value } }],
      Errors: null,
    })
    await expect(
      consul.transaction.create([operation('cas', { Value: value, Index: 1 })] as never),
    ).rejects.toMatchObject({
      statusCode: 409,
    })
  })

  test('prepared queries', async () => {
    const { ID: id } = await consul.query.create({
      name: 'near',
      service: { service: 'consul', onlypassing: true },
      dns: { ttl: '10s' },
    })
    expect(await consul.query.list()).toMatchObject([{ ID: id, Name: 'near' }])
    expect(await consul.query.get(id)).toMatchObject({ ID: id, Service: { Service: 'consul', OnlyPassing: true } })
    const asked = { query: 'near', near: '_agent', limit: 1 } as never
    expect(await consul.query.execute(asked)).toMatchObject({
      Service: 'consul',
      Nodes: [{ Node: { Node: 'n1' } }],
      DNS: { TTL: '10s' },
      Failovers: 0,
    })
    // The client looks for a list where Consul, and so Atoll, answers an object.
    expect(await consul.query.explain('near')).toBeUndefined()
    await consul.query.update({ query: id, name: 'far', service: { service: 'none' } } as never)
    expect(await consul.query.execute('far')).toMatchObject({ Service: 'none', Nodes: [] })
    await (consul.query as unknown as { destroy(query: string): Promise<void> }).destroy(id)
    expect(await consul.query.list()).toEqual([])
    await expect(consul.query.get(id)).rejects.toMatchObject({ statusCode: 404 })
  })

  test('events', async () => {
    const { ID: id } = (await consul.event.fire('deploy', '53' as never)) as { ID: string }
    const list = await eventually(async () => {
      const events = (await consul.event.list('deploy')) as { ID: string; Name: string; Payload: string }[]
      return events.length > 0 && events
    })
    expect(list).toMatchObject([{ ID: id, Name: 'deploy', Payload: '53' }])
  })

  test('maintenance of the node, and the commands of the agent', async () => {
    await consul.agent.maintenance({ enable: true, reason: 'disk' })
    expect(await consul.agent.checks()).toMatchObject({ _node_maintenance: { Status: 'critical', Notes: 'disk' } })
    await consul.agent.maintenance({ enable: false })
    expect(await consul.agent.checks()).not.toHaveProperty('_node_maintenance')
    await consul.agent.reload()
    await expect(consul.agent.forceLeave('nobody')).rejects.toMatchObject({ statusCode: 500 })
    await expect(consul.agent.join('127.0.0.1:1')).rejects.toMatchObject({ statusCode: 500 })
  })

  test('a watch sees each change, and errors are errors', async () => {
    const watch = consul.watch({
      method: consul.kv.get,
      options: { key: 'watched', wait: '10s' } as never,
      backoffFactor: 100,
    })
    const seen: (string | undefined)[] = []
    watch.on('change', (data: { Value: string } | undefined) => seen.push(data?.Value))
    try {
      await eventually(async () => seen.length === 1)
      await consul.kv.set('watched', 'a')
      await eventually(async () => seen.at(-1) === 'a')
      await consul.kv.set('watched', 'b')
      await eventually(async () => seen.at(-1) === 'b')
      expect(seen).toEqual([undefined, 'a', 'b'])
    } finally {
      watch.end()
    }
    await expect(consul.catalog.node.list({ dc: 'dc9' })).rejects.toMatchObject({
      statusCode: 500,
      message: /No path to datacenter/,
    })
  })
})
