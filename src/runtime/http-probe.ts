/**
 * HTTP as a health check needs it, one adapter for all runtimes. Not `fetch`: that has no portable way to skip the
 * verification of a certificate, to set the server name, or to send a body with GET.
 */
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { HttpProbe, HttpProbeResponse } from './ports.ts'

/** `ca`: PEM of authorities that are trusted, instead of the machine's own. */
export const httpProbeWith =
  (ca: string | undefined): HttpProbe =>
  (probe) =>
    new Promise((resolve, reject) => {
      const url = new URL(probe.url)
      const secure = url.protocol === 'https:'
      if (!secure && url.protocol !== 'http:') throw new TypeError(`unsupported protocol scheme "${url.protocol}"`)
      const body = new TextEncoder().encode(probe.body)
      const options = {
        method: probe.method,
        headers: headersOf(probe.headers, body.length),
        agent: false as const,
        signal: probe.signal,
      }
      const request = secure
        ? requestHttps(url, {
            ...options,
            rejectUnauthorized: !probe.tlsSkipVerify,
            ...(ca === undefined ? {} : { ca }),
            ...(probe.tlsServerName === '' ? {} : { servername: probe.tlsServerName }),
          })
        : requestHttp(url, options)
      request.on('error', (error) => reject(probe.signal.aborted ? probe.signal.reason : error))
      request.on('response', (response) => {
        readHead(response, probe.maxBodyBytes).then(resolve, (error) =>
          reject(probe.signal.aborted ? probe.signal.reason : error),
        )
      })
      request.end(body)
    })

export const httpProbe: HttpProbe = httpProbeWith(undefined)

function headersOf(
  headers: Readonly<Record<string, readonly string[]>>,
  length: number,
): Record<string, string | string[]> {
  const result: Record<string, string | string[]> = {}
  if (length > 0) result['content-length'] = String(length)
  for (const [name, values] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    // Node takes Host as one value only.
    if (lower === 'host') result[lower] = values[0] ?? ''
    else if (lower === 'content-length') result[lower] = values[0] ?? String(length)
    else result[name] = [...values]
  }
  return result
}

/** The head and at most `maxBytes` of the body; whatever follows is cut off by closing the connection. */
function readHead(response: IncomingMessage, maxBytes: number): Promise<HttpProbeResponse> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let length = 0
    const finish = (): void => {
      response.destroy()
      resolve({
        status: response.statusCode ?? 0,
        statusText: response.statusMessage ?? '',
        location: response.headers.location,
        load: loadOf(response),
        body: join(chunks, Math.min(length, maxBytes)),
      })
    }
    response.on('data', (chunk: Uint8Array) => {
      chunks.push(chunk)
      length += chunk.length
      if (length >= maxBytes) finish()
    })
    response.on('end', finish)
    response.on('error', reject)
    response.on('close', () => reject(new Error('the connection was closed in the middle of the answer')))
  })
}

function loadOf({ headers }: IncomingMessage): string | undefined {
  const load = headers['x-atoll-load']
  return Array.isArray(load) ? load[0] : load
}

function join(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const result = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    if (at >= length) break
    const part = chunk.subarray(0, length - at)
    result.set(part, at)
    at += part.length
  }
  return result
}
