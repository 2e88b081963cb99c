/** A datacenter of three servers with a managed etcd, and an ordinary neighbour: servers and members die and stand still while keys are written. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startAtoll } from '../cli/atoll-process.ts'
import { findEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { onNode } from '../support/on-node.ts'
import { eventually, type Sample, sampleWhile, sleep, startMesh, type TestMesh } from './harness.ts'

const skipped = !onNode ? 'once, on Node' : findEtcd() ? undefined : WITHOUT_ETCD
const SERVERS = ['eu-1-server', 'eu-1-server-2', 'eu-1-server-3'] as const

/** Longest that no server of the datacenter acknowledges a write; etcd alone takes up to 2 s to elect, on a busy machine longer. */
const MAX_GAP_MS = 8_000
/** A server that stands still is given so long before the next is asked. */
const WRITE_MS = 1_000

/** Writes keys one after the other, each at whichever server takes it, until it is stopped. */
class Writer {
  readonly acknowledged: string[] = []
  longestGapMs = 0
  readonly #mesh: TestMesh
  #over = false
  #last = performance.now()
  readonly #loop: Promise<void>

  constructor(mesh: TestMesh) {
    this.#mesh = mesh
    this.#loop = this.#run()
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#over; turn++) {
      const key = `written/${this.acknowledged.length}`
      const answer = await this.#mesh
        .send(SERVERS[turn % SERVERS.length]!, 'PUT', `/v1/kv/${key}`, key, { timeoutMs: WRITE_MS })
        .catch(() => undefined)
      if (answer?.status === 200 && answer.body === true) {
        this.acknowledged.push(key)
        this.longestGapMs = Math.max(this.longestGapMs, performance.now() - this.#last)
        this.#last = performance.now()
      }
      await sleep(10)
    }
    this.longestGapMs = Math.max(this.longestGapMs, performance.now() - this.#last)
  }

  /** Resolves once so many more are acknowledged. */
  async further(count: number): Promise<void> {
    const wanted = this.acknowledged.length + count
    await eventually(`${count} further writes`, () => this.acknowledged.length >= wanted, 20_000)
  }

  stop(): Promise<void> {
    this.#over = true
    return this.#loop
  }
}

describe.skipIf(skipped !== undefined)(`a mesh with a managed etcd${skipped ? ` (${skipped})` : ''}`, () => {
  let mesh: TestMesh

  beforeAll(async () => {
    mesh = await startMesh({
      name: 'managed',
      flatNetwork: true,
      datacenters: [
        { name: 'eu-1', servers: 3, store: 'etcd:managed', clients: 0 },
        { name: 'us-1', clients: 0 },
      ],
      links: [{ between: ['eu-1', 'us-1'], rttMs: 20 }],
    })
  }, 90_000)
  afterAll(async () => {
    await mesh?.stop()
    for (const name of mesh ? SERVERS : [])
      await eventually('no etcd is left', async () => !(await mesh.local.memberPid(name)), 15_000)
  }, 30_000)

  const statuses = async (): Promise<string[]> => {
    const directory = mesh.local.node('eu-1-server').plan.dataDirectory
    const asked = startAtoll(['store', 'members', '--data-dir', directory, '--json'])
    expect(await asked.ended, asked.stderr()).toBe(0)
    const shown = JSON.parse(Buffer.from(asked.stdout()).toString()) as { Status: string }[]
    return shown.map(({ Status }) => Status).sort()
  }

  async function faults(writer: Writer): Promise<void> {
    await writer.further(20)
    await mesh.local.kill('eu-1-server-3')
    expect(await mesh.local.memberPid('eu-1-server-3')).toBeUndefined()
    await writer.further(20)
    await mesh.local.restart('eu-1-server-3')

    const before = await mesh.local.memberPid('eu-1-server-2')
    expect(await mesh.local.killMember('eu-1-server-2')).toEqual(['eu-1-server-2'])
    await writer.further(20)
    await eventually('its server starts it again', async () => {
      const pid = await mesh.local.memberPid('eu-1-server-2')
      return pid !== undefined && pid !== before
    })

    mesh.local.pause('eu-1-server')
    await writer.further(8)
    mesh.local.resume('eu-1-server')
    await writer.further(20)
  }

  it('takes writes and loses none while a server dies, a member dies and a server stands still; the neighbour answers for it throughout', async () => {
    const service = { Name: 'web', Port: 80 }
    expect((await mesh.send('eu-1-server-2', 'PUT', '/v1/agent/service/register', service)).status).toBe(200)
    const web = () => mesh.get('us-1-server', '/v1/health/service/web?dc=eu-1&passing')
    const isThere = ({ answer }: Pick<Sample, 'answer'>): boolean =>
      answer?.status === 200 && (answer.body as unknown[]).length === 1
    await eventually('the neighbour knows web', async () => isThere({ answer: await web() }))

    const writer = new Writer(mesh)
    const samples = await sampleWhile(web, 100, () => faults(writer)).finally(() => writer.stop())
    expect(writer.longestGapMs).toBeLessThan(MAX_GAP_MS)
    expect(samples.filter((sample) => !isThere(sample))).toEqual([])

    for (const name of SERVERS) {
      const keys = await eventually(`${name} reads`, async () => {
        const { status, body } = await mesh.get(name, '/v1/kv/written/?keys')
        return status === 200 && (body as string[])
      })
      const found = new Set(keys)
      const lost = writer.acknowledged.filter((key) => !found.has(key))
      expect(lost, name).toEqual([])
    }
    expect(await statuses()).toEqual(['follows', 'follows', 'leads'])
  }, 120_000)
})
