import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys, keys } from '../model/keys.ts'
import * as codec from './codec.ts'
import { type AppliedEntry, type PackedContent, ReplicaTables } from './replica-tables.ts'
import { peekNodeId, peekService } from './tables/peek.ts'
import { type Change, Tables } from './tables.ts'
import { checkEntry, nodeEntry, serviceEntry } from './testing/entries.ts'
import type { CatalogView, TopicRef } from './view.ts'

type Put = Change & { readonly value: Uint8Array }

class MemoryContent implements PackedContent {
  readonly entries = new Map<string, Put>()

  get size(): number {
    return this.entries.size
  }
  get(key: string): Put | undefined {
    return this.entries.get(key)
  }
  under(prefix: string): Put[] {
    return [...this.entries.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .sort((a, b) => compareKeys(a.key, b.key))
  }
  apply(change: Change): AppliedEntry {
    const former = this.entries.get(change.key)?.value
    if (change.value === null) this.entries.delete(change.key)
    else this.entries.set(change.key, change as Put)
    return { ...change, former }
  }
  clone(): MemoryContent {
    const copy = new MemoryContent()
    for (const [key, entry] of this.entries) copy.entries.set(key, entry)
    return copy
  }
}

const epoch = { generation: 1, random: 'aa' }
const NODES = ['n1', 'N2', 'n/3']
const SERVICES = ['web', 'Db', 'api']
const TOPICS: readonly TopicRef[] = [
  { kind: 'nodes' },
  { kind: 'services' },
  { kind: 'checks' },
  ...NODES.map((node): TopicRef => ({ kind: 'node', node })),
  ...SERVICES.map((service): TopicRef => ({ kind: 'service', service })),
]

const bare = (value: unknown): string => JSON.stringify(value)

function answer(view: CatalogView, ref: TopicRef): string {
  switch (ref.kind) {
    case 'nodes':
      return bare(view.nodes())
    case 'services':
      return bare(view.services().map(({ service, tags }) => [service.toLowerCase(), [...tags].sort()]))
    case 'checks':
      return bare([view.checks(), view.checks('critical')])
    case 'node':
      return bare([view.node(ref.node), view.servicesOf(ref.node), view.checksOf(ref.node)])
    case 'service': {
      const { service } = ref
      return bare([
        view.instances(service),
        view.hasService(service),
        view.checksOfService(service),
        view.failover(service),
      ])
    }
    default:
      return ''
  }
}

/** Changes of one revision, as a catalog makes them: what is deleted raises the indexes of what lost it. */
const kind = fc.constantFrom('node', 'service', 'check', 'failover')
const operation = fc.record({
  kind,
  node: fc.constantFrom(...NODES),
  id: fc.constantFrom('web', 'db', 'x'),
  service: fc.constantFrom(...SERVICES),
  tag: fc.constantFrom('a', 'b'),
  status: fc.constantFrom('passing' as const, 'critical' as const),
  deletes: fc.boolean(),
})
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

function changesOf(op: Operation, content: MemoryContent, revision: number): Change[] {
  const put = (key: string, value: Uint8Array): Change => ({
    key,
    value,
    createRevision: content.get(key)?.createRevision ?? revision,
    modRevision: revision,
  })
  const del = (key: string): Change => ({ key, value: null, createRevision: 0, modRevision: revision })
  const mark = (key: string): Change => put(key, codec.MARK)
  const [node, id] = [op.node, op.id]
  switch (op.kind) {
    case 'node':
      if (op.deletes)
        return [
          del(keys.node(node)),
          ...SERVICES.map((one) => mark(keys.serviceIndex(one))),
          mark(keys.tableIndex('nodes')),
        ]
      return [
        put(keys.node(node), codec.encodeNode(nodeEntry(node, { id: `ID-${node}`, meta: { at: `${revision}` } }))),
      ]
    case 'service': {
      const key = keys.service(node, id)
      const former = content.get(key)
      const lost = former ? [mark(keys.serviceIndex(codec.decodeService(former.value, 0, 0).service))] : []
      if (op.deletes) return [del(key), ...lost, mark(keys.tableIndex('services'))]
      const entry = serviceEntry(node, op.service, { id, tags: [op.tag, 'all'] })
      return [put(key, codec.encodeService(entry)), ...lost]
    }
    case 'check': {
      const key = keys.check(node, `c-${id}`)
      if (op.deletes)
        return [del(key), ...SERVICES.map((one) => mark(keys.serviceIndex(one))), mark(keys.tableIndex('checks'))]
      const of = op.tag === 'a' ? id : ''
      return [put(key, codec.encodeCheck(checkEntry(node, `c-${id}`, { serviceId: of, status: op.status })))]
    }
    case 'failover': {
      const key = keys.failover(op.service)
      if (op.deletes) return [del(key), mark(keys.serviceIndex(op.service))]
      return [put(key, codec.encodeFailover(op.service))]
    }
  }
}

function installed(tables: ReplicaTables, revision: number, content: PackedContent): void {
  const installation = tables.install(epoch, revision, content)
  while (installation.step());
  installation.commit()
}

const step = fc.record({
  operations: fc.array(operation, { maxLength: 4 }),
  reads: fc.array(fc.constantFrom(...TOPICS), { maxLength: 3 }),
  installs: fc.nat(5),
})

describe('tables of a replica', () => {
  it('answer as tables that hold everything do, whatever was asked before, and wake who waits', {
    timeout: 60_000,
  }, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const whole = new Tables({ datacenter: 'eu-1', epoch })
        const lazy = new ReplicaTables({ datacenter: 'eu-1' })
        let content = new MemoryContent()
        installed(lazy, 0, content)
        let revision = 0
        for (const { operations, reads, installs } of steps) {
          const held = reads.map((ref) => {
            const topic = lazy.topic(ref)
            const seen = { ref, topic, answer: answer(lazy, ref), version: topic.version, index: topic.index, woken: 0 }
            topic.onceChanged(() => seen.woken++)
            return seen
          })
          for (const operation of operations) {
            revision++
            const changes = changesOf(operation, content, revision)
            const applied = changes.map((change) => content.apply(change))
            whole.applyExported(revision, changes)
            lazy.apply(revision, applied)
          }
          if (installs === 0) {
            content = content.clone()
            installed(lazy, revision, content)
          }
          for (const { ref, topic, answer: before, version, index, woken } of held) {
            if (answer(whole, ref) === before) continue
            expect([ref, woken]).toEqual([ref, 1])
            expect([ref, topic.version]).not.toEqual([ref, version])
            expect(topic.index).toBeGreaterThanOrEqual(index)
          }
          for (const { ref } of held) expect([ref, answer(lazy, ref)]).toEqual([ref, answer(whole, ref)])
          expect(bare(lazy.registrations())).toBe(bare(whole.registrations()))
        }
        for (const ref of TOPICS) {
          expect([ref, answer(lazy, ref)]).toEqual([ref, answer(whole, ref)])
          if (ref.kind === 'service' && lazy.hasService(ref.service))
            expect(lazy.topic(ref).index).toBe(whole.topic(ref).index)
        }
        for (const node of whole.nodes()) expect(lazy.nodeById(node.id.toLowerCase())).toEqual(node)
        expect(lazy.index).toBe(whole.index)
      }),
      { numRuns: 300, seed: 11 },
    )
  })

  it('decode only what is asked for', () => {
    const content = new MemoryContent()
    for (let i = 0; i < 100; i++) {
      const node = `n${i}`
      const value = codec.encodeService(serviceEntry(node, i % 2 ? 'web' : 'db'))
      content.apply({
        key: keys.node(node),
        value: codec.encodeNode(nodeEntry(node)),
        createRevision: 1,
        modRevision: 1,
      })
      content.apply({ key: keys.service(node, 'x'), value, createRevision: 1, modRevision: 1 })
    }
    const tables = new ReplicaTables({ datacenter: 'eu-1' })
    installed(tables, 1, content)
    expect(tables.services().map(({ service }) => service)).toEqual(['db', 'web'])
    expect(tables.registrations()).toHaveLength(100)
    expect(tables.registrations()).toBe(tables.registrations())
    expect(tables.warmNodes).toBe(0)
    expect(tables.instances('nobody')).toEqual([])
    expect(tables.instances('web')).toHaveLength(50)
    expect(tables.warmNodes).toBe(50)
    expect(tables.instances('web')).toBe(tables.instances('web'))
    // What was in use is there at once after a content came that took its place.
    installed(tables, 2, content.clone())
    expect(tables.warmNodes).toBe(50)
  })

  it('show the old or the new content, never a mixture', () => {
    const tables = new ReplicaTables({ datacenter: 'eu-1' })
    const content = (address: string): MemoryContent => {
      const made = new MemoryContent()
      for (let i = 0; i < 2000; i++) {
        const value = codec.encodeNode(nodeEntry(`n${i}`, { address }))
        made.apply({ key: keys.node(`n${i}`), value, createRevision: 1, modRevision: 1 })
      }
      return made
    }
    installed(tables, 1, content('old'))
    const next = tables.install(epoch, 2, content('new'))
    for (let more = true; more; ) {
      expect(tables.node('n7')?.address).toBe('old')
      expect(tables.nodes().every(({ address }) => address === 'old')).toBe(true)
      more = next.step()
    }
    next.commit()
    expect(tables.nodes().every(({ address }) => address === 'new')).toBe(true)
  })

  it('go on without a value that cannot be read', () => {
    const unreadable: string[] = []
    const tables = new ReplicaTables({ datacenter: 'eu-1', onUnreadable: (key) => unreadable.push(key) })
    const content = new MemoryContent()
    for (const key of [keys.node('n'), keys.service('n', 'web'), keys.check('n', 'c')])
      content.apply({ key, value: new Uint8Array([0xc1]), createRevision: 1, modRevision: 1 })
    installed(tables, 1, content)
    expect([tables.nodes(), tables.node('n'), tables.checks(), tables.services()]).toEqual([[], undefined, [], []])
    expect(new Set(unreadable)).toEqual(new Set([...content.entries.keys()]))
  })
})

describe('peeking into values', () => {
  it('finds what decoding does', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 80 }),
        fc.string({ unit: 'grapheme', maxLength: 300 }),
        fc.array(fc.string({ unit: 'grapheme', maxLength: 40 }), { maxLength: 20 }),
        (node, service, tags) => {
          const value = codec.encodeService(serviceEntry(node, service, { tags }))
          expect(peekService(value)).toEqual({ service, tags })
          expect(peekNodeId(codec.encodeNode(nodeEntry(node, { id: service })))).toBe(service)
        },
      ),
      { seed: 5 },
    )
    expect(peekService(new Uint8Array([0xc1]))).toBeUndefined()
    expect(peekService(new Uint8Array())).toBeUndefined()
  })
})
