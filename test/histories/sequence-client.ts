/** A client that asks for sequential keys under one prefix, and writes down the numbers that it got. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Recorded } from './history.ts'
import { assertExpected, type ClientOptions, timeoutOf } from './kv-client.ts'

/** A new key with a number above all before it. */
export interface SequenceOp {
  readonly number: number
}

const PAUSE_MS = 200

export class SequenceClient {
  readonly recorded: Recorded<SequenceOp>[] = []
  readonly acknowledged: { key: string; value: string }[] = []
  /** Nobody knows under which key it would have been. */
  readonly refused: { key: string; value: string }[] = []
  readonly #o: ClientOptions
  readonly #prefix: string

  constructor(options: ClientOptions, prefix: string) {
    this.#o = options
    this.#prefix = prefix
  }

  async run(): Promise<void> {
    const { isOver, random, nodes, counts, name } = this.#o
    for (let i = 1; !isOver(); i++) {
      const node = Math.floor(random.float() * nodes.clients.length)
      const callMs = performance.now()
      try {
        const options = { timeoutMs: timeoutOf(random) }
        const key = await nodes.clients[node]!.kv.sequence(this.#prefix, `${name}-${i}`, options)
        const op = { number: Number(key.slice(this.#prefix.length)) }
        const returnMs = performance.now()
        this.acknowledged.push({ key, value: `${name}-${i}` })
        this.recorded.push({ key: this.#prefix, node: nodes.names[node]!, op, callMs, returnMs })
      } catch (error) {
        assertExpected(error)
        counts.failed++
      }
      await sleep(PAUSE_MS * random.float())
    }
  }
}
