import { StoreError } from '../store.ts'
import type { Reply, Request } from './protocol.ts'

/** Reads that wait; more are refused. */
const MAX_WAITING = 10_000

interface Read {
  readonly request: () => Request
  readonly onReply: (reply: Reply) => void
  readonly onRefused: (error: StoreError) => void
}

/**
 * Pages of reads go to the worker one at a time, so that a commit waits for one page at most, however many ranges and
 * watches want theirs. A read of several pages queues up again for each.
 */
export class ReadQueue {
  readonly #send: (request: Request, onReply: (reply: Reply) => void) => void
  readonly #waiting: Read[] = []
  #underWay: Read | undefined
  #ended: StoreError | undefined

  constructor(send: (request: Request, onReply: (reply: Reply) => void) => void) {
    this.#send = send
  }

  get idle(): boolean {
    return this.#underWay === undefined
  }

  ask(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length >= MAX_WAITING) {
        reject(new StoreError('overloaded', `${this.#waiting.length} reads wait for the store; try again later`))
      } else this.add({ request: () => request, onReply: resolve, onRefused: reject })
    })
  }

  /** `request` is made when its turn comes. */
  add(read: Read): void {
    if (this.#ended) {
      read.onRefused(this.#ended)
      return
    }
    this.#waiting.push(read)
    this.#pump()
  }

  /** Refuses what waits, and all that comes. */
  fail(error: StoreError): void {
    this.#ended = error
    const all = this.#underWay ? [this.#underWay, ...this.#waiting] : [...this.#waiting]
    this.#underWay = undefined
    this.#waiting.length = 0
    for (const { onRefused } of all) onRefused(error)
  }

  #pump(): void {
    if (this.#underWay) return
    const read = this.#waiting.shift()
    if (!read) return
    this.#underWay = read
    this.#send(read.request(), (reply) => {
      if (this.#underWay !== read) return
      this.#underWay = undefined
      read.onReply(reply)
      this.#pump()
    })
  }
}
