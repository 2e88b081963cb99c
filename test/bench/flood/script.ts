/** Processes that speak JSON lines, and what a victim says of itself. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { commandLine, PROJECT_ROOT } from '../../../topology/runtimes.ts'

export class Script {
  readonly process: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(script: string, args: readonly string[], flags: readonly string[] = []) {
    const [file, ...rest] = commandLine('node', script, args)
    const stdio: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit']
    this.process = spawn(file!, [...flags, ...rest], { cwd: PROJECT_ROOT, stdio })
    this.process.stdin!.on('error', () => {})
    this.#lines = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]()
  }

  async line<T>(): Promise<T> {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error('the process ended')
      if ((value as string).startsWith('{')) return JSON.parse(value as string) as T
    }
  }

  ask<T>(line: string): Promise<T> {
    this.process.stdin!.write(`${line}\n`)
    return this.line<T>()
  }

  end(): void {
    this.process.stdin!.end()
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 5000)
    this.process.once('exit', () => clearTimeout(timer))
  }
}

export interface Listening {
  readonly port: number
  readonly address: string
}
