import type { Status } from '../../model/entries.ts'
import { isAtollError, messageOf } from '../../model/errors.ts'

/** What one run of a check found. */
export interface Outcome {
  readonly status: Status
  readonly output: string
  /** How busy the target says that it is, from 0 to 1. */
  readonly load?: number | undefined
}

/** Consul's default for what is kept of an output, in bytes. */
export const DEFAULT_OUTPUT_BYTES = 4096
/** The most that is kept, whatever is asked: outputs are stored, and sent to the catalog. */
export const MAX_OUTPUT_BYTES = 64 * 1024

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** At most `maxBytes` of UTF-8, without a torn character at the end. */
export function decodeBounded(bytes: Uint8Array, maxBytes: number): string {
  let end = Math.min(bytes.length, maxBytes)
  // A cut may fall only before a byte that begins a character; one is at most four bytes long.
  for (let back = 0; end < bytes.length && back < 3 && (bytes[end]! & 0xc0) === 0x80; back++) end--
  return decoder.decode(bytes.subarray(0, end))
}

/** As Consul shortens what a TTL check is told, with a remark of how much there was. */
export function truncateOutput(output: string, maxBytes: number): string {
  // No character takes more than three bytes per UTF-16 unit.
  if (output.length * 3 <= maxBytes) return output.toWellFormed()
  const bytes = encoder.encode(output)
  if (bytes.length <= maxBytes) return output.toWellFormed()
  return `${decodeBounded(bytes, maxBytes)} ... (captured ${maxBytes} of ${bytes.length} bytes)`
}

/** Why a connection to `host:port` failed, in the words that readers of Consul's outputs know. */
export function dialReason(error: unknown, host: string, port: number | string): string {
  const target = `dial tcp ${host}:${port}`
  if (isTimeout(error)) return `${target}: i/o timeout`
  switch (codeOf(error)) {
    case 'ECONNREFUSED':
      return `${target}: connect: connection refused`
    case 'EHOSTUNREACH':
      return `${target}: connect: no route to host`
    case 'ENETUNREACH':
      return `${target}: connect: network is unreachable`
    case 'ENOTFOUND':
      return `dial tcp: lookup ${host}: no such host`
    default:
      return messageOf(error)
  }
}

export const isTimeout = (error: unknown): boolean => isAtollError(error) && error.code === 'timeout'

/** The system's code of an error or of what caused it. */
function codeOf(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const code = (at as { code?: unknown }).code
    if (typeof code === 'string' && code.startsWith('E')) return code
  }
  return undefined
}
