/** Nodes of one datacenter that die, hang and come back, as real processes: what the catalog says of them, and when. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startMesh, type TestMesh } from './harness.ts'

let mesh: TestMesh

beforeAll(async () => {
  mesh = await startMesh({
    name: 'liveness',
    flatNetwork: true,
    datacenters: [{ name: 'eu-1', runtime: 'node', clients: 2 }],
    services: [],
  })
}, 40_000)
afterAll(() => mesh?.stop())

const SERVER = 'eu-1-server'
// The design's bounds, and as much again for a machine that does other things too.
const KILLED_WITHIN_MS = 2 * 2_000
const HUNG_WITHIN_MS = 2 * 10_000

interface Check {
  Node: string
  CheckID: string
  Status: string
}

async function statusOf(node: string): Promise<string | undefined> {
  const { body } = await mesh.get(SERVER, `/v1/health/node/${node}`)
  return (body as Check[]).find((check) => check.CheckID === 'serfHealth')?.Status
}

const becomes = (node: string, status: string, withinMs: number): Promise<unknown> =>
  eventually(
    `${node} is ${status}`,
    async () => {
      const now = await statusOf(node)
      if (now !== status) throw new Error(String(now))
      return true
    },
    withinMs,
  )

describe('a node that', () => {
  it('lives is passing', async () => {
    for (const node of [SERVER, 'eu-1-client', 'eu-1-client-2']) await becomes(node, 'passing', 10_000)
  })

  it('was killed turns critical soon, takes its services with it, and comes back with them', async () => {
    const service = { Name: 'db', Port: 5432 }
    expect((await mesh.send('eu-1-client', 'PUT', '/v1/agent/service/register', service)).status).toBe(200)
    await mesh.local.kill('eu-1-client')
    await becomes('eu-1-client', 'critical', KILLED_WITHIN_MS)
    expect((await mesh.get(SERVER, '/v1/health/service/db?passing')).body).toEqual([])
    await mesh.local.restart('eu-1-client')
    await becomes('eu-1-client', 'passing', 10_000)
    expect((await mesh.get(SERVER, '/v1/health/service/db?passing')).body).toHaveLength(1)
  })

  it('hangs turns critical when its lease lapses, and recovers by itself', async () => {
    await mesh.local.pause('eu-1-client-2')
    await becomes('eu-1-client-2', 'critical', HUNG_WITHIN_MS)
    expect(await statusOf('eu-1-client')).toBe('passing')
    await mesh.local.resume('eu-1-client-2')
    await becomes('eu-1-client-2', 'passing', 15_000)
  })

  it('leaves is gone', async () => {
    expect((await mesh.send('eu-1-client-2', 'PUT', '/v1/agent/leave', undefined)).status).toBe(200)
    await eventually('eu-1-client-2 is deregistered', async () => {
      const { body } = await mesh.get(SERVER, '/v1/catalog/nodes')
      if ((body as Check[]).some(({ Node }) => Node === 'eu-1-client-2')) throw new Error('still there')
      return true
    })
  })
})

describe('a server that', () => {
  it('was killed and comes back has everything, and its clients find it', async () => {
    await mesh.send('eu-1-client', 'PUT', '/v1/kv/kept', 'value')
    await mesh.local.kill(SERVER)
    const refused = await mesh.get('eu-1-client', '/v1/catalog/nodes')
    expect(refused.status).toBe(503)
    await mesh.local.restart(SERVER)
    await eventually(
      'the client is answered again',
      async () => {
        const { status, body } = await mesh.get('eu-1-client', '/v1/kv/kept?raw')
        if (status !== 200) throw new Error(`${status} ${String(body)}`)
        return true
      },
      15_000,
    )
    await becomes('eu-1-client', 'passing', 15_000)
    expect((await mesh.get('eu-1-client', '/v1/health/service/db?passing')).body).toHaveLength(1)
  })
})
