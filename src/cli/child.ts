/** A command that runs on behalf of another: signals are passed on to it, and its exit code is ours. */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { pause } from '../client/pause.ts'
import { Failure } from './command.ts'

export interface ChildOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Written to its standard input, which then ends; otherwise it has ours. */
  readonly input?: string
  /** Ends it: SIGTERM, and SIGKILL five seconds later. */
  readonly stop?: AbortSignal
}

const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const
const KILL_AFTER_MS = 5_000

/** Exit code of a shell for who was ended by a signal. */
const codeOfSignal = (signal: NodeJS.Signals): number => 128 + (constants.signals[signal] ?? 0)

/** Resolves with the exit code of the command, 128 and more when a signal ended it. Rejects with Failure when there is none. */
export async function runChild(argv: readonly string[], { env, input, stop }: ChildOptions): Promise<number> {
  const [command = '', ...args] = argv
  const child = spawn(command, args, {
    env: { ...env },
    stdio: [input === undefined ? 'inherit' : 'pipe', 'inherit', 'inherit'],
  })
  // A command that reads nothing closes its end.
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  const passing = PASSED_ON.map((signal) => [signal, () => signalTo(child, signal)] as const)
  for (const [signal, pass] of passing) process.on(signal, pass)
  const ending = endingOf(child, stop)
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (error: NodeJS.ErrnoException) =>
        reject(new Failure('not-found', `${command} cannot be run (${error.code ?? error.message})`)),
      )
      child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : codeOfSignal(signal))))
    })
  } finally {
    ending()
    for (const [signal, pass] of passing) process.off(signal, pass)
  }
}

/** By its id: on Deno a child that was told to end by `kill` of its own counts as ended by that signal, whatever it did. */
function signalTo({ pid, exitCode, signalCode }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return
  try {
    process.kill(pid, signal)
  } catch {
    // It ended just now.
  }
}

/** The returned function calls it off. */
function endingOf(child: ChildProcess, stop: AbortSignal | undefined): () => void {
  const killing = new AbortController()
  const end = (): void => {
    signalTo(child, 'SIGTERM')
    void pause(KILL_AFTER_MS, killing.signal).then(() => {
      if (!killing.signal.aborted) signalTo(child, 'SIGKILL')
    })
  }
  if (stop?.aborted) end()
  else stop?.addEventListener('abort', end, { once: true })
  return () => {
    killing.abort()
    stop?.removeEventListener('abort', end)
  }
}
