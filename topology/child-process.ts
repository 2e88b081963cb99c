/** One child of the launcher: its pipes, its log file, its end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { LineSplitter, parseLine } from './json-lines.ts'
import { childEnvironment, PROJECT_ROOT } from './runtimes.ts'

export interface ExitInfo {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ChildOptions {
  readonly name: string
  readonly command: readonly string[]
  /** Standard error and whatever else it prints; appended to. */
  readonly logFile: string
  /** JSON objects that it prints with a field `topology`. */
  onReport(report: Record<string, unknown>): void
  /** Once, also when it could not be started. */
  onExit(info: ExitInfo): void
}

/** How much of the end of a log file is read for its last lines. */
const TAIL_BYTES = 32 * 1024

export class Child {
  readonly name: string
  readonly logFile: string
  readonly exited: Promise<ExitInfo>
  readonly #process: ChildProcess
  #running = true
  #paused = false
  #reviver: ChildProcess | undefined

  constructor(options: ChildOptions) {
    this.name = options.name
    this.logFile = options.logFile
    const log = openSync(options.logFile, 'a')
    const [file, ...args] = options.command
    // A process group of its own: a Ctrl-C at the terminal reaches the launcher alone, which then ends its children.
    this.#process = spawn(file!, args, {
      cwd: PROJECT_ROOT,
      stdio: ['pipe', 'pipe', log],
      detached: true,
      env: childEnvironment(),
    })
    const output = new LineSplitter((line) => {
      const value = parseLine(line)
      if (value !== undefined && typeof value.topology === 'string') options.onReport(value)
      else if (this.#running) appendLine(log, line)
    })
    this.#process.stdout!.on('data', (chunk: Uint8Array) => output.push(chunk))
    // Writing to a child that just ended is no error of ours; its exit tells.
    this.#process.stdin!.on('error', () => {})
    this.exited = new Promise((resolve) => {
      const ended = (info: ExitInfo): void => {
        if (!this.#running) return
        output.end()
        this.#running = false
        closeSync(log)
        this.#endReviver()
        resolve(info)
        options.onExit(info)
      }
      this.#process.once('error', (error) => {
        appendLine(log, `cannot start ${file}: ${error.message}`)
        ended({ code: 1, signal: null })
      })
      // `close`, not `exit`: everything that it printed has been read by then.
      this.#process.once('close', (code, signal) => ended({ code, signal }))
    })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }
  get running(): boolean {
    return this.#running
  }
  get paused(): boolean {
    return this.#paused
  }

  send(order: object): void {
    if (this.#running) this.#process.stdin!.write(`${JSON.stringify(order)}\n`)
  }

  /** Stops its execution (SIGSTOP): it keeps its sockets and answers nothing. */
  pause(): void {
    if (this.#paused || !this.#running) return
    this.#paused = true
    this.#signal('SIGSTOP')
    // A stopped process cannot see that the launcher died. This shell can: it wakes the process up when its own input ends.
    const script = 'while read -r line; do :; done; kill -CONT "$0"'
    this.#reviver = spawn('/bin/sh', ['-c', script, String(this.pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    this.#reviver.on('error', () => {})
    this.#reviver.stdin?.on('error', () => {})
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#signal('SIGCONT')
    this.#endReviver()
  }

  /** By its process id: on Deno a child's own `kill` works only once. */
  #signal(signal: NodeJS.Signals): void {
    if (this.pid === undefined) return
    try {
      process.kill(this.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** SIGKILL. */
  async kill(): Promise<ExitInfo> {
    if (this.#running) this.#signal('SIGKILL')
    return this.exited
  }

  /** Closes its standard input, which it takes as the order to end; kills it after `graceMs`. */
  async stop(graceMs: number): Promise<ExitInfo> {
    if (!this.#running) return this.exited
    this.#process.stdin!.end()
    this.resume()
    const timer = setTimeout(() => this.#signal('SIGKILL'), graceMs)
    const info = await this.exited
    clearTimeout(timer)
    return info
  }

  #endReviver(): void {
    this.#reviver?.stdin?.end()
    this.#reviver = undefined
  }
}

function appendLine(log: number, line: string): void {
  writeSync(log, `${line}\n`)
}

/** The last lines of a log file, '' when it cannot be read. */
export async function tailOf(path: string, lines: number): Promise<string> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      const length = Math.min(size, TAIL_BYTES)
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length)
      return buffer.toString('utf8').trimEnd().split('\n').slice(-lines).join('\n')
    } finally {
      await file.close()
    }
  } catch {
    return ''
  }
}
