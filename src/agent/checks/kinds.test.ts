/** The kinds of checks against real servers and programs, with the adapters of the runtime that runs this. */
import { createSocket } from 'node:dgram'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer as createHttpServer, type IncomingMessage } from 'node:http'
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import type { LocalCheckDefinition } from '../../model/local.ts'
import { checkProbes } from '../../runtime/check-probes.ts'
import { systemClock } from '../../runtime/clock.ts'
import { dockerExecAt } from '../../runtime/docker.ts'
import type { CheckProbes } from '../../runtime/probes.ts'
import { CERTIFICATE, KEY } from '../../runtime/testing/certificate.ts'
import { ttl } from '../testing/harness.ts'
import { intervalKindOf } from './kinds.ts'
import type { Outcome } from './outcome.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const listen = async (server: Server, at: { path?: string } = {}): Promise<number> => {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  await new Promise<void>((resolve) =>
    at.path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(at.path, resolve),
  )
  return (server.address() as AddressInfo | null)?.port ?? 0
}

const unused = async (): Promise<number> => {
  const port = await listen(createTcpServer())
  await closing.pop()!()
  return port
}

async function run(
  kind: Partial<LocalCheckDefinition>,
  { probes = checkProbes(), timeoutMs = 20_000 }: { probes?: CheckProbes; timeoutMs?: number } = {},
): Promise<Outcome> {
  const { ttlMs: _, ...check } = ttl('c')
  const found = intervalKindOf({ ...check, timeoutMs, ...kind }, probes, () => Promise.resolve(undefined))!
  const { signal, done } = systemClock.deadline(timeoutMs)
  try {
    return await found.run(signal, timeoutMs)
  } finally {
    done()
  }
}

const TLS = { skipVerify: false, serverName: '' }
const NAMED = { skipVerify: false, serverName: 'backend.test' }
const ANY = { skipVerify: true, serverName: '' }

/** A server of the health protocol: SERVING for '' and 'good', NOT_SERVING for 'bad', NOT_FOUND for others; 'hang' never answers. */
function health<T extends Http2Server>(server: T, asked: string[] = []): T {
  server.on('stream', (stream: ServerHttp2Stream, headers: Record<string, unknown>) => {
    const chunks: Buffer[] = []
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const body = Buffer.concat(chunks)
      const name = body.subarray(7).toString()
      asked.push(`${String(headers[':path'])} ${String(headers['content-type'])} ${body.length} ${name}`)
      if (name === 'hang') return
      const status = { '': 1, good: 1, bad: 2 }[name]
      if (status === undefined) {
        stream.respond({ ':status': 200, 'grpc-status': '5', 'grpc-message': 'unknown%20service' }, { endStream: true })
        return
      }
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, status]))
    })
  })
  server.on('session', (session: ServerHttp2Session) => session.on('error', () => {}))
  return server
}

const secure = () => createSecureServer({ key: KEY, cert: CERTIFICATE }) as unknown as Http2Server

describe('gRPC', () => {
  const grpc = (port: number, service = '', tls?: typeof TLS) => ({ grpc: { host: '127.0.0.1', port, service, tls } })

  it('asks the health service for the server, or one service of it', async () => {
    const asked: string[] = []
    const port = await listen(health(createHttp2Server(), asked) as unknown as Server)
    expect(await run(grpc(port))).toEqual({ status: 'passing', output: `gRPC check 127.0.0.1:${port}: success` })
    expect(await run(grpc(port, 'good'))).toEqual({
      status: 'passing',
      output: `gRPC check 127.0.0.1:${port}/good: success`,
    })
    expect(await run(grpc(port, 'bad'))).toEqual({
      status: 'critical',
      output: "gRPC application didn't report service healthy",
    })
    expect(await run(grpc(port, 'x'.repeat(300)))).toEqual({
      status: 'critical',
      output: 'rpc error: code = NotFound desc = unknown service',
    })
    expect(asked.slice(0, 2)).toEqual([
      '/grpc.health.v1.Health/Check application/grpc 5 ',
      '/grpc.health.v1.Health/Check application/grpc 11 good',
    ])
  })

  it('verifies a certificate by the name and the authority that it is given, or none', async () => {
    const port = await listen(health(secure()) as unknown as Server)
    const trusting = { probes: checkProbes(CERTIFICATE) }
    expect((await run(grpc(port, '', NAMED), trusting)).output).toBe(`gRPC check 127.0.0.1:${port}: success`)
    expect((await run(grpc(port, '', ANY))).status).toBe('passing')
    expect((await run(grpc(port, '', NAMED))).status).toBe('critical')
    expect((await run(grpc(port, '', { ...NAMED, serverName: 'other.test' }), trusting)).status).toBe('critical')
  })

  it('is critical where nothing listens, and where nothing is answered in time', async () => {
    const none = await unused()
    expect(await run(grpc(none))).toEqual({
      status: 'critical',
      output: `rpc error: code = Unavailable desc = all SubConns are in TransientFailure, latest connection error: connection error: desc = "transport: Error while dialing dial tcp 127.0.0.1:${none}: connect: connection refused"`,
    })
    const port = await listen(health(createHttp2Server()) as unknown as Server)
    expect(await run(grpc(port, 'hang'), { timeoutMs: 300 })).toEqual({
      status: 'critical',
      output: 'rpc error: code = DeadlineExceeded desc = context deadline exceeded',
    })
    const silent = await listen(createTcpServer(() => {}))
    expect((await run(grpc(silent), { timeoutMs: 300 })).status).toBe('critical')
    const noise = await listen(
      createTcpServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    )
    expect((await run(grpc(noise), { timeoutMs: 2_000 })).status).toBe('critical')
  })
})

describe('H2 ping', () => {
  const h2ping = (port: number, tls?: typeof TLS) => ({ h2ping: { host: '127.0.0.1', port, tls } })

  it('passes when a ping comes back, with and without TLS', async () => {
    const plain = await listen(health(createHttp2Server()) as unknown as Server)
    const tls = await listen(health(secure()) as unknown as Server)
    const passing = { status: 'passing', output: 'HTTP2 ping was successful' }
    expect(await run(h2ping(plain))).toEqual(passing)
    expect(await run(h2ping(tls, ANY))).toEqual(passing)
    expect(await run(h2ping(tls, NAMED), { probes: checkProbes(CERTIFICATE) })).toEqual(passing)
    expect((await run(h2ping(tls, TLS))).status).toBe('critical')
  })

  it('is critical where nothing listens, and where what listens does not speak HTTP/2', async () => {
    expect((await run(h2ping(await unused()))).output).toMatch(/^HTTP2 ping failed: .*(ECONNREFUSED|refused)/i)
    const silent = await listen(createTcpServer(() => {}))
    expect(await run(h2ping(silent), { timeoutMs: 300 })).toEqual({
      status: 'critical',
      output: 'HTTP2 ping failed: context deadline exceeded',
    })
  })
})

describe('TCP', () => {
  it('with TLS waits for the handshake', async () => {
    const tls = await listen(createTlsServer({ key: KEY, cert: CERTIFICATE }, (socket) => socket.on('error', () => {})))
    const of = (port: number, how: typeof TLS) => ({ tcp: { host: '127.0.0.1', port, tls: how } })
    expect(await run(of(tls, NAMED), { probes: checkProbes(CERTIFICATE) })).toEqual({
      status: 'passing',
      output: `TCP connect 127.0.0.1:${tls}: Success`,
    })
    expect((await run(of(tls, ANY))).status).toBe('passing')
    expect((await run(of(tls, TLS))).status).toBe('critical')
    const plain = await listen(createTcpServer(() => {}))
    expect((await run(of(plain, ANY), { timeoutMs: 300 })).status).toBe('critical')
  })
})

describe('UDP', () => {
  it('passes unless the port is refused', async () => {
    const socket = createSocket('udp4')
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
    const { port } = socket.address()
    const udp = { udp: { host: '127.0.0.1', port } }
    expect(await run(udp)).toEqual({ status: 'passing', output: `UDP connect 127.0.0.1:${port}: Success` })
    socket.on('message', (_data, from) => socket.send('yes', from.port, from.address))
    expect((await run(udp)).status).toBe('passing')
    await new Promise<void>((resolve) => socket.close(resolve))
    expect(await run(udp)).toEqual({
      status: 'critical',
      output: `read udp 127.0.0.1:${port}: recvfrom: connection refused`,
    })
    expect((await run({ udp: { host: 'nowhere.invalid', port } })).status).toBe('critical')
  })
})

describe('a script', () => {
  const script = (line: string) => ({ script: { args: ['sh', '-c', line] } })

  it('passes with 0, warns with 1, and is critical with all else', async () => {
    expect(await run(script('echo out; echo err >&2'))).toMatchObject({
      status: 'passing',
      output: expect.stringMatching(/^(out\nerr|err\nout)\n$/),
    })
    expect(await run(script('echo so so; exit 1'))).toEqual({ status: 'warning', output: 'so so\n' })
    expect((await run(script('exit 2'))).status).toBe('critical')
    expect((await run(script('kill -9 $$'))).status).toBe('critical')
    expect(await run({ script: { args: ['/no/such/program'] } })).toMatchObject({
      status: 'critical',
      output: expect.stringContaining('/no/such/program'),
    })
  })

  it('keeps the last bytes of a long output, and says of how many', async () => {
    const { output } = await run({
      ...script("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end"),
      outputMaxBytes: 20,
    })
    expect(output).toBe(
      'Captured 20 of 3000009 bytes\n...\nxxxxxxxxxx\nthe end\n'.replace('xxxxxxxxxx', 'x'.repeat(11)),
    )
  })

  it('is killed at its timeout with all that it started', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atoll-script-'))
    closing.push(() => rm(folder, { recursive: true, force: true }))
    const pids = join(folder, 'pids')
    const line = `sh -c 'echo $$ >> ${pids}; sleep 600' & echo $$ >> ${pids}; sleep 600`
    expect(await run(script(line), { timeoutMs: 1_000 })).toEqual({
      status: 'critical',
      output: 'Timed out (1s) running check',
    })
    const started = (await readFile(pids, 'utf8')).trim().split('\n').map(Number)
    expect(started).toHaveLength(2)
    await Promise.all(started.map(gone))
  })

  it('leaves nothing behind that holds its output open', async () => {
    const { output, status } = await run(script('sleep 600 & echo $!'))
    expect(status).toBe('passing')
    await gone(Number(output))
  })

  it('does not see what is the node’s own', async () => {
    process.env.ATOLL_STORE_PASSWORD = 'secret'
    try {
      expect((await run(script('echo "[$ATOLL_STORE_PASSWORD]"'))).output).toBe('[]\n')
    } finally {
      delete process.env.ATOLL_STORE_PASSWORD
    }
  })

  /** A process that was killed may stay for as long as nobody has asked for its end. */
  async function gone(pid: number): Promise<void> {
    for (;;) {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
      if (stat === undefined || / Z /.test(stat)) return
      await systemClock.sleep(10)
    }
  }
})

describe('Docker', () => {
  const frame = (which: number, text: string) =>
    Buffer.concat([Buffer.from([which, 0, 0, 0, 0, 0, text.length >> 8, text.length & 255]), Buffer.from(text)])

  async function daemon(exitCode: number): Promise<{ probes: CheckProbes; asked: string[] }> {
    const folder = await mkdtemp(join(tmpdir(), 'atoll-docker-'))
    closing.push(() => rm(folder, { recursive: true, force: true }))
    const asked: string[] = []
    const server = createHttpServer(async (request: IncomingMessage, response) => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      asked.push(`${request.method} ${request.url} ${body}`)
      if (request.url === '/containers/web-1/exec') return response.writeHead(201).end('{"Id":"e1"}')
      if (request.url === '/exec/e1/json') return response.end(JSON.stringify({ Running: false, ExitCode: exitCode }))
      if (request.url !== '/exec/e1/start') return response.writeHead(404).end('{"message":"No such container: nope"}')
      const both = Buffer.concat([frame(1, 'all '), frame(2, 'well'), frame(1, '')])
      // Cut where it hurts: within a head, and within what follows.
      for (const part of [both.subarray(0, 3), both.subarray(3, 10), both.subarray(10)]) {
        response.write(part)
        await systemClock.sleep(5)
      }
      response.end()
    })
    const path = join(folder, 'docker.sock')
    await listen(server, { path })
    return { probes: { ...checkProbes(), docker: dockerExecAt(`unix://${path}`) }, asked }
  }
  const docker = (containerId: string) => ({ docker: { containerId, args: ['/bin/check', '-x'] } })

  it('runs the program in the container, and judges by its exit code', async () => {
    const { probes, asked } = await daemon(0)
    expect(await run(docker('web-1'), { probes })).toEqual({ status: 'passing', output: 'all well' })
    expect(asked).toEqual([
      'POST /containers/web-1/exec {"AttachStdin":false,"AttachStdout":true,"AttachStderr":true,"Tty":false,"Cmd":["/bin/check","-x"]}',
      'POST /exec/e1/start {"Detach":false,"Tty":false}',
      'GET /exec/e1/json ',
    ])
    expect(await run({ ...docker('web-1'), outputMaxBytes: 3 }, { probes })).toMatchObject({
      output: 'Captured 3 of 8 bytes\n...\nell',
    })
    expect((await run(docker('web-1'), { probes: (await daemon(1)).probes })).status).toBe('warning')
    expect((await run(docker('web-1'), { probes: (await daemon(126)).probes })).status).toBe('critical')
  })

  it('is critical without the container or the daemon', async () => {
    const { probes } = await daemon(0)
    expect(await run(docker('nope'), { probes })).toEqual({
      status: 'critical',
      output: 'Docker answers 404: No such container: nope',
    })
    const gone = { ...probes, docker: dockerExecAt('unix:///no/such/docker.sock') }
    expect((await run(docker('web-1'), { probes: gone })).status).toBe('critical')
  })
})

describe('an OS service', () => {
  it('asks systemctl for the unit', async () => {
    const echo: CheckProbes = {
      ...checkProbes(),
      command: (command) => checkProbes().command({ ...command, args: ['echo', ...command.args] }),
    }
    expect((await run({ osService: { name: 'nginx.service' } }, { probes: echo })).output).toBe(
      'OS service nginx.service: systemctl is-active -- nginx.service',
    )
  })

  it.each([
    ['active', 'passing'],
    ['activating', 'warning'],
    ['failed', 'critical'],
    ['', 'critical'],
  ])('is judged by what systemd says: %s', async (text, status) => {
    const probes: CheckProbes = {
      ...checkProbes(),
      command: (command) => checkProbes().command({ ...command, args: ['echo', text] }),
    }
    expect((await run({ osService: { name: 'nginx' } }, { probes })).status).toBe(status)
  })
})
