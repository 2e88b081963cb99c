/**
 * Disks that were copied, restored or begun anew, on real processes: who is refused, what becomes the truth, and where it is
 * told. One runtime is enough: what differs between runtimes is tested below. Three datacenters that restart often are slow.
 */
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePorts } from '../../topology/free-ports.ts'
import { multiaddrOf } from '../../topology/plan.ts'
import { onNode } from '../support/on-node.ts'
import { eventually, startMesh, type TestMesh } from './harness.ts'

const EU = 'eu-1-server'
const US = 'us-1-server'
const SEEN_MS = 15_000

let mesh: TestMesh

interface MeshAnswer {
  readonly Datacenters: readonly {
    readonly Datacenter: string
    readonly State: string
    readonly Replica: { readonly Generation: number } | null
  }[]
  readonly Problems: readonly { readonly Kind: string; readonly Datacenter: string; readonly Message: string }[]
}
const seenBy = async (node: string): Promise<MeshAnswer> => (await mesh.get(node, '/v1/mesh')).body as MeshAnswer

/** The sentence, once the node tells of it. */
const problem = (node: string, kind: string): Promise<string> =>
  eventually(
    `${node} tells of ${kind}`,
    async () => (await seenBy(node)).Problems.find((each) => each.Kind === kind)?.Message,
    SEEN_MS,
  )

const data = (node: string): string => join(mesh.folder, 'data', node)
const register = (node: string, name: string) =>
  mesh.send(node, 'PUT', '/v1/agent/service/register', { Name: name, Port: 1 })
const usServices = async (): Promise<string[]> =>
  Object.keys((await mesh.get(EU, '/v1/catalog/services?dc=us-1')).body as object)
const usState = async (): Promise<string | undefined> =>
  (await seenBy(EU)).Datacenters.find(({ Datacenter }) => Datacenter === 'us-1')?.State

/** Of two that start within a second their ids say which was first; those after this one are to be later. */
const DISTINCT_MS = 1_500
let restartedMs = 0
async function restartUs(): Promise<void> {
  await mesh.local.restart(US)
  restartedMs = performance.now()
}

/** Another server process for us-1, later than the first, on the data of `folder`. Resolves once it is up. */
async function addServer(name: string): Promise<void> {
  await new Promise((wake) => setTimeout(wake, restartedMs + DISTINCT_MS - performance.now()))
  const [httpPort, libp2pPort, dnsPort] = await freePorts(3)
  await mesh.local.addNode({
    name,
    datacenter: 'us-1',
    role: 'server',
    runtime: 'node',
    httpPort: httpPort!,
    libp2pPort: libp2pPort!,
    dnsPort: dnsPort!,
    dataDirectory: data(name),
    join: [multiaddrOf(mesh.local.node(EU).plan.libp2pPort)],
  })
}
const ends = (node: string): Promise<true> =>
  eventually(`${node} ends`, () => mesh.local.node(node).worker.state === 'ended' || undefined, SEEN_MS)

describe.runIf(onNode)('a disk that was', () => {
  beforeAll(async () => {
    mesh = await startMesh({
      name: 'identity',
      flatNetwork: true,
      datacenters: [
        { name: 'eu-1', runtime: 'node', clients: 0 },
        { name: 'us-1', runtime: 'node', clients: 0 },
      ],
      links: [{ between: ['eu-1', 'us-1'], rttMs: 20 }],
    })
    await register(US, 'before')
    await eventually('eu-1 has it', async () => (await usServices()).includes('before'))
    await mesh.local.kill(US)
    await cp(data(US), data('us-1-copy'), { recursive: true })
    await cp(data(US), data('backup'), { recursive: true })
    await restartUs()
    await eventually('us-1 is back', async () => (await usState()) === 'live', SEEN_MS)
  }, 60_000)
  afterAll(() => mesh?.stop())

  it('copied makes a second process with one key: the later one is refused and ends, the first is not disturbed', async () => {
    const links = async () => (await mesh.log(EU, 400)).split('\n').filter((line) => /peer down/.test(line)).length
    const before = await links()
    await addServer('us-1-copy')
    expect(await problem(EU, 'key-in-use')).toContain('started later and is refused')
    expect(await problem(US, 'key-in-use')).toContain("uses this node's key")
    await ends('us-1-copy')
    expect(await mesh.log('us-1-copy')).toContain('another process that started earlier uses this node')
    expect(await links()).toBe(before)
    expect(await usState()).toBe('live')
    expect((await mesh.get(EU, '/v1/catalog/services?dc=us-1&consistent')).status).toBe(200)
  })

  it('restored from a copy is ahead of its own store: the generation rises, and the copy becomes the truth', async () => {
    await register(US, 'after-the-backup')
    await eventually('eu-1 has it', async () => (await usServices()).includes('after-the-backup'))
    await mesh.local.kill(US)
    await rm(data(US), { recursive: true })
    await cp(data('backup'), data(US), { recursive: true })
    await restartUs()
    expect(await problem(US, 'store-behind')).toContain('its generation rises above 0')
    expect(await problem(EU, 'restored')).toContain('generation 0 -> 1')
    await eventually('eu-1 follows', async () => {
      const services = await usServices()
      return services.includes('before') && !services.includes('after-the-backup')
    })
    expect(await usState()).toBe('live')
  })

  it('begun anew under a name that is taken makes a second server: the later one ends, and the name stays', async () => {
    await addServer('us-1-rival')
    await ends('us-1-rival')
    expect(await mesh.log('us-1-rival')).toContain('datacenter "us-1" has a server already')
    expect(await usServices()).toContain('before')
    await eventually('us-1 is live', async () => (await usState()) === 'live', SEEN_MS)
  })
})
