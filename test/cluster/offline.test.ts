/** A datacenter whose only server dies, on mixed runtimes: its client nodes go on answering, and say how old that is. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeAnswer } from '../../topology/node-api.ts'
import { onNode } from '../support/on-node.ts'
import { eventually, startMesh, type TestMesh } from './harness.ts'

let mesh: TestMesh
const SERVER = 'eu-1-server'
const CLIENTS = ['eu-1-client', 'eu-1-client-2'] as const

/** The nodes run on all three runtimes, whatever runs the test: once is enough. */

beforeAll(async () => {
  if (!onNode) return
  mesh = await startMesh({
    name: 'offline',
    flatNetwork: true,
    datacenters: [{ name: 'eu-1', runtime: ['node', 'bun', 'deno'], clients: 2 }],
    services: [],
  })
}, 40_000)
afterAll(() => mesh?.stop())

const ports = ({ body }: NodeAnswer): number[] =>
  (body as { Service: { Port: number } }[]).map((each) => each.Service.Port)
const says = ({ headers }: NodeAnswer, name: string): string | null => headers.get(name)

async function register(node: string, name: string, port: number): Promise<void> {
  expect((await mesh.send(node, 'PUT', '/v1/agent/service/register', { Name: name, Port: port })).status).toBe(200)
}

describe.runIf(onNode)('a client node whose server was killed', () => {
  it('answers with what it was told or with summaries, refuses what must be fresh, and is fresh once it is back', async () => {
    await register(CLIENTS[0], 'asked', 1001)
    await register(CLIENTS[1], 'unasked', 1002)
    const passing = (service: string): string => `/v1/health/service/${service}?passing`
    for (const client of CLIENTS) expect(ports(await mesh.get(client, passing('asked')))).toEqual([1001])
    for (const client of CLIENTS)
      await eventually('its summaries', async () => {
        const { Summaries } = (await mesh.get(client, '/v1/mesh')).body as { Summaries: { Services: number } | null }
        // The two, and that of the servers.
        return Summaries?.Services === 3
      })
    const killedMs = performance.now()
    await mesh.local.kill(SERVER)
    for (const client of CLIENTS) {
      const kept = await eventually('an answer without a server', async () => {
        const answer = await mesh.get(client, passing('asked'))
        return says(answer, 'x-consul-knownleader') === 'false' && answer
      })
      expect(ports(kept)).toEqual([1001])
      const ageMs = Number(says(kept, 'x-atoll-age-ms'))
      expect(ageMs).toBeGreaterThan(0)
      expect(ageMs).toBeLessThan(performance.now() - killedMs + 20_000)
      expect(says(kept, 'x-consul-lastcontact')).toBe(String(ageMs))
      const summed = await mesh.get(client, passing('unasked'))
      expect(ports(summed)).toEqual([1002])
      expect(says(summed, 'x-atoll-source')).toBe('summary')
      expect(says(summed, 'x-consul-effective-consistency')).toBe('stale')
      expect((await mesh.get(client, `${passing('asked')}&consistent`)).status).toBe(503)
      expect((await mesh.get(client, '/v1/kv/unasked')).status).toBe(503)
    }
    expect((await mesh.get(CLIENTS[0], '/v1/mesh')).body).toMatchObject({ Datacenters: [{ State: 'lost' }] })

    await mesh.local.restart(SERVER)
    await register(CLIENTS[1], 'asked', 1003)
    for (const client of CLIENTS) {
      const fresh = await eventually(
        'a fresh answer',
        async () => {
          const answer = await mesh.get(client, passing('asked'))
          return says(answer, 'x-consul-knownleader') === 'true' && ports(answer).length === 2 && answer
        },
        15_000,
      )
      expect(says(fresh, 'x-atoll-source')).toBe('catalog')
      expect(says(fresh, 'x-atoll-age-ms')).toBe('0')
    }
  }, 60_000)
})
