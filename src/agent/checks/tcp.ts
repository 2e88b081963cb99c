/** TCP checks: passing when something accepts the connection. */
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { TcpProbe } from '../../runtime/ports.ts'
import { dialReason, type Outcome } from './outcome.ts'

export type TcpTarget = NonNullable<LocalCheckDefinition['tcp']>

/** Never rejects: what goes wrong is the outcome. */
export async function runTcpCheck(
  target: TcpTarget,
  timeoutMs: number,
  probe: TcpProbe,
  signal: AbortSignal,
): Promise<Outcome> {
  const { host, port, tls } = target
  try {
    // ":80" means this machine, as in Go.
    await probe({ host: host === '' ? 'localhost' : host, port, timeoutMs, tls, signal })
    return { status: 'passing', output: `TCP connect ${address(host, port)}: Success` }
  } catch (error) {
    return { status: 'critical', output: dialReason(error, bracketed(host), port) }
  }
}

/** The outcome of a run that was given up. */
export const tcpTimedOut = ({ host, port }: TcpTarget): Outcome => ({
  status: 'critical',
  output: `dial tcp ${address(host, port)}: i/o timeout`,
})

const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host)
const address = (host: string, port: number): string => `${bracketed(host)}:${port}`
