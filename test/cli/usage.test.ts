/** Command lines that are wrong, nodes that are not there, and answers that are refusals. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { closedAddress, type FakeNode, startFakeNode } from './fake-node.ts'
import { runCli } from './harness.ts'

describe('a wrong command line', () => {
  it.each([
    [['qury', 'web'], 'unknown command "qury"; did you mean "query"?', 'see atoll --help'],
    [['frobnicate'], 'unknown command "frobnicate"', 'see atoll --help'],
    [['__proto__'], 'unknown command "__proto__"', 'see atoll --help'],
    [['kv'], 'kv needs one of: get, put, delete, list', 'see atoll kv --help'],
    [['kv', 'gte', 'a'], 'unknown command "kv gte"; did you mean "kv get"?', 'see atoll kv --help'],
    [['kv', 'constructor'], 'unknown command "kv constructor"', 'see atoll kv --help'],
    [['query'], '<service> is missing: name of the service', 'see atoll query --help'],
    [['query', 'web', 'db'], 'unexpected argument "db"', 'see atoll query --help'],
    [['query', 'web', '--pasing'], 'unknown flag --pasing; did you mean --passing?', 'see atoll query --help'],
    [['query', 'web', '-x'], 'unknown flag -x', 'see atoll query --help'],
    [['query', 'web', '--toString'], 'unknown flag --toString', 'see atoll query --help'],
    [['query', 'web', '--dc'], '--dc needs a value', 'see atoll query --help'],
    [
      ['query', 'web', '--dc', '--passing'],
      '--dc needs a value (a value that begins with "-" is written --dc=--passing)',
      'see atoll query --help',
    ],
    [['query', 'web', '--passing=maybe'], '--passing: "maybe" is neither true nor false', 'see atoll query --help'],
    [
      ['query', 'web', '--stale', '--consistent'],
      '--stale and --consistent exclude each other',
      'see atoll query --help',
    ],
    [['query', 'web', '--node-meta', 'rack'], '--node-meta: "rack" should be key=value', 'see atoll query --help'],
    [
      ['members', '--timeout', 'soon'],
      '--timeout: "soon" is no duration; write it like 500ms, 10s or 1m30s',
      'see atoll members --help',
    ],
    [['register', 'web', '--port', '80a'], '--port: "80a" is no whole number', 'see atoll register --help'],
    [['register'], '<name> is missing: what lookups will ask for', 'see atoll register --help'],
    [
      ['agent', '--log-level', 'loud'],
      '--log-level: "loud" is none of debug, info, warn, error, silent',
      'see atoll agent --help',
    ],
    [['--jsn'], 'a command is missing before --jsn', 'see atoll --help'],
  ])('%j', async (argv, message, next) => {
    expect(await runCli(argv)).toEqual({ code: 2, out: '', bytes: Buffer.of(), err: `error: ${message}\n${next}\n` })
  })

  it('may be told in JSON', async () => {
    const { code, err } = await runCli(['query', '--json'])
    expect(code).toBe(2)
    expect(JSON.parse(err)).toEqual({
      Error: { Code: 'usage', Message: '<service> is missing: name of the service', Next: 'see atoll query --help' },
    })
  })

  it('names the variable that is wrong', async () => {
    const { code, err } = await runCli(['agent'], { env: { ATOLL_HTTP_PORT: 'x' } })
    expect(code).toBe(2)
    expect(err).toContain('ATOLL_HTTP_PORT: "x" is no whole number')
  })

  it('can be an address', async () => {
    const { code, err } = await runCli(['members', '--address', 'tcp://x'])
    expect(code).toBe(2)
    expect(err).toContain('127.0.0.1:8500')
  })
})

describe('a node that is not there', () => {
  const commands = [
    ['members'],
    ['services'],
    ['services', '--local'],
    ['register', 'web'],
    ['deregister', 'web'],
    ['query', 'web'],
    ['query', 'web', '--watch'],
    ['kv', 'get', 'a'],
    ['kv', 'put', 'a', 'b'],
    ['kv', 'delete', 'a'],
    ['kv', 'list'],
    ['mesh'],
    ['explain', 'web'],
    ['join', '10.0.0.1:8300'],
    ['leave'],
    ['version', '--agent'],
  ]
  it.each(commands.map((argv) => [argv.join(' '), argv] as const))('atoll %s', async (_name, argv) => {
    const address = await closedAddress()
    const { code, err } = await runCli([...argv, '--http-addr', address])
    expect(err).toBe(
      `error: no node answers at ${address}\nis an agent running? start one: npx atoll agent --dev, or name another with --address or ATOLL_HTTP_ADDR\n`,
    )
    expect(code).toBe(3)
  })
})

describe('a node', () => {
  let node: FakeNode
  beforeEach(async () => {
    node = await startFakeNode()
    node.on('GET /v1/agent/members', { body: [] })
  })
  afterEach(() => node.close())

  it('is named by flag, by either variable, and before or after the command', async () => {
    const { address } = node
    const bare = address.replace('http://', '')
    const elsewhere = await closedAddress()
    expect(await runCli(['--address', address, 'members'])).toMatchObject({ code: 0 })
    expect(await runCli(['members', `--http-addr=${bare}`])).toMatchObject({ code: 0 })
    expect(await runCli(['members'], { env: { ATOLL_HTTP_ADDR: bare, CONSUL_HTTP_ADDR: elsewhere } })).toMatchObject({
      code: 0,
    })
    expect(await runCli(['members'], { env: { ATOLL_HTTP_ADDR: '', CONSUL_HTTP_ADDR: address } })).toMatchObject({
      code: 0,
    })
    expect(await runCli(['members', '--address', address], { env: { ATOLL_HTTP_ADDR: elsewhere } })).toMatchObject({
      code: 0,
    })
    expect(node.asked).toHaveLength(5)
  })

  it('gets the token', async () => {
    await runCli(['members', '--address', node.address], { env: { CONSUL_HTTP_TOKEN: 't1' } })
    await runCli(['members', '--address', node.address, '--token', 't2'], { env: { CONSUL_HTTP_TOKEN: 't1' } })
    expect(node.asked.map(({ headers }) => headers['x-consul-token'])).toEqual(['t1', 't2'])
  })

  it('may refuse', async () => {
    node.on('GET /v1/mesh', { status: 403, body: 'Permission denied' })
    expect(await runCli(['mesh', '--address', node.address])).toMatchObject({
      code: 1,
      err: 'error: Permission denied\ngive a token that may do this: --token, or ATOLL_HTTP_TOKEN\n',
    })
    const { code, err } = await runCli(['mesh', '--json', '--address', node.address])
    expect(code).toBe(1)
    expect(JSON.parse(err)).toMatchObject({ Error: { Code: 'forbidden', Status: 403, Message: 'Permission denied' } })
  })

  it('may take too long', async () => {
    node.on('GET /v1/mesh', () => 'taken')
    const { code, err } = await runCli(['mesh', '--timeout', '50ms', '--address', node.address])
    expect(code).toBe(1)
    expect(err).toContain('within 50 ms')
    expect(err).toContain('--timeout 30s')
  })

  it('may be something else', async () => {
    node.on('GET /v1/mesh', { body: '<html>' })
    const { code, err } = await runCli(['mesh', '--address', node.address])
    expect(code).toBe(1)
    expect(err).toContain('is --address the HTTP address of an Atoll node?')
  })
})
