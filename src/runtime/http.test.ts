import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { HttpServerOptions, ReadyAnswer, RunningHttpServer } from './ports.ts'
import { currentRuntime } from './runtime.ts'

const runtime = await currentRuntime()
const encoder = new TextEncoder()
const cleanups: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function serve(
  fetch: HttpServerOptions['fetch'],
  options: Partial<HttpServerOptions> = {},
): Promise<RunningHttpServer> {
  const server = await runtime.serveHttp({
    hostname: '127.0.0.1',
    port: 0,
    maxBodyBytes: 1000,
    headersTimeoutMs: 10_000,
    fetch,
    ...options,
  })
  cleanups.push(() => server.close(0))
  return server
}

interface RawConnection {
  readonly socket: Socket
  text(): string
  readonly closed: Promise<string>
}

/** Sends bytes as they are: fetch would tidy them. */
function raw(port: number, text: string): RawConnection {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.on('data', (chunk) => {
    received += chunk.toString()
  })
  socket.on('error', () => {})
  const closed = new Promise<string>((resolve) => socket.on('close', () => resolve(received)))
  socket.write(text)
  cleanups.push(() => void socket.destroy())
  return { socket, text: () => received, closed }
}

const head = (line: string, ...headers: string[]): string =>
  `${[line, 'Host: localhost', ...headers].join('\r\n')}\r\n\r\n`

describe('serveHttp', () => {
  test('answers bytes with their length and tells the address of the peer', async () => {
    const server = await serve((request, info) => {
      const text = `${request.method} ${info.remoteAddress}`
      return new Response(encoder.encode(text), { status: 203, headers: { 'Content-Type': 'text/plain', 'X-A': 'b' } })
    })
    const answer = await fetch(`http://127.0.0.1:${server.port}/x`)
    expect(answer.status).toBe(203)
    expect(answer.headers.get('content-length')).toBe('13')
    expect(answer.headers.get('x-a')).toBe('b')
    expect(await answer.text()).toBe('GET 127.0.0.1')
  })

  test('header lines are counted as they came, where that is told', async () => {
    const counts: (number | undefined)[] = []
    const server = await serve((_, { headerCount }) => {
      counts.push(headerCount)
      return new Response('x')
    })
    await raw(server.port, head('GET /x HTTP/1.1', 'X-A: 1', 'X-A: 2', 'Connection: close')).closed
    expect(counts).toEqual([runtime.name === 'node' ? 4 : undefined])
  })

  test('a handler that throws gives a 500 that tells nothing', async () => {
    const server = await serve(() => Promise.reject(new Error('a secret')))
    const answer = await fetch(`http://127.0.0.1:${server.port}/x`)
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('secret')
  })

  test('bodies up to the bound arrive, with a length or in chunks', async () => {
    const server = await serve(async (request) => new Response(`${(await request.arrayBuffer()).byteLength}`))
    const body = 'x'.repeat(1000)
    const sized = await fetch(`http://127.0.0.1:${server.port}/x`, { method: 'PUT', body })
    expect(await sized.text()).toBe('1000')
    const chunked = raw(
      server.port,
      `${head('PUT /x HTTP/1.1', 'Transfer-Encoding: chunked', 'Connection: close')}3e8\r\n${body}\r\n0\r\n\r\n`,
    )
    expect(await chunked.closed).toMatch(/^HTTP\/1.1 200 [\s\S]*1000$/)
  })

  test('larger bodies get a 413, with a length or in chunks without an end', async () => {
    let read = 0
    const server = await serve(async (request) => {
      await request.arrayBuffer().then(
        (bytes) => {
          read = bytes.byteLength
        },
        () => {},
      )
      return new Response('read')
    })
    const sized = raw(server.port, `${head('PUT /x HTTP/1.1', 'Content-Length: 1001')}${'x'.repeat(1001)}`)
    await vi.waitFor(() => expect(sized.text()).toMatch(/^HTTP\/1.1 413 /))
    const chunk = `64\r\n${'x'.repeat(100)}\r\n`
    const chunked = raw(server.port, head('PUT /x HTTP/1.1', 'Transfer-Encoding: chunked') + chunk.repeat(11))
    await vi.waitFor(() => expect(chunked.text()).toMatch(/^HTTP\/1.1 413 /))
    expect(read).toBe(0)
  })

  test('the signal aborts when the client goes away during a blocking query', async () => {
    const started = Promise.withResolvers<void>()
    const aborted = Promise.withResolvers<void>()
    const server = await serve(async (request) => {
      request.signal.addEventListener('abort', () => aborted.resolve())
      started.resolve()
      await aborted.promise
      return new Response('nobody reads this')
    })
    const client = raw(server.port, head('GET /wait HTTP/1.1'))
    await started.promise
    client.socket.destroy()
    await aborted.promise
  })

  test('close lets requests in flight finish, and ends idle connections', async () => {
    const started = Promise.withResolvers<void>()
    const finish = Promise.withResolvers<void>()
    const server = await serve(async (request) => {
      if (request.url.endsWith('/idle')) return new Response('idle')
      started.resolve()
      await finish.promise
      return new Response('finished')
    })
    const idle = raw(server.port, head('GET /idle HTTP/1.1'))
    const busy = raw(server.port, head('GET /busy HTTP/1.1'))
    await vi.waitFor(() => expect(idle.text()).toMatch(/^HTTP\/1.1 200 /))
    await started.promise
    const closed = server.close(20_000)
    await idle.closed
    finish.resolve()
    expect(await busy.closed).toMatch(/^HTTP\/1.1 200 [\s\S]*finished/)
    await closed
    await server.close(20_000)
    await expect(fetch(`http://127.0.0.1:${server.port}/`)).rejects.toThrow()
  })

  test('close ends blocking queries and streams once the grace is over', async () => {
    const never = new Promise<Response>(() => {})
    const server = await serve((request) => {
      if (!request.url.endsWith('/stream')) return never
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(encoder.encode('data: 1\n\n'))
          request.signal.addEventListener('abort', () => {
            try {
              controller.close()
            } catch {
              // The runtime cancelled it first.
            }
          })
        },
      })
      return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } })
    })
    const waiting = raw(server.port, head('GET /wait HTTP/1.1'))
    const stream = raw(server.port, head('GET /stream HTTP/1.1'))
    await vi.waitFor(() => expect(stream.text()).toContain('data: 1'))
    await server.close(50)
    await Promise.all([waiting.closed, stream.closed])
  })

  test('a port in use gives an error that names the address', async () => {
    const server = await serve(() => new Response('first'))
    await expect(serve(() => new Response('second'), { port: server.port })).rejects.toMatchObject({
      code: 'invalid',
      message: `cannot listen on 127.0.0.1:${server.port}: another process listens there; stop it or choose another port`,
    })
  })

  test('what is ready is sent as it is, between answers that are not', async () => {
    const bytes = encoder.encode('ä'.repeat(5_000))
    const ready: Record<string, ReadyAnswer> = {
      '/text': { status: 200, headers: ['Content-Length', '2', 'X-A', 'b'], body: '\xc3\xa4' },
      '/bytes': { status: 404, headers: ['Content-Length', String(bytes.length)], body: bytes },
    }
    const made: string[] = []
    const server = await serve(
      (request) => {
        const path = new URL(request.url).pathname
        made.push(`${request.method} ${path}`)
        const { status = 200, headers = [], body = 'made' } = ready[path] ?? {}
        const pairs = headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]!] as [string, string]] : []))
        return new Response(body === '\xc3\xa4' ? 'ä' : (body as Uint8Array<ArrayBuffer>), { status, headers: pairs })
      },
      { ready: (target) => ready[target] },
    )
    const requests = ['GET /text', 'GET /other', 'GET /bytes', 'PUT /text', 'GET /text?x', 'GET /text']
    const connection = raw(
      server.port,
      requests
        .map((line) => head(`${line} HTTP/1.1`, ...(line.startsWith('PUT') ? ['Content-Length: 0'] : [])))
        .join(''),
    )
    await vi.waitFor(() => expect(connection.text().match(/HTTP\/1.1 /g)).toHaveLength(requests.length))
    expect(
      connection
        .text()
        .match(/HTTP\/1.1 (\d+)/g)!
        .map((line) => line.slice(-3)),
    ).toEqual(requests.map((line) => (line === 'GET /bytes' ? '404' : '200')))
    expect(connection.text()).toMatch(/X-A: b\r\n[\s\S]*\r\n\r\nä/i)
    await vi.waitFor(() => expect(connection.text().match(/ä/g)).toHaveLength(5_004))
    const longWay = ['GET /other', 'PUT /text', 'GET /text']
    expect(made).toEqual(runtime.name === 'node' ? longWay : requests.map((line) => line.replace('?x', '')))
  })

  test('a small body goes the short way where there is one, and any other to the app', async () => {
    const answers: string[] = []
    const server = await serve(
      async (request) => {
        const body = await request.text()
        answers.push(`long ${body.length}`)
        return new Response(`${body.length}`)
      },
      {
        maxBodyBytes: 20_000,
        put: (target) =>
          target !== '/short'
            ? undefined
            : async (body) => {
                answers.push(`short ${body.length}`)
                return {
                  status: 200,
                  headers: ['Content-Length', String(`${body.length}`.length)],
                  body: `${body.length}`,
                }
              },
      },
    )
    const put = (path: string, length: number): string =>
      `${head(`PUT ${path} HTTP/1.1`, `Content-Length: ${length}`)}${'x'.repeat(length)}`
    const chunked = `${head('PUT /short HTTP/1.1', 'Transfer-Encoding: chunked')}3\r\nabc\r\n0\r\n\r\n`
    const lengths = [2, 0, 16_384, 16_385, 3, 5, 7]
    const sent = [
      ...lengths.slice(0, 4).map((length) => put('/short', length)),
      chunked,
      put('/other', 5),
      put('/short', 7),
    ]
    const connection = raw(server.port, sent.join(''))
    await vi.waitFor(() => expect(connection.text().match(/HTTP\/1.1 200/g)).toHaveLength(sent.length))
    expect([...connection.text().matchAll(/\r\n\r\n(\d+)/g)].map(([, length]) => Number(length))).toEqual(lengths)
    const long = new Set([16_385, 3, 5])
    const ways = lengths.map((length) => `${runtime.name === 'node' && !long.has(length) ? 'short' : 'long'} ${length}`)
    expect(answers.toSorted()).toEqual(ways.toSorted())
    // Cut off in the middle of a body: nothing is written, and the server goes on.
    const cut = raw(server.port, put('/short', 100).slice(0, -50))
    cut.socket.end()
    await cut.closed
    const next = raw(server.port, put('/short', 4))
    await vi.waitFor(() => expect(next.text()).toMatch(/200[\s\S]*\r\n\r\n4$/))
    expect(answers.filter((answer) => answer.startsWith('short'))).not.toContain('short 50')
  })

  test('the app sees the target as it was sent', async () => {
    const server = await serve((request) => new Response(request.url))
    const target = '/v1/kv//a/../b/./%2e%2e/c%2Fd?x=../y'
    const answer = await raw(server.port, head(`GET ${target} HTTP/1.1`, 'Connection: close')).closed
    // Bun resolves dot segments before anybody sees them.
    const seen = runtime.name === 'bun' ? '/v1/kv//c%2Fd?x=../y' : target
    expect(answer.endsWith(`http://localhost${seen}`)).toBe(true)
  })

  // Runtimes refuse some of these themselves, and others than each other.
  test.each([
    'HEAD /v1/x?y HTTP/1.0\r\n\r\n',
    'TRACE /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    'PUT /v1/x HTTP/1.1\r\nHost: a * b\r\nConnection: close\r\n\r\n',
    'get /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    'PUT /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n',
  ])('%j does not come to be an inner error', async (request) => {
    const server = await serve((request) => {
      if (request.url.startsWith('/')) throw new Error(`no URL: ${request.url}`)
      return new Response(null, { status: 405 })
    })
    expect(await raw(server.port, request).closed).not.toMatch(/ 50\d /)
    expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(405)
  })

  // Bun has a timeout of its own, of 12 seconds; Deno has none.
  test.runIf(runtime.name === 'node')('a head that never ends is cut off', async () => {
    const server = await serve(() => new Response('x'), { headersTimeoutMs: 100 })
    expect(await raw(server.port, 'GET / HTTP/1.1\r\nX-').closed).toMatch(/^(HTTP\/1.1 408 |$)/)
  })
})
