/** HTTP/2 as health checks need it: a connection of its own for each look, by prior knowledge or over TLS. */

import { type ClientHttp2Session, connect } from 'node:http2'
import { hostAndPort } from '../model/addresses.ts'
import type { Http2Call, Http2CallResult, Http2Ping, Http2Target } from './probes.ts'

/** `ca`: PEM of the authorities that are trusted, instead of the machine's own. */
export const http2PingWith =
  (ca: string | undefined): Http2Ping =>
  (target) =>
    withSession(target, ca, (session, done, fail) => {
      session.ping((error) => (error ? fail(error) : done(undefined)))
    })

export const http2CallWith =
  (ca: string | undefined): Http2Call =>
  (target) =>
    withSession(target, ca, (session, done: (result: Http2CallResult) => void, fail) => {
      const request = session.request({ ':method': 'POST', ':path': target.path, ...target.headers })
      const headers: Record<string, string> = {}
      const chunks: Uint8Array[] = []
      let length = 0
      const keep = (given: object): void => {
        for (const [name, value] of Object.entries(given)) headers[name] = String(value)
      }
      const finish = (): void =>
        done({ status: Number(headers[':status'] ?? 0), headers, body: Buffer.concat(chunks, length) })
      request.on('response', keep)
      request.on('trailers', keep)
      request.on('data', (chunk: Uint8Array) => {
        const part = chunk.subarray(0, target.maxBodyBytes - length)
        chunks.push(part)
        length += part.length
        if (length >= target.maxBodyBytes) finish()
      })
      request.on('error', fail)
      request.on('close', finish)
      request.end(target.body)
    })

/** Runs `use` on a fresh session and destroys it afterwards, whatever came of it. */
function withSession<T>(
  { host, port, tls, signal }: Http2Target,
  ca: string | undefined,
  use: (session: ClientHttp2Session, done: (value: T) => void, fail: (error: unknown) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const at = hostAndPort(host, port)
    const session = tls
      ? connect(`https://${at}`, {
          rejectUnauthorized: !tls.skipVerify,
          ...(tls.serverName === '' ? {} : { servername: tls.serverName }),
          ...(ca === undefined ? {} : { ca }),
        })
      : connect(`http://${at}`)
    const settle = (finish: () => void): void => {
      signal.removeEventListener('abort', onAbort)
      // What a session that is torn down still has to say is nothing to anybody.
      session.on('error', () => {})
      // Not from within one of its own events: Deno 2.9 crashes on that now and then, over TLS.
      setImmediate(() => {
        session.destroy()
        finish()
      })
    }
    const fail = (error: unknown): void => settle(() => reject(error))
    const onAbort = (): void => fail(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    session.on('error', fail)
    session.once('close', () => fail(new Error('the connection was closed')))
    session.once('connect', () => {
      try {
        use(session, (value) => settle(() => resolve(value)), fail)
      } catch (error) {
        fail(error)
      }
    })
  })
}
