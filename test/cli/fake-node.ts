/** A small HTTP server that answers as a test tells it, and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly method: string
  /** As sent, still encoded. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: Uint8Array
  readonly text: string
}

export interface Reply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Objects become JSON. */
  readonly body?: unknown
}

/** A reply, undefined for a 404, or a takeover of the response. */
export type Handler = (
  asked: Asked,
  response: ServerResponse,
) => Reply | undefined | 'taken' | Promise<Reply | undefined | 'taken'>

export interface FakeNode {
  readonly address: string
  readonly asked: Asked[]
  /** By `METHOD /path`; the query does not count. A later one replaces an earlier one. */
  on(route: string, reply: Reply | Handler): void
  /** Answers what no route does; a 404 without a body unless set. */
  fallback: Handler
  close(): Promise<void>
}

export async function startFakeNode(): Promise<FakeNode> {
  const routes = new Map<string, Handler>()
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    void answer(request, response)
  })
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Uint8Array[] = []
    for await (const chunk of request) chunks.push(chunk as Uint8Array)
    const [path = '', search = ''] = (request.url ?? '').split('?')
    const body = Buffer.concat(chunks)
    const call: Asked = {
      method: request.method ?? '',
      path,
      query: new URLSearchParams(search),
      headers: request.headers,
      body,
      text: body.toString('utf8'),
    }
    asked.push(call)
    const reply = (await (routes.get(`${call.method} ${path}`) ?? node.fallback)(call, response)) ?? {
      status: 404,
      body: '',
    }
    if (reply === 'taken') return
    const bytes = encode(reply.body)
    response.writeHead(reply.status ?? 200, { 'Content-Type': 'application/json', ...reply.headers })
    response.end(bytes)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const node: FakeNode = {
    fallback: () => undefined,
    address: `http://127.0.0.1:${port}`,
    asked,
    on: (route, reply) => routes.set(route, typeof reply === 'function' ? reply : () => reply),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return node
}

function encode(body: unknown): string | Uint8Array {
  if (body === undefined) return ''
  return typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
}

/** An address at which nothing listens. */
export async function closedAddress(): Promise<string> {
  const node = await startFakeNode()
  await node.close()
  return node.address
}
