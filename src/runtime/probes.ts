/**
 * What health checks ask of the machine: one look at one target each. All end at once when their signal aborts, which
 * carries the deadline, and then reject with its reason. Adapters in `http-probe.ts`, `tcp.ts`, `http2-probe.ts`, ...
 */
import type { HttpProbe, TcpProbe } from './ports.ts'

/** How a TLS connection is made. Trusted are the machine's authorities, or those of the node's configuration. */
export interface ProbeTls {
  /** Accept any certificate. */
  readonly skipVerify: boolean
  /** Name to ask for (SNI) and to verify; '' for the host. */
  readonly serverName: string
}

export interface Http2Target {
  readonly host: string
  readonly port: number
  /** undefined: HTTP/2 in clear text, without an upgrade. */
  readonly tls: ProbeTls | undefined
  readonly signal: AbortSignal
}

/** Resolves when the peer has acknowledged a PING frame. */
export type Http2Ping = (target: Http2Target) => Promise<void>

export interface Http2CallResult {
  readonly status: number
  /** Headers and trailers in one, names in lower case; trailers win. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** One POST. A longer answer than `maxBodyBytes` is cut off. */
export type Http2Call = (
  target: Http2Target & {
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly body: Uint8Array
    readonly maxBodyBytes: number
  },
) => Promise<Http2CallResult>

/**
 * What a datagram to a port met: 'answered', 'silent' until `waitMs` were over, or 'refused' (there is no such port).
 * Rejects with AtollError 'unsupported' where this runtime cannot tell the last two apart.
 */
export type UdpProbe = (target: {
  readonly host: string
  readonly port: number
  readonly waitMs: number
  readonly signal: AbortSignal
}) => Promise<'answered' | 'silent' | 'refused'>

export interface CommandResult {
  /** undefined when a signal ended it. */
  readonly exitCode: number | undefined
  /** The last bytes of what it wrote to both outputs. */
  readonly output: Uint8Array
  /** How many there were in all. */
  readonly outputBytes: number
}

/**
 * Runs a program in a process group of its own, without a shell and without standard input. The group is killed when
 * `signal` aborts, and what it leaves behind when the program ends.
 */
export type RunCommand = (command: {
  readonly args: readonly string[]
  readonly maxOutputBytes: number
  readonly signal: AbortSignal
}) => Promise<CommandResult>

/** Runs a program inside a container, through the Docker daemon that DOCKER_HOST names (the local one unless set). */
export type DockerExec = (command: {
  readonly containerId: string
  readonly args: readonly string[]
  readonly maxOutputBytes: number
  readonly signal: AbortSignal
}) => Promise<CommandResult>

export interface CheckProbes {
  readonly http: HttpProbe
  readonly tcp: TcpProbe
  readonly http2Ping: Http2Ping
  readonly http2Call: Http2Call
  readonly udp: UdpProbe
  readonly command: RunCommand
  readonly docker: DockerExec
}
