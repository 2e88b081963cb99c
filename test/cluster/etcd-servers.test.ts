/** A datacenter with three servers on one etcd, one client, and a neighbour: servers die and stand still, and nobody notices much. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePorts } from '../../topology/free-ports.ts'
import { ask, type NodeAnswer } from '../../topology/node-api.ts'
import { type AtollProcess, startAtoll } from '../cli/atoll-process.ts'
import { type EtcdCluster, findEtcd, startEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { onNode } from '../support/on-node.ts'
import { eventually, sleep } from './harness.ts'

const skipped = !onNode ? 'once, on Node' : findEtcd() ? undefined : WITHOUT_ETCD

interface Member {
  readonly name: string
  readonly process: AtollProcess
  readonly http: string
  /** Where the catalog says that it is reached: what the leader is known by. */
  readonly address: string
}

describe.skipIf(skipped !== undefined)(`three servers on one etcd${skipped ? ` (${skipped})` : ''}`, () => {
  let etcd: EtcdCluster
  let folder: string
  const members = new Map<string, Member>()

  async function start(name: string, dc: string, args: readonly string[], join?: Member): Promise<Member> {
    const [http, port] = await freePorts(2)
    const own = ['--dc', dc, '--node', name, '--data-dir', `${folder}/${name}`, '--flat-network', '--dns-port', '0']
    const joins = join ? ['--join', join.address] : []
    const ports = ['--http-port', String(http), '--port', String(port)]
    const process = startAtoll(['agent', ...own, ...ports, ...args, ...joins])
    await process.line()
    const member = { name, process, http: `http://127.0.0.1:${http}`, address: `127.0.0.1:${port}` }
    members.set(name, member)
    return member
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atoll-servers-'))
    etcd = await startEtcd(1)
    const server = ['--server', '--store', `etcd://${etcd.addresses[0]}`]
    const s1 = await start('s1', 'eu-1', server)
    await Promise.all([start('s2', 'eu-1', server, s1), start('s3', 'eu-1', server, s1)])
    await Promise.all([start('us', 'us-1', ['--server'], s1), start('n1', 'eu-1', [], members.get('s2')!)])
  }, 60_000)
  afterAll(async () => {
    for (const { process } of members.values()) process.child.kill('SIGKILL')
    await Promise.all([...members.values()].map(({ process }) => process.ended))
    await etcd?.destroy()
    if (folder) await rm(folder, { recursive: true, force: true })
  })

  const on = (name: string, path: string): Promise<NodeAnswer> => ask(`${members.get(name)!.http}${path}`)
  const put = (name: string, path: string, body: unknown): Promise<NodeAnswer> =>
    ask(`${members.get(name)!.http}${path}`, { method: 'PUT', body, timeoutMs: 6_000 })
  const alive = (): string[] => [...members.keys()].filter((name) => name.startsWith('s'))

  async function leader(seenBy: string, not?: string): Promise<Member> {
    return await eventually('a leader', async () => {
      const { body } = await on(seenBy, '/v1/status/leader')
      return [...members.values()].find(({ address, name }) => address === body && name !== not)
    })
  }

  /** What the neighbour has to say about its replica of this datacenter. */
  async function replica(): Promise<Record<string, unknown>> {
    const { body } = await on('us', '/v1/mesh')
    const { Datacenters } = body as { Datacenters: { Datacenter: string; Replica: Record<string, unknown> }[] }
    return Datacenters.find(({ Datacenter }) => Datacenter === 'eu-1')!.Replica
  }

  async function register(at: string, name: string): Promise<void> {
    expect((await put(at, '/v1/agent/service/register', { Name: name, Port: 80 })).status).toBe(200)
    await eventually(`${name} at the neighbour`, async () => {
      const { body } = await on('us', `/v1/health/service/${name}?dc=eu-1&passing`)
      return (body as unknown[]).length === 1
    })
  }

  const health = async (name: string): Promise<string> => {
    const { body } = await on(alive()[0]!, `/v1/health/node/${name}`)
    return (body as { CheckID: string; Status: string }[]).find(({ CheckID }) => CheckID === 'serfHealth')!.Status
  }

  it('answer for each other: what one acknowledged, the next default read of another shows', async () => {
    for (let i = 0; i < 30; i++) {
      const [writer, reader] = [alive()[i % 3]!, alive()[(i + 1) % 3]!]
      expect((await put(writer, '/v1/kv/turn', i)).body).toBe(true)
      expect((await on(reader, '/v1/kv/turn?raw')).body).toBe(i)
    }
    await register('n1', 'web')
  })

  it('go on when the leader is killed: another leads within 5 s, and the neighbour notices nothing', async () => {
    const before = await replica()
    const killed = await leader('s1')
    const survivors = alive().filter((name) => name !== killed.name)
    const startMs = performance.now()
    killed.process.child.kill('SIGKILL')
    members.delete(killed.name)
    expect((await put(survivors[0]!, '/v1/kv/after', 1)).body).toBe(true)
    expect(performance.now() - startMs).toBeLessThan(2_000)
    await leader(survivors[0]!, killed.name)
    expect(performance.now() - startMs).toBeLessThan(5_000)
    await eventually('the dead server is critical', async () => (await health(killed.name)) === 'critical')
    expect(await health('n1')).toBe('passing')
    for (const name of survivors) await register(name, `on-${name}`)
    const after = await replica()
    const { Generation, Snapshots, Repairs } = before
    expect(after).toMatchObject({ Generation, Snapshots, Repairs })
  })

  it('are not harmed by a leader that stood still and wakes', async () => {
    const stopped = await leader(alive()[0]!)
    const other = alive().find((name) => name !== stopped.name)!
    const { body } = await put(other, '/v1/session/create', { TTL: '10s' })
    const { ID } = body as { ID: string }
    expect((await put(other, `/v1/kv/lock?acquire=${ID}`, 'held')).body).toBe(true)
    stopped.process.child.kill('SIGSTOP')
    const stoppedMs = performance.now()
    const next = await leader(other, stopped.name)
    expect(performance.now() - stoppedMs).toBeLessThan(5_000)
    for (let i = 0; i < 6; i++) {
      await sleep(1_000)
      await put(other, `/v1/session/renew/${ID}`, undefined)
    }
    stopped.process.child.kill('SIGCONT')
    // It answers again what is so, and leads no more.
    expect(
      await eventually('the leader as the others know it', async () => (await leader(stopped.name)).name === next.name),
    ).toBe(true)
    const [lock] = (await on(stopped.name, '/v1/kv/lock')).body as { Session: string }[]
    expect(lock!.Session).toBe(ID)
    await eventually('all that live pass', async () => {
      const all = await Promise.all([...alive(), 'n1'].map((name) => health(name)))
      return all.every((status) => status === 'passing')
    })
    const { AgeMs } = await replica()
    expect(AgeMs).toBeLessThan(5_000)
  })
})
