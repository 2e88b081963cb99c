/** The runners against real servers, with the adapters of the runtime that runs this. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { AtollError } from '../../model/errors.ts'
import { systemClock } from '../../runtime/clock.ts'
import { httpProbe } from '../../runtime/http-probe.ts'
import { tcpProbe } from '../../runtime/tcp.ts'
import { type HttpTarget, runHttpCheck } from './http.ts'
import { runTcpCheck } from './tcp.ts'

const open: (Server | TcpServer)[] = []
const close = async (server: Server | TcpServer): Promise<void> => {
  if ('closeAllConnections' in server) server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}
afterEach(async () => {
  for (const server of open.splice(0)) await close(server)
})

async function listen(server: Server | TcpServer): Promise<number> {
  open.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const serve = async (listener: RequestListener): Promise<string> =>
  `http://127.0.0.1:${await listen(createServer(listener))}`

async function freePort(): Promise<number> {
  const server = createTcpServer()
  const port = await listen(server)
  await close(open.pop() as TcpServer)
  return port
}

async function run(
  url: string,
  more: Partial<HttpTarget> = {},
  options: { maxBytes?: number; timeoutMs?: number } = {},
) {
  const { signal, done } = systemClock.deadline(options.timeoutMs ?? 10_000)
  const target = { url, method: '', headers: {}, body: '', tlsSkipVerify: false, tlsServerName: '', ...more }
  try {
    return await runHttpCheck(target, options.maxBytes ?? 4096, httpProbe, signal)
  } finally {
    done()
  }
}

test('the status code gives the status, the output says what was answered', async () => {
  const base = await serve((request, response) => {
    response.statusCode = Number(request.url!.slice(1))
    response.end(`the body of ${request.method}`)
  })
  const statuses: Record<string, string> = {}
  for (const code of [200, 204, 299, 304, 400, 404, 429, 500]) statuses[code] = (await run(`${base}/${code}`)).status
  expect(statuses).toEqual({
    200: 'passing',
    204: 'passing',
    299: 'passing',
    304: 'critical',
    400: 'critical',
    404: 'critical',
    429: 'warning',
    500: 'critical',
  })
  expect((await run(`${base}/200`)).output).toBe(`HTTP GET ${base}/200: 200 OK Output: the body of GET`)
  expect((await run(`${base}/404`, { method: 'POST' })).output).toBe(
    `HTTP POST ${base}/404: 404 Not Found Output: the body of POST`,
  )
})

test('method, headers and body are sent, with defaults for what is not given', async () => {
  const base = await serve((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const { accept, host, 'user-agent': agent, 'x-a': a } = request.headers
      response.end(JSON.stringify([request.method, host, accept, agent, a, body]))
    })
  })
  const { output } = await run(base, {
    method: 'PUT',
    headers: { Host: ['web.test'], 'X-A': ['1', '2'], 'user-agent': ['mine'] },
    body: 'ping',
  })
  expect(JSON.parse(output.slice(output.indexOf('Output: ') + 8))).toEqual([
    'PUT',
    'web.test',
    'text/plain, text/*, */*',
    'mine',
    '1, 2',
    'ping',
  ])
})

test('redirects are followed as far as Go follows them, credentials not to another host', async () => {
  const seen: string[] = []
  const other = await serve((request, response) => {
    seen.push(`other ${request.method} ${request.headers.authorization}`)
    response.end('arrived')
  })
  const base = await serve((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`)
    if (request.url === '/loop') response.writeHead(307, { Location: '/loop' }).end()
    else if (request.url === '/a') response.writeHead(302, { Location: 'b?x' }).end()
    else response.writeHead(308, { Location: `${other}/c` }).end()
  })
  const headers = { Authorization: ['secret'] }
  expect(await run(`${base}/a`, { method: 'POST', body: 'x', headers })).toEqual({
    status: 'passing',
    output: `HTTP POST ${base}/a: 200 OK Output: arrived`,
  })
  expect(seen.splice(0)).toEqual(['POST /a secret', 'GET /b?x secret', 'other GET undefined'])
  const loop = await run(`${base}/loop`)
  expect(loop).toEqual({ status: 'critical', output: `Get "${base}/loop": stopped after 10 redirects` })
  expect(seen).toHaveLength(11)
})

test('a long or endless body is cut, between characters', async () => {
  const base = await serve((_, response) => {
    const more = (): void => {
      if (!response.destroyed) response.write('é'.repeat(1000), () => setImmediate(more))
    }
    more()
  })
  const { status, output } = await run(base, {}, { maxBytes: 4097 })
  expect(status).toBe('passing')
  expect(output.slice(output.indexOf('Output: ') + 8)).toBe('é'.repeat(2048))
})

test('a server that hangs, before or in the middle of its answer, is critical when the time is over', async () => {
  const base = await serve((request, response) => {
    if (request.url === '/half') response.write('half of it')
  })
  for (const path of ['/none', '/half']) {
    expect(await run(base + path, {}, { timeoutMs: 50 })).toEqual({
      status: 'critical',
      output: `Get "${base}${path}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    })
  }
})

test('nobody there, or no URL, is critical with the reason', async () => {
  const port = await freePort()
  expect(await run(`http://127.0.0.1:${port}/`)).toEqual({
    status: 'critical',
    output: `Get "http://127.0.0.1:${port}/": dial tcp 127.0.0.1:${port}: connect: connection refused`,
  })
  for (const url of ['nonsense', 'ftp://127.0.0.1/']) expect(await run(url)).toMatchObject({ status: 'critical' })
  const bad = await run(`http://127.0.0.1:${port}/`, { headers: { 'bad name': ['x'] } })
  expect(bad.status).toBe('critical')
})

test('TCP: connected, refused, and no answer in time', async () => {
  const signal = new AbortController().signal
  const port = await listen(createTcpServer())
  expect(await runTcpCheck({ host: '127.0.0.1', port }, 5000, tcpProbe, signal)).toEqual({
    status: 'passing',
    output: `TCP connect 127.0.0.1:${port}: Success`,
  })
  const none = await freePort()
  expect(await runTcpCheck({ host: '127.0.0.1', port: none }, 5000, tcpProbe, signal)).toEqual({
    status: 'critical',
    output: `dial tcp 127.0.0.1:${none}: connect: connection refused`,
  })
  const tooLate: typeof tcpProbe = () => Promise.reject(new AtollError('timeout', 'no connection within 5000 ms'))
  expect(await runTcpCheck({ host: '::1', port }, 5000, tooLate, signal)).toEqual({
    status: 'critical',
    output: `dial tcp [::1]:${port}: i/o timeout`,
  })
})

test('a header of the answer says how busy the target is', async () => {
  const base = await serve((request, response) => {
    response.setHeader('X-Atoll-Load', decodeURIComponent(request.url!.slice(1)))
    response.end()
  })
  expect((await run(`${base}/0.7`)).load).toBe(0.7)
  expect(await run(`${base}/much`)).not.toHaveProperty('load')
})
