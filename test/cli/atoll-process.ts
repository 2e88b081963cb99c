/** The command line as a real process, on the runtime that runs the test unless another is asked for. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { commandLine } from '../../topology/runtimes.ts'
import type { RuntimeName } from '../../topology/schema.ts'

const HERE: RuntimeName = process.versions.deno ? 'deno' : process.versions.bun ? 'bun' : 'node'

export interface AtollProcess {
  readonly child: ChildProcess
  /** The next whole line of standard output. Rejects when the process ends before. */
  line(): Promise<string>
  /** Exit code, null when a signal ended it. */
  readonly ended: Promise<number | null>
  readonly stdout: () => Uint8Array
  readonly stderr: () => string
}

export function startAtoll(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  runtime = HERE,
): AtollProcess {
  const [binary, ...args] = commandLine(runtime, 'src/main.ts', argv)
  const child = spawn(runtime === HERE ? process.execPath : binary!, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
  })
  const out: Uint8Array[] = []
  const err: Uint8Array[] = []
  let taken = 0
  const stdout = () => Buffer.concat(out)
  child.stdout!.on('data', (chunk: Uint8Array) => out.push(chunk))
  child.stderr!.on('data', (chunk: Uint8Array) => err.push(chunk))
  const stderr = () => Buffer.concat(err).toString()
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const nextLine = (): string | undefined => {
    const text = stdout().toString()
    const end = text.indexOf('\n', taken)
    if (end < 0) return undefined
    const line = text.slice(taken, end)
    taken = end + 1
    return line
  }
  return {
    child,
    ended,
    stdout,
    stderr,
    async line() {
      let over = false
      const end = ended.then(() => {
        over = true
      })
      for (;;) {
        const line = nextLine()
        if (line !== undefined) return line
        if (over) throw new Error(`the process ended without a further line; it said: ${stderr()}`)
        await Promise.race([once(child.stdout!, 'data'), end])
      }
    },
  }
}

/** Runs a command to its end. */
export async function runAtoll(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const atoll = startAtoll(argv, env)
  atoll.child.stdin!.end()
  const code = await atoll.ended
  return { code, bytes: atoll.stdout(), out: Buffer.from(atoll.stdout()).toString(), err: atoll.stderr() }
}

/** The process ends, kindly or not; resolves when it has. */
export async function endAtoll(atoll: AtollProcess | undefined): Promise<void> {
  if (!atoll || atoll.child.exitCode !== null || atoll.child.signalCode !== null) return
  atoll.child.kill('SIGKILL')
  await atoll.ended
}
