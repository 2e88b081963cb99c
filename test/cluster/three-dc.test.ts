/**
 * The story that the README tells, on real processes: three datacenters on three runtimes with an emulated WAN.
 * One mesh for all cases, which build on each other in order. What is asserted is what was answered, and how old it was.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { meshSeenBy, type NodeAnswer } from '../../topology/node-api.ts'
import { onNode } from '../support/on-node.ts'
import { eventually, quantile, type Sample, sampleWhile, sleep, startMesh, type TestMesh } from './harness.ts'

let mesh: TestMesh

beforeAll(async () => {
  if (!onNode) return
  mesh = await startMesh({
    name: 'three-dc',
    flatNetwork: true,
    datacenters: [
      { name: 'eu-1', runtime: 'node' },
      { name: 'us-1', runtime: 'bun' },
      { name: 'ap-1', runtime: 'deno' },
    ],
    links: [
      { between: ['eu-1', 'us-1'], rttMs: 80 },
      { between: ['us-1', 'ap-1'], rttMs: 150 },
      { between: ['eu-1', 'ap-1'], rttMs: 230 },
    ],
    services: [
      { name: 'web', instances: 2, checkIntervalMs: 500 },
      // Not in eu-1: what is asked for there goes to another datacenter at once.
      { name: 'api', instances: { 'us-1': 1, 'ap-1': 1 }, checkIntervalMs: 500 },
    ],
  })
}, 40_000)
afterAll(() => mesh?.stop())

interface Instance {
  Service: { ID: string; Port: number }
}
const ports = (answer: NodeAnswer): number[] =>
  Array.isArray(answer.body) ? (answer.body as Instance[]).map((each) => each.Service.Port).sort((a, b) => a - b) : []
const header = (answer: NodeAnswer, name: string): string | null => answer.headers.get(name)
const ageMs = (answer: NodeAnswer): number => {
  const stated = header(answer, 'x-atoll-age-ms')
  return stated === 'unknown' ? Number.POSITIVE_INFINITY : Number(stated)
}
const backends = (datacenter: string, service: string): number[] =>
  [...mesh.backendPorts(datacenter, service)].sort((a, b) => a - b)

/** Resolves once `node` answers `path` from `datacenter`, with exactly that datacenter's backends. */
const answersFrom = (node: string, path: string, datacenter: string, service: string, withinMs?: number) =>
  eventually(
    `${node} answers ${path} from ${datacenter}`,
    async () => {
      const answer = await mesh.get(node, path)
      const from = header(answer, 'x-atoll-datacenter')
      if (
        answer.status !== 200 ||
        from !== datacenter ||
        String(ports(answer)) !== String(backends(datacenter, service))
      ) {
        throw new Error(`${answer.status} from ${from}: ${ports(answer).join(', ')}`)
      }
      return answer
    },
    withinMs,
  )

async function seen(node: string, datacenter: string) {
  const all = await meshSeenBy(mesh.local.url(node))
  const found = all?.find((each) => each.datacenter === datacenter)
  if (found === undefined) throw new Error(`${node} does not list ${datacenter}`)
  return found
}

const WEB = '/v1/health/service/web?passing'
const API = '/v1/health/service/api?passing'
const EU = ['eu-1-server', 'eu-1-client']

describe.runIf(onNode)('three datacenters', () => {
  it('know of each other, and every node answers for all of them', async () => {
    for (const node of mesh.nodes) {
      await eventually(`${node} lists all`, async () => {
        const { body } = await mesh.get(node, '/v1/catalog/datacenters')
        return Array.isArray(body) && body.length === 3
      })
      for (const datacenter of ['eu-1', 'us-1', 'ap-1'])
        await answersFrom(node, `${WEB}&dc=${datacenter}`, datacenter, 'web')
    }
    const { body } = await mesh.get('eu-1-server', '/v1/catalog/datacenters')
    expect(body).toEqual(['eu-1', 'us-1', 'ap-1'])
  })

  it.each([
    ['eu-1', 'us-1', 80],
    ['us-1', 'eu-1', 80],
    ['us-1', 'ap-1', 150],
    ['ap-1', 'eu-1', 230],
  ])('%s measures its distance to %s: %i ms', async (from, to, rttMs) => {
    const { roundTripMs } = await eventually('measured', async () => {
      const found = await seen(`${from}-server`, to)
      return found.roundTripMs !== undefined && Math.abs(found.roundTripMs - rttMs) < 20 ? found : undefined
    })
    expect(roundTripMs).toBeGreaterThanOrEqual(rttMs - 2)
  })

  it('answer for another from memory, in a fraction of the round trip, and say how old that is', async () => {
    // Unknown until news of it is heard to flow, which takes a second or two after the start.
    await eventually('its age is told', async () =>
      Number.isFinite(ageMs(await mesh.get('eu-1-server', `${WEB}&dc=us-1`))),
    )
    const took: number[] = []
    for (let i = 0; i < 150; i++) {
      const answer = await mesh.get('eu-1-server', `${WEB}&dc=us-1`)
      expect(answer.status).toBe(200)
      expect(header(answer, 'x-atoll-source')).toBe('replica')
      expect(header(answer, 'x-atoll-datacenter')).toBe('us-1')
      expect(ports(answer)).toEqual(backends('us-1', 'web'))
      expect(ageMs(answer)).toBeLessThan(3000)
      took.push(answer.tookMs)
    }
    expect(quantile(took, 0.5)).toBeLessThan(20)
  })

  it('pass consistent reads and writes on to their datacenter', async () => {
    const consistent = await mesh.get('eu-1-client', `${WEB}&dc=us-1&consistent`)
    expect(consistent.status).toBe(200)
    expect(header(consistent, 'x-atoll-source')).toBe('rpc')
    expect(consistent.tookMs).toBeGreaterThan(75)
    const put = await mesh.send('eu-1-client', 'PUT', '/v1/kv/motto?dc=ap-1', 'near and far')
    expect(put.body).toBe(true)
    const got = await mesh.get('ap-1-server', '/v1/kv/motto')
    expect(got.status).toBe(200)
    expect((await mesh.get('eu-1-server', '/v1/kv/motto')).status).toBe(404)
  })

  it('tell a stream at any node of every change of keys of another', async () => {
    const signal = AbortSignal.timeout(20_000)
    const response = await fetch(`${mesh.local.url('eu-1-client')}/v1/watch/kv-changes/stream/?dc=us-1`, { signal })
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
    const text = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    let told = (await text.read()).value ?? ''
    for (const value of ['a', 'b', 'c']) await mesh.send('us-1-server', 'PUT', '/v1/kv/stream/x', value)
    await mesh.send('us-1-server', 'PUT', '/v1/kv/elsewhere', 'no')
    await mesh.send('us-1-server', 'DELETE', '/v1/kv/stream/x')
    while (!told.includes('event: delete')) told += (await text.read()).value ?? ''
    await text.cancel()
    const events = [...told.matchAll(/^event: (\w+)$/gm)].map(([, event]) => event)
    expect(events).toEqual(['position', 'put', 'put', 'put', 'delete'])
    const values = [...told.matchAll(/"Value": ?"(\w+=*)"/g)].map(([, value]) => JSON.parse(atob(value!)))
    expect(values).toEqual(['a', 'b', 'c'])
  })

  it('answer for all at once, nearest first', async () => {
    const answer = await mesh.get('eu-1-server', `${WEB}&dc=*`)
    const order = (answer.body as Instance[]).map((each) => each.Service.Port)
    expect(order.slice(0, 2).sort()).toEqual(backends('eu-1', 'web').sort())
    expect(order.slice(2, 4).sort()).toEqual(backends('us-1', 'web').sort())
    expect(order.slice(4).sort()).toEqual(backends('ap-1', 'web').sort())
  })

  it('show a change of another within the one-way delay and a little', async () => {
    await mesh.send('us-1-client', 'PUT', '/v1/agent/service/register', { ID: 'new-1', Name: 'new', Port: 1234 })
    const answer = await eventually(
      'shown',
      async () => {
        const found = await mesh.get('eu-1-server', '/v1/health/service/new?dc=us-1')
        return ports(found).length === 1 ? found : undefined
      },
      2000,
    )
    expect(ports(answer)).toEqual([1234])
  })
})

describe.runIf(onNode)('when the last instance of a service fails', () => {
  it('lookups go to the nearest datacenter that has some, and say so', async () => {
    await mesh.local.stopService('eu-1', 'web')
    for (const node of EU) {
      const plain = await answersFrom(node, WEB, 'us-1', 'web', 5000)
      expect(header(plain, 'x-atoll-failover')).toBe('eu-1 -> us-1')
      const nearest = await answersFrom(node, `${WEB}&dc=nearest`, 'us-1', 'web', 3000)
      expect(ageMs(nearest)).toBeLessThan(3000)
      // Who names a datacenter gets that one.
      expect(ports(await mesh.get(node, `${WEB}&dc=eu-1`))).toEqual([])
    }
    // Elsewhere nothing changed.
    expect(header(await mesh.get('ap-1-client', WEB), 'x-atoll-datacenter')).toBe('ap-1')
  })

  it('they move on when another datacenter becomes clearly nearer, and back', async () => {
    await mesh.local.delay('eu-1', 'us-1', 600)
    await answersFrom('eu-1-server', WEB, 'ap-1', 'web', 20_000)
    await mesh.local.delay('eu-1', 'us-1', 80)
    await answersFrom('eu-1-server', WEB, 'us-1', 'web', 15_000)
  })

  it('they move on at once when the datacenter in use dies', async () => {
    let movedMs = 0
    const samples = await sampleWhile(
      () => mesh.get('eu-1-server', WEB),
      20,
      async () => {
        const began = performance.now()
        await mesh.local.kill('us-1')
        await answersFrom('eu-1-server', WEB, 'ap-1', 'web', 5000)
        movedMs = performance.now() - began
        await sleep(500)
      },
    )
    expect(movedMs).toBeLessThan(3000)
    expectNoneFailed(samples)
    // What was known of it is still answered, and grows old.
    const first = await mesh.get('eu-1-server', `${WEB}&dc=us-1`)
    await sleep(500)
    const second = await mesh.get('eu-1-server', `${WEB}&dc=us-1`)
    expect([first.status, second.status]).toEqual([200, 200])
    expect(ageMs(second) - ageMs(first)).toBeGreaterThan(350)
    await mesh.local.restart('us-1')
    await answersFrom('eu-1-server', WEB, 'us-1', 'web', 15_000)
  })

  it('they return after ten steady seconds', async () => {
    await mesh.local.startService('eu-1', 'web')
    await eventually('passing again', async () => ports(await mesh.get('eu-1-server', `${WEB}&dc=eu-1`)).length === 2)
    const steady = performance.now()
    const samples = await sampleWhile(
      () => mesh.get('eu-1-client', WEB),
      50,
      async () => {
        await answersFrom('eu-1-server', WEB, 'eu-1', 'web', 15_000)
      },
    )
    const tookMs = performance.now() - steady
    expect(tookMs).toBeGreaterThan(9_000)
    expect(tookMs).toBeLessThan(15_000)
    expectNoneFailed(samples)
    await answersFrom('eu-1-client', WEB, 'eu-1', 'web', 3000)
  })
})

describe.runIf(onNode)('while the WAN is cut', () => {
  it('between two, nothing fails, and consistent reads go through the third', async () => {
    await answersFrom('eu-1-server', API, 'us-1', 'api')
    const samples = await sampleWhile(
      () => mesh.get('eu-1-server', `${WEB}&dc=us-1`),
      20,
      async () => {
        await mesh.local.cut('eu-1', 'us-1')
        for (const node of ['eu-1-client', 'eu-1-server', 'us-1-server']) await expectThroughThird(node)
        // What clients send does not go through a relay.
        await answersFrom('eu-1-server', API, 'ap-1', 'api', 5000)
      },
    )
    expectUsAnswers(samples)
    await mesh.local.heal('eu-1', 'us-1')
    await eventually('direct again', async () => (await seen('eu-1-server', 'us-1')).way === 'direct')
    const again = await mesh.get('eu-1-client', `${WEB}&dc=us-1&consistent`)
    expect(again.status).toBe(200)
    expect(header(again, 'x-atoll-source')).toBe('rpc')
    await answersFrom('eu-1-server', API, 'us-1', 'api', 15_000)
  })

  it('all around one, it is still answered for, and ages', async () => {
    const samples = await sampleWhile(
      () => mesh.get('eu-1-client', `${WEB}&dc=us-1`),
      20,
      async () => {
        await mesh.local.cut('us-1')
        await expectRefused('eu-1-server')
        await expectRefused('ap-1-client')
        await sleep(1500)
      },
    )
    expectUsAnswers(samples)
    expect(ageMs(samples.at(-1)!.answer!)).toBeGreaterThan(1500)
  })

  it('lookups prefer what can be reached', async () => {
    const answer = await answersFrom('eu-1-server', API, 'ap-1', 'api', 5000)
    expect(header(answer, 'x-atoll-failover')).toBe('eu-1 -> ap-1')
    await answersFrom('eu-1-client', `${API}&dc=nearest`, 'ap-1', 'api', 3000)
  })

  it('a datacenter still answers for itself and for what it knew', async () => {
    await answersFrom('us-1-client', WEB, 'us-1', 'web', 3000)
    await answersFrom('us-1-client', `${WEB}&dc=ap-1`, 'ap-1', 'web', 3000)
  })

  it('what changed meanwhile comes by delta after the heal', async () => {
    const before = await seen('eu-1-server', 'us-1')
    await mesh.send('us-1-client', 'PUT', '/v1/agent/service/register', { ID: 'cut-1', Name: 'meanwhile', Port: 4321 })
    const meanwhile = '/v1/health/service/meanwhile?dc=us-1'
    await eventually('registered', async () => ports(await mesh.get('us-1-server', meanwhile)).length === 1)
    expect(ports(await mesh.get('eu-1-server', meanwhile))).toEqual([])
    await mesh.local.heal('us-1')
    await eventually('caught up', async () => ports(await mesh.get('eu-1-server', meanwhile)).length === 1, 10_000)
    const after = await seen('eu-1-server', 'us-1')
    expect(after.deltas).toBeGreaterThan(before.deltas!)
    expect(after.snapshots).toBe(before.snapshots)
    await eventually('young again', async () => ageMs(await mesh.get('eu-1-client', meanwhile)) < 2500)
    await answersFrom('eu-1-server', API, 'us-1', 'api', 15_000)
  })
})

describe.runIf(onNode)('a datacenter that joins', () => {
  it('is listed and answered for by all within two seconds', async () => {
    // As `atoll agent --join` from another terminal: no link of its own, hence no delay to it.
    const server = await mesh.addDatacenter('sa-1', { join: 'eu-1-server', runtime: 'bun' })
    const ready = performance.now()
    const took = await Promise.all(
      mesh.nodes.map(async (node) => {
        await eventually(`${node} lists sa-1`, async () => {
          const { body } = await mesh.get(node, '/v1/catalog/datacenters')
          return Array.isArray(body) && body.includes('sa-1')
        })
        await eventually(`${node} answers for sa-1`, async () => {
          const { status, body } = await mesh.get(node, '/v1/catalog/nodes?dc=sa-1')
          return status === 200 && Array.isArray(body) && body.length === 1
        })
        return { node, ms: Math.round(performance.now() - ready) }
      }),
    )
    expect(took.filter(({ ms }) => ms > 2000)).toEqual([])
    await answersFrom(server, `${WEB}&dc=ap-1`, 'ap-1', 'web', 3000)
    const nearest = await mesh.get(server, WEB)
    expect(nearest.status).toBe(200)
    expect(ports(nearest)).toHaveLength(2)
    expect(header(nearest, 'x-atoll-failover')).toMatch(/^sa-1 -> /)
  })
})

async function expectRefused(node: string): Promise<void> {
  const refused = await mesh.get(node, `${WEB}&dc=us-1&consistent`)
  expect(refused.status).toBe(503)
  expect(String(refused.body)).toContain('us-1')
  expect(refused.tookMs).toBeLessThan(2500)
}

/** Refused by name until the way through is found, and answered then, by the other end of the cut link itself. */
async function expectThroughThird(node: string): Promise<void> {
  const other = node.startsWith('us-1') ? 'eu-1' : 'us-1'
  await eventually(
    `${node} is answered by ${other} through ap-1`,
    async () => {
      const answer = await mesh.get(node, `${WEB}&dc=${other}&consistent`)
      expect(answer.tookMs).toBeLessThan(2500)
      if (answer.status !== 200)
        expect([answer.status, String(answer.body)]).toEqual([503, expect.stringContaining(other)])
      return answer.status === 200 && header(answer, 'x-atoll-source') === 'rpc'
    },
    10_000,
  )
  const { way, via } = await seen(`${node.slice(0, 4)}-server`, other)
  expect([way, via]).toEqual(['relayed', 'ap-1'])
}

function expectUsAnswers(samples: readonly Sample[]): void {
  expectNoneFailed(samples)
  for (const { answer } of samples) expect(ports(answer!)).toEqual(backends('us-1', 'web'))
  const took = samples.map((each) => each.answer!.tookMs)
  // A cut that held up an answer would do so for seconds; the machine may be busy.
  expect(quantile(took, 0.99)).toBeLessThan(250)
}

function expectNoneFailed(samples: readonly Sample[]): void {
  expect(samples.length).toBeGreaterThan(10)
  const failed = samples.filter((each) => each.answer?.status !== 200 || ports(each.answer).length === 0)
  expect(failed.map((each) => [each.atMs, each.error ?? each.answer?.status])).toEqual([])
  for (const { answer } of samples) expect(ageMs(answer!)).toBeGreaterThanOrEqual(0)
}
