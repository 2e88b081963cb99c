import { type ChildProcess, spawn } from 'node:child_process'
import { systemClock } from './clock.ts'
import { LastBytes } from './last-bytes.ts'
import type { CommandResult, RunCommand } from './probes.ts'

/** After the program itself has ended: for what is still in its pipes, before those who hold them are killed. */
const DRAIN_MS = 200

export const runCommand: RunCommand = ({ args, maxOutputBytes, signal }) =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const [program = '', ...rest] = args
    const child = spawn(program, rest, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: environment() })
    const output = new LastBytes(maxOutputBytes)
    const onData = (chunk: Uint8Array): void => output.push(chunk)
    child.stdout.on('data', onData)
    child.stderr.on('data', onData)
    const settle = (finish: () => void): void => {
      signal.removeEventListener('abort', onAbort)
      killGroup(child)
      child.stdout.destroy()
      child.stderr.destroy()
      finish()
    }
    const onAbort = (): void => settle(() => reject(signal.reason))
    signal.addEventListener('abort', onAbort, { once: true })
    child.once('error', (error) => settle(() => reject(error)))
    child.once('exit', (code) => {
      const result = (): CommandResult => ({
        exitCode: code ?? undefined,
        output: output.bytes(),
        outputBytes: output.total,
      })
      const drained = systemClock.after(DRAIN_MS, () => settle(() => resolve(result())))
      child.once('close', () => {
        drained.cancel()
        settle(() => resolve(result()))
      })
    })
  })

/** Without what only the node itself is to know. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^ATOLL_(?:STORE_|.*TOKEN)/.test(name)))
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}
