/**
 * The load: keep-alive sockets that each send a request as soon as the last one is answered, over a list of paths. A client of
 * its own, because any library would cost more than the servers that are measured.
 */
import { connect } from 'node:net'

export interface LoadResult {
  readonly requestsPerSecond: number
  readonly medianMs: number
  readonly p99Ms: number
  readonly failed: number
}

const HEAD_END = Buffer.from('\r\n\r\n')

export async function load(
  port: number,
  paths: readonly string[],
  connections: number,
  seconds: number,
  { method = 'GET', body }: { method?: string; body?: string | undefined } = {},
): Promise<LoadResult> {
  const rest = body === undefined ? '\r\n' : `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  const requests = paths.map((path) => Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${rest}`))
  const timesMs: number[] = []
  let failed = 0
  let sent = Math.floor(Math.random() * 1e9)
  const startedAt = performance.now()
  const endsAt = startedAt + seconds * 1000
  const one = (offset: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      let next = offset
      let sentAt = 0
      let pending: Buffer | undefined
      /** Bytes of the body still to come; -1 while the head is read. */
      let remaining = -1
      const sendNext = (): void => {
        sentAt = performance.now()
        if (sentAt >= endsAt) {
          socket.destroy()
          resolve()
          return
        }
        const request = requests[next++ % requests.length]!
        socket.write(body === undefined ? request : numbered(request, ++sent))
      }
      socket.on('connect', sendNext)
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => {
        let bytes = pending ? Buffer.concat([pending, chunk]) : chunk
        pending = undefined
        if (remaining < 0) {
          const end = bytes.indexOf(HEAD_END)
          if (end < 0) {
            pending = bytes
            return
          }
          const head = bytes.toString('latin1', 0, end)
          remaining = Number(/content-length: *(\d+)/i.exec(head)?.[1])
          if (!head.startsWith('HTTP/1.1 200') || !(remaining > 0)) failed++
          bytes = bytes.subarray(end + 4)
        }
        remaining -= bytes.length
        if (remaining > 0) return
        remaining = -1
        timesMs.push(performance.now() - sentAt)
        sendNext()
      })
    })
  await Promise.all(Array.from({ length: connections }, (_, i) => one(Math.floor((i * paths.length) / connections))))
  const elapsedS = (performance.now() - startedAt) / 1000
  timesMs.sort((a, b) => a - b)
  const at = (part: number): number =>
    timesMs[Math.min(timesMs.length - 1, Math.floor(timesMs.length * part))] ?? Number.NaN
  return { requestsPerSecond: timesMs.length / elapsedS, medianMs: at(0.5), p99Ms: at(0.99), failed }
}

if (process.argv[2] === 'load') {
  const [port, connections, seconds, pattern, method, body] = process.argv.slice(3)
  const request = method === undefined ? {} : { method, body }
  const result = await load(Number(port), expand(pattern!), Number(connections), Number(seconds), request)
  console.log(JSON.stringify(result))
}

/** A copy whose body ends in the number: a write of what is there already would be none. */
function numbered(request: Buffer, n: number): Buffer {
  const copy = Buffer.from(request)
  copy.write(String(n).padStart(10, '0'), copy.length - 10, 'latin1')
  return copy
}

/** `/v1/x/{1000}?y` stands for 1,000 paths. */
function expand(pattern: string): string[] {
  const count = Number(/\{(\d+)\}/.exec(pattern)?.[1] ?? 1)
  return Array.from({ length: count }, (_, i) => pattern.replace(/\{\d+\}/, String(i)))
}
