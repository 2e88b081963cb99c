/** Every command against real agents: one datacenter at first, then two. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AtollProcess, endAtoll, runAtoll, startAtoll } from './atoll-process.ts'
import { runCli, type World } from './harness.ts'

interface Agent extends AtollProcess {
  readonly http: string
  readonly addresses: readonly string[]
}

async function startAgent(dc: string, ...more: string[]): Promise<Agent> {
  const argv = [
    'agent',
    '--dev',
    '--dc',
    dc,
    '--node',
    `${dc}-n1`,
    '--http-port',
    '0',
    '--dns-port',
    '0',
    '--port',
    '0',
    '--flat-network',
  ]
  const atoll = startAtoll([...argv, '--json', ...more])
  const { HTTP, Addresses } = JSON.parse(await atoll.line())
  return { ...atoll, http: HTTP, addresses: Addresses }
}

let eu: Agent
let us: Agent
let backend: Server
let healthy = true
beforeAll(async () => {
  backend = createServer((_request, response) => {
    response.writeHead(healthy ? 200 : 500)
    response.end()
  })
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  ;[eu, us] = await Promise.all([startAgent('eu-1'), startAgent('us-1')])
})
afterAll(async () => {
  await Promise.all([endAtoll(eu), endAtoll(us)])
  backend.close()
  backend.closeAllConnections()
})

const atoll = (argv: readonly string[], world: World = {}, agent = eu) =>
  runCli(['--http-addr', agent.http, ...argv], world)

/** The command's output, once it is as wanted. */
async function eventually(argv: readonly string[], wanted: (out: string, code: number) => boolean, agent = eu) {
  for (;;) {
    const outcome = await atoll(argv, {}, agent)
    if (wanted(outcome.out, outcome.code)) return outcome
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const healthUrl = () => `http://127.0.0.1:${(backend.address() as AddressInfo).port}/`

describe('one datacenter', () => {
  it('has a member', async () => {
    const { code, out } = await atoll(['members'])
    expect(code).toBe(0)
    expect(out).toMatch(/^eu-1-n1 +127\.0\.0\.1:\d+ +alive +server +eu-1 +(node|deno|bun)/m)
    expect((await atoll(['members', '--wan'])).out).toContain('eu-1-n1.eu-1')
    expect(JSON.parse((await atoll(['members', '--json'])).out)).toHaveLength(1)
    expect((await atoll(['version', '--agent'])).out).toMatch(/node eu-1-n1 runs \d+\.\d+\.\d+/)
  })

  it('takes a service, checks it, and finds it', async () => {
    const flags = [
      '--port',
      '8080',
      '--tag',
      'v1',
      '--meta',
      'team=shop',
      '--http-check',
      healthUrl(),
      '--interval',
      '1s',
    ]
    expect(await atoll(['register', 'web', ...flags])).toMatchObject({ code: 0, out: 'registered web with id web\n' })
    const { out } = await eventually(['query', 'web', '--passing', '--tag', 'v1'], (_out, code) => code === 0)
    expect(out).toMatch(/^127\.0\.0\.1:8080 +passing +eu-1-n1 +web +eu-1 .* v1$/m)
    expect(out).toContain('answered from the catalog of eu-1, up to date')
    expect((await atoll(['services'])).out).toMatch(/^web +v1$/m)
    expect((await atoll(['services', '--local'])).out).toMatch(/^web +web +:8080 +v1$/m)
    const { Instances } = JSON.parse((await atoll(['query', 'web', '--json'])).out)
    expect(Instances).toMatchObject([{ Address: '127.0.0.1', Port: 8080, Status: 'passing', Meta: { team: 'shop' } }])
    expect((await atoll(['query', 'web', '--passing', '--tag', 'v2'])).code).toBe(1)
  })

  it('explains', async () => {
    const { code, out } = await atoll(['explain', 'web'])
    expect(code).toBe(0)
    expect(out).toContain('a lookup of web in eu-1 is answered here')
    expect(out).toMatch(/^-> +eu-1 \(here\) .* 1 of 1/m)
    expect(await atoll(['explain', 'nope'])).toMatchObject({ code: 1 })
  })

  it('takes definitions from a file, and gives them up again', async () => {
    const stdin = JSON.stringify({
      service: { name: 'db', id: 'db-1', port: 5432, check: { ttl: '30s', deregister_critical_service_after: '1m' } },
    })
    expect(await atoll(['register', '--file', '-'], { stdin })).toMatchObject({ code: 0 })
    expect(JSON.parse((await atoll(['query', 'db', '--json'])).out).Instances).toMatchObject([
      { ID: 'db-1', Status: 'critical' },
    ])
    expect(await atoll(['deregister', 'db'])).toMatchObject({ code: 1 })
    expect(await atoll(['deregister', 'db-1'])).toMatchObject({ code: 0, out: 'deregistered db-1\n' })
    await eventually(['query', 'db'], (_out, code) => code === 1)
  })

  it('refuses a definition in words that name the field', async () => {
    const { code, err } = await atoll(['register', '--file', '-'], { stdin: '{"Name":"x","Port":"eighty"}' })
    expect(code).toBe(1)
    expect(err).toContain('Port')
  })

  it('follows a service', async () => {
    const stop = new AbortController()
    const seen: string[] = []
    const following = atoll(['query', 'cache', '--watch', '--json'], {
      signal: stop.signal,
      onOut: (line) => {
        seen.push(line)
        if (JSON.parse(line).Instances.length > 0) stop.abort()
      },
    })
    await new Promise((resolve) => setTimeout(resolve, 100))
    await atoll(['register', 'cache', '--port', '6379'])
    expect((await following).code).toBe(0)
    expect(JSON.parse(seen[0]!).Instances).toEqual([])
  })

  it('keeps keys', async () => {
    const value = new Uint8Array([0, 10, 255, 128])
    expect(await atoll(['kv', 'put', 'bin', '-'], { stdin: value })).toMatchObject({ code: 0 })
    expect(Buffer.compare((await atoll(['kv', 'get', 'bin'])).bytes, value)).toBe(0)
    for (const key of ['dir/a', 'dir/sub/b', 'ü key/☃', '100%', 'q?x#y']) {
      expect(await atoll(['kv', 'put', key, `of ${key}`, '--cas', '0'])).toMatchObject({ code: 0 })
      expect((await atoll(['kv', 'get', key])).out).toBe(`of ${key}`)
    }
    expect((await atoll(['kv', 'list', 'dir/', '--separator', '/'])).out).toBe('dir/a\ndir/sub/\n')
    expect((await atoll(['kv', 'get', 'dir/', '--recurse'])).out).toBe('dir/a: of dir/a\ndir/sub/b: of dir/sub/b\n')
    await atoll(['kv', 'put', 'n', '', '--flags', '18446744073709551615'])
    const pair = JSON.parse((await atoll(['kv', 'get', 'n', '--json'])).out)
    expect(pair).toMatchObject({ Value: '', Flags: '18446744073709551615' })
    expect(await atoll(['kv', 'put', 'n', 'x', '--cas', String(pair.ModifyIndex + 1)])).toMatchObject({ code: 1 })
    expect(await atoll(['kv', 'delete', 'n', '--cas', String(pair.ModifyIndex)])).toMatchObject({ code: 0 })
    expect(await atoll(['kv', 'get', 'n'])).toMatchObject({ code: 1 })
    expect(await atoll(['kv', 'delete', 'dir/', '--recurse'])).toMatchObject({ code: 0 })
    expect((await atoll(['kv', 'list', 'dir/'])).out).toBe('')
    const large = await atoll(['kv', 'put', 'large', '-'], { stdin: new Uint8Array(600_000) })
    expect(large.code).toBe(1)
    expect(large.err).toMatch(/512|524288|too large/i)
  })

  it('says which datacenters there are not', async () => {
    const { code, err } = await atoll(['query', 'web', '--dc', 'nope'])
    expect(code).toBe(1)
    expect(err).toContain('No path to datacenter')
  })
})

describe('two datacenters', () => {
  it('become one mesh by joining', async () => {
    expect(await atoll(['join', '127.0.0.1:1'])).toMatchObject({ code: 1 })
    const { code, err } = await atoll(['join', us.addresses[0]!])
    expect(err).toBe('')
    expect(code).toBe(0)
    const { out } = await eventually(['mesh', '--links'], (text) => /^us-1 +live +[\d.]+ ms/m.test(text))
    expect(out).toMatch(/^eu-1 \(here\) +live/m)
    expect(out).toMatch(/^us-1-n1 +us-1 +server/m)
    expect(JSON.parse((await atoll(['mesh', '--json'])).out).Datacenters).toHaveLength(2)
    expect((await eventually(['members', '--wan'], (text) => text.includes('us-1-n1.us-1'))).code).toBe(0)
  })

  it('answer for each other', async () => {
    await atoll(['register', 'web', '--port', '9090'], {}, us)
    const { out } = await eventually(['query', 'web', '--dc', 'us-1'], (_out, code) => code === 0)
    expect(out).toContain('127.0.0.1:9090')
    expect(out).toContain('answered here from the replica of us-1')
    expect((await atoll(['query', 'web', '--dc', 'us-1', '--consistent'])).out).toContain('answered by us-1 itself')
    const all = JSON.parse((await atoll(['query', 'web', '--dc', '*', '--json'])).out)
    expect(all.Instances.map((one: { Datacenter: string }) => one.Datacenter)).toEqual(['eu-1', 'us-1'])
    expect(await atoll(['kv', 'put', 'far', 'away', '--dc', 'us-1'])).toMatchObject({ code: 0 })
    expect((await atoll(['kv', 'get', 'far'], {}, us)).out).toBe('away')
    expect((await atoll(['kv', 'get', 'far'])).code).toBe(1)
  })

  it('fail over, and say so', async () => {
    healthy = false
    const { out } = await eventually(['query', 'web', '--passing'], (text) => text.includes('9090'))
    expect(out).toContain('failed over from eu-1 to us-1: nothing passes in eu-1')
    expect(out).toMatch(/^127\.0\.0\.1:9090 +passing +us-1-n1 +web +us-1 +[\d.]+ ms +([\d.]+ (ms|s)|unknown)$/m)
    expect((await atoll(['explain', 'web'])).out).toContain('a lookup of web in eu-1 fails over to us-1')
  })
})

describe('the end of an agent', () => {
  it('comes by leaving', async () => {
    expect(await atoll(['leave'], {}, us)).toMatchObject({ code: 0, out: 'us-1-n1 leaves us-1\n' })
    expect(await us.ended).toBe(0)
    expect(await atoll(['members'], {}, us)).toMatchObject({ code: 3 })
  })

  it('is not caused by a port that is taken', async () => {
    const { port } = new URL(eu.http)
    const { code, err } = await runAtoll(['agent', '--dev', '--http-port', port, '--dns-port', '0', '--port', '0'])
    expect(code).toBe(1)
    expect(err).toContain(port)
    expect((await atoll(['members'])).code).toBe(0)
  })

  it('comes in good order with a signal', async () => {
    // Not child.kill: Deno then says that the signal ended the process, whatever the process made of it.
    process.kill(eu.child.pid!, 'SIGTERM')
    expect(await eu.ended).toBe(0)
    expect(eu.stderr()).not.toMatch(/ERROR| {4}at /)
  })
})
