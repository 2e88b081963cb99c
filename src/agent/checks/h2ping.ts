/** H2 ping checks: passing when the peer speaks HTTP/2 and acknowledges a ping. */
import { messageOf } from '../../model/errors.ts'
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { Http2Ping } from '../../runtime/probes.ts'
import { isTimeout, type Outcome } from './outcome.ts'

export type H2PingTarget = NonNullable<LocalCheckDefinition['h2ping']>

/** Never rejects: what goes wrong is the outcome. `signal` carries the deadline. */
export async function runH2PingCheck(target: H2PingTarget, ping: Http2Ping, signal: AbortSignal): Promise<Outcome> {
  const { host, port, tls } = target
  try {
    await ping({ host: host === '' ? 'localhost' : host, port, tls, signal })
    return { status: 'passing', output: 'HTTP2 ping was successful' }
  } catch (error) {
    return isTimeout(error) ? h2PingTimedOut : { status: 'critical', output: `HTTP2 ping failed: ${messageOf(error)}` }
  }
}

/** The outcome of a run that was given up. */
export const h2PingTimedOut: Outcome = { status: 'critical', output: 'HTTP2 ping failed: context deadline exceeded' }
