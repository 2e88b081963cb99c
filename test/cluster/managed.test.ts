/** Three servers that run an etcd cluster themselves: formed, replaced, recovered. What they survive under load is in managed-mesh.test.ts. */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePorts } from '../../topology/free-ports.ts'
import { ask, type NodeAnswer } from '../../topology/node-api.ts'
import { type AtollProcess, startAtoll } from '../cli/atoll-process.ts'
import { findEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { onNode } from '../support/on-node.ts'
import { eventually } from './harness.ts'

const skipped = !onNode ? 'once, on Node' : findEtcd() ? undefined : WITHOUT_ETCD
const NAMES = ['s1', 's2', 's3'] as const
type Name = (typeof NAMES)[number]
/** What one of them runs on is nothing to the others. */
const RUNTIMES = { s1: 'node', s2: 'deno', s3: 'bun' } as const

interface ShownMember {
  readonly Name: string
  readonly ID: string
  readonly Status: string
  readonly Learner: boolean
}

describe.skipIf(skipped !== undefined)(`three servers with a managed etcd${skipped ? ` (${skipped})` : ''}`, () => {
  let folder: string
  const ports = new Map<Name, { http: number; libp2p: number; client: number; peer: number }>()
  const running = new Map<Name, AtollProcess>()

  const directoryOf = (name: Name): string => join(folder, name)

  function start(name: Name): AtollProcess {
    const { http, libp2p, client, peer } = ports.get(name)!
    // All know one of them, which knows nobody.
    const joins = name === 's1' ? [] : ['--join', `127.0.0.1:${ports.get('s1')!.libp2p}`]
    const own = ['--server', '--dc', 'eu-1', '--node', name, '--data-dir', directoryOf(name), '--dns-port', '-1']
    const store = ['--store', 'etcd:managed', '--servers', '3']
    const listen = ['--http-port', String(http), '--port', String(libp2p)]
    const etcd = ['--etcd-client-port', String(client), '--etcd-peer-port', String(peer)]
    const started = startAtoll(['agent', ...own, ...store, ...listen, ...etcd, ...joins], {}, RUNTIMES[name])
    running.set(name, started)
    return started
  }

  async function kill(name: Name): Promise<void> {
    running.get(name)!.child.kill('SIGKILL')
    await running.get(name)!.ended
  }

  const url = (name: Name, path: string): string => `http://127.0.0.1:${ports.get(name)!.http}${path}`
  const write = (name: Name, key: string): Promise<NodeAnswer> =>
    ask(url(name, `/v1/kv/${key}`), { method: 'PUT', body: key, timeoutMs: 6_000 })
  const read = (name: Name, key: string): Promise<NodeAnswer> =>
    ask(url(name, `/v1/kv/${key}?raw`), { timeoutMs: 6_000 })

  async function store(...args: readonly string[]): Promise<unknown> {
    const process = startAtoll(['store', ...args, '--json'])
    const code = await process.ended
    if (code !== 0) throw new Error(`exit code ${code}: ${process.stderr()}`)
    return JSON.parse(Buffer.from(process.stdout()).toString())
  }
  const members = async (by: Name): Promise<ShownMember[]> =>
    (await store('members', '--data-dir', directoryOf(by))) as ShownMember[]

  /** Processes of etcd below the folder of this test. */
  const etcds = (name?: Name): number =>
    spawnSync('ps', ['-eo', 'args'])
      .stdout.toString()
      .split('\n')
      .filter((line) => /^\S*etcd --name/.test(line) && line.includes(name ? directoryOf(name) : folder)).length

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atoll-managed-'))
    const free = await freePorts(12)
    NAMES.forEach((name, i) => {
      const [http, libp2p, client, peer] = free.slice(i * 4) as [number, number, number, number]
      ports.set(name, { http, libp2p, client, peer })
    })
    await Promise.all(NAMES.map((name) => start(name).line()))
  }, 90_000)
  afterAll(async () => {
    for (const { child } of running.values()) child.kill('SIGKILL')
    await Promise.all([...running.values()].map(({ ended }) => ended))
    await eventually('no etcd is left', () => etcds() === 0, 15_000)
    if (folder) await rm(folder, { recursive: true, force: true })
  }, 30_000)

  it('form one cluster that takes writes, each with a member', async () => {
    for (const name of NAMES) expect((await write(name, `by-${name}`)).status).toBe(200)
    for (const name of NAMES) expect((await read(name, 'by-s1')).status).toBe(200)
    const found = await members('s2')
    expect(found.map(({ Name }) => Name).sort()).toEqual([...NAMES])
    expect(found.map(({ Status }) => Status).sort()).toEqual(['follows', 'follows', 'leads'])
    expect(etcds()).toBe(3)
  }, 60_000)

  it('let nobody in without a certificate', async () => {
    const address = `https://127.0.0.1:${ports.get('s1')!.client}`
    const ca = join(directoryOf('s1'), 'etcd', 'tls', 'ca.pem')
    const asked = spawnSync(
      'etcdctl',
      ['--endpoints', address, '--cacert', ca, '--command-timeout', '2s', 'get', 'a'],
      {
        env: { ...process.env, ETCDCTL_API: '3' },
      },
    )
    expect(asked.status).not.toBe(0)
  }, 30_000)

  it('replace a member that lost its data, whose etcd ended with it, by the server that comes at its place', async () => {
    const before = (await members('s1')).find(({ Name }) => Name === 's2')!
    await kill('s2')
    await eventually('its etcd has ended', () => etcds('s2') === 0, 15_000)
    await rm(directoryOf('s2'), { recursive: true, force: true })
    await start('s2').line()
    const after = await members('s1')
    expect(after.map(({ Name, Learner }) => [Name, Learner]).sort()).toEqual(NAMES.map((name) => [name, false]))
    expect(after.find(({ Name }) => Name === 's2')!.ID).not.toBe(before.ID)
    expect((await read('s2', 'by-s1')).status).toBe(200)
  }, 90_000)

  it('go on with one when the majority is lost for good, and take others in', async () => {
    for (const name of NAMES) await kill(name)
    await store('recover', '--data-dir', directoryOf('s1'))
    for (const name of ['s2', 's3'] as const)
      await rm(join(directoryOf(name), 'etcd'), { recursive: true, force: true })
    await start('s1').line()
    expect((await read('s1', 'by-s3')).status).toBe(200)
    expect(await members('s1')).toMatchObject([{ Name: 's1', Status: 'leads' }])
    await Promise.all((['s2', 's3'] as const).map((name) => start(name).line()))
    await eventually('it takes writes', async () => (await write('s3', 'again')).status === 200, 20_000)
    expect(await members('s3')).toHaveLength(3)
    // Servers take the members of others until their own answers.
    const answer = ({ Status }: ShownMember): boolean => Status === 'leads' || Status === 'follows'
    await eventually('all members answer', async () => (await members('s3')).every(answer), 30_000)
    // All have the same data, and go on to have them.
    for (const by of NAMES) expect((await write(by, `after-by-${by}`)).status).toBe(200)
    const keys = ['by-s1', 'by-s2', 'by-s3', 'again', ...NAMES.map((name) => `after-by-${name}`)]
    for (const name of NAMES) {
      for (const key of keys) expect([name, key, (await read(name, key)).status]).toEqual([name, key, 200])
    }
  }, 120_000)

  it('take out one that is gone for good, and let its server use the members of the others', async () => {
    await expect(store('remove', '--data-dir', directoryOf('s1'), 'nobody')).rejects.toThrow(/there is no member/)
    await kill('s3')
    // Refused for as long as a member that remains does not answer, which one of two did not now and then.
    const remove = (): Promise<boolean> =>
      store('remove', '--data-dir', directoryOf('s1'), 's3').then(
        () => true,
        (error: Error) => {
          if (/no majority/.test(error.message)) return false
          throw error
        },
      )
    await eventually('it is taken out', remove, 20_000)
    expect((await members('s2')).map(({ Name }) => Name).sort()).toEqual(['s1', 's2'])
    await start('s3').line()
    expect((await write('s3', 'without-a-member')).status).toBe(200)
    expect((await read('s2', 'without-a-member')).status).toBe(200)
    expect(etcds('s3')).toBe(0)
    // Two are no majority of what remains without the other.
    await kill('s2')
    await expect(store('remove', '--data-dir', directoryOf('s1'), 's1')).rejects.toThrow(/no majority|unavailable/)
  }, 90_000)

  it('end soon while they wait for others, and leave no etcd', async () => {
    await kill('s1')
    await eventually('its etcd has ended', () => etcds('s1') === 0, 15_000)
    const waiting = start('s1')
    await eventually('it waits with its own etcd', () => etcds('s1') === 1, 15_000)
    waiting.child.kill('SIGTERM')
    expect(await waiting.ended).toBe(0)
    expect(etcds('s1')).toBe(0)
  }, 60_000)
})
