/** A client that reads and writes keys through the nodes of a datacenter, and writes down what it did and heard. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, type ClientError, createClient, isClientError, type Meta } from '../../src/client/client.ts'
import type { SeededRandom } from '../../src/runtime/virtual.ts'
import { pick } from './faults.ts'
import type { Recorded } from './history.ts'
import type { KvOp } from './kv-model.ts'

export interface Nodes {
  readonly clients: readonly Client[]
  readonly names: readonly string[]
}

/** One attempt a call: what is sent again must be known here. */
export function nodesOf(agents: readonly { readonly name: string; readonly url: string }[]): Nodes {
  return {
    clients: agents.map(({ url }) => createClient({ address: url, retries: 0 })),
    names: agents.map(({ name }) => name),
  }
}

/** These say that nothing was changed; it is part of what is checked. */
const NOTHING_DONE: ReadonlySet<ClientError['code']> = new Set(['unavailable', 'overloaded', 'unreachable', 'conflict'])

/** A client node without a server answers what it was told before, and says so. */
export const isStale = ({ source, consistency }: Meta): boolean => source === 'kept' || consistency === 'stale'

export const isNothingDone = (error: unknown): boolean => isClientError(error) && NOTHING_DONE.has(error.code)

/** What is wrong with the test, and not with a node. */
export function assertExpected(error: unknown): void {
  if (!isClientError(error) || error.code === 'bad-answer' || error.code === 'invalid') throw error
}

export interface Counts {
  /** Answers that call themselves stale, and calls that failed. */
  stale: number
  failed: number
}

export interface ClientOptions {
  readonly name: string
  readonly nodes: Nodes
  /** Which of them it mostly asks. */
  readonly home: number
  readonly random: SeededRandom
  readonly counts: Counts
  readonly isOver: () => boolean
}

/** Waits so long for answers: sometimes shorter than a node, so that outcomes stay open, and mostly longer. */
export const timeoutOf = (random: SeededRandom): number => (random.float() < 0.2 ? 300 + 1_500 * random.float() : 7_000)
export const thinkMs = (random: SeededRandom): number => 12 * random.float() ** 2
const AFTER_FAILURE_MS = 30

export class KvClient {
  readonly recorded: Recorded<KvOp>[] = []
  /** Values that were acknowledged and those that were refused, for the watches. */
  readonly acknowledged: { key: string; value: string }[] = []
  readonly refused: { key: string; value: string }[] = []
  readonly #o: ClientOptions
  readonly #keys: readonly string[]
  readonly #indexes = new Map<string, number>()
  #next = 0

  constructor(options: ClientOptions, keys: readonly string[]) {
    this.#o = options
    this.#keys = keys
  }

  async run(): Promise<void> {
    const { isOver, random } = this.#o
    while (!isOver()) {
      const went = await this.#once()
      await sleep(went ? thinkMs(random) : AFTER_FAILURE_MS)
    }
  }

  /** Reads every key where `node` is, so that the last writes are seen. */
  async readAll(node: number): Promise<void> {
    for (const key of this.#keys) await this.#get(key, node, true)
  }

  #once(): Promise<boolean> {
    const { random, nodes, home } = this.#o
    const key = pick(random, this.#keys)
    const node = random.float() < 0.7 ? home : Math.floor(random.float() * nodes.clients.length)
    const what = random.float()
    if (what < 0.45) return this.#get(key, node, random.float() < 0.3)
    if (what < 0.52 && this.#keys.length > 1) return this.#putBoth(key, node)
    if (what < 0.85) return this.#put(key, node, what < 0.6 ? undefined : this.#cas(key))
    return this.#delete(key, node, what < 0.92 ? undefined : this.#cas(key) || undefined)
  }

  /** The index that this client read last: mostly that of what is there, and sometimes an old one. 0: only where there is none. */
  #cas(key: string): number {
    return this.#o.random.float() < 0.1 ? 0 : (this.#indexes.get(key) ?? 0)
  }

  async #get(key: string, node: number, consistent: boolean): Promise<boolean> {
    const { nodes, random, counts } = this.#o
    const callMs = performance.now()
    try {
      const { value: pair, meta } = await nodes.clients[node]!.kv.get(key, { consistent, timeoutMs: timeoutOf(random) })
      const returnMs = performance.now()
      if (isStale(meta)) {
        counts.stale++
        return true
      }
      const index = pair?.modifyIndex ?? 0
      this.#indexes.set(key, index)
      const value = pair ? new TextDecoder().decode(pair.value) : null
      this.#record(key, node, { kind: 'get', value, index }, callMs, returnMs)
      return true
    } catch (error) {
      assertExpected(error)
      counts.failed++
      return false
    }
  }

  async #put(key: string, node: number, cas: number | undefined): Promise<boolean> {
    const value = `${this.#o.name}-${++this.#next}`
    const op = { kind: 'put', value, ...(cas !== undefined && { cas }) } as const
    const client = this.#o.nodes.clients[node]!
    const applied = await this.#write(key, node, op, (timeoutMs) => client.kv.put(key, value, { cas, timeoutMs }))
    if (applied === true) this.acknowledged.push({ key, value })
    if (applied === false || applied === 'nothing-done') this.refused.push({ key, value })
    return typeof applied === 'boolean'
  }

  /** One value to two keys in one transaction, half of the time only where the first is as it was read. */
  async #putBoth(key: string, node: number): Promise<boolean> {
    const { random, nodes } = this.#o
    const other = pick(
      random,
      this.#keys.filter((each) => each !== key),
    )
    const value = `${this.#o.name}-${++this.#next}`
    const cas = random.float() < 0.5 ? this.#indexes.get(key) || undefined : undefined
    const encoded = Buffer.from(value).toString('base64')
    const first = { Verb: cas === undefined ? 'set' : 'cas', Key: key, Value: encoded, ...(cas && { Index: cas }) }
    const operations = [{ KV: first }, { KV: { Verb: 'set', Key: other, Value: encoded } }]
    const ops: [string, KvOp][] = [
      [key, { kind: 'put', value, with: other, ...(cas !== undefined && { cas }) }],
      [other, { kind: 'put', value, with: key }],
    ]
    const callMs = performance.now()
    const note = (list: { key: string; value: string }[]) => void list.push({ key, value }, { key: other, value })
    try {
      const applied = (await nodes.clients[node]!.txn(operations, { timeoutMs: timeoutOf(random) })) !== undefined
      const returnMs = performance.now()
      note(applied ? this.acknowledged : this.refused)
      // Where it did not hold for the first, the second says nothing.
      for (const [at, op] of applied ? ops : ops.slice(0, 1)) {
        this.#record(at, node, { ...op, applied } as KvOp, callMs, returnMs)
      }
      return true
    } catch (error) {
      assertExpected(error)
      this.#o.counts.failed++
      if (isNothingDone(error)) note(this.refused)
      else for (const [at, op] of ops) this.#record(at, node, op, callMs, Number.POSITIVE_INFINITY)
      return false
    }
  }

  async #delete(key: string, node: number, cas: number | undefined): Promise<boolean> {
    const op = { kind: 'delete', ...(cas !== undefined && { cas }) } as const
    const client = this.#o.nodes.clients[node]!
    const applied = await this.#write(key, node, op, (timeoutMs) => client.kv.delete(key, { cas, timeoutMs }))
    return typeof applied === 'boolean'
  }

  async #write(
    key: string,
    node: number,
    op: KvOp,
    send: (timeoutMs: number) => Promise<boolean>,
  ): Promise<boolean | 'unknown' | 'nothing-done'> {
    const callMs = performance.now()
    try {
      const applied = await send(timeoutOf(this.#o.random))
      this.#record(key, node, { ...op, applied } as KvOp, callMs, performance.now())
      return applied
    } catch (error) {
      assertExpected(error)
      this.#o.counts.failed++
      if (isNothingDone(error)) return 'nothing-done'
      this.#record(key, node, op, callMs, Number.POSITIVE_INFINITY)
      return 'unknown'
    }
  }

  #record(key: string, node: number, op: KvOp, callMs: number, returnMs: number): void {
    this.recorded.push({ key, node: this.#o.nodes.names[node]!, op, callMs, returnMs })
  }
}
