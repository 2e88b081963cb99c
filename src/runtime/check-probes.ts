import { runCommand } from './command.ts'
import { dockerExecAt } from './docker.ts'
import { httpProbeWith } from './http-probe.ts'
import { http2CallWith, http2PingWith } from './http2-probe.ts'
import type { CheckProbes } from './probes.ts'
import { tcpProbeWith } from './tcp.ts'
import { udpProbe } from './udp-probe.ts'

/** `ca`: PEM of authorities that TLS checks trust instead of the machine's own. */
export const checkProbes = (ca?: string): CheckProbes => ({
  http: httpProbeWith(ca),
  tcp: tcpProbeWith(ca),
  http2Ping: http2PingWith(ca),
  http2Call: http2CallWith(ca),
  udp: udpProbe,
  command: runCommand,
  docker: dockerExecAt(),
})
