/** What a failure says, what to do next, and the exit code: one place for all commands. */
import { type ClientErrorCode, isClientError } from '../client/client.ts'
import { Failure, UsageError } from './command.ts'

export const EXIT = { ok: 0, failed: 1, usage: 2, unreachable: 3 } as const

export interface Report {
  readonly exitCode: number
  readonly code: string
  readonly message: string
  readonly next: string | undefined
  readonly status?: number
  readonly field?: string
}

/** Undefined where the message says it all. Exhaustive, so that a new code is thought about. */
const NEXT: Readonly<Record<ClientErrorCode, string | undefined>> = {
  invalid: undefined,
  forbidden: 'give a token that may do this: --token, or ATOLL_HTTP_TOKEN',
  'not-found': undefined,
  conflict: undefined,
  'too-large': undefined,
  overloaded: 'the node sheds load; try again in a moment',
  'no-path': 'list the datacenters with: atoll mesh',
  unavailable: 'see what can be reached with: atoll mesh',
  timeout: 'give it longer with --timeout 30s, or see what can be reached with: atoll mesh',
  'unknown-outcome': 'read it back before you try again',
  unsupported: 'this node does not serve that; is it an Atoll node of the same version?',
  internal: 'the log of the node has the details',
  unreachable:
    'is an agent running? start one: npx atoll agent --dev, or name another with --address or ATOLL_HTTP_ADDR',
  aborted: undefined,
  'bad-answer': 'is --address the HTTP address of an Atoll node?',
}

export function reportOf(error: unknown): Report {
  if (error instanceof UsageError) {
    const page = error.command === undefined ? 'atoll --help' : `atoll ${error.command} --help`
    return { exitCode: EXIT.usage, code: 'usage', message: error.message, next: `see ${page}` }
  }
  if (error instanceof Failure) {
    return { exitCode: EXIT.failed, code: error.code, message: error.message, next: error.next }
  }
  if (isClientError(error)) {
    return {
      exitCode: error.code === 'unreachable' ? EXIT.unreachable : error.field === 'address' ? EXIT.usage : EXIT.failed,
      code: error.code,
      message: error.message,
      next: NEXT[error.code],
      status: error.status,
      ...(error.field ? { field: error.field } : {}),
    }
  }
  return {
    exitCode: EXIT.failed,
    code: codeOf(error),
    message: error instanceof Error ? error.message : String(error),
    next: undefined,
  }
}

/** Errors of the system and of a node have codes of their own. */
function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : 'internal'
}
