/** The command line as a process: pipes, exit codes, signals. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { endAtoll, runAtoll, startAtoll } from './atoll-process.ts'
import { closedAddress, type FakeNode, startFakeNode } from './fake-node.ts'

let node: FakeNode
beforeEach(async () => {
  node = await startFakeNode()
})
afterEach(() => node.close())

it('writes all of a large value into a pipe before it ends', async () => {
  const value = new Uint8Array(5_000_000).map((_, at) => at % 251)
  node.on('GET /v1/kv/big', { headers: { 'X-Consul-Index': '3' }, body: value })
  const { code, bytes, err } = await runAtoll(['kv', 'get', 'big'], { ATOLL_HTTP_ADDR: node.address })
  expect(err).toBe('')
  expect(code).toBe(0)
  expect(Buffer.compare(bytes, value)).toBe(0)
})

it('reads standard input', async () => {
  node.on('PUT /v1/kv/a', { body: true })
  const atoll = startAtoll(['kv', 'put', 'a', '-'], { ATOLL_HTTP_ADDR: node.address })
  atoll.child.stdin!.end(Buffer.from([0, 1, 254, 255]))
  expect(await atoll.ended).toBe(0)
  expect([...node.asked[0]!.body]).toEqual([0, 1, 254, 255])
})

it('ends quietly when its reader goes away', async () => {
  const keys = Array.from({ length: 200_000 }, (_, at) => `key-${at}`)
  node.on('GET /v1/kv/', { headers: { 'X-Consul-Index': '3' }, body: keys })
  const atoll = startAtoll(['kv', 'list'], { ATOLL_HTTP_ADDR: node.address })
  expect(await atoll.line()).toBe('key-0')
  atoll.child.stdout!.destroy()
  expect(await atoll.ended).toBe(0)
  expect(atoll.stderr()).toBe('')
})

it('has exit codes that scripts can tell apart', async () => {
  node.on('GET /v1/kv/nope', { status: 404, headers: { 'X-Consul-Index': '24' } })
  const env = { ATOLL_HTTP_ADDR: node.address }
  expect(await runAtoll(['kv', 'get', 'nope'], env)).toMatchObject({ code: 1, out: '' })
  expect(await runAtoll(['kv', 'gte', 'nope'], env)).toMatchObject({ code: 2, out: '' })
  expect(await runAtoll(['mesh'], { ATOLL_HTTP_ADDR: await closedAddress() })).toMatchObject({ code: 3, out: '' })
})

it('ends a watch when it is interrupted', async () => {
  node.on('GET /v1/health/service/web', ({ query }) =>
    query.has('index') ? 'taken' : { headers: { 'X-Consul-Index': '7' }, body: [] },
  )
  const atoll = startAtoll(['query', 'web', '--watch'], { ATOLL_HTTP_ADDR: node.address })
  try {
    expect(await atoll.line()).toBe('no instance of "web"')
    atoll.child.kill('SIGINT')
    await atoll.ended
  } finally {
    await endAtoll(atoll)
  }
})

it('refuses to run an agent that is not told enough', async () => {
  const { code, err } = await runAtoll(['agent'])
  expect(code).toBe(2)
  expect(err).toContain('give --join, or --server to be one')
  expect(err).toContain('see atoll agent --help')
})
