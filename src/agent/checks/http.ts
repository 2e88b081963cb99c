/** HTTP checks: 2xx passes, 429 warns, all else is critical; what was answered is the output. */

import { messageOf } from '../../model/errors.ts'
import { parseLoad } from '../../model/load.ts'
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { HttpProbe, HttpProbeResponse } from '../../runtime/ports.ts'
import { decodeBounded, dialReason, isTimeout, type Outcome } from './outcome.ts'

export type HttpTarget = NonNullable<LocalCheckDefinition['http']>

/** As Go's client, which Consul uses. */
const MAX_REDIRECTS = 10
const TIMED_OUT = 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'

/** Never rejects: what goes wrong is the outcome. `signal` carries the deadline. */
export async function runHttpCheck(
  target: HttpTarget,
  maxBytes: number,
  probe: HttpProbe,
  signal: AbortSignal,
): Promise<Outcome> {
  const method = target.method === '' ? 'GET' : target.method
  try {
    const answer = await follow({ ...target, method }, maxBytes, probe, signal)
    const statusLine = `${answer.status} ${answer.statusText}`.trimEnd()
    const body = decodeBounded(answer.body, maxBytes).toWellFormed()
    const output = `HTTP ${method} ${target.url}: ${statusLine} Output: ${body}`
    const load = parseLoad(answer.load)
    return { status: statusOf(answer.status), output, ...(load === undefined ? {} : { load }) }
  } catch (error) {
    return failed(target, reasonOf(error, target.url))
  }
}

/** The outcome of a run that was given up. */
export const httpTimedOut = (target: HttpTarget): Outcome => failed(target, TIMED_OUT)

function failed(target: HttpTarget, reason: string): Outcome {
  const method = target.method === '' ? 'GET' : target.method
  const verb = method.slice(0, 1).toUpperCase() + method.slice(1).toLowerCase()
  return { status: 'critical', output: `${verb} "${target.url}": ${reason}` }
}

function statusOf(code: number): Outcome['status'] {
  if (code >= 200 && code <= 299) return 'passing'
  return code === 429 ? 'warning' : 'critical'
}

async function follow(
  target: HttpTarget,
  maxBytes: number,
  probe: HttpProbe,
  signal: AbortSignal,
): Promise<HttpProbeResponse> {
  let { url, method, body } = target
  let headers = withDefaults(target.headers)
  for (let redirects = 0; ; redirects++) {
    const answer = await probe({
      url,
      method,
      headers,
      body,
      tlsSkipVerify: target.tlsSkipVerify,
      tlsServerName: target.tlsServerName,
      // One more than is kept, so that a character is not taken for whole when it was cut.
      maxBodyBytes: maxBytes + 1,
      signal,
    })
    if (answer.location === undefined || target.disableRedirects || ![301, 302, 303, 307, 308].includes(answer.status))
      return answer
    if (redirects === MAX_REDIRECTS) throw new Error(`stopped after ${MAX_REDIRECTS} redirects`)
    const next = new URL(answer.location, url)
    if (next.host !== new URL(url).host) headers = withoutCredentials(headers)
    url = next.href
    if (answer.status < 307) {
      if (method !== 'HEAD') method = 'GET'
      body = ''
    }
  }
}

type Headers = Readonly<Record<string, readonly string[]>>

function withDefaults(headers: Headers): Headers {
  const names = new Set(Object.keys(headers).map((name) => name.toLowerCase()))
  return {
    ...headers,
    ...(names.has('user-agent') ? {} : { 'User-Agent': ['Consul Health Check'] }),
    ...(names.has('accept') ? {} : { Accept: ['text/plain, text/*, */*'] }),
  }
}

/** Another host must not see what was meant for the first. */
const withoutCredentials = (headers: Headers): Headers =>
  Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => !['authorization', 'cookie', 'www-authenticate', 'host'].includes(name.toLowerCase()),
    ),
  )

function reasonOf(error: unknown, address: string): string {
  if (isTimeout(error)) return TIMED_OUT
  if (!URL.canParse(address)) return messageOf(error)
  const url = new URL(address)
  return dialReason(error, url.hostname, url.port || (url.protocol === 'https:' ? 443 : 80))
}
