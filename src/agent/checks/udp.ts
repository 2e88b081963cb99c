/** UDP checks: critical when the network says that nothing listens; an answer passes, and so does silence, as in Consul. */
import { hostAndPort } from '../../model/addresses.ts'
import { messageOf } from '../../model/errors.ts'
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { UdpProbe } from '../../runtime/probes.ts'
import type { Outcome } from './outcome.ts'

export type UdpTarget = NonNullable<LocalCheckDefinition['udp']>

/** A refusal comes within a round trip: longer silence tells no more, and holds a slot. */
const MAX_WAIT_MS = 1_000

/** Never rejects: what goes wrong is the outcome. */
export async function runUdpCheck(
  target: UdpTarget,
  timeoutMs: number,
  probe: UdpProbe,
  signal: AbortSignal,
): Promise<Outcome> {
  const { host, port } = target
  const shown = hostAndPort(host, port)
  try {
    const waitMs = Math.min(MAX_WAIT_MS, timeoutMs / 2)
    const met = await probe({ host: host === '' ? 'localhost' : host, port, waitMs, signal })
    if (met === 'refused') return { status: 'critical', output: `read udp ${shown}: recvfrom: connection refused` }
    return { status: 'passing', output: `UDP connect ${shown}: Success` }
  } catch (error) {
    return { status: 'critical', output: `dial udp ${shown}: ${messageOf(error)}` }
  }
}

/** The outcome of a run that was given up: its name was not resolved in time. */
export const udpTimedOut = ({ host, port }: UdpTarget): Outcome => ({
  status: 'critical',
  output: `dial udp ${host}:${port}: i/o timeout`,
})
