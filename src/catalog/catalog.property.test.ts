import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys } from '../model/keys.ts'
import type { Command } from './catalog.ts'
import { Tables } from './tables.ts'
import { checkEntry, kvDelete, kvPut, nodeEntry, register, serviceEntry } from './testing/entries.ts'
import { type Harness, openHarness } from './testing/harness.ts'
import { Model } from './testing/model.ts'
import type { TopicRef } from './view.ts'

const nodeName = fc.constantFrom('n', 'n-1', 'N', 'm')
const serviceId = fc.constantFrom('s', 's-1', 't')
const serviceName = fc.constantFrom('web', 'WEB', 'db')
const checkId = fc.constantFrom('c', 'c-1', 'd')
const status = fc.constantFrom('passing' as const, 'warning' as const, 'critical' as const)
const kvKey = fc.constantFrom('a', 'a/b', 'a/b/c', 'b', 'a0')

const registration = fc
  .record({
    node: nodeName,
    address: fc.constantFrom('1', '2'),
    keepNode: fc.boolean(),
    services: fc.uniqueArray(fc.record({ id: serviceId, service: serviceName, port: fc.nat(1) }), {
      maxLength: 2,
      selector: ({ id }) => id,
    }),
    checks: fc.uniqueArray(
      fc.record({ checkId, status, output: fc.constantFrom('', 'o'), serviceId: fc.option(serviceId, { nil: '' }) }),
      { maxLength: 2, selector: (check) => check.checkId },
    ),
  })
  .map(
    ({ node, address, keepNode, services, checks }): Command =>
      register(
        nodeEntry(node, { address }),
        services.map(({ service, ...more }) => serviceEntry(node, service, more)),
        checks.map(({ checkId, ...more }) => checkEntry(node, checkId, more)),
        keepNode,
      ),
  )

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 5, arbitrary: registration },
  fc.record({ kind: fc.constant('deregister' as const), node: nodeName }),
  fc.record({ kind: fc.constant('deregister' as const), node: nodeName, serviceId }),
  fc.record({ kind: fc.constant('deregister' as const), node: nodeName, checkId }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('check-status' as const),
      node: nodeName,
      checkId,
      status,
      output: fc.constantFrom('', 'x'),
    }),
  },
  fc.tuple(kvKey, fc.constantFrom('1', '2')).map(([key, value]) => kvPut(key, value)),
  fc.tuple(kvKey, fc.boolean()).map(([key, recurse]) => kvDelete(key, { recurse })),
)

const TOPICS: readonly TopicRef[] = [
  { kind: 'nodes' },
  { kind: 'services' },
  { kind: 'checks' },
  ...['n', 'n-1', 'm', 'never'].map((node) => ({ kind: 'node', node }) as const),
  ...['web', 'db', 'never'].map((service) => ({ kind: 'service', service }) as const),
  ...['a', 'a/b', 'b', 'never'].map((key) => ({ kind: 'kv', key }) as const),
  ...['', 'a', 'a/', 'a/b/', 'c'].map((prefix) => ({ kind: 'kv-prefix', prefix }) as const),
]

const json = (value: unknown): string =>
  JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}n` : v instanceof Uint8Array ? [...v] : v))

/** All that an answer about the topic could be made of. */
function answer(view: Tables, ref: TopicRef): string {
  switch (ref.kind) {
    case 'nodes':
      return json(view.nodes())
    case 'services':
      return json([
        view.services(),
        [...view.registry.nodeStates.keys()].sort().flatMap((node) => view.servicesOf(node)),
      ])
    case 'checks':
      return json(view.checks())
    case 'coordinates':
      return json(view.coordinates())
    case 'node':
      return json([view.node(ref.node), view.servicesOf(ref.node), view.checksOf(ref.node)])
    case 'service':
      return json([view.instances(ref.service), view.checksOfService(ref.service), view.failover(ref.service)])
    case 'kv':
      return json(view.kv(ref.key))
    case 'kv-prefix':
      return json([view.kvUnder(ref.prefix), view.kvKeys(ref.prefix, '/')])
    case 'events':
      return json(view.events())
    case 'sessions':
      return json(view.sessions())
    case 'session':
      return json(view.session(ref.session))
    case 'node-sessions':
      return json(view.sessionsOf(ref.node))
    case 'queries':
      return json(view.queries())
    case 'query':
      return json(view.query(ref.id))
  }
}

function expectModel(view: Tables, model: Model): void {
  const strip = <T extends object>(row: T) => {
    const { createIndex: _, modifyIndex: __, ...entry } = row as T & Record<string, unknown>
    return spelled(entry)
  }
  // The node's spelling in its entries is that of when they were written.
  const spelled = <T extends Record<string, unknown>>(entry: T) => ({
    ...entry,
    node: String(entry.node).toLowerCase(),
  })
  const sorted = <T>(map: Map<string, T>, suffix = '') =>
    [...map].sort(([a], [b]) => compareKeys(a + suffix, b + suffix)).map(([, value]) => value)
  expect(view.nodes().map(strip)).toEqual(sorted(model.nodes).map((node) => spelled({ ...node.entry })))
  expect(view.checks().map(strip)).toEqual(
    sorted(model.nodes, '/')
      .flatMap((node) => sorted(node.checks))
      .map((c) => spelled({ ...c })),
  )
  for (const [name, node] of model.nodes) {
    expect(view.servicesOf(name).map(strip)).toEqual(sorted(node.services).map((s) => spelled({ ...s })))
    expect(view.checksOf(name).map(strip)).toEqual(sorted(node.checks).map((c) => spelled({ ...c })))
  }
  for (const service of ['web', 'db']) {
    const found = view.instances(service)
    const wanted = model.instances(service).sort(([a, x], [b, y]) => compareKeys(`${a}/${x}`, `${b}/${y}`))
    expect(found.map((i) => [i.node.node.toLowerCase(), i.service.id, i.status])).toEqual(wanted)
    expect(view.registry.serviceStates.get(service)?.passing ?? 0).toBe(
      wanted.filter(([, , s]) => s === 'passing').length,
    )
    expect(view.hasService(service)).toBe(wanted.length > 0)
  }
  expect(view.kvUnder('').map((row) => [row.key, new TextDecoder().decode(row.value)])).toEqual(
    sorted(model.kv).length === 0
      ? []
      : [...model.kv].sort(([a], [b]) => compareKeys(a, b)).map(([key, { value }]) => [key, value]),
  )
}

/** Made anew from the store: the same entries; indexes the same, or, of what may have lost something, higher. */
async function expectSameAfterRestart(h: Harness): Promise<void> {
  const live = h.catalog.view
  const reloaded = await h.reloaded()
  for (const ref of TOPICS) {
    expect(answer(reloaded, ref)).toBe(answer(live, ref))
    const [before, after] = [live.topic(ref).index, reloaded.topic(ref).index]
    if (ref.kind === 'kv-prefix' || ref.kind === 'node' || (ref.kind === 'kv' && !live.kv(ref.key))) {
      expect(after).toBeGreaterThanOrEqual(before)
    } else expect([ref, after]).toEqual([ref, before])
  }
}

/** A replica that was fed the exported keys alone. */
function expectReplica(replica: Tables, live: Tables): void {
  const bare = (rows: readonly object[]) => json(rows.map((row) => ({ ...row, notes: 0, output: 0, modifyIndex: 0 })))
  expect(json(replica.nodes())).toBe(json(live.nodes()))
  expect(json(replica.services())).toBe(json(live.services()))
  expect(bare(replica.checks())).toBe(bare(live.checks()))
  for (const service of ['web', 'db']) {
    expect(replica.instances(service).map((i) => [i.service, i.status])).toEqual(
      live.instances(service).map((i) => [i.service, i.status]),
    )
    expect(replica.failover(service)).toEqual(live.failover(service))
    expect(replica.topic({ kind: 'service', service }).index).toBeLessThanOrEqual(
      live.topic({ kind: 'service', service }).index,
    )
  }
}

function followExports(h: Harness): Tables {
  const replica = new Tables({ datacenter: 'eu-1', epoch: h.store.epoch })
  h.store.watch('e/', 'e0', 0, {
    onRevisions: (batch) => {
      for (const { revision, events } of batch) {
        replica.applyExported(
          revision,
          events.map((event) =>
            event.type === 'put'
              ? event.kv
              : { key: event.key, value: null, createRevision: 0, modRevision: event.modRevision },
          ),
        )
      }
    },
    onCompacted: () => {},
    onEnd: () => {},
  })
  return replica
}

/** One command, and all that must hold of it. */
async function step(h: Harness, model: Model, command: Command): Promise<void> {
  const { view } = h.catalog
  const before = TOPICS.map((ref) => ({ ref, answer: answer(view, ref), topic: view.topic(ref) }))
  const watched = before.map((b) => {
    const seen = { woken: 0, version: b.topic.version, index: b.topic.index, stop: () => {} }
    seen.stop = b.topic.onceChanged(() => seen.woken++)
    return seen
  })
  const passing = ['web', 'db'].map((service) => model.instances(service).some(([, , s]) => s === 'passing'))
  await h.catalog.execute(command).catch((error: { code: string }) => expect(error.code).toBe('invalid'))
  model.run(command)
  expectModel(view, model)
  for (const [i, { ref, answer: old, topic }] of before.entries()) {
    const seen = watched[i]!
    const changed = answer(view, ref) !== old
    expect([ref, seen.woken]).toEqual([ref, changed ? 1 : 0])
    expect([ref, topic.version !== seen.version]).toEqual([ref, changed])
    if (changed) expect(topic.index).toBeGreaterThan(seen.index)
    else expect(topic.index).toBe(seen.index)
    seen.stop()
  }
  for (const [i, service] of ['web', 'db'].entries()) {
    const instances = model.instances(service)
    if (passing[i] && instances.length > 0 && !instances.some(([, , s]) => s === 'passing')) {
      expect(view.failover(service)).toBeDefined()
    }
  }
  expect(view.waitedFor).toBe(0)
}

describe('catalog', { timeout: 60_000 }, () => {
  it.each([0, 3])(
    'does what a naive model does, wakes exactly when an answer changes, and restarts the same (generation %i)',
    async (generation) => {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 25 }), async (commands) => {
          const h = await openHarness({ epoch: { generation, random: '0123456789abcdef' } })
          const replica = followExports(h)
          const model = new Model()
          try {
            for (const each of commands) await step(h, model, each)
            await expectSameAfterRestart(h)
            expectReplica(replica, h.catalog.view)
          } finally {
            await h.close()
          }
        }),
        { numRuns: 60 },
      )
    },
  )

  it.each([{ remote: false }, { remote: true }])(
    'ends the same when many commands are under way at once ($remote)',
    async (options) => {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 25 }), async (commands) => {
          const h = await openHarness(options)
          const replica = followExports(h)
          try {
            await Promise.all(
              commands.map((each) =>
                h.catalog.execute(each).catch((e: { code: string }) => expect(e.code).toBe('invalid')),
              ),
            )
            await h.catalog.barrier()
            await expectSameAfterRestart(h)
            await new Promise((resolve) => setImmediate(resolve))
            expectReplica(replica, h.catalog.view)
          } finally {
            await h.close()
          }
        }),
        { numRuns: 60 },
      )
    },
  )

  it('is the same on two servers that write at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(command, fc.boolean()), { maxLength: 25 }), async (commands) => {
        const h = await openHarness({ remote: true })
        const other = await openHarness({ store: h.store })
        try {
          await Promise.all(
            commands.map(([each, second]) =>
              (second ? other : h).catalog
                .execute(each)
                .catch((error: { code: string }) => expect(error.code).toBe('invalid')),
            ),
          )
          await Promise.all([h.catalog.barrier(), other.catalog.barrier()])
          const reloaded = await h.reloaded()
          for (const ref of TOPICS) {
            expect(answer(h.catalog.view, ref)).toBe(answer(reloaded, ref))
            expect(answer(other.catalog.view, ref)).toBe(answer(reloaded, ref))
            expect(other.catalog.view.topic(ref).index).toBe(h.catalog.view.topic(ref).index)
          }
        } finally {
          await other.catalog.close()
          await h.close()
        }
      }),
      { numRuns: 100 },
    )
  })

  it('is brought from any state to any other by a snapshot, and only what differs changes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 15 }),
        fc.array(command, { maxLength: 10 }),
        async (first, then) => {
          const h = await openHarness()
          try {
            for (const each of first) await h.catalog.execute(each).catch(() => {})
            const tables = await h.reloaded()
            const before = TOPICS.map((ref) => ({
              ref,
              answer: answer(tables, ref),
              version: tables.topic(ref).version,
              index: tables.topic(ref).index,
            }))
            for (const each of then) await h.catalog.execute(each).catch(() => {})
            const { revision, kvs } = await h.store.range('', '')
            tables.replaceAll(revision, kvs)
            for (const { ref, answer: old, version, index } of before) {
              const now = answer(tables, ref)
              expect([ref, now]).toEqual([ref, answer(h.catalog.view, ref)])
              if (now !== old) expect([ref, tables.topic(ref).version]).not.toEqual([ref, version])
              expect(tables.topic(ref).index).toBeGreaterThanOrEqual(index)
            }
            // A second time nothing differs.
            const versions = TOPICS.map((ref) => tables.topic(ref).version)
            const instances = tables.instances('web')
            tables.replaceAll(revision, kvs)
            expect(TOPICS.map((ref) => tables.topic(ref).version)).toEqual(versions)
            expect(tables.instances('web')).toBe(instances)
          } finally {
            await h.close()
          }
        },
      ),
      { numRuns: 100 },
    )
  })
})
