/** How each kind of check that runs at intervals is run. */
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { CheckProbes } from '../../runtime/probes.ts'
import { type AliasedNode, aliasOutcome } from './alias.ts'
import { commandOutcome, commandTimedOut, osServiceOutcome } from './command.ts'
import { grpcTimedOut, runGrpcCheck } from './grpc.ts'
import { h2PingTimedOut, runH2PingCheck } from './h2ping.ts'
import { httpTimedOut, runHttpCheck } from './http.ts'
import type { Outcome } from './outcome.ts'
import { runTcpCheck, tcpTimedOut } from './tcp.ts'
import { runUdpCheck, udpTimedOut } from './udp.ts'

export interface IntervalKind {
  /** One run, given its deadline. */
  readonly run: (signal: AbortSignal, timeoutMs: number) => Promise<Outcome>
  /** What a run that did not end in time amounts to. */
  readonly timedOut: Outcome
}

/** Reads what the catalog knows of a node. */
export type ReadNode = (node: string, signal: AbortSignal) => Promise<AliasedNode | undefined>

/** undefined for kinds that are not run: a TTL, an alias of this node's own, maintenance. */
export function intervalKindOf(
  definition: LocalCheckDefinition,
  probes: CheckProbes,
  readNode: ReadNode,
): IntervalKind | undefined {
  const { http, tcp, udp, grpc, h2ping, script, docker, osService, alias, outputMaxBytes: maxOutputBytes } = definition
  if (http)
    return { run: (signal) => runHttpCheck(http, maxOutputBytes, probes.http, signal), timedOut: httpTimedOut(http) }
  if (tcp)
    return { run: (signal, timeoutMs) => runTcpCheck(tcp, timeoutMs, probes.tcp, signal), timedOut: tcpTimedOut(tcp) }
  if (udp)
    return { run: (signal, timeoutMs) => runUdpCheck(udp, timeoutMs, probes.udp, signal), timedOut: udpTimedOut(udp) }
  if (grpc) return { run: (signal) => runGrpcCheck(grpc, probes.http2Call, signal), timedOut: grpcTimedOut }
  if (h2ping) return { run: (signal) => runH2PingCheck(h2ping, probes.http2Ping, signal), timedOut: h2PingTimedOut }
  if (docker) {
    return {
      run: (signal, timeoutMs) => commandOutcome(probes.docker({ ...docker, maxOutputBytes, signal }), timeoutMs),
      timedOut: commandTimedOut(definition.timeoutMs),
    }
  }
  if (script) {
    return {
      run: (signal, timeoutMs) => commandOutcome(probes.command({ ...script, maxOutputBytes, signal }), timeoutMs),
      timedOut: commandTimedOut(definition.timeoutMs),
    }
  }
  if (osService) {
    const args = ['systemctl', 'is-active', '--', osService.name]
    return {
      run: (signal) => osServiceOutcome(probes.command({ args, maxOutputBytes, signal }), osService.name),
      timedOut: { status: 'critical', output: `OS service ${osService.name}: systemd did not answer in time` },
    }
  }
  if (alias && alias.node !== '') {
    return {
      run: async (signal) => aliasOutcome(alias, await readNode(alias.node, signal), definition.checkId),
      timedOut: { status: 'critical', output: `Node ${alias.node} could not be looked up in time` },
    }
  }
  return undefined
}
