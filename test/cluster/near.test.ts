/** Real nodes of one datacenter, with emulated distances between them: `near=` orders by where they are. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningNode, startNode } from '../../src/node.ts'
import { wan } from '../../topology/wan.ts'
import { eventually } from './harness.ts'

/** Milliseconds; `s` is the server. */
const RTT: Record<string, number> = { 'a-s': 8, 'b1-s': 40, 'b2-s': 40, 'b1-b2': 2, 'a-b1': 44, 'a-b2': 44 }

const nodes = new Map<string, RunningNode>()
const addressOf = (name: string): string => nodes.get(name)!.addresses[0]!.replace(/\/p2p\/.*$/, '')
let folder: string

async function start(name: string): Promise<void> {
  const server = name === 's'
  const linkOf = (remote: string): { rttMs: number; cut: boolean } => {
    const other = [...nodes.keys()].find((each) => addressOf(each) === remote) ?? ''
    return { rttMs: RTT[[name, other].sort().join('-')] ?? 0, cut: false }
  }
  const config = {
    node: name,
    datacenter: 'eu-1',
    server,
    dataDirectory: join(folder, name),
    http: { port: 0 },
    dns: { port: 0 },
    federation: { port: 0, join: server ? [] : [addressOf('s')] },
    log: { level: 'silent' as const },
  }
  nodes.set(name, await startNode(config, { wrapTransport: (factory) => wan(factory, linkOf) }))
  await fetch(`${nodes.get(name)!.httpAddress}/v1/agent/service/register`, {
    method: 'PUT',
    body: JSON.stringify({ Name: 'web', Port: 80 }),
  })
}

async function get<T>(name: string, path: string): Promise<T> {
  const response = await fetch(nodes.get(name)!.httpAddress + path, { signal: AbortSignal.timeout(5_000) })
  expect(response.status).toBe(200)
  return (await response.json()) as T
}

async function order(asked: string, near: string): Promise<string> {
  const found = await get<{ Node: { Node: string } }[]>(asked, `/v1/health/service/web?near=${near}`)
  return found.map(({ Node }) => Node.Node).join(' ')
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-near-'))
  for (const name of ['s', 'b2', 'a', 'b1']) await start(name)
}, 30_000)
afterAll(async () => {
  await Promise.all([...nodes.values()].map((node) => node.stop()))
  await rm(folder, { recursive: true, force: true })
})

describe('nodes at a distance from each other', () => {
  it('are ordered by it, from the server and from a client whose neighbour is no server', {
    timeout: 90_000,
  }, async () => {
    const wanted: [asked: string, near: string, order: RegExp][] = [
      ['s', 's', /^s a b\d b\d$/],
      ['a', '_agent', /^a s /],
      ['b1', '_agent', /^b1 b2 /],
      ['a', 'b1', /^b1 b2 /],
    ]
    const seen = async (): Promise<string[]> =>
      Promise.all(wanted.map(async ([asked, near, expected]) => (expected.test(await order(asked, near)) ? near : '')))
    await eventually('every order', async () => (await seen()).every((each) => each !== ''), 80_000)
    const rows = await get<{ Node: string; Coord: { Error: number } }[]>('a', '/v1/coordinate/nodes')
    expect(rows.map(({ Node }) => Node)).toEqual(['a', 'b1', 'b2', 's'])
    const self = await get<{ Coord: { Vec: number[] } }>('b1', '/v1/agent/self')
    expect(self.Coord.Vec.some((each) => each !== 0)).toBe(true)
  })
})
