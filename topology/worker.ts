/** A child with a life: started, ready, paused, killed, started again. Nodes and sample backends are workers. */
import { Child, type ChildOptions, type ExitInfo, tailOf } from './child-process.ts'
import { LauncherError } from './errors.ts'
import { Stalls } from './stalls.ts'

export type WorkerState = 'idle' | 'starting' | 'ready' | 'paused' | 'killed' | 'ended'

export interface WorkerOptions {
  readonly name: string
  readonly command: readonly string[]
  readonly logFile: string
  /** Runs after each change of state; `detail` says more about an end that nobody asked for. */
  onState(worker: Worker, detail?: string): void
}

export interface Ready {
  readonly peerId: string
  readonly addresses: readonly string[]
  /** Of its runtime, '' when it does not say. */
  readonly version: string
}

const STOP_GRACE_MS = 4000
const START_TIMEOUT_MS = 30_000
const ASK_TIMEOUT_MS = 5000
const TAIL_LINES = 12

export class Worker {
  readonly name: string
  readonly logFile: string
  /** Times in which its event loop stood still, in all its lives. */
  readonly stalls = new Stalls()
  readonly #options: WorkerOptions
  #child: Child | undefined
  #state: WorkerState = 'idle'
  #ready: Ready | undefined
  #readyMs = 0
  #onReady: ((result: Ready | LauncherError) => void) | undefined
  #sequence = 0
  readonly #asked = new Map<number, (error: LauncherError | undefined) => void>()

  constructor(options: WorkerOptions) {
    this.name = options.name
    this.logFile = options.logFile
    this.#options = options
  }

  get state(): WorkerState {
    return this.#state
  }
  get pid(): number | undefined {
    return this.#child?.running ? this.#child.pid : undefined
  }
  get running(): boolean {
    return this.#child?.running === true
  }
  /** What it reported when it became ready for the last time. */
  get ready(): Ready | undefined {
    return this.#ready
  }
  /** From its start until it was ready, the last time. */
  get readyMs(): number {
    return this.#readyMs
  }

  /** Resolves once it reports that it is ready; rejects with its last log lines when it ends before that. */
  async start(order: object): Promise<Ready> {
    if (this.running) throw new LauncherError(`${this.name} runs already`)
    const began = performance.now()
    const result = new Promise<Ready | LauncherError>((resolve) => {
      this.#onReady = resolve
    })
    const child = new Child({ ...this.#childOptions(), onExit: (info) => void this.#ended(child, info) })
    this.#child = child
    this.#enter('starting')
    child.send(order)
    const timer = setTimeout(() => {
      this.#settle(
        new LauncherError(`${this.name} is not ready after ${START_TIMEOUT_MS / 1000} s; its log: ${this.logFile}`),
      )
    }, START_TIMEOUT_MS)
    const ready = await result
    clearTimeout(timer)
    if (ready instanceof Error) throw ready
    this.#ready = ready
    this.#readyMs = performance.now() - began
    if (this.#state === 'starting') this.#enter('ready')
    return ready
  }

  /** Sends an order with a sequence number and waits for its answer. A worker that is paused or gone has nothing to answer. */
  async ask(order: object): Promise<void> {
    if (!this.running || this.#state === 'paused') return
    const sequence = ++this.#sequence
    const error = await new Promise<LauncherError | undefined>((resolve) => {
      const timer = setTimeout(
        () => resolve(new LauncherError(`${this.name} did not answer within ${ASK_TIMEOUT_MS / 1000} s`)),
        ASK_TIMEOUT_MS,
      )
      this.#asked.set(sequence, (result) => {
        clearTimeout(timer)
        resolve(result)
      })
      this.#child!.send({ ...order, sequence })
    })
    this.#asked.delete(sequence)
    if (error !== undefined) throw error
  }

  /** Sends without waiting, also to one that is paused: it reads it when it goes on. */
  tell(order: object): void {
    this.#child?.send({ ...order, sequence: ++this.#sequence })
  }

  pause(): void {
    if (this.#state !== 'ready')
      throw new LauncherError(`${this.name} is ${this.#state}; only a ready one can be stopped`)
    this.#child!.pause()
    this.#enter('paused')
  }

  resume(): void {
    if (this.#state !== 'paused') throw new LauncherError(`${this.name} is ${this.#state}, not paused`)
    this.#child!.resume()
    this.#enter('ready')
  }

  async kill(): Promise<void> {
    if (!this.running) throw new LauncherError(`${this.name} does not run (${this.#state})`)
    this.#enter('killed')
    await this.#child!.kill()
  }

  /** SIGKILL, whatever it does; for a launcher in a hurry. */
  abandon(): void {
    void this.#child?.kill()
  }

  async stop(): Promise<void> {
    if (!this.running) return
    this.#enter('ended')
    await this.#child!.stop(STOP_GRACE_MS)
  }

  #childOptions(): Omit<ChildOptions, 'onExit'> {
    const { name, command, logFile } = this.#options
    return { name, command, logFile, onReport: (report) => this.#reported(report) }
  }

  #reported(report: Record<string, unknown>): void {
    if (report.topology === 'ready') {
      const addresses = Array.isArray(report.addresses) ? report.addresses.map(String) : []
      this.#settle({ peerId: textOf(report.peerId), addresses, version: textOf(report.version) })
    } else if (report.topology === 'failed') {
      this.#settle(new LauncherError(`${this.name} cannot start: ${String(report.message)}`))
    } else if (report.topology === 'stalled') {
      this.stalls.add({ endedWallMs: Number(report.endedWallMs), ms: Number(report.ms) })
    } else if (report.topology === 'done') {
      const error = typeof report.error === 'string' ? new LauncherError(`${this.name}: ${report.error}`) : undefined
      this.#asked.get(Number(report.sequence))?.(error)
    }
  }

  async #ended(child: Child, info: ExitInfo): Promise<void> {
    for (const answer of this.#asked.values()) answer(undefined)
    if (this.#child !== child) return
    const asked = this.#state === 'killed' || this.#state === 'ended'
    if (!asked) this.#state = 'ended'
    const how = info.signal === null ? `with code ${info.code}` : `by ${info.signal}`
    const wasStarting = this.#onReady !== undefined
    const detail = asked && !wasStarting ? undefined : await this.#endOf(how)
    this.#settle(new LauncherError(detail ?? `${this.name} ended ${how}`))
    if (!asked) this.#options.onState(this, wasStarting ? undefined : detail)
  }

  async #endOf(how: string): Promise<string> {
    const tail = await tailOf(this.logFile, TAIL_LINES)
    const lines = tail === '' ? '' : `\n${tail.replace(/^/gm, '    ')}`
    return `${this.name} ended ${how}; the last lines of ${this.logFile}:${lines}`
  }

  #settle(result: Ready | LauncherError): void {
    this.#onReady?.(result)
    this.#onReady = undefined
  }

  #enter(state: WorkerState): void {
    this.#state = state
    this.#options.onState(this)
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
