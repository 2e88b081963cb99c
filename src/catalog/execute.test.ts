import { afterEach, describe, expect, it } from 'vitest'
import { MAX_KV_VALUE_BYTES } from './catalog.ts'
import { agentSync, checkEntry, kvDelete, kvPut, nodeEntry, register, serviceEntry } from './testing/entries.ts'
import { type Harness, openHarness } from './testing/harness.ts'

let h: Harness
const open = async (options: Parameters<typeof openHarness>[0] = {}) => {
  h = await openHarness(options)
  return h
}
afterEach(() => h?.close())

const text = (row: { value: Uint8Array } | undefined) => row && new TextDecoder().decode(row.value)

describe('kv commands', () => {
  it('keeps the modify index of an equal put, and wakes nobody', async () => {
    const { catalog } = await open()
    const first = await catalog.execute(kvPut('a', 'hello'))
    expect(first.applied).toBe(true)
    let woken = 0
    catalog.view.topic({ kind: 'kv', key: 'a' }).onceChanged(() => woken++)
    const again = await catalog.execute(kvPut('a', 'hello'))
    expect(again).toEqual({ index: first.index, applied: true })
    expect(catalog.view.kv('a')).toMatchObject({ createIndex: first.index, modifyIndex: first.index })
    expect(woken).toBe(0)
    const flagged = await catalog.execute(kvPut('a', 'hello', { flags: 2n ** 64n - 1n }))
    expect(catalog.view.kv('a')).toMatchObject({
      flags: 2n ** 64n - 1n,
      modifyIndex: flagged.index,
      createIndex: first.index,
    })
    expect(woken).toBe(1)
  })

  it('compares and sets', async () => {
    const { catalog } = await open()
    expect(await catalog.execute(kvPut('c', '1', { cas: 0 }))).toMatchObject({ applied: true })
    expect(await catalog.execute(kvPut('c', '2', { cas: 0 }))).toMatchObject({ applied: false })
    expect(await catalog.execute(kvPut('c', '3', { cas: 1 }))).toMatchObject({ applied: false })
    expect(await catalog.execute(kvPut('other', '3', { cas: 1 }))).toMatchObject({ applied: false })
    expect(await catalog.execute(kvPut('c', '4', { cas: catalog.view.kv('c')!.modifyIndex }))).toMatchObject({
      applied: true,
    })
    expect(text(catalog.view.kv('c'))).toBe('4')
    expect(await catalog.execute(kvDelete('c', { cas: 0 }))).toMatchObject({ applied: false })
    expect(await catalog.execute(kvDelete('c', { cas: 1 }))).toMatchObject({ applied: false })
    expect(await catalog.execute(kvDelete('c', { cas: catalog.view.kv('c')!.modifyIndex }))).toMatchObject({
      applied: true,
    })
    expect(await catalog.execute(kvDelete('c'))).toMatchObject({ applied: true })
    expect(await catalog.execute(kvDelete('c', { cas: 3 }))).toMatchObject({ applied: true })
    expect(catalog.view.kv('c')).toBeUndefined()
  })

  it('lists keys and prefixes as recorded of Consul', async () => {
    const { catalog } = await open()
    for (const key of ['a', 'b', 'dir', 'dir/one', 'dir/two', 'dir/sub/three', 'dir/sub/four', 'dirt', 'web/x']) {
      await catalog.execute(kvPut(key, key))
    }
    expect(catalog.view.kvKeys('dir', '')).toEqual([
      'dir',
      'dir/one',
      'dir/sub/four',
      'dir/sub/three',
      'dir/two',
      'dirt',
    ])
    expect(catalog.view.kvKeys('dir/', '/')).toEqual(['dir/one', 'dir/sub/', 'dir/two'])
    expect(catalog.view.kvKeys('', '/')).toEqual(['a', 'b', 'dir', 'dir/', 'dirt', 'web/'])
    expect(catalog.view.kvKeys('dir', 'o')).toEqual(['dir', 'dir/o', 'dir/sub/fo', 'dir/sub/three', 'dir/two', 'dirt'])
    expect(catalog.view.kvKeys('nope', '')).toEqual([])
    const prefix = catalog.view.topic({ kind: 'kv-prefix', prefix: 'dir/' })
    const before = prefix.index
    await catalog.execute(kvPut('elsewhere', 'x'))
    expect(prefix.index).toBe(before)
    const { index } = await catalog.execute(kvDelete('dir/', { recurse: true }))
    expect(catalog.view.kvUnder('dir/')).toEqual([])
    expect(catalog.view.kvKeys('', '')).toEqual(['a', 'b', 'dir', 'dirt', 'elsewhere', 'web/x'])
    expect(prefix.index).toBe(index)
    expect(catalog.view.topic({ kind: 'kv', key: 'dir/one' }).index).toBe(index)
    expect(catalog.view.topic({ kind: 'kv', key: 'never' }).index).toBe(1)
  })

  it('refuses what is too large or no key', async () => {
    const { catalog } = await open()
    const large = { kind: 'kv-put', key: 'k', value: new Uint8Array(MAX_KV_VALUE_BYTES + 1), flags: 0n } as const
    await expect(catalog.execute(large)).rejects.toMatchObject({ code: 'too-large', field: 'Value' })
    await expect(catalog.execute(kvPut('', 'x'))).rejects.toMatchObject({ code: 'invalid', field: 'Key' })
    await expect(catalog.execute(kvDelete(''))).rejects.toMatchObject({ code: 'invalid' })
    await expect(catalog.execute(kvPut('k'.repeat(5000), 'x'))).rejects.toMatchObject({ code: 'invalid' })
    await expect(catalog.execute(kvPut('\ud800', 'x'))).rejects.toMatchObject({ code: 'invalid' })
    await expect(catalog.execute(kvPut('k', 'x', { flags: -1n }))).rejects.toMatchObject({ field: 'flags' })
    expect(await catalog.execute({ ...large, value: new Uint8Array(MAX_KV_VALUE_BYTES) })).toMatchObject({
      applied: true,
    })
  })

  it('takes one transaction for an uncontended key', async () => {
    const { catalog, store } = await open()
    const before = store.txns
    await catalog.execute(kvPut('a', '1'))
    await catalog.execute(kvPut('a', '2'))
    expect(store.txns - before).toBe(2)
  })

  it.each([{ remote: false }, { remote: true }])('loses no update of writers at once ($remote)', async (options) => {
    const { catalog } = await open(options)
    const bump = async () => {
      for (;;) {
        const row = catalog.view.kv('n')
        const cas = row?.modifyIndex ?? 0
        const result = await catalog.execute(kvPut('n', String(Number(text(row) ?? 0) + 1), { cas }))
        if (result.applied) return
        await catalog.barrier()
      }
    }
    await Promise.all(Array.from({ length: 40 }, bump))
    await catalog.barrier()
    expect(text(catalog.view.kv('n'))).toBe('40')
  })

  it('applies a request id once', async () => {
    const { catalog } = await open()
    const first = await catalog.execute(kvPut('a', '1', { cas: 0 }), { requestId: 'r1' })
    await catalog.execute(kvPut('a', '2'))
    expect(await catalog.execute(kvPut('a', '1', { cas: 0 }), { requestId: 'r1' })).toEqual(first)
    expect(text(catalog.view.kv('a'))).toBe('2')
    const refused = await catalog.execute(kvPut('a', '3', { cas: 0 }), { requestId: 'r2' })
    await catalog.execute(kvDelete('a'))
    expect(refused.applied).toBe(false)
    expect(await catalog.execute(kvPut('a', '3', { cas: 0 }), { requestId: 'r2' })).toEqual(refused)
    const twice = await Promise.all([1, 2].map(() => catalog.execute(kvPut('b', 'x'), { requestId: 'r3' })))
    expect(twice[0]).toEqual(twice[1])
  })
})

describe('register', () => {
  it('registers several things in one revision, and nothing when they are equal', async () => {
    const { catalog, store } = await open()
    const command = register(
      nodeEntry('node-a', { meta: { rack: 'r1' } }),
      [serviceEntry('node-a', 'web', { tags: ['v1'] })],
      [
        checkEntry('node-a', 'alive'),
        checkEntry('node-a', 'web-c', { serviceId: 'web', output: 'out', status: 'critical' }),
      ],
    )
    const before = store.revision
    const { index } = await catalog.execute(command)
    expect(store.revision).toBe(before + 1)
    const rows = [...catalog.view.nodes(), ...catalog.view.servicesOf('node-a'), ...catalog.view.checksOf('node-a')]
    expect(rows.map((row) => row.modifyIndex)).toEqual([index, index, index, index])
    expect(catalog.view.checksOf('NODE-A')[1]).toMatchObject({ serviceName: 'web', serviceTags: ['v1'], output: 'out' })
    expect(catalog.view.instances('WEB')).toMatchObject([{ status: 'critical', node: { node: 'node-a' } }])
    const instances = catalog.view.instances('web')
    expect(await catalog.execute(command)).toEqual({ index, applied: true })
    expect(store.revision).toBe(before + 1)
    expect(catalog.view.instances('web')).toBe(instances)
  })

  it('keeps the node when asked to, and makes one that is not there', async () => {
    const { catalog } = await open()
    await catalog.execute(register(nodeEntry('n', { address: '1.1.1.1' })))
    await catalog.execute(register(nodeEntry('n', { address: '9.9.9.9' }), [serviceEntry('n', 's')], [], true))
    expect(catalog.view.node('n')).toMatchObject({ address: '1.1.1.1' })
    expect(catalog.view.hasService('s')).toBe(true)
    await catalog.execute(register(nodeEntry('m', { address: '' }), [], [], true))
    expect(catalog.view.node('m')).toBeDefined()
  })

  it('defaults ids to names, and refuses what rests on nothing', async () => {
    const { catalog } = await open()
    const node = nodeEntry('node-a')
    await catalog.execute(
      register(node, [serviceEntry('', 'web', { id: '' })], [checkEntry('', '', { name: 'no id' })]),
    )
    expect(catalog.view.servicesOf('node-a')[0]).toMatchObject({ id: 'web', node: 'node-a' })
    expect(catalog.view.checksOf('node-a')[0]).toMatchObject({ checkId: 'no id', node: 'node-a' })
    const refused = (command: ReturnType<typeof register>) => expect(catalog.execute(command)).rejects
    await refused(register(node, [], [checkEntry('', 'z', { serviceId: 'unknown' })])).toMatchObject({
      code: 'invalid',
      message: 'failed inserting check: Missing service registration on node "node-a"',
    })
    await refused(register(node, [], [checkEntry('node-z', 'z')])).toMatchObject({
      message: 'check node "node-z" does not match node "node-a"',
    })
    await refused(register(node, [], [checkEntry('', '', { name: '' })])).toMatchObject({ field: 'Check.CheckID' })
    await refused(register(node, [serviceEntry('', '')])).toMatchObject({
      message: 'Must provide service name with ID',
    })
    await refused(register(nodeEntry(''))).toMatchObject({ message: 'Must provide node' })
  })

  it('moves a node with its id, and reserves names', async () => {
    const { catalog } = await open()
    const [one, two] = ['aaaaaaaa-0000-0000-0000-000000000001', 'aaaaaaaa-0000-0000-0000-000000000002']
    await catalog.execute(register(nodeEntry('b', { id: one }), [serviceEntry('b', 'web')], [checkEntry('b', 'c')]))
    const { index } = await catalog.execute(register(nodeEntry('c', { id: one })))
    expect(catalog.view.node('b')).toBeUndefined()
    expect(catalog.view.hasService('web')).toBe(false)
    expect(catalog.view.nodeById(one.toUpperCase())).toMatchObject({ node: 'c', modifyIndex: index })
    await expect(catalog.execute(register(nodeEntry('c', { id: two })))).rejects.toMatchObject({
      code: 'conflict',
      message: `Node name c is reserved by node ${one} with name c (10.0.0.1)`,
    })
    await catalog.execute(
      register(nodeEntry('c', { id: one }), [], [checkEntry('c', 'serfHealth', { status: 'critical' })]),
    )
    await catalog.execute(register(nodeEntry('c', { id: two })))
    expect(catalog.view.node('c')).toMatchObject({ id: two })
    expect(catalog.view.nodeById(one)).toBeUndefined()
    // One without an id may be taken over, but not by renaming.
    await catalog.execute(register(nodeEntry('plain')))
    await expect(catalog.execute(register(nodeEntry('plain', { id: two })))).rejects.toMatchObject({ code: 'conflict' })
    await catalog.execute(register(nodeEntry('plain', { id: one })))
    expect(catalog.view.node('plain')).toMatchObject({ id: one })
  })

  it('splits a registration that one transaction cannot take', async () => {
    const { catalog, store } = await open()
    const services = Array.from({ length: 100 }, (_, i) => serviceEntry('n', `s${i}`))
    const checks = Array.from({ length: 200 }, (_, i) =>
      checkEntry('n', `c${i}`, { serviceId: `s${i % 100}`, output: 'o' }),
    )
    await catalog.execute(register(nodeEntry('n'), services, checks))
    expect(catalog.view.servicesOf('n')).toHaveLength(100)
    expect(catalog.view.checksOf('n')).toHaveLength(200)
    // Away it goes in one revision all the same.
    const before = store.revision
    await catalog.execute({ kind: 'deregister', node: 'n' })
    expect(store.revision).toBe(before + 1)
    expect((await store.range('o/', 'p')).kvs).toEqual([])
    expect((await store.range('e/s/', 'e/t')).kvs).toEqual([])
  })
})

describe('deregister', () => {
  const setUp = async () => {
    const { catalog } = await open()
    await catalog.execute(
      register(
        nodeEntry('n'),
        [serviceEntry('n', 'web', { id: 'web-1' }), serviceEntry('n', 'db')],
        [checkEntry('n', 'c', { serviceId: 'web-1', output: 'x' }), checkEntry('n', 'alive')],
      ),
    )
    return catalog
  }

  it('removes a service with its checks, a check, a node with everything', async () => {
    const catalog = await setUp()
    await catalog.execute({ kind: 'deregister', node: 'n', serviceId: 'web' })
    expect(catalog.view.hasService('web')).toBe(true)
    const removed = await catalog.execute({ kind: 'deregister', node: 'N', serviceId: 'WEB-1' })
    expect(catalog.view.checksOf('n').map((row) => row.checkId)).toEqual(['alive'])
    expect(catalog.view.topic({ kind: 'service', service: 'web' }).index).toBe(removed.index)
    await catalog.execute({ kind: 'deregister', node: 'n', checkId: 'alive' })
    expect(catalog.view.checksOf('n')).toEqual([])
    const coordinate = { vec: [0, 0, 0, 0, 0, 0, 0, 0], error: 1, adjustment: 0, height: 1e-5 }
    await catalog.execute({ kind: 'coordinate-update', node: 'n', segment: '', coordinate })
    expect(catalog.view.coordinatesOf('N')).toEqual([{ node: 'n', segment: '', coordinate }])
    await catalog.execute({ kind: 'deregister', node: 'n' })
    expect(catalog.view.nodes()).toEqual([])
    expect(catalog.view.coordinates()).toEqual([])
    expect(catalog.view.services()).toEqual([])
    expect(await catalog.execute({ kind: 'deregister', node: 'n' })).toMatchObject({ applied: true })
  })

  it('writes the coordinates of many nodes in one revision, which wakes no other reader', async () => {
    const { catalog } = await open()
    await catalog.execute(register(nodeEntry('a'), [serviceEntry('a', 'web')]))
    await catalog.execute(register(nodeEntry('b')))
    const woken: string[] = []
    const others = [
      { kind: 'nodes' },
      { kind: 'services' },
      { kind: 'checks' },
      { kind: 'kv-prefix', prefix: '' },
    ] as const
    for (const ref of [...others, { kind: 'service', service: 'web' }, { kind: 'node', node: 'a' }] as const)
      catalog.view.topic(ref).onceChanged(() => woken.push(ref.kind))
    catalog.view.topic({ kind: 'coordinates' }).onceChanged(() => woken.push('coordinates'))
    const row = (node: string, height: number) => ({
      node,
      segment: '',
      coordinate: { vec: [0, 0, 0, 0, 0, 0, 0, 0], error: 1, adjustment: 0, height },
    })
    const before = catalog.view.index
    const { index } = await catalog.execute({
      kind: 'coordinate-batch',
      rows: [row('a', 1), row('gone', 1), row('b', 2), row('a', 3)],
    })
    expect(index).toBe(before + 1)
    expect(catalog.view.coordinates()).toEqual([row('a', 3), row('b', 2)])
    expect(woken).toEqual(['coordinates'])
    expect((await catalog.execute({ kind: 'coordinate-batch', rows: [row('a', 3), row('gone', 1)] })).index).toBe(index)
    const many = Array.from({ length: 101 }, (_, i) => row(`n${i}`, 1))
    await expect(catalog.execute({ kind: 'coordinate-batch', rows: many })).rejects.toMatchObject({ code: 'too-large' })
  })

  it('gives the same indexes after a restart, never lower ones', async () => {
    const catalog = await setUp()
    await catalog.execute({ kind: 'deregister', node: 'n', serviceId: 'web-1' })
    await catalog.execute({ kind: 'deregister', node: 'n', checkId: 'alive' })
    const reloaded = await h.reloaded()
    for (const service of ['web', 'db', 'never']) {
      const ref = { kind: 'service', service } as const
      expect(reloaded.topic(ref).index).toBe(catalog.view.topic(ref).index)
    }
    for (const kind of ['nodes', 'services', 'checks'] as const) {
      expect(reloaded.topic({ kind }).index).toBe(catalog.view.topic({ kind }).index)
    }
    const ref = { kind: 'node', node: 'n' } as const
    expect(reloaded.topic(ref).index).toBe(catalog.view.topic(ref).index)
  })
})

describe('agent-sync', () => {
  const id = 'aaaaaaaa-0000-0000-0000-00000000000a'
  const node = nodeEntry('n', { id })

  it('touches only what an agent owns, and takes over what it registers', async () => {
    const { catalog } = await open()
    await catalog.execute(agentSync(node, { services: [serviceEntry('n', 'mine'), serviceEntry('n', 'old')] }))
    await catalog.execute(register(node, [serviceEntry('n', 'theirs'), serviceEntry('n', 'both')]))
    expect(catalog.view.node('n')).toMatchObject({ owner: 'agent' })
    expect(catalog.view.checksOf('n')).toMatchObject([{ checkId: 'serfHealth', status: 'passing', owner: 'agent' }])
    await catalog.execute(agentSync(node, { removeServices: ['theirs'], removeChecks: ['serfHealth'] }))
    expect(catalog.view.hasService('theirs')).toBe(true)
    await catalog.execute(
      agentSync(node, { services: [serviceEntry('n', 'both')], keepServices: ['MINE'], complete: true }),
    )
    expect(catalog.view.servicesOf('n').map(({ id, owner }) => [id, owner])).toEqual([
      ['both', 'agent'],
      ['mine', 'agent'],
      ['theirs', 'catalog'],
    ])
    expect(catalog.view.checksOf('n')).toHaveLength(1)
  })

  it('writes nothing when nothing differs', async () => {
    const { catalog, store } = await open()
    const sync = agentSync(node, {
      services: [serviceEntry('n', 'web')],
      checks: [checkEntry('n', 'c', { serviceId: 'web' })],
      complete: true,
    })
    await catalog.execute(sync)
    const { revision } = store
    await catalog.execute(sync)
    await catalog.execute(register(node, [serviceEntry('n', 'web')]))
    expect(store.revision).toBe(revision)
    expect(catalog.view.servicesOf('n')[0]).toMatchObject({ owner: 'agent' })
  })

  it('keeps a name from another id while its lease lives', async () => {
    const { catalog, store } = await open()
    await catalog.execute(agentSync(node))
    const other = agentSync(nodeEntry('n', { id: 'bbbbbbbb-0000-0000-0000-00000000000b' }))
    await expect(catalog.execute(other)).rejects.toMatchObject({ code: 'conflict' })
    const status = {
      kind: 'check-status',
      node: 'n',
      checkId: 'serfHealth',
      status: 'critical',
      output: 'gone',
    } as const
    expect(await catalog.execute({ ...status, ifNodeId: 'other' })).toMatchObject({ applied: true })
    expect(catalog.view.checksOf('n')[0]).toMatchObject({ status: 'passing' })
    await catalog.execute(status)
    const lease = await store.grantLease(8000)
    await store.txn({
      then: [{ put: `l/${id}`, value: new Uint8Array([0x93, 1, 0xa1, 0x6e, 0xa1, 0x62]), lease: lease.id }],
    })
    await expect(catalog.execute(other)).rejects.toMatchObject({ code: 'conflict' })
    await store.revokeLease(lease.id)
    await catalog.execute(other)
    expect(catalog.view.node('n')).toMatchObject({ id: other.node.id })
  })
})

describe('failover records', () => {
  const passing = (node: string, status: 'passing' | 'critical' = 'passing') =>
    register(nodeEntry(node), [serviceEntry(node, 'web')], [checkEntry(node, 'c', { serviceId: 'web', status })])

  it('come with the transaction that takes the last passing instance', async () => {
    const { catalog } = await open()
    await catalog.execute(passing('a'))
    await catalog.execute(passing('b'))
    await catalog.execute(passing('a', 'critical'))
    expect(catalog.view.failover('web')).toBeUndefined()
    const { index } = await catalog.execute(passing('b', 'critical'))
    expect(catalog.view.failover('WEB')).toEqual({ service: 'web', since: index })
    await catalog.execute(passing('b'))
    expect(catalog.view.failover('web')).toEqual({ service: 'web', since: index })
    const again = await catalog.execute(passing('b', 'critical'))
    expect(catalog.view.failover('web')).toEqual({ service: 'web', since: again.index })
    await catalog.execute({ kind: 'failover-return', service: 'web', since: index })
    expect(catalog.view.failover('web')).toBeDefined()
    const back = await catalog.execute({ kind: 'failover-return', service: 'web', since: again.index })
    expect(catalog.view.failover('web')).toBeUndefined()
    expect(catalog.view.topic({ kind: 'service', service: 'web' }).index).toBe(back.index)
  })

  it.each([{ remote: false }, { remote: true }])('are made when many go at once ($remote)', async (options) => {
    const { catalog } = await open(options)
    const names = Array.from({ length: 30 }, (_, i) => `n${i}`)
    await Promise.all(names.map((name) => catalog.execute(passing(name))))
    await Promise.all(names.map((name) => catalog.execute(passing(name, 'critical'))))
    await catalog.barrier()
    expect(catalog.view.instances('web').every((instance) => instance.status === 'critical')).toBe(true)
    expect(catalog.view.failover('web')).toBeDefined()
  })

  it('are made when two servers take the last instances at once', async () => {
    const { catalog, store } = await open({ remote: true })
    const other = await openHarness({ store })
    await catalog.execute(passing('a'))
    await catalog.execute(passing('b'))
    await other.catalog.barrier()
    await Promise.all([catalog.execute(passing('a', 'critical')), other.catalog.execute(passing('b', 'critical'))])
    await catalog.barrier()
    expect(catalog.view.instances('web').map((instance) => instance.status)).toEqual(['critical', 'critical'])
    expect(catalog.view.failover('web')).toBeDefined()
    await other.catalog.close()
  })

  it('come with a node-level check, a removal by an agent, but not when a user removes the service', async () => {
    const { catalog } = await open()
    await catalog.execute(passing('a'))
    await catalog.execute(register(nodeEntry('a'), [], [checkEntry('a', 'disk', { status: 'critical' })]))
    expect(catalog.view.failover('web')).toBeDefined()
    await catalog.execute({ kind: 'deregister', node: 'a', serviceId: 'web' })
    expect(catalog.view.failover('web')).toBeUndefined()
    const node = nodeEntry('g', { id: 'aaaaaaaa-0000-0000-0000-00000000000a' })
    await catalog.execute(agentSync(node, { services: [serviceEntry('g', 'api')] }))
    await catalog.execute(agentSync(node, { complete: true }))
    expect(catalog.view.failover('api')).toBeDefined()
  })

  it('come for every service of a node that has hundreds', async () => {
    const { catalog, store } = await open()
    const services = Array.from({ length: 300 }, (_, i) => serviceEntry('n', `s${i}`))
    await catalog.execute(register(nodeEntry('n'), services, [checkEntry('n', 'alive')]))
    await catalog.execute({ kind: 'check-status', node: 'n', checkId: 'alive', status: 'critical', output: '' })
    expect(services.every(({ service }) => catalog.view.failover(service))).toBe(true)
    const before = store.revision
    await catalog.execute({ kind: 'deregister', node: 'n', checkId: 'alive' })
    expect(store.revision).toBe(before + 1)
    const reloaded = await h.reloaded()
    for (const { service } of services) {
      expect(reloaded.topic({ kind: 'service', service }).index).toBe(
        catalog.view.topic({ kind: 'service', service }).index,
      )
    }
  })
})
