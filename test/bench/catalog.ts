/**
 * Bench of the catalog over an embedded store in memory. `node test/bench/catalog.ts [instances]` (deno run -A, bun):
 * rates of registration and of reading, time and heap of loading.
 */

import * as codec from '../../src/catalog/codec.ts'
import { openCatalog } from '../../src/catalog/open.ts'
import { Tables } from '../../src/catalog/tables.ts'
import { checkEntry, kvPut, nodeEntry, register, serviceEntry } from '../../src/catalog/testing/entries.ts'
import { compareKeys, keys } from '../../src/model/keys.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'
import type { KeyValue } from '../../src/store/store.ts'

const INSTANCES = Number(process.argv[2] ?? 100_000)
const PER_NODE = 10

const show = (what: string, value: string): void => console.log(what.padEnd(52), value)
const heapMb = (): number => {
  ;(globalThis as { gc?: () => void }).gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}
const perSecond = (count: number, ms: number): string => `${Math.round((count / ms) * 1000).toLocaleString('en')} /s`

function* entriesOf(instances: number): Iterable<KeyValue> {
  const kv = (key: string, value: Uint8Array): KeyValue => ({
    key,
    value,
    createRevision: 2,
    modRevision: 2,
    version: 1,
    lease: 0,
  })
  for (let i = 0; i < instances / PER_NODE; i++) {
    const node = `node-${i}`
    yield kv(keys.node(node), codec.encodeNode(nodeEntry(node, { meta: { rack: `r${i % 40}` } })))
    yield kv(keys.check(node, 'serfHealth'), codec.encodeCheck(checkEntry(node, 'serfHealth')))
    for (let j = 0; j < PER_NODE; j++) {
      const [service, id] = [`service-${(i * PER_NODE + j) % 1000}`, `s${j}`]
      yield kv(
        keys.service(node, id),
        codec.encodeService(serviceEntry(node, service, { id, tags: ['v1', 'blue'], meta: { v: '1' } })),
      )
      const check = checkEntry(node, `c${j}`, { serviceId: id, serviceName: service, serviceTags: ['v1', 'blue'] })
      yield kv(keys.check(node, check.checkId), codec.encodeCheck(check))
      yield kv(keys.output(node, check.checkId), codec.encodeOutput({ notes: '', output: 'HTTP GET: 200 OK' }))
    }
  }
}

function benchLoad(): Tables {
  const kvs = [...entriesOf(INSTANCES)].sort((a, b) => compareKeys(a.key, b.key))
  const before = heapMb()
  const tables = new Tables({ datacenter: 'eu-1', epoch: { generation: 0, random: '0'.repeat(16) } })
  const cpu = process.cpuUsage()
  const start = performance.now()
  for (let at = 0; at < kvs.length; at += 10_000) tables.load(2, kvs.slice(at, at + 10_000))
  const { user } = process.cpuUsage(cpu)
  const took = `${Math.round(performance.now() - start)} ms, ${Math.round(user / 1000)} ms of processor`
  show(`load ${INSTANCES} instances (${kvs.length} keys)`, took)
  show('heap of the tables (with --expose-gc)', `${Math.round(heapMb() - before)} MB`)
  for (let i = 0; i < 1000; i++) tables.instances(`service-${i}`)
  show('heap once every instance was read', `${Math.round(heapMb() - before)} MB`)
  return tables
}

function benchReads(tables: Tables): void {
  const rate = (what: string, count: number, run: (i: number) => void): void => {
    const start = performance.now()
    for (let i = 0; i < count; i++) run(i)
    show(what, perSecond(count, performance.now() - start))
  }
  const names = Array.from({ length: 1000 }, (_, i) => `service-${i}`)
  rate('instances of a service, unchanged', 2_000_000, (i) => tables.instances(names[i % 1000]!))
  const topic = tables.topic({ kind: 'service', service: 'service-7' })
  rate('version of a topic', 5_000_000, () => topic.version)
  let revision = 3
  const change = (i: number): void => {
    const check = checkEntry(`node-${(i * 100) % (INSTANCES / PER_NODE)}`, 'c7', {
      serviceId: 's7',
      status: i % 2 ? 'passing' : 'critical',
    })
    const kv = {
      key: keys.check(check.node, 'c7'),
      value: codec.encodeCheck(check),
      createRevision: 2,
      modRevision: ++revision,
      version: 2,
      lease: 0,
    }
    tables.apply([{ revision, events: [{ type: 'put', kv }] }])
  }
  rate('apply a check, 100 instances a service', 100_000, change)
  rate('apply a check and read its service', 20_000, (i) => {
    change(i)
    tables.instances('service-7')
  })
  const waiting = Array.from({ length: 10_000 }, (_, i) => tables.topic({ kind: 'kv-prefix', prefix: `w/${i}/` }))
  for (const each of waiting) each.onceChanged(() => {})
  rate('apply a KV key beside 10,000 watched prefixes', 100_000, (i) => {
    const value = codec.encodeKv({ value: new Uint8Array(16), flags: 0n, lockIndex: 0, session: '' })
    const kv = { key: `k/x/${i}/y/z`, value, createRevision: ++revision, modRevision: revision, version: 1, lease: 0 }
    tables.apply([{ revision, events: [{ type: 'put', kv }] }])
  })
}

async function benchCommands(): Promise<void> {
  const common = { clock: systemClock, random: systemRandom, logger: silentLogger }
  const store = await openEmbedded({ path: ':memory:', ...common })
  const catalog = await openCatalog({ store, datacenter: 'eu-1', ...common })
  const rate = async (
    what: string,
    count: number,
    width: number,
    run: (i: number) => Promise<unknown>,
  ): Promise<void> => {
    const start = performance.now()
    let next = 0
    const writer = async (): Promise<void> => {
      while (next < count) await run(next++)
    }
    await Promise.all(Array.from({ length: width }, writer))
    show(`${what}, ${width} at once`, perSecond(count, performance.now() - start))
  }
  const registration = (i: number) =>
    register(
      nodeEntry(`n${i}`),
      [serviceEntry(`n${i}`, `s${i % 100}`)],
      [checkEntry(`n${i}`, 'c', { serviceId: `s${i % 100}`, output: 'ok' })],
    )
  await rate('register a node, service and check', 20_000, 64, (i) => catalog.execute(registration(i)))
  await rate('the same again, nothing new', 100_000, 64, (i) => catalog.execute(registration(i % 20_000)))
  const status = (i: number, at: 'passing' | 'critical') =>
    catalog.execute({ kind: 'check-status', node: `n${i}`, checkId: 'c', status: at, output: 'x' })
  await rate('a check turns critical', 20_000, 64, (i) => status(i, 'critical'))
  await rate('put a KV key', 50_000, 64, (i) => catalog.execute(kvPut(`k${i}`, 'value')))
  await rate('put one and the same KV key', 5_000, 64, (i) => catalog.execute(kvPut('hot', `${i}`)))
  await catalog.close()
  await store.close()
}

benchReads(benchLoad())
await benchCommands()
