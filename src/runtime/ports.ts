/**
 * What Atoll asks of the machine below. Each port has one adapter per runtime, or one for all where `node:` modules
 * behave the same on Node, Deno and Bun. Nothing else in `src/` touches a clock, a timer, randomness, a socket or a
 * file, so that tests can put a virtual one in its place.
 */

import type { ProbeTls } from './probes.ts'

export interface Timer {
  /** Idempotent; the callback does not run afterwards. */
  cancel(): void
}

export interface Clock {
  /** Monotonic milliseconds with a fraction. Only differences mean anything. */
  nowMs(): number
  /** Milliseconds since 1970: for logs, names and the validity of certificates, never for durations. */
  wallMs(): number
  /** Runs `fn` once after `delayMs` (0 or more). */
  after(delayMs: number, fn: () => void): Timer
  /** Runs `fn` every `periodMs`, the first time after one period. */
  every(periodMs: number, fn: () => void): Timer
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
  /** A signal that aborts with an AtollError 'timeout' after `delayMs`, or as `parent` does. `done()` frees the timer. */
  deadline(delayMs: number, parent?: AbortSignal): { signal: AbortSignal; done(): void }
}

export interface Random {
  bytes(length: number): Uint8Array
  /** In [0, 1). */
  float(): number
  uuid(): string
}

export interface HttpRequestInfo {
  /** Address of the peer, without the port; '' when the runtime does not tell. */
  readonly remoteAddress: string
  /** The header, '' without one: read for every request, which some runtimes do quicker than by `Headers`. */
  readonly acceptEncoding: string
  /** Header lines as they came; undefined where only `request.headers` tells, at the cost of making them. */
  readonly headerCount?: number
}

/** A whole answer that is made once and sent many times. */
export interface ReadyAnswer {
  readonly status: number
  /** Names and values by turns, `Content-Length` among them. */
  readonly headers: readonly string[]
  /** A text has one byte in each character (latin1). */
  readonly body: string | Uint8Array
}

export interface HttpServerOptions {
  readonly hostname: string
  /** 0 picks a free one. */
  readonly port: number
  readonly fetch: (request: Request, info: HttpRequestInfo) => Response | Promise<Response>
  /**
   * What `fetch` would answer a GET of that path and query, when it is there already or is about to be; undefined otherwise. Servers
   * that save work by not making a Request and a Response ask it first. Must not throw or reject.
   */
  readonly ready?: (target: string, acceptEncoding: string) => ReadyAnswer | Promise<ReadyAnswer> | undefined
  /**
   * How a PUT of that path and query with a small body is answered as `fetch` would, where there is a short way; undefined otherwise.
   * Asked by the same servers, with headers by their names in lower case. Must not throw, nor what it returns reject.
   */
  readonly put?: (
    target: string,
    headers: Readonly<Record<string, string | string[] | undefined>>,
    headerCount: number,
  ) => ((body: Uint8Array) => Promise<ReadyAnswer>) | undefined
  /** Requests with a larger body get a 413. */
  readonly maxBodyBytes: number
  /** ... but on this path only beyond so many bytes. */
  readonly large?: { readonly path: string; readonly maxBodyBytes: number }
  /** A connection that sends no complete request head for so long is closed. */
  readonly headersTimeoutMs: number
}

export interface RunningHttpServer {
  readonly hostname: string
  readonly port: number
  /** Takes no new connections, gives requests in flight `graceMs`, then closes every connection. Idempotent. */
  close(graceMs: number): Promise<void>
}

/** Resolves once connected (and closes at once); rejects with the reason, after `timeoutMs` at the latest. */
export type TcpProbe = (target: {
  readonly host: string
  readonly port: number
  readonly timeoutMs: number
  /** Connected only once a TLS handshake is done. */
  readonly tls?: ProbeTls | undefined
  readonly signal?: AbortSignal
}) => Promise<void>

export interface SocketAddress {
  /** An IPv4 or IPv6 address. */
  readonly address: string
  readonly port: number
}

export interface UdpOptions {
  /** An IPv4 or IPv6 address to bind. */
  readonly hostname: string
  /** 0 picks a free one. */
  readonly port: number
  /** `data` is valid during the call only. Must not throw. */
  readonly onDatagram: (data: Uint8Array, from: SocketAddress) => void
}

export interface UdpSocket {
  readonly hostname: string
  readonly port: number
  /** At once or not at all: what the system has no room for is dropped. `data` must not be changed afterwards. */
  send(data: Uint8Array, to: SocketAddress): void
  /** Idempotent; nothing is received afterwards. */
  close(): Promise<void>
}

export interface TcpConnection {
  readonly remote: SocketAddress
  /** Bytes that wait because the peer does not read them. */
  readonly pendingBytes: number
  /** `data` must not be changed afterwards. Nothing happens when the connection is closed. */
  send(data: Uint8Array): void
  /** Ends at once, with what waits. Idempotent. */
  close(): void
}

export interface TcpHandler {
  /** `data` is valid during the call only. Must not throw. */
  onData(data: Uint8Array): void
  /** Runs once, however the connection ended. */
  onClose(): void
}

export interface TcpServerOptions {
  readonly hostname: string
  /** 0 picks a free one. */
  readonly port: number
  /** Further ones are closed at once. */
  readonly maxConnections: number
  /** A connection that brings nothing for so long is closed. */
  readonly idleTimeoutMs: number
  readonly onConnection: (connection: TcpConnection) => TcpHandler
}

export interface RunningTcpServer {
  readonly hostname: string
  readonly port: number
  /** Closes every connection too. Idempotent. */
  close(): Promise<void>
}

export interface TcpClientOptions extends TcpHandler {
  readonly host: string
  readonly port: number
  /** For connecting; the caller bounds what follows. */
  readonly timeoutMs: number
}

export interface HttpProbeRequest {
  /** http: or https: */
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly body: string
  /** Accept any certificate. */
  readonly tlsSkipVerify: boolean
  /** Name to ask for (SNI) and to verify; '' for the URL's host. */
  readonly tlsServerName: string
  /** The rest of a longer body is not read: the connection is closed. */
  readonly maxBodyBytes: number
  /** Ends the request at once; carries its deadline. */
  readonly signal: AbortSignal
}

export interface HttpProbeResponse {
  readonly status: number
  readonly statusText: string
  /** The header of that name, or undefined. */
  readonly location: string | undefined
  /** The header `X-Atoll-Load`, or undefined. */
  readonly load?: string | undefined
  readonly body: Uint8Array
}

/** One request on a connection of its own, without keep-alive; follows no redirect. Rejects with the reason. */
export type HttpProbe = (request: HttpProbeRequest) => Promise<HttpProbeResponse>

export interface Disk {
  makeDirectory(path: string): Promise<void>
  /** undefined when there is no such file. */
  read(path: string): Promise<Uint8Array | undefined>
  /** Whole or not at all: temporary file, fsync, rename, fsync of the folder. Parts are written as they come. */
  writeAtomic(path: string, data: Uint8Array | AsyncIterable<Uint8Array>, options?: { mode?: number }): Promise<void>
  list(path: string): Promise<string[]>
  /** What writes left in the folder that were cut off by the end of their process; none may be under way. */
  removeTemporary(path: string): Promise<void>
  /** No error when it is not there. */
  remove(path: string): Promise<void>
  join(...parts: string[]): string
}

export interface Runtime {
  readonly name: 'node' | 'deno' | 'bun'
  readonly version: string
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  serveHttp(options: HttpServerOptions): Promise<RunningHttpServer>
  readonly tcpProbe: TcpProbe
  /** Rejects with AtollError 'invalid' when it cannot listen there. */
  openUdp(options: UdpOptions): Promise<UdpSocket>
  /** Rejects with AtollError 'invalid' when it cannot listen there. */
  serveTcp(options: TcpServerOptions): Promise<RunningTcpServer>
  /** Rejects with AtollError 'unavailable' when there is no connection in time. */
  connectTcp(options: TcpClientOptions): Promise<TcpConnection>
  /** Resident memory of this process in bytes. */
  memoryBytes(): number
  /** Gives back what starting took and running does not need; for the end of a start, since it may block for 60 ms. */
  releaseMemory?(): void
  /** Bounds what garbage may take, for the whole process, until it is cancelled. */
  boundGarbage?(): Timer
}

export interface Logger {
  debug(fields: Record<string, unknown>, message: string): void
  info(fields: Record<string, unknown>, message: string): void
  warn(fields: Record<string, unknown>, message: string): void
  error(fields: Record<string, unknown>, message: string): void
  child(fields: Record<string, unknown>): Logger
}

/** From what is told to most severe. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLineLevel = (typeof LOG_LEVELS)[number]

/** Somebody who follows the log while it is written: `/v1/agent/monitor`. */
export interface LogFollower {
  readonly level: LogLineLevel
  /** A line as one JSON object with `time`, `level`, `msg` and fields, ended by a newline. Must not throw. */
  onLine(json: string, level: LogLineLevel): void
}

/** What a machine is and how much of it is in use. */
export interface HostReport {
  readonly memory: Readonly<Record<string, number>>
  readonly cpus: readonly { readonly modelName: string; readonly mhz: number }[]
  readonly host: {
    readonly hostname: string
    /** Seconds since it was started. */
    readonly uptimeS: number
    readonly os: string
    readonly platformVersion: string
    readonly kernelVersion: string
    readonly kernelArch: string
  }
  /** Of the file system that the path is on; undefined where that cannot be told. */
  readonly disk:
    | {
        readonly path: string
        readonly totalBytes: number
        readonly freeBytes: number
        readonly files: number
        readonly freeFiles: number
      }
    | undefined
}

/** Of this process. */
export interface ProcessMemory {
  readonly residentBytes: number
  readonly heapUsedBytes: number
  readonly heapTotalBytes: number
  readonly externalBytes: number
}

/** A program that runs beside this process, and never longer. */
export interface Companion {
  /** Resolves with how it ended. */
  readonly ended: Promise<string>
  /** Ends it: asks first, and kills it after two seconds. */
  stop(): Promise<void>
}

export interface Companions {
  /** `onLine` gets what it says on its standard error. Never throws: what cannot be run ends at once. */
  start(options: { readonly args: readonly string[]; readonly onLine: (line: string) => void }): Companion
  /** `preferred` where nobody listens there, otherwise a free one; held until it is released for a program to listen there. */
  reservePort(host: string, preferred: number): Promise<ReservedPort>
}

export interface ReservedPort {
  readonly port: number
  /** Idempotent. */
  release(): Promise<void>
}
