/**
 * Programs that nobody here wrote, on their own binaries, against one mesh of two datacenters: they follow what is
 * registered, changed, failed, failed over and healed. What counts is which real backend answered. docs/programs has a page
 * for each, with the configuration that runs here.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { queryFor, readMessage } from '../../src/dns/testing/queries.ts'
import { freePorts } from '../../topology/free-ports.ts'
import { eventually, startMesh, type TestMesh } from '../cluster/harness.ts'
import { byUdp } from '../replay/dns.ts'
import { type Backend, startBackend } from './backends.ts'
import { haveAll, pathOf, run } from './process.ts'
import { NEEDED, PEERS, type Peer, type Place, runPage, startPrometheus } from './programs.ts'

/** The programs are the same whatever runs the tests; once is enough. */
const isNode = process.versions.deno === undefined && process.versions.bun === undefined
/** For Prometheus, which needs a resolver on port 53. */
const isRoot = process.getuid?.() === 0
const EU = 'eu-1-server'
const US = 'us-1-server'
/** A program asks again within a second or two; a failover comes back after ten steady ones. */
const FOLLOWS_MS = 15_000
const RETURNS_MS = 30_000

let mesh: TestMesh
let place: Place
let prometheus: Pick<Peer, 'stop'> | undefined
const backends = new Map<string, Backend>()
const peers = new Map<string, Peer>()

async function register(node: string, id: string, address: string): Promise<void> {
  const backend = await startBackend(id, address, place.webPort, place.grpcPort)
  backends.set(id, backend)
  const check = { HTTP: `http://${address}:${place.webPort}/health`, Interval: '200ms', Timeout: '2s' }
  const body = { ID: id, Name: 'web', Address: address, Port: place.webPort, Check: { ...check, Status: 'passing' } }
  expect((await mesh.send(node, 'PUT', '/v1/agent/service/register', body)).status).toBe(200)
}

const deregister = (node: string, id: string) => mesh.send(node, 'PUT', `/v1/agent/service/deregister/${id}`)

const lookUp = async (type: 'A' | 'SRV' = 'A') =>
  readMessage(await byUdp(queryFor('web.service.consul', { type, udpBytes: 4096 }), place.dnsPort))

/** Until a program was answered by each of these, and by nobody else since it first was. */
async function isAnsweredBy(name: string, ids: readonly string[], withinMs = FOLLOWS_MS): Promise<void> {
  const peer = peers.get(name)!
  const wanted = new Set(ids)
  let seen = new Set<string>()
  let inRow = 0
  await eventually(
    `${name} is answered by ${ids.join(' and ')}`,
    async () => {
      const id = await peer.ask().catch((error: unknown) => `${error}`)
      if (!wanted.has(id)) {
        seen = new Set()
        inRow = 0
        throw new Error(`answered by ${id}`)
      }
      seen.add(id)
      return ++inRow >= (peer.isSlow ? 1 : 5) && seen.size === wanted.size
    },
    withinMs,
  )
}

/** Prometheus scrapes all of these twice, and none of the others meanwhile. */
async function areScraped(ids: readonly string[]): Promise<void> {
  if (!isRoot) return console.log('Prometheus is left out: it asks port 53, which takes root')
  const counts = () => new Map([...backends].map(([id, { scrapes }]) => [id, scrapes]))
  let before = counts()
  await eventually(
    `scraped are ${ids.join(' and ')}`,
    () => {
      const now = counts()
      if ([...now].some(([id, n]) => !ids.includes(id) && n > (before.get(id) ?? 0))) before = now
      return ids.every((id) => now.get(id)! >= (before.get(id) ?? 0) + 2)
    },
    FOLLOWS_MS,
  )
}

const names = Object.keys(PEERS)
const allAreAnsweredBy = (ids: readonly string[], withinMs?: number) =>
  Promise.all(names.map((name) => isAnsweredBy(name, ids, withinMs)))

describe.skipIf(!isNode || !haveAll(NEEDED))('programs', () => {
  beforeAll(async () => {
    mesh = await startMesh({
      name: 'peers',
      flatNetwork: true,
      datacenters: [
        { name: 'eu-1', clients: 0 },
        { name: 'us-1', clients: 0 },
      ],
      links: [{ between: ['eu-1', 'us-1'], rttMs: 80 }],
    })
    // Below the project, so that what runs there finds its packages.
    const root = fileURLToPath(new URL('../../.atoll/', import.meta.url))
    await mkdir(root, { recursive: true })
    const folder = await mkdtemp(join(root, 'peers-'))
    const [webPort, grpcPort, ...ports] = await freePorts(7)
    const { dnsPort, httpPort } = mesh.local.node(EU).plan
    place = { folder, dnsPort, httpPort, webPort: webPort!, grpcPort: grpcPort!, ports: ports as never }
    await Promise.all([
      register(EU, 'web-1', '127.0.11.1'),
      register(EU, 'web-2', '127.0.11.2'),
      register(US, 'us-1', '127.0.12.1'),
    ])
    await eventually('both are told', async () => (await lookUp()).answers.length === 2)
    await Promise.all([
      ...Object.entries(PEERS).map(async ([name, startPeer]) => peers.set(name, await startPeer(place))),
      isRoot &&
        startPrometheus(place).then((started) => {
          prometheus = started
        }),
    ])
  }, 90_000)

  afterAll(async () => {
    await Promise.all([...[...peers.values()].map((peer) => peer.stop()), prometheus?.stop()])
    await Promise.all([...backends.values()].map((backend) => backend.stop()))
    await mesh?.stop()
    if (place) await rm(place.folder, { recursive: true, force: true })
  }, 30_000)

  test('find what is registered', { timeout: 60_000 }, async () => {
    await allAreAnsweredBy(['web-1', 'web-2'])
    await areScraped(['web-1', 'web-2'])
    expect(backends.get('us-1')).toMatchObject({ hits: 0, scrapes: 0 })
  })

  test('what Prometheus asks of the API names exactly those, with all it labels them by', async () => {
    const asked = { stale: '', wait: '120000ms' }
    const get = async (path: string) => {
      const answer = await mesh.get(EU, `${path}?${new URLSearchParams(asked)}`)
      expect(answer.headers.get('x-consul-index')).toMatch(/^[1-9]\d*$/)
      return answer.body as Record<string, never>[]
    }
    const self = await mesh.get(EU, '/v1/agent/self')
    expect(self.body).toMatchObject({ Config: { Datacenter: 'eu-1' } })
    expect(await get('/v1/catalog/services')).toHaveProperty('web')
    const entries = await get('/v1/health/service/web')
    expect(entries).toHaveLength(2)
    for (const entry of entries) {
      expect(entry).toMatchObject({
        Node: { Node: EU, Meta: {}, TaggedAddresses: {}, Datacenter: 'eu-1' },
        Service: { ID: expect.stringMatching(/^web-/), Tags: [], Meta: {}, Port: place.webPort },
        Checks: expect.any(Array),
      })
    }
  })

  test('dig and kdig read every kind of answer', async () => {
    const told = await runPage(place, 0)
    expect(told).toContain('127.0.11.1\n')
    expect(told).toMatch(/1 1 \d+ 7f000c01\.addr\.us-1\.consul\./)
    expect(told).toContain('eu-1-server.node.eu-1.atoll.')
    expect(told).toMatch(/web\.service\.nearest\.consul\.\s+0\s+IN\s+SRV/)
    const at = ['@127.0.0.1', '-p', String(place.dnsPort)]
    expect(await run(pathOf('dig')!, [...at, 'consul', 'AXFR'])).toContain('Transfer failed')
    expect(await run(pathOf('dig')!, [...at, 'nope.service.consul'])).toMatch(/NXDOMAIN[\s\S]*SOA\s+ns\.consul\./)
    expect(await run(pathOf('dig')!, [...at, '+subnet=192.0.2.0/24', 'web.service.consul'])).toContain('192.0.2.0/24/0')
    expect(
      await run(pathOf('dig')!, [...at, '+cookie', '+dnssec', '+bufsize=512', 'web.service.consul']),
    ).not.toContain('FORMERR')
  })

  test('dnsperf under churn: nothing is lost, and what is told was registered', { timeout: 60_000 }, async () => {
    const churn = { over: false, registered: new Set(['127.0.11.1', '127.0.11.2']) }
    const body = (i: number) => ({
      Node: `churn-${i}`,
      Address: `127.0.13.${i}`,
      Service: { Service: 'web', Port: place.webPort },
    })
    const changing = (async () => {
      for (let i = 0; !churn.over; i = (i + 1) % 20) {
        churn.registered.add(`127.0.13.${i}`)
        await mesh.send(EU, 'PUT', '/v1/catalog/register', body(i))
        const { answers } = await lookUp()
        // Acknowledged, so it is told.
        expect(answers.some((answer) => answer.endsWith(` 127.0.13.${i}`))).toBe(true)
        expect(answers.every((answer) => churn.registered.has(answer.split(' ').at(-1)!))).toBe(true)
        await mesh.send(EU, 'PUT', '/v1/catalog/deregister', { Node: `churn-${i}` })
        churn.registered.delete(`127.0.13.${i}`)
        expect((await lookUp()).answers.some((answer) => answer.endsWith(` 127.0.13.${i}`))).toBe(false)
      }
    })()
    const report = await runPage(place, 1).finally(() => {
      churn.over = true
    })
    await changing
    expect(report).toMatch(/NOERROR \d+ \(100\.00%\)/)
    const [, completed, share] = /Queries completed:\s+(\d+) \((\d+\.\d+)%\)/.exec(report)!
    expect(Number(completed)).toBeGreaterThan(1_000)
    // The kernel may drop some of the first burst, before the node has run warm.
    expect(Number(share)).toBeGreaterThan(99.8)
  })

  test('follow a change, and HAProxy loses nothing by it', { timeout: 60_000 }, async () => {
    const haproxy = peers.get('haproxy')!
    const load = { over: false, lost: [] as string[], answered: 0 }
    const loading = (async () => {
      while (!load.over) {
        await haproxy.ask().then(
          () => load.answered++,
          (error: unknown) => load.lost.push(String(error)),
        )
      }
    })()
    await register(EU, 'web-3', '127.0.11.3')
    await deregister(EU, 'web-2')
    await allAreAnsweredBy(['web-1', 'web-3'])
    // Every program has looked again since: now it may go.
    await backends.get('web-2')!.stop()
    await new Promise((wake) => setTimeout(wake, 500))
    load.over = true
    await loading
    expect(load.lost).toEqual([])
    expect(load.answered).toBeGreaterThan(50)
    await areScraped(['web-1', 'web-3'])
  })

  test('leave an instance that fails', { timeout: 60_000 }, async () => {
    backends.get('web-1')!.healthy = false
    await allAreAnsweredBy(['web-3'])
    await areScraped(['web-3'])
  })

  test('follow a failover to another datacenter', { timeout: 60_000 }, async () => {
    backends.get('web-3')!.healthy = false
    await allAreAnsweredBy(['us-1'])
    await areScraped(['us-1'])
    const { answers } = await lookUp('SRV')
    expect(answers).toHaveLength(1)
    // One more than the distance in milliseconds.
    const [, priority] = / SRV (\d+) 1 \d+ 7f000c01\.addr\.us-1\.consul$/.exec(answers[0]!)!
    expect(Number(priority)).toBeGreaterThanOrEqual(81)
    expect(Number(priority)).toBeLessThan(200)
  })

  test('come back when all is healed', { timeout: 90_000 }, async () => {
    for (const id of ['web-1', 'web-3']) backends.get(id)!.healthy = true
    await allAreAnsweredBy(['web-1', 'web-3'], RETURNS_MS)
  })
})
