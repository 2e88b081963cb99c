import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url))

/** Runs `child.ts` on the runtime that the test runs on. */
export const childCommand = (...args: string[]): string[] => [
  process.execPath,
  ...(process.versions.deno === undefined ? [] : ['run', '-A']),
  CHILD,
  ...args,
]

export async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'atoll-store-'))
  onTestFinished(() => rm(path, { recursive: true }))
  return path
}

export interface Child {
  readonly process: ChildProcess
  /** Whole lines said so far; complete once `exited`. */
  readonly lines: string[]
  readonly exited: Promise<void>
  /** Resolves with that line; rejects when the child ends without. */
  line(matching: RegExp): Promise<string>
}

export function start(command: readonly string[]): Child {
  const child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const lines: string[] = []
  const waiting = new Set<() => void>()
  const reader = createInterface({ input: child.stdout! })
  reader.on('line', (line) => {
    lines.push(line)
    for (const check of [...waiting]) check()
  })
  const exited = Promise.all([
    new Promise((resolve) => child.once('exit', resolve)),
    new Promise((resolve) => reader.once('close', resolve)),
  ]).then(() => {})
  const line = (matching: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const found = lines.find((one) => matching.test(one))
        if (found === undefined) return
        waiting.delete(check)
        resolve(found)
      }
      waiting.add(check)
      check()
      void exited.then(() => reject(new Error(`the child ended without ${matching}: ${lines.slice(-5).join(' | ')}`)))
    })
  return { process: child, lines, exited, line }
}

/** Why strace cannot be used here; undefined when it can. */
export function withoutStrace(): string | undefined {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'needs strace, and the right to trace: apt-get install strace'
  }
}
