/**
 * gRPC checks: grpc.health.v1.Health/Check, one unary call over HTTP/2. The messages have one field each, so their
 * encoding stands here (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
 */
import { hostAndPort } from '../../model/addresses.ts'
import { messageOf } from '../../model/errors.ts'
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { Http2Call, Http2CallResult } from '../../runtime/probes.ts'
import { dialReason, isTimeout, type Outcome } from './outcome.ts'

export type GrpcTarget = NonNullable<LocalCheckDefinition['grpc']>

const PATH = '/grpc.health.v1.Health/Check'
/** An answer has a few bytes. */
const MAX_ANSWER_BYTES = 4096
const SERVING = 1
/** The codes of gRPC, by number. */
const CODES =
  'OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated'.split(
    ' ',
  )

/** Never rejects: what goes wrong is the outcome. `signal` carries the deadline. */
export async function runGrpcCheck(target: GrpcTarget, call: Http2Call, signal: AbortSignal): Promise<Outcome> {
  const { host, port, service, tls } = target
  try {
    const answer = await call({
      host: host === '' ? 'localhost' : host,
      port,
      tls,
      path: PATH,
      headers: { 'content-type': 'application/grpc', te: 'trailers', 'user-agent': 'Consul Health Check' },
      body: requestMessage(service),
      maxBodyBytes: MAX_ANSWER_BYTES,
      signal,
    })
    return judged(target, answer)
  } catch (error) {
    if (isTimeout(error)) return grpcTimedOut
    const reason = dialReason(error, host, port)
    return failed(
      'Unavailable',
      `all SubConns are in TransientFailure, latest connection error: connection error: desc = "transport: Error while dialing ${reason}"`,
    )
  }
}

/** The outcome of a run that was given up. */
export const grpcTimedOut: Outcome = {
  status: 'critical',
  output: 'rpc error: code = DeadlineExceeded desc = context deadline exceeded',
}

const failed = (code: string, text: string): Outcome => ({
  status: 'critical',
  output: `rpc error: code = ${code} desc = ${text}`,
})

function judged({ host, port, service }: GrpcTarget, { status, headers, body }: Http2CallResult): Outcome {
  const code = Number(headers['grpc-status'] ?? Number.NaN)
  if (status !== 200) return failed('Unknown', `unexpected HTTP status code received from server: ${status}`)
  if (code !== 0) return failed(CODES[code] ?? 'Unknown', decoded(headers['grpc-message'] ?? ''))
  if (servingStatus(body) !== SERVING) {
    return { status: 'critical', output: "gRPC application didn't report service healthy" }
  }
  const name = service === '' ? '' : `/${service}`
  return { status: 'passing', output: `gRPC check ${hostAndPort(host, port)}${name}: success` }
}

function decoded(message: string): string {
  try {
    return decodeURIComponent(message)
  } catch (error) {
    return `${message} (${messageOf(error)})`
  }
}

/** `HealthCheckRequest { string service = 1; }` in a frame: not compressed, length in four bytes. */
function requestMessage(service: string): Uint8Array {
  const name = new TextEncoder().encode(service)
  const message = name.length === 0 ? [] : [0x0a, ...varint(name.length), ...name]
  const frame = new Uint8Array(5 + message.length)
  new DataView(frame.buffer).setUint32(1, message.length)
  frame.set(message, 5)
  return frame
}

function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest]
    bytes.push((rest & 0x7f) | 0x80)
  }
}

/** `HealthCheckResponse { ServingStatus status = 1; }`; 0 (unknown) when it does not say. */
function servingStatus(frame: Uint8Array): number {
  if (frame.length < 5 || frame[0] !== 0) return 0
  const length = new DataView(frame.buffer, frame.byteOffset).getUint32(1)
  const message = frame.subarray(5, 5 + length)
  if (message.length !== length) return 0
  let status = 0
  // Only the first field is known; a message with others before it is of no health service.
  for (let at = 0; at + 1 < message.length && message[at] === 0x08; at += 2) status = message[at + 1]!
  return status
}
