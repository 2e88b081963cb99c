import { describe, expect, it } from 'vitest'
import type { CheckEntry, KvEntry } from '../model/entries.ts'
import { keys } from '../model/keys.ts'
import type { KeyValue, StoreEvent } from '../store/store.ts'
import * as codec from './codec.ts'
import { Tables } from './tables.ts'
import { checkEntry, nodeEntry, serviceEntry } from './testing/entries.ts'
import type { TopicRef } from './view.ts'

const kv = (key: string, value: Uint8Array, modRevision: number, createRevision = modRevision): KeyValue => ({
  key,
  value,
  createRevision,
  modRevision,
  version: 1,
  lease: 0,
})
const put = (...args: Parameters<typeof kv>): StoreEvent => ({ type: 'put', kv: kv(...args) })
const del = (key: string, modRevision: number): StoreEvent => ({ type: 'delete', key, modRevision })

const open = (generation = 0) => new Tables({ datacenter: 'eu-1', epoch: { generation, random: '0'.repeat(16) } })
const value = (text: string): Omit<KvEntry, 'key'> => ({
  value: new TextEncoder().encode(text),
  flags: 0n,
  lockIndex: 0,
  session: '',
})
const kvOf = (key: string, revision: number) => kv(keys.kv(key), codec.encodeKv(value(key)), revision)
const checkOf = (entry: CheckEntry, revision: number) =>
  kv(keys.check(entry.node, entry.checkId), codec.encodeCheck(entry), revision)

const index = (tables: Tables, ref: TopicRef) => tables.topic(ref).index

describe('Tables', () => {
  it('orders lists by the keys of the store', () => {
    const tables = open()
    const names = ['b', 'a-1', 'a', 'A.x', 'ü', '\uff5e', '😀']
    tables.load(
      9,
      names.flatMap((name, i) => [
        kv(keys.node(name), codec.encodeNode(nodeEntry(name)), i + 1),
        kv(keys.service(name, 's'), codec.encodeService(serviceEntry(name, 's')), i + 1),
      ]),
    )
    expect(tables.nodes().map((row) => row.node)).toEqual(['a', 'a-1', 'A.x', 'b', 'ü', '\uff5e', '😀'])
    // With a '/' behind them: '-' and '.' come before it.
    expect(tables.instances('s').map((i) => i.node.node)).toEqual(['a-1', 'A.x', 'a', 'b', 'ü', '\uff5e', '😀'])
  })

  it('takes names with slashes and percent signs', () => {
    const tables = open()
    const [node, id] = ['a/b', '50%/x']
    tables.load(1, [
      kv(keys.node(node), codec.encodeNode(nodeEntry(node)), 1),
      kv(keys.service(node, id), codec.encodeService(serviceEntry(node, 'Web/1', { id })), 1),
      checkOf(checkEntry(node, 'c/d', { serviceId: id, status: 'warning' }), 1),
    ])
    expect(tables.instances('WEB/1')).toMatchObject([{ node: { node }, service: { id }, status: 'warning' }])
    expect(tables.checksOf('A/B')).toHaveLength(1)
  })

  it('merges a check with its output, whichever comes first, and takes the later index', () => {
    for (const order of [0, 1]) {
      const tables = open()
      const check = checkEntry('n', 'c', { serviceId: 's', status: 'critical' })
      const pages = [
        [
          put(keys.node('n'), codec.encodeNode(nodeEntry('n')), 2),
          put(checkOf(check, 2).key, checkOf(check, 2).value, 2),
        ],
        [
          put(keys.output('n', 'c'), codec.encodeOutput({ notes: 'n', output: 'o' }), 3),
          put(keys.service('n', 's'), codec.encodeService(serviceEntry('n', 's')), 3),
        ],
      ]
      if (order === 1) pages.reverse()
      tables.apply([{ revision: 3, events: pages.flat() }])
      expect(tables.checksOf('n')[0]).toMatchObject({ notes: 'n', output: 'o', createIndex: 2, modifyIndex: 3 })
      expect(tables.instances('s')).toMatchObject([{ status: 'critical', checks: [{ output: 'o' }] }])
    }
  })

  it('keeps the rows and lists of what did not change', () => {
    const tables = open()
    tables.load(2, [
      kv(keys.node('n'), codec.encodeNode(nodeEntry('n')), 1),
      kv(keys.node('m'), codec.encodeNode(nodeEntry('m')), 1),
      ...['n', 'm'].map((node) => kv(keys.service(node, 'web'), codec.encodeService(serviceEntry(node, 'web')), 1)),
      kv(keys.service('m', 'db'), codec.encodeService(serviceEntry('m', 'db')), 1),
    ])
    const [web, db, nodes] = [tables.instances('web'), tables.instances('db'), tables.nodes()]
    tables.apply([
      { revision: 3, events: [put(checkOf(checkEntry('n', 'c'), 3).key, codec.encodeCheck(checkEntry('n', 'c')), 3)] },
    ])
    expect(tables.instances('db')).toBe(db)
    expect(tables.nodes()).toBe(nodes)
    const now = tables.instances('web')
    expect(now).not.toBe(web)
    expect(now[0]).toBe(web[0])
    expect(now[1]!.node).toBe(web[1]!.node)
    expect(tables.instances('web')).toBe(now)
    expect(tables.instances('none')).toBe(tables.instances('nothing'))
  })

  it('calls waiters after the whole batch, each once, and survives those that throw', () => {
    const failures: unknown[] = []
    const tables = new Tables({
      datacenter: 'eu-1',
      epoch: { generation: 0, random: '0'.repeat(16) },
      onWaiterFailed: (error) => failures.push(error),
    })
    const seen: unknown[] = []
    const topic = tables.topic({ kind: 'kv', key: 'a' })
    topic.onceChanged(() => {
      throw new Error('mine')
    })
    topic.onceChanged(() => {
      seen.push(tables.kv('b')?.modifyIndex)
      topic.onceChanged(() => seen.push('again'))
    })
    const cancel = topic.onceChanged(() => seen.push('never'))
    cancel()
    cancel()
    const event = (key: string, revision: number): StoreEvent => ({ type: 'put', kv: kvOf(key, revision) })
    tables.apply([
      { revision: 2, events: [event('a', 2)] },
      { revision: 3, events: [event('b', 3)] },
    ])
    expect(seen).toEqual([3])
    expect(failures).toHaveLength(1)
    tables.apply([{ revision: 4, events: [event('a', 4), event('b', 4)] }])
    expect(seen).toEqual([3, 'again'])
    expect(tables.waitedFor).toBe(0)
  })

  it('keeps nothing of absent things that nobody waits for', () => {
    const tables = open()
    const topics = Array.from({ length: 1000 }, (_, i) => tables.topic({ kind: 'service', service: `absent-${i}` }))
    const cancels = topics.map((topic) => topic.onceChanged(() => {}))
    expect(tables.waitedFor).toBe(1000)
    for (const cancel of cancels) cancel()
    expect(tables.waitedFor).toBe(0)
    expect(tables.registry.serviceStates.size).toBe(0)
  })

  it('falls back on the highest deletion forgotten, and never goes back', () => {
    const tables = open()
    const gone = { kind: 'kv', key: 'k0' } as const
    let last = 0
    for (let i = 0; i < 9000; i++) {
      const revision = 2 + 2 * i
      tables.apply([
        { revision, events: [{ type: 'put', kv: kvOf(`k${i}`, revision) }] },
        { revision: revision + 1, events: [del(`k/k${i}`, revision + 1)] },
      ])
      const now = index(tables, gone)
      expect(now).toBeGreaterThanOrEqual(last)
      last = now
    }
    expect(index(tables, { kind: 'kv', key: 'k8999' })).toBe(18_001)
    expect(last).toBe(1 + 2 * (9000 - 8192))
    expect(index(tables, { kind: 'kv', key: 'never' })).toBe(last)
    expect(index(tables, { kind: 'kv-prefix', prefix: 'k8999' })).toBe(18_001)
  })

  it('stands at a revision without changes, and at 1 at least', () => {
    const tables = open()
    for (const kind of ['nodes', 'services', 'checks', 'coordinates'] as const) expect(index(tables, { kind })).toBe(1)
    expect(tables.index).toBe(1)
    tables.applyExported(7, [])
    expect(tables.index).toBe(7)
  })

  it('takes exported changes, deletions without a revision of their own too', () => {
    const tables = open(1)
    const base = 2 ** 40
    tables.replaceAll(5, [
      kv(keys.node('n'), codec.encodeNode(nodeEntry('n')), 3),
      kv(keys.service('n', 'web'), codec.encodeService(serviceEntry('n', 'web')), 4),
      kv(keys.failover('web'), codec.encodeFailover('Web'), 5),
    ])
    expect(tables.failover('web')).toEqual({ service: 'Web', since: base + 5 })
    expect(index(tables, { kind: 'service', service: 'web' })).toBe(base + 5)
    tables.applyExported(9, [{ key: keys.service('n', 'web'), value: null, createRevision: 0, modRevision: 0 }])
    expect(tables.hasService('web')).toBe(false)
    expect(index(tables, { kind: 'service', service: 'web' })).toBe(base + 9)
    tables.replaceAll(2, [kv(keys.node('m'), codec.encodeNode(nodeEntry('m')), 2)], {
      generation: 2,
      random: '1'.repeat(16),
    })
    expect(tables.nodes()).toMatchObject([{ node: 'm', modifyIndex: 2 * base + 2 }])
    expect(index(tables, { kind: 'nodes' })).toBe(2 * base + 2)
  })

  it('finds the deletions that a snapshot of another life tells of', () => {
    const tables = open()
    const mark = kv(keys.tableIndex('services'), codec.MARK, 8)
    tables.replaceAll(9, [kv(keys.node('n'), codec.encodeNode(nodeEntry('n')), 3), mark])
    expect(index(tables, { kind: 'node', node: 'n' })).toBe(8)
    expect(index(tables, { kind: 'services' })).toBe(8)
  })

  it('holds many keys', { timeout: 60_000 }, () => {
    const tables = open()
    const encoded = codec.encodeKv(value('x'.repeat(16)))
    for (let page = 0; page < 10; page++) {
      tables.load(
        2,
        Array.from({ length: 20_000 }, (_, i) => kv(`k/${String(page * 20_000 + i).padStart(7, '0')}`, encoded, 2)),
      )
    }
    expect(tables.kvTable.size).toBe(200_000)
    const prefix = tables.topic({ kind: 'kv-prefix', prefix: '01' })
    expect(prefix.index).toBe(2)
    tables.apply([{ revision: 3, events: [del('k/0100000', 3)] }])
    expect(prefix.index).toBe(3)
    expect(tables.kvKeys('010', '')).toHaveLength(9999)
  })
})
