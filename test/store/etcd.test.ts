/** The etcd store beyond the contract: who shares the etcd, who may use it, and what etcd itself runs out of. */
import { execFileSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { credentials } from '@grpc/grpc-js'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { silentLogger } from '../../src/runtime/logger.ts'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { Cluster } from '../../src/store/etcd/cluster.ts'
import { type EtcdOptions, openEtcd } from '../../src/store/etcd/etcd.ts'
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  KV,
  PutRequestSchema,
  RequestOpSchema,
  TxnRequestSchema,
} from '../../src/store/etcd/proto/etcd_pb.js'
import { rangesRead, replay } from '../../src/store/etcd/replay.ts'
import type { Store } from '../../src/store/store.ts'
import { transaction } from '../compliance/store-properties.ts'
import { get, put, watch } from '../compliance/store-support.ts'
import { type EtcdCluster, findEtcd, startEtcd, WITHOUT_ETCD } from '../support/etcd.ts'

const { clock, random } = await currentRuntime()
const skipped = findEtcd() ? undefined : WITHOUT_ETCD

describe.skipIf(skipped !== undefined)(`etcd as a store${skipped ? ` (${skipped})` : ''}`, () => {
  let etcd: EtcdCluster
  let prefixes = 0
  beforeAll(async () => {
    etcd = await startEtcd(1)
  })
  afterAll(() => etcd?.destroy())

  const nextPrefix = (): string => `p${++prefixes}/`

  async function open(options: Partial<EtcdOptions> = {}): Promise<Store> {
    const prefix = options.prefix ?? nextPrefix()
    const store = await openEtcd({ members: etcd.addresses, prefix, owner: 'eu-1', clock, random, ...options })
    onTestFinished(() => store.close())
    return store
  }

  /** Somebody else on the same etcd. */
  function stranger() {
    const cluster = new Cluster({
      members: etcd.addresses,
      credentials: credentials.createInsecure(),
      clock,
      logger: silentLogger,
    })
    onTestFinished(() => cluster.close())
    const key = new TextEncoder().encode('of-somebody-else')
    return {
      write: async (): Promise<number> => {
        const { header } = await cluster.call(KV.method.put, create(PutRequestSchema, { key, value: key }))
        return Number(header!.revision)
      },
      compact: (revision: number) =>
        cluster.call(
          KV.method.compact,
          create(CompactionRequestSchema, { revision: BigInt(revision), physical: true }),
        ),
      remove: (prefix: string, end: string) => {
        const [from, to] = [prefix, end].map((text) => new TextEncoder().encode(text))
        const value = create(DeleteRangeRequestSchema, { key: from, rangeEnd: to })
        const operation = create(RequestOpSchema, { request: { case: 'requestDeleteRange', value } })
        return cluster.call(KV.method.txn, create(TxnRequestSchema, { success: [operation] }))
      },
    }
  }

  test("two servers see each other's writes behind a barrier, at the same revisions", async () => {
    const prefix = nextPrefix()
    const [a, b] = [await open({ prefix }), await open({ prefix })]
    expect(b.epoch).toEqual(a.epoch)
    const { recorder } = watch(b, '', '', b.status().revision)
    for (let i = 0; i < 20; i++) {
      const revision = await put(a, 'k', String(i))
      expect(await b.barrier()).toBe(revision)
      expect(recorder.last).toBe(revision)
    }
  })

  test('a generation that another server raises ends the watches, so that all begin anew', async () => {
    const prefix = nextPrefix()
    const [a, b] = [await open({ prefix }), await open({ prefix })]
    const own = watch(a, '', '', a.status().revision).recorder
    const other = watch(b, '', '', b.status().revision).recorder
    const epoch = await a.raiseGeneration(2)
    await other.until(({ compacted }) => compacted !== undefined)
    expect(b.epoch).toEqual(epoch)
    expect(await b.raiseGeneration(2)).toEqual(epoch)
    await own.reaches(await put(a, 'k', '1'))
    expect(own.compacted).toBeUndefined()
    expect((await b.range('', '')).kvs).toHaveLength(1)
  })

  test("a prefix is one datacenter's", async () => {
    const prefix = nextPrefix()
    await open({ prefix })
    await expect(open({ prefix, owner: 'us-1' })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('belongs to datacenter "eu-1"'),
    })
    const apart = await open({ prefix: `${prefix}us/`, owner: 'us-1' })
    await put(apart, 'k', '1')
    expect((await apart.range('', '')).kvs).toHaveLength(1)
  })

  test('an idle store goes on although others write to the etcd and have its history forgotten', async () => {
    const store = await open()
    const before = watch(store, '', '', store.status().revision).recorder
    const since = await put(store, 'a', '1')
    // From then on etcd counts its watch as one that has seen everything.
    await before.reaches(since)
    const { recorder } = watch(store, '', '', since)
    const { write, compact } = stranger()
    let last = 0
    for (let i = 0; i < 50; i++) last = await write()
    await compact(last)
    // A reader that comes new, one that follows, and one that was away.
    const { kvs, revision } = await store.range('', '')
    expect(kvs.map(({ key }) => key)).toEqual(['a'])
    const fresh = watch(store, '', '', revision).recorder
    const behind = watch(store, '', '', since - 1).recorder
    const next = await put(store, 'b', '2')
    await Promise.all([recorder.reaches(next), fresh.reaches(next)])
    await behind.until(({ compacted }) => compacted !== undefined)
    expect([recorder.events, fresh.events]).toEqual([[`${next} b=2`], [`${next} b=2`]])
    // Cut off while its last revision is forgotten.
    await etcd.members[0]!.kill()
    await etcd.members[0]!.start()
    await recorder.reaches(await put(store, 'c', '3'))
    expect((await get(store, 'c'))!.version).toBe(1)
  })

  test('a process that others took for dead gets new slots, and goes on', async () => {
    const prefix = nextPrefix()
    const store = await open({ prefix })
    await put(store, 'a', '1')
    // As others do it once its sign of life has lapsed.
    await stranger().remove(`${prefix}s/`, `${prefix}s0`)
    const { results } = await store.txn({
      if: [{ key: 'a', target: 'version', op: '=', to: 1 }],
      then: [{ put: 'b', value: new Uint8Array(1) }],
      else: [{ delete: 'a' }],
    })
    expect(results).toEqual([{ kind: 'put' }])
    await put(store, 'c', '1')
    expect((await store.range('', '')).kvs.map(({ key }) => key)).toEqual(['a', 'b', 'c'])
    expect(await store.barrier()).toBeGreaterThan(0)
  })

  test('transactions larger than a request of etcd are refused before they are sent', async () => {
    const store = await open()
    const value = new Uint8Array(900_000)
    const txn = { then: ['a', 'b'].map((key) => ({ put: key, value })) }
    await expect(store.txn(txn)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('divide it'),
    })
  })

  test('what a transaction gave can be told afterwards, from the state before it', async () => {
    const store = await open()
    const property = fc.asyncProperty(fc.array(transaction, { minLength: 5, maxLength: 20 }), async (txns) => {
      for (const txn of txns) {
        const { succeeded, revision, results } = await store.txn(txn)
        const operations = succeeded ? txn.then : (txn.else ?? [])
        if (!operations.some((operation) => !('range' in operation))) continue
        const before = await Promise.all(
          rangesRead(operations).map(([from, to]) => store.range(from, to, { revision: revision - 1 })),
        )
        // One that changed nothing has no revision of its own.
        const changed = results.some(
          (result) => result.kind === 'put' || (result.kind === 'delete' && result.deleted > 0),
        )
        if (changed)
          expect(
            replay(
              operations,
              before.flatMap(({ kvs }) => kvs),
              revision,
            ),
          ).toEqual(results)
      }
    })
    await fc.assert(property, { numRuns: 15 })
  })

  test('nobody there: says so, and where it looked', { timeout: 10_000 }, async () => {
    await expect(open({ members: ['127.0.0.1:1'] })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('127.0.0.1:1'),
    })
  })
})

describe.skipIf(skipped !== undefined)(`an etcd that is full${skipped ? ` (${skipped})` : ''}`, () => {
  test('takes no writes, and does again by itself once there is room', { timeout: 60_000 }, async () => {
    const etcd = await startEtcd(1, { flags: ['--quota-backend-bytes', String(16 * 1024 * 1024)] })
    onTestFinished(() => etcd.destroy())
    const store = await openEtcd({ members: etcd.addresses, prefix: 'p/', owner: 'eu-1', clock, random })
    onTestFinished(() => store.close())
    const value = new Uint8Array(500_000)
    let refused: unknown
    for (let i = 0; i < 200 && !refused; i++) {
      // Always the same keys: it is history that takes the room.
      await store.txn({ then: [{ put: `k${i % 3}`, value }] }).catch((error: unknown) => {
        refused = error
      })
    }
    expect(refused).toMatchObject({ code: 'disk-full', message: expect.stringContaining('quota') })
    expect(store.status().failure).toContain('quota')
    expect((await store.range('', '')).kvs).toHaveLength(3)
    for (;;) {
      const written = await put(store, 'after', '1').then(
        () => true,
        () => false,
      )
      if (written) break
      await sleep(100)
    }
    expect(store.status().failure).toBeUndefined()
  })
})

describe.skipIf(skipped !== undefined)(`an etcd that was restored${skipped ? ` (${skipped})` : ''}`, () => {
  test('is another life of the store, in which all watches begin anew', async () => {
    const etcd = await startEtcd(1)
    onTestFinished(() => etcd.destroy())
    const [member] = etcd.members
    const store = await openEtcd({ members: etcd.addresses, prefix: 'p/', owner: 'eu-1', clock, random })
    onTestFinished(() => store.close())
    await put(store, 'kept', '1')
    await member!.kill()
    await cp(member!.directory, `${member!.directory}.backup`, { recursive: true })
    await member!.start()
    for (let i = 0; i < 20; i++) await put(store, `lost/${i}`, '1')
    const { recorder } = watch(store, '', '', store.status().revision)
    await member!.kill()
    await rm(member!.directory, { recursive: true })
    await rename(`${member!.directory}.backup`, member!.directory)
    await member!.start()
    await store.barrier()
    await recorder.until(({ compacted }) => compacted !== undefined)
    expect((await store.range('', '')).kvs.map(({ key }) => key)).toEqual(['kept'])
    while (store.epoch.generation === 0) await sleep(10)
    expect(await store.raiseGeneration(1)).toEqual(store.epoch)
    const again = watch(store, '', '', (await store.range('', '')).revision).recorder
    await again.reaches(await put(store, 'next', '1'))
    expect(store.epoch.generation).toBe(1)
  })
})

describe.skipIf(skipped !== undefined)(`etcd with TLS and users${skipped ? ` (${skipped})` : ''}`, () => {
  let folder: string
  let etcd: EtcdCluster
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atoll-etcd-tls-'))
    certificates(folder)
    const [ca, cert, key] = ['ca.pem', 'member.pem', 'member.key'].map((name) => join(folder, name))
    const flags = ['--cert-file', cert!, '--key-file', key!, '--trusted-ca-file', ca!, '--client-cert-auth']
    etcd = await startEtcd(1, { clientScheme: 'https', flags })
  })
  afterAll(async () => {
    await etcd?.destroy()
    if (folder) await rm(folder, { recursive: true })
  })

  test('by client certificate, then by user and password', async () => {
    const pem = (name: string) => readFile(join(folder, name))
    const tls = {
      ca: await pem('ca.pem'),
      cert: await pem('client.pem'),
      key: await pem('client.key'),
      serverName: 'etcd.internal',
    }
    const options = { members: etcd.addresses, prefix: 'p/', owner: 'eu-1', clock, random, tls }
    const store = await openEtcd(options)
    await put(store, 'a', '1')
    await store.close()
    await expect(openEtcd({ ...options, tls: { ca: tls.ca, serverName: tls.serverName } })).rejects.toMatchObject({
      code: 'unavailable',
    })
    enableUsers(etcd.addresses[0]!, folder)
    const wrong = { ...options, login: { user: 'atoll', password: 'wrong' } }
    await expect(openEtcd(wrong)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('store.user atoll'),
    })
    const withUser = await openEtcd({ ...options, login: { user: 'atoll', password: 'secret' } })
    onTestFinished(() => withUser.close())
    const { recorder } = watch(withUser, '', '', withUser.status().revision)
    await recorder.reaches(await put(withUser, 'b', '2'))
    const { id } = await withUser.grantLease(5_000)
    await withUser.renewLease(id)
    await expect(
      openEtcd({ ...options, prefix: 'q/', login: { user: 'atoll', password: 'secret' } }),
    ).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('role'),
    })
  })
})

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** A user whose role may use one prefix; from then on nobody else may. */
function enableUsers(address: string, folder: string): void {
  const files = ['--cacert', 'ca.pem', '--cert', 'client.pem', '--key', 'client.key']
  const ctl = (...args: string[]): void => {
    const env = { ...process.env, ETCDCTL_API: '3' }
    execFileSync('etcdctl', [`--endpoints=https://${address}`, ...files, ...args], { cwd: folder, env, stdio: 'pipe' })
  }
  ctl('user', 'add', 'root:root')
  ctl('user', 'grant-role', 'root', 'root')
  ctl('role', 'add', 'atoll')
  ctl('role', 'grant-permission', 'atoll', '--prefix=true', 'readwrite', 'p/')
  ctl('user', 'add', 'atoll:secret')
  ctl('user', 'grant-role', 'atoll', 'atoll')
  ctl('auth', 'enable')
}

/** An authority, a member's certificate for a name that is not its address, and a client's. */
function certificates(folder: string): void {
  const at = (name: string): string => join(folder, name)
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-x509', ...curve, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', '/CN=ca', '-days', '2')
  for (const [name, subject, more] of [
    ['member', '/CN=member', 'subjectAltName=DNS:etcd.internal,IP:127.0.0.1'],
    ['client', '/CN=root', 'extendedKeyUsage=clientAuth'],
  ] as const) {
    openssl('req', ...curve, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`), '-subj', subject, '-addext', more)
    const signed = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-copy_extensions', 'copy']
    openssl('x509', '-req', '-in', at(`${name}.csr`), ...signed, '-out', at(`${name}.pem`), '-days', '2')
  }
}
