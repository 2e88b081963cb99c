/** Federation hosts as processes of their own, on any of the three runtimes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/runtime/clock.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { until } from './hosts.ts'

export type RuntimeName = 'node' | 'bun' | 'deno'

export interface ChildEvent {
  readonly event: string
  readonly peer?: string
  readonly bytes?: number
  readonly message?: string
  readonly atMs: number
}

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const COMMANDS: Record<RuntimeName, readonly string[]> = { node: ['node'], bun: ['bun'], deno: ['deno', 'run', '-A'] }

export class ChildHost {
  readonly name: string
  readonly seed: string
  readonly events: ChildEvent[] = []
  peerId = ''
  address = ''
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #nextId = 1

  static async start(
    runtime: RuntimeName,
    name: string,
    options: { seed?: string; port?: number } = {},
  ): Promise<ChildHost> {
    const child = new ChildHost(runtime, name, options.seed, options.port ?? 0)
    await until(() => child.peerId !== '', 20_000)
    return child
  }

  private constructor(runtime: RuntimeName, name: string, seed: string | undefined, port: number) {
    this.name = name
    this.seed = seed ?? Buffer.from(systemRandom.bytes(32)).toString('hex')
    const [binary, ...args] = COMMANDS[runtime]
    const script = join(root, 'test/support/host-child.ts')
    this.#process = spawn(join(root, 'node_modules/.bin', binary!), [...args, script, name, this.seed, String(port)], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#process.stdin!.on('error', () => {})
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      if (line.startsWith('{')) this.#take(JSON.parse(line))
    })
  }

  get port(): number {
    return Number(/tcp\/(\d+)/.exec(this.address)![1])
  }

  get wanted(): { peerId: string; addresses: string[] } {
    return { peerId: this.peerId, addresses: [this.address.replace(/\/p2p\/.*/, '')] }
  }

  ask(command: string, fields: Record<string, unknown> = {}): Promise<unknown> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#process.stdin!.write(`${JSON.stringify({ id, do: command, ...fields })}\n`)
    })
  }

  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    // Not its own kill(), which on Deno takes one signal in a life.
    if (this.#process.exitCode === null && this.#process.signalCode === null) process.kill(this.#process.pid!, name)
  }

  count(event: string, peer?: string): number {
    return this.events.filter((each) => each.event === event && (peer === undefined || each.peer === peer)).length
  }

  #take(
    event: ChildEvent & { id?: number; result?: unknown; error?: string; peerId?: string; address?: string },
  ): void {
    if (event.event === 'ready') {
      this.address = event.address!
      this.peerId = event.peerId!
    } else if (event.id !== undefined) {
      const waiting = this.#waiting.get(event.id)
      this.#waiting.delete(event.id)
      if (event.event === 'done') waiting?.resolve(event.result)
      else waiting?.reject(new Error(event.error))
    } else {
      this.events.push({ ...event, atMs: systemClock.nowMs() })
    }
  }
}
