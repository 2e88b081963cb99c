/** The launcher's control endpoint: HTTP on the loopback address, for those who can read its token. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ControlAnswer, type ControlRequest, controlRequest } from './control.ts'
import { LauncherError, messageOf } from './errors.ts'

const MAX_BODY_BYTES = 4096
const MAX_CONNECTIONS = 16

export interface ControlServer {
  readonly port: number
  readonly token: string
  close(): Promise<void>
}

export async function serveControl(
  carryOut: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<ControlServer> {
  const token = randomBytes(24).toString('hex')
  const server = createServer((request, response) => {
    answer(request, token, carryOut).then(
      ({ status, body }) => send(response, status, body),
      (error: unknown) => send(response, 500, { error: messageOf(error) }),
    )
  })
  server.maxConnections = MAX_CONNECTIONS
  server.headersTimeout = 5000
  server.requestTimeout = 5000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return { port: (server.address() as AddressInfo).port, token, close: () => close(server) }
}

async function answer(
  request: IncomingMessage,
  token: string,
  carryOut: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<{ status: number; body: object }> {
  if (request.method !== 'POST' || request.url !== '/command') {
    request.resume()
    return { status: 404, body: { error: 'there is POST /command only' } }
  }
  if (!isAllowed(request.headers.authorization, token)) {
    request.resume()
    return { status: 403, body: { error: 'wrong token' } }
  }
  const text = await readBody(request)
  if (text === undefined) return { status: 413, body: { error: `a command takes at most ${MAX_BODY_BYTES} bytes` } }
  const parsed = controlRequest.safeParse(parseJson(text))
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`)
    return { status: 400, body: { error: problems.join('; ') } }
  }
  try {
    return { status: 200, body: await carryOut(parsed.data) }
  } catch (error) {
    if (error instanceof LauncherError) return { status: 409, body: { error: error.message } }
    throw error
  }
}

function isAllowed(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${token}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

/** undefined when it is too large; the rest is read and thrown away, so that the answer arrives. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > 16 * MAX_BODY_BYTES) break
    if (size <= MAX_BODY_BYTES) chunks.push(chunk)
  }
  return size > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    connection: 'close',
  })
  response.end(bytes)
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
