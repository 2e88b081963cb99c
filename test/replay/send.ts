/** One HTTP request over a socket of its own, sent as it is: `fetch` would normalise paths and refuse methods. */
import { connect } from 'node:net'

export interface RawRequest {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

export interface RawAnswer {
  /** 0 when the connection ended without an answer. */
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Uint8Array
  readonly elapsedMs: number
}

export function send(port: number, request: RawRequest, timeoutMs = 30_000): Promise<RawAnswer> {
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    let failure: Error | undefined
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`${request.method} ${request.path}: no answer`)))
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', (error) => {
      failure = error
    })
    socket.on('close', () => {
      const answer = parseAnswer(Buffer.concat(chunks), request.method, performance.now() - startedAt)
      if (answer.status === 0 && failure && !/RESET|EPIPE/.test(failure.message)) reject(failure)
      else resolve(answer)
    })
    socket.write(Buffer.concat([head(request), request.body ?? new Uint8Array(0)]))
  })
}

function head({ method, path, headers = {}, body }: RawRequest): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: close']
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  if (body) lines.push(`Content-Length: ${body.length}`)
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'utf8')
}

function parseAnswer(bytes: Buffer, method: string, elapsedMs: number): RawAnswer {
  const headers = new Map<string, string>()
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return { status: 0, headers, body: new Uint8Array(0), elapsedMs }
  const [first = '', ...lines] = bytes.subarray(0, end).toString('utf8').split('\r\n')
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  const rest = bytes.subarray(end + 4)
  const chunked = headers.get('transfer-encoding') === 'chunked'
  const body = method === 'HEAD' ? new Uint8Array(0) : chunked ? joinChunks(rest) : rest
  return { status: Number(first.split(' ')[1]), headers, body, elapsedMs }
}

function joinChunks(bytes: Buffer): Uint8Array {
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const line = bytes.indexOf('\r\n', at)
    if (line < 0) break
    const length = Number.parseInt(bytes.subarray(at, line).toString(), 16)
    if (!(length > 0)) break
    parts.push(bytes.subarray(line + 2, line + 2 + length))
    at = line + 2 + length + 2
  }
  return Buffer.concat(parts)
}
