/**
 * The document against running nodes: every operation is called, every answer held to its schema, and a field that the schema
 * lacks is a fault. Two nodes in this process, of two datacenters, so that answers from afar are among them.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningNode, startNode } from '../../src/node.ts'
import {
  type ApiCall,
  agentCalls,
  endingCalls,
  offCalls,
  operatorCalls,
  readCalls,
  registrations,
  writeCalls,
} from './calls.ts'
import { Contract, type GivenAnswer, type OpenApi } from './contract.ts'

let folder: string
let here: RunningNode
let there: RunningNode
let contract: Contract
const called = new Set<string>()
let session = ''
let query = ''

const start = (node: string, datacenter: string, peers: readonly string[] = []): Promise<RunningNode> =>
  startNode({
    node,
    datacenter,
    dataDirectory: join(folder, node),
    server: true,
    http: { port: 0 },
    dns: { port: 0 },
    federation: { port: 0, join: [...peers] },
    log: { level: 'error' },
  })

async function send(call: ApiCall, at: RunningNode): Promise<GivenAnswer> {
  const { body } = call
  const abort = new AbortController()
  const timeout = AbortSignal.timeout(20_000)
  const response = await fetch(
    at.httpAddress + call.target.replace('{{session}}', session).replace('{{query}}', query),
    {
      method: call.method,
      redirect: 'manual',
      signal: AbortSignal.any([abort.signal, timeout]),
      ...(body !== undefined && {
        body: typeof body === 'string' || body instanceof Uint8Array ? (body as BodyInit) : JSON.stringify(body),
      }),
    },
  )
  const { status, headers } = response
  const answer = { status, headers, contentType: headers.get('content-type') ?? '' }
  if (!call.endless) return { ...answer, body: new Uint8Array(await response.arrayBuffer()) }
  const { value } = await response.body!.getReader().read()
  abort.abort()
  return { ...answer, body: value ?? new Uint8Array(0) }
}

/** What is wrong with the answer, in words. */
async function check(call: ApiCall, at = here): Promise<string[]> {
  const answer = await send(call, at)
  const name = `${call.method} ${call.target}`
  const operation = contract.operation(call.method, call.target)
  if (operation) called.add(operation.operationId)
  const text = new TextDecoder().decode(answer.body)
  if (call.target === '/v1/session/create' && answer.status === 200) session = JSON.parse(text).ID
  if (call.target === '/v1/query' && call.method === 'POST' && answer.status === 200) query = JSON.parse(text).ID
  const faults = contract.faults(call.method, call.target, answer)
  if (call.status !== undefined && call.status !== answer.status) {
    faults.unshift(`answered ${answer.status} and not ${call.status}: ${text.slice(0, 200)}`)
  }
  return faults.map((fault) => `${name}: ${fault}`)
}

async function checkAll(calls: readonly ApiCall[]): Promise<string[]> {
  const faults: string[] = []
  for (const call of calls) faults.push(...(await check(call)))
  return faults
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-openapi-'))
  here = await start('n1', 'eu-1')
  there = await start('m1', 'us-1', here.addresses)
  contract = new Contract((await (await fetch(`${here.httpAddress}/v1/openapi.json`)).json()) as OpenApi)
  for (const [name, port] of [
    ['web', 80],
    ['far', 81],
  ] as const) {
    const body = { Name: name, Port: port, TaggedAddresses: { wan: { Address: '198.51.100.2', Port: port } } }
    const answer = await fetch(`${there.httpAddress}/v1/agent/service/register`, {
      method: 'PUT',
      body: JSON.stringify(body),
    })
    expect(answer.status).toBe(200)
  }
  // The copy of the other datacenter is here.
  for (;;) {
    const answer = await fetch(`${here.httpAddress}/v1/catalog/service/far?dc=us-1`)
    if (answer.ok && ((await answer.json()) as unknown[]).length > 0) break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
})
afterAll(async () => {
  await Promise.all([here?.stop(), there?.stop()])
  await rm(folder, { recursive: true, force: true })
})

describe('every answer is as the document says', () => {
  test('registrations', async () => expect(await checkAll(registrations)).toEqual([]))
  test('agent', async () => expect(await checkAll(agentCalls)).toEqual([]))
  test('reads', async () => expect(await checkAll(readCalls)).toEqual([]))
  test('writes', async () => expect(await checkAll(writeCalls)).toEqual([]))
  test('operator', async () => expect(await checkAll(operatorCalls)).toEqual([]))
  test('what is left out', async () => expect(await checkAll(offCalls)).toEqual([]))
  test('snapshot', async () => {
    const save: ApiCall = { method: 'GET', target: '/v1/snapshot', status: 200 }
    const { body } = await send(save, here)
    expect(await check(save)).toEqual([])
    expect(await check({ method: 'PUT', target: '/v1/snapshot', body, status: 200 })).toEqual([])
  })
  test('ends', async () => {
    expect(await checkAll(endingCalls)).toEqual([])
    expect(await check({ method: 'PUT', target: '/v1/agent/leave', status: 200 }, there)).toEqual([])
    await there.ended
  })
  test('and each operation was called', () => {
    expect(contract.operationIds.filter((id) => !called.has(id))).toEqual([])
  })
})
