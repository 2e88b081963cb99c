import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { httpProbe } from './http-probe.ts'
import type { HttpProbeRequest } from './ports.ts'
import { CERTIFICATE, KEY } from './testing/certificate.ts'

const open: Server[] = []
afterEach(async () => {
  for (const server of open.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

async function listen(server: Server): Promise<number> {
  open.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const probe = (url: string, more: Partial<HttpProbeRequest> = {}) =>
  httpProbe({
    url,
    method: 'GET',
    headers: {},
    body: '',
    tlsSkipVerify: false,
    tlsServerName: '',
    maxBodyBytes: 4096,
    signal: new AbortController().signal,
    ...more,
  })

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

test('sends method, headers with several values, Host and a body, also with GET', async () => {
  const port = await listen(
    createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        response.statusCode = 429
        response.end(
          [request.method, request.url, request.headers.host, request.headers['x-a'], body.toUpperCase()].join(' '),
        )
      })
    }),
  )
  const answer = await probe(`http://127.0.0.1:${port}/p?q=1`, {
    headers: { Host: ['web.test'], 'X-A': ['b', 'c'] },
    body: 'ping',
  })
  expect([answer.status, answer.statusText, answer.location]).toEqual([429, 'Too Many Requests', undefined])
  expect(text(answer.body)).toBe('GET /p?q=1 web.test b, c PING')
})

test('follows no redirect and tells where it leads', async () => {
  const port = await listen(createServer((_, response) => response.writeHead(302, { Location: '/there' }).end()))
  expect(await probe(`http://127.0.0.1:${port}/`)).toMatchObject({ status: 302, location: '/there' })
})

test('an endless body is cut at the limit and its connection closed', async () => {
  const closed = Promise.withResolvers<void>()
  const port = await listen(
    createServer((_, response) => {
      const more = (): void => {
        if (!response.destroyed) response.write('x'.repeat(1000), () => setImmediate(more))
      }
      response.on('close', closed.resolve)
      more()
    }),
  )
  const answer = await probe(`http://127.0.0.1:${port}/`, { maxBodyBytes: 2500 })
  expect(text(answer.body)).toBe('x'.repeat(2500))
  await closed.promise
})

test('an abort ends a request that hangs, with the reason of the signal', async () => {
  const asked = Promise.withResolvers<void>()
  const port = await listen(createServer(() => asked.resolve()))
  const abort = new AbortController()
  const answer = probe(`http://127.0.0.1:${port}/`, { signal: abort.signal })
  await asked.promise
  abort.abort(new Error('too late'))
  await expect(answer).rejects.toThrow('too late')
})

test('rejects with the code of a refused connection, and for a scheme that is none', async () => {
  const port = await listen(createServer())
  const server = open.pop()!
  await new Promise((resolve) => server.close(resolve))
  await expect(probe(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await expect(probe('ftp://127.0.0.1/')).rejects.toThrow('unsupported protocol scheme')
})

test('a certificate is verified unless told otherwise; the server name is sent', async () => {
  const port = await listen(
    createTlsServer({ key: KEY, cert: CERTIFICATE }, (request, response) => {
      response.end(String((request.socket as unknown as { servername: unknown }).servername))
    }) as unknown as Server,
  )
  const url = `https://127.0.0.1:${port}/`
  await expect(probe(url)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  const answer = await probe(url, { tlsSkipVerify: true, tlsServerName: 'backend.test' })
  expect([answer.status, text(answer.body)]).toEqual([200, 'backend.test'])
})
