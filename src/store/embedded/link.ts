import module from 'node:module'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { messageOf } from '../../model/errors.ts'
import { StoreError } from '../store.ts'
import type { FromWorker, Opened, Reply, Request, WorkerOptions } from './protocol.ts'

/** Node warns of node:sqlite, which is still new there; Deno and Bun neither warn nor know the option. */
const onNode = process.versions.deno === undefined && process.versions.bun === undefined

/** A worker does not take part in its process's compile cache by itself; without, it loads Node's compiler for types: 25 MB. */
function environment(): NodeJS.ProcessEnv {
  const directory = module.getCompileCacheDir?.()
  return directory === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(directory) }
}

type OnReply = (reply: Reply) => void

/** The store's end of the line to its worker: requests are answered in order, each by a call of its `onReply`. */
export class WorkerLink {
  readonly #worker: Worker
  readonly #waiting: OnReply[] = []
  readonly #onDown: (error: StoreError) => void
  #down = false

  private constructor(worker: Worker, onDown: (error: StoreError) => void) {
    this.#worker = worker
    this.#onDown = onDown
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'reply') this.#waiting.shift()?.(message.reply)
    })
    worker.on('error', (error) => this.#ended(`the store's worker crashed: ${messageOf(error)}`))
    worker.on('exit', () => this.#ended("the store's worker ended"))
  }

  /**
   * Starts the worker and waits until it has opened the store. `onDown` is called at most once, when the worker dies;
   * requests without an answer then get none.
   */
  static async open(
    options: WorkerOptions,
    onDown: (error: StoreError) => void,
  ): Promise<{ link: WorkerLink; opened: Opened }> {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      name: 'atoll-store',
      workerData: options,
      ...(onNode ? { execArgv: ['--disable-warning=ExperimentalWarning'], env: environment() } : {}),
    })
    try {
      const opened = await firstMessage(worker)
      return { link: new WorkerLink(worker, onDown), opened }
    } catch (error) {
      await worker.terminate()
      throw error
    }
  }

  send(request: Request, transfer: ArrayBuffer[], onReply: OnReply): void {
    this.#waiting.push(onReply)
    this.#worker.postMessage(request, transfer)
  }

  /** Ends the worker; `onDown` is not called any more. */
  async terminate(): Promise<void> {
    this.#down = true
    this.#waiting.length = 0
    await this.#worker.terminate()
  }

  #ended(message: string): void {
    if (this.#down) return
    this.#down = true
    this.#waiting.length = 0
    this.#onDown(new StoreError('failed', message))
  }
}

function firstMessage(worker: Worker): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: FromWorker): void => {
      if (message.kind === 'opened') finish(() => resolve(message.opened))
      else if (message.kind === 'not-opened') finish(() => reject(new StoreError(message.code, message.message)))
    }
    const onError = (error: unknown): void =>
      finish(() => reject(new StoreError('failed', `the store's worker did not start: ${messageOf(error)}`, error)))
    const onExit = (): void => onError(new Error('it ended'))
    const finish = (settle: () => void): void => {
      worker.off('message', onMessage)
      worker.off('error', onError)
      worker.off('exit', onExit)
      settle()
    }
    worker.on('message', onMessage)
    worker.on('error', onError)
    worker.on('exit', onExit)
  })
}
