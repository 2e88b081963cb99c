/** `atoll store migrate` between a data directory and etcd: the command, and what it must not do while somebody uses a store. */
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openCatalog } from '../../src/catalog/open.ts'
import { isSaved } from '../../src/catalog/snapshot.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'
import { openEmbeddedSource } from '../../src/store/embedded/migration.ts'
import { connect } from '../../src/store/etcd/connect.ts'
import { openEtcd } from '../../src/store/etcd/etcd.ts'
import { KeySpace } from '../../src/store/etcd/key-space.ts'
import { openEtcdSource } from '../../src/store/etcd/migration-source.ts'
import { openEtcdTarget } from '../../src/store/etcd/migration-target.ts'
import { KV, PutRequestSchema } from '../../src/store/etcd/proto/etcd_pb.js'
import { migrate } from '../../src/store/migration.ts'
import type { Store } from '../../src/store/store.ts'
import { runCli } from '../cli/harness.ts'
import { bytes, put } from '../compliance/store-support.ts'
import { type EtcdCluster, findEtcd, startEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { temporaryFolder } from './support.ts'

const { clock, random } = await currentRuntime()
const skipped = findEtcd() ? undefined : WITHOUT_ETCD
const KEYS = 1_500

describe.skipIf(skipped !== undefined)(`atoll store migrate${skipped ? ` (${skipped})` : ''}`, () => {
  let etcd: EtcdCluster
  let prefixes = 0
  beforeAll(async () => {
    etcd = await startEtcd(1)
  })
  afterAll(() => etcd?.destroy())

  const nextPrefix = (): string => `m${++prefixes}/`
  const urlOf = (prefix: string): string => `etcd://${etcd.addresses[0]}/${prefix.slice(0, -1)}`
  const options = (prefix: string) => ({ members: etcd.addresses, prefix, owner: 'eu-1', clock, random })
  const cli = (from: string, to: string, ...more: string[]) =>
    runCli(['store', 'migrate', '--dc', 'eu-1', '--from', from, '--to', to, ...more])

  async function within<T>(opening: Promise<Store>, use: (store: Store) => Promise<T>): Promise<T> {
    const store = await opening
    try {
      return await use(store)
    } finally {
      await store.close()
    }
  }

  /** A data directory whose store has a session that holds a lock, and many keys. */
  async function dataDirectory(): Promise<string> {
    const path = await temporaryFolder()
    await within(openEmbedded({ path: join(path, 'store'), clock, random }), async (store) => {
      const catalog = await openCatalog({ store, datacenter: 'eu-1', clock, random, logger: silentLogger })
      const session = random.uuid()
      const node = {
        id: random.uuid(),
        node: 'n1',
        address: '10.0.0.1',
        taggedAddresses: {},
        meta: {},
        owner: 'catalog',
      } as const
      await catalog.execute({ kind: 'register', keepNode: false, node, services: [], checks: [] })
      const made = {
        id: session,
        node: 'n1',
        name: '',
        nodeChecks: [],
        serviceChecks: [],
        checks: null,
        behavior: 'release',
      } as const
      await catalog.execute({ kind: 'session-create', session: { ...made, lockDelayMs: 0, ttl: '', ttlMs: 0 } })
      await catalog.execute({ kind: 'kv-lock', key: 'lock', value: bytes('held'), flags: 3n, session })
      for (let i = 0; i < KEYS; i += 100) {
        await store.txn({
          then: Array.from({ length: 100 }, (_, n) => ({ put: `k/x/${i + n}`, value: bytes(`${i + n}`) })),
        })
      }
      await catalog.close()
    })
    return path
  }

  const saved = (store: Store): Promise<string[]> =>
    store
      .range('', '')
      .then(({ kvs }) =>
        kvs
          .filter(({ key }) => isSaved(key) && !/^(?:t|e\/t)\//.test(key))
          .map(({ key, value }) => `${key}=${Buffer.from(value).toString('hex')}`),
      )

  test('moves a datacenter to etcd and back', async () => {
    const [data, back, prefix] = [await dataDirectory(), await temporaryFolder(), nextPrefix()]
    const before = await within(openEmbedded({ path: join(data, 'store'), clock, random }), saved)
    const { code, out, err } = await cli(data, urlOf(prefix))
    expect(err).toBe('')
    expect(code).toBe(0)
    expect(out).toContain('the same')
    expect(out).toContain(`--store ${urlOf(prefix)}`)
    await within(openEtcd(options(prefix)), async (store) => {
      expect(store.epoch.generation).toBe(1)
      expect(await saved(store)).toEqual(before)
      const catalog = await openCatalog({ store, datacenter: 'eu-1', clock, random, logger: silentLogger })
      expect(catalog.view.kv('lock')).toMatchObject({ flags: 3n, lockIndex: 1, session: expect.any(String) })
      await catalog.close()
    })
    const returned = JSON.parse((await cli(urlOf(prefix), back, '--json')).out)
    expect(returned).toMatchObject({ To: { Generation: 2 }, StartedOver: false })
    expect(out).toContain(returned.Sha256)
    const after = await within(openEmbedded({ path: join(back, 'store'), clock, random }), saved)
    expect(after).toEqual(before)
    // The old ones are as they were.
    expect(await within(openEmbedded({ path: join(data, 'store'), clock, random }), saved)).toEqual(before)
    expect(await within(openEtcd(options(prefix)), async ({ epoch }) => epoch.generation)).toBe(1)
  })

  test('says what is wrong, and what to do', async () => {
    const [data, prefix] = [await dataDirectory(), nextPrefix()]
    const url = urlOf(prefix)
    const wrong = async (from: string, to: string, code: number, ...words: string[]): Promise<void> => {
      const outcome = await cli(from, to)
      expect({ code: outcome.code, out: outcome.out }).toEqual({ code, out: '' })
      for (const word of words) expect(outcome.err).toContain(word)
    }
    await wrong(url, data, 1, `under the prefix ${prefix}`, 'right datacenter')
    await wrong(await temporaryFolder(), url, 1, 'there is no store in')
    await wrong(data, data, 1, 'the same store')
    await wrong(data, 'etcd://127.0.0.1:x', 2, '--to: store.url', 'see atoll store migrate --help')
    await wrong(data, 'etcd:managed', 2, 'atoll snapshot save')
    await wrong(data, 'etcd://127.0.0.1:1/a', 1, 'cannot be reached', 'run the same command again')
    const server = await openEmbedded({ path: join(data, 'store'), clock, random })
    await wrong(data, url, 1, 'another process has this data directory open')
    await server.close()
    await within(openEtcd(options(prefix)), async (store) => {
      await put(store, 'k/a', '1')
      await wrong(url, await temporaryFolder(), 1, '1 server(s) use the prefix', 'stop all servers')
      await wrong(data, url, 1, 'is not empty', 'another prefix')
    })
    await wrong(data, url, 1, 'is not empty')
    await wrong(url, `${url}/`, 1, 'the same store')
    const otherDatacenter = await runCli(['store', 'migrate', '--dc', 'us-1', '--from', url, '--to', data])
    expect(otherDatacenter).toMatchObject({ code: 1, err: expect.stringContaining('belongs to datacenter "eu-1"') })
    const missing = await runCli(['store', 'migrate', '--from', data, '--to', url])
    expect(missing).toMatchObject({ code: 2, err: expect.stringContaining('--dc is missing') })
  })

  test('one that was broken off leaves no store in etcd, and is run again', async () => {
    const [data, prefix] = [await dataDirectory(), nextPrefix()]
    const source = await openEmbeddedSource({ path: join(data, 'store'), random })
    const target = await openEtcdTarget(options(prefix))
    const breaks = migrate({
      source,
      target,
      wants: () => true,
      marks: [],
      onProgress() {
        throw new Error('killed')
      },
    })
    await expect(breaks).rejects.toThrow('killed')
    await source.close()
    await expect(openEtcd(options(prefix))).rejects.toMatchObject({ code: 'unfinished' })
    await expect(openEtcdSource(options(prefix))).rejects.toMatchObject({ code: 'unfinished' })
    const { code, out } = await cli(data, urlOf(prefix))
    expect(code).toBe(0)
    expect(out).toContain('broken off')
    // What is late of the first one changes nothing.
    await expect(target.write([{ key: 'k/late', value: bytes('1') }])).rejects.toMatchObject({ code: 'locked' })
    await expect(target.finish(9)).rejects.toMatchObject({ code: 'locked' })
    await target.close()
    await within(openEtcd(options(prefix)), async (store) => {
      expect(store.epoch.generation).toBe(1)
      expect((await store.range('k/', 'k0')).kvs).toHaveLength(KEYS + 1)
    })
  })

  test('while etcd is read no server starts on it, and what was written none the less is noticed', async () => {
    const [data, prefix] = [await dataDirectory(), nextPrefix()]
    expect((await cli(data, urlOf(prefix))).code).toBe(0)
    const source = await openEtcdSource(options(prefix))
    onTestFinished(() => source.close())
    await expect(openEtcd(options(prefix))).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('is reading the prefix'),
    })
    await source.assertUnused()
    await source.close()
    const server = await openEtcd(options(prefix))
    await put(server, 'k/a', '1')
    await server.close()
    const again = await openEtcdSource(options(prefix))
    onTestFinished(() => again.close())
    await again.assertUnused()
    // A server that knows nothing of migrations.
    const stranger = connect(options(prefix))
    onTestFinished(() => stranger.close())
    const key = new KeySpace(prefix).data('k/b')
    await stranger.call(KV.method.put, create(PutRequestSchema, { key, value: bytes('2') }))
    await expect(again.assertUnused()).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringContaining('was written'),
    })
  })
})
