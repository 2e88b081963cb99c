import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ConfigInput } from './config.ts'
import { type RunningNode, startNode } from './node.ts'

const running: RunningNode[] = []
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-node-'))
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((node) => node.stop()))
  await rm(folder, { recursive: true, force: true })
})

const configOf = (name: string, more: Partial<ConfigInput> = {}): ConfigInput => ({
  node: name,
  datacenter: 'eu-1',
  dataDirectory: join(folder, name),
  http: { port: 0 },
  dns: { port: 0 },
  federation: { port: 0 },
  log: { level: 'silent' },
  ...more,
})
async function start(config: ConfigInput): Promise<RunningNode> {
  const node = await startNode(config)
  running.push(node)
  return node
}
const portOf = (node: RunningNode): number => Number(/\/tcp\/(\d+)/.exec(node.addresses[0]!)![1])

describe('one node', () => {
  it('that cannot start leaves nothing behind: its directory is free, whichever half failed', async () => {
    const other = await start(configOf('other', { server: true }))
    const config = configOf('n1', { server: true })
    const taken = { port: portOf(other) }
    await expect(startNode({ ...config, federation: taken })).rejects.toThrow()
    await expect(startNode({ ...config, http: { port: other.http.port } })).rejects.toThrow()
    await expect(startNode({ ...config, federation: { port: portOf(other) } })).rejects.toMatchObject({
      field: 'federation.port',
      message: expect.stringMatching(/port \d+: another process listens there; stop it or choose another port$/),
    })
    const node = await start(config)
    // The store is another's: libp2p's port must be free again.
    const port = { port: portOf(node) }
    await expect(startNode({ ...config, federation: { port: 0 } })).rejects.toMatchObject({ code: 'invalid' })
    await node.stop()
    expect(portOf(await start({ ...config, federation: port }))).toBe(port.port)
  })

  it('of two servers of a datacenter one ends, and says who is there', async () => {
    const first = await start(configOf('n1', { server: true }))
    const join = [`127.0.0.1:${portOf(first)}`]
    const second = start(configOf('n2', { server: true, federation: { port: 0, join } })).then((node) => node.ended)
    // Within a second of each other they count as started together.
    await expect(Promise.race([first.ended, second])).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/datacenter "eu-1" has a server already: n[12], at /),
    })
  })

  it('a client without a server says so, and can leave', async () => {
    const node = await start(configOf('c1', { federation: { port: 0, join: ['127.0.0.1:1'] } }))
    const get = async (path: string, init?: RequestInit): Promise<{ status: number; text: string }> => {
      const response = await fetch(node.httpAddress + path, init)
      return { status: response.status, text: await response.text() }
    }
    for (const path of ['/v1/health/service/web', '/v1/kv/a', '/v1/catalog/nodes?dc=us-1', '/v1/agent/members']) {
      const { status, text } = await get(path)
      expect([path, status]).toEqual([path, 503])
      expect(text).toContain('eu-1')
    }
    expect((await get('/v1/agent/self')).status).toBe(200)
    expect((await get('/v1/kv/a', { method: 'PUT', body: 'x' })).status).toBe(503)
    expect((await get('/v1/agent/leave', { method: 'PUT' })).status).toBe(200)
    await node.ended
  })
})
