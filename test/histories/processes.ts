/** The nodes of one datacenter as processes, started by the command line: killed, stopped, and started again as they were. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../../topology/free-ports.ts'

export interface AgentOptions {
  /** Folder with `src/main.ts`. */
  readonly sources: string
  readonly name: string
  /** Of its data and its log. */
  readonly folder: string
  /** URL of the store; undefined for a client. */
  readonly store: string | undefined
  /** libp2p ports to join. */
  readonly join: readonly number[]
}

const READY_MS = 60_000

/** All that run, so that they end with the process that started them. */
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class Agent {
  readonly name: string
  readonly isServer: boolean
  readonly url: string
  readonly libp2pPort: number
  readonly logFile: string
  readonly #command: readonly string[]
  #child: ChildProcess | undefined
  #isStopped = false

  private constructor(options: AgentOptions, ports: readonly number[]) {
    const { sources, name, folder, store } = options
    const [http, libp2p, dns] = ports
    this.name = name
    this.isServer = store !== undefined
    this.url = `http://127.0.0.1:${http}`
    this.libp2pPort = libp2p!
    this.logFile = join(folder, `${name}.log`)
    this.#command = [
      ...['--disable-warning=ExperimentalWarning', join(sources, 'src/main.ts'), 'agent', '--dc', 'dc1'],
      ...['--node', name, '--data-dir', join(folder, name), '--log-level', 'info'],
      ...['--http-port', String(http), '--port', String(libp2p), '--dns-port', String(dns)],
      ...(store === undefined ? [] : ['--server', '--store', store]),
      ...options.join.flatMap((port) => ['--join', `127.0.0.1:${port}`]),
    ]
  }

  /** Not started yet. */
  static async create(options: AgentOptions): Promise<Agent> {
    mkdirSync(join(options.folder, options.name), { recursive: true })
    return new Agent(options, await freePorts(3))
  }

  start(): void {
    const log = openSync(this.logFile, 'a')
    const child = spawn(process.execPath, this.#command, { stdio: ['ignore', 'ignore', log] })
    closeSync(log)
    running.add(child)
    child.once('exit', () => running.delete(child))
    this.#child = child
    this.#isStopped = false
  }

  /** Resolves once it takes writes. */
  async ready(withinMs = READY_MS): Promise<void> {
    const untilMs = performance.now() + withinMs
    let last: unknown
    for (;;) {
      try {
        const signal = AbortSignal.timeout(2_000)
        const answer = await fetch(`${this.url}/v1/kv/ready/${this.name}`, { method: 'PUT', body: 'x', signal })
        last = `${answer.status} ${(await answer.text()).slice(0, 200)}`
        if (answer.ok) return
      } catch (error) {
        last = error
      }
      if (this.#child?.exitCode !== null) throw new Error(`${this.name} ended; see ${this.logFile}`)
      if (performance.now() > untilMs) throw new Error(`${this.name} takes no writes after ${withinMs} ms: ${last}`)
      await sleep(50)
    }
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  stop(): void {
    this.#isStopped = true
    this.#child?.kill('SIGSTOP')
  }

  go(): void {
    this.#isStopped = false
    this.#child?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
}
