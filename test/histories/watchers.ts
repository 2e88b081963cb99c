/** Clients that follow the changes of keys: by streams that break and are resumed at other nodes, and by blocking queries. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../../src/client/client.ts'
import type { SeededRandom } from '../../src/runtime/virtual.ts'
import { assertExpected, isStale, type Nodes } from './kv-client.ts'
import type { Change, Poll, Row, Stream } from './watch-log.ts'

export interface WatcherOptions {
  readonly name: string
  readonly nodes: Nodes
  readonly prefix: string
  readonly random: SeededRandom
  /** Everything after this index is told. */
  readonly since: number
}

interface KvJson {
  readonly Key: string
  readonly Value?: string | null
  readonly CreateIndex?: number
  readonly ModifyIndex: number
}

/** A stream is left of its own accord after so long at most, to be resumed elsewhere. */
const STAY_MS = 4_000
/** A node says something at least so often, or has stopped. */
const IDLE_MS = 3_000
const PAUSE_MS = 50

export class StreamWatcher {
  readonly #o: WatcherOptions
  readonly #changes: Change[] = []
  readonly #stopping = new AbortController()
  #failure: string | undefined
  #connection = 0
  #lastEventId = ''
  #running: Promise<void> | undefined

  constructor(options: WatcherOptions) {
    this.#o = options
  }

  start(): void {
    this.#running = this.#run()
  }

  /** How often it was resumed. */
  get resumes(): number {
    return this.#connection
  }

  /** Index of the last change that it was told. */
  get position(): number {
    return this.#changes.at(-1)?.index ?? 0
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  /** What it was told up to `index`; a failure unless it got there. */
  upTo(index: number): Stream {
    const changes = this.#changes.filter((change) => change.index <= index)
    const short = this.position < index ? `it was told changes up to ${this.position} of ${index}` : undefined
    const failure = this.#failure ?? short
    return { name: this.#o.name, changes, ...(failure !== undefined && { failure }) }
  }

  async #run(): Promise<void> {
    const { nodes, random } = this.#o
    while (!this.#stopping.signal.aborted && this.#failure === undefined) {
      await this.#follow(nodes.clients[Math.floor(random.float() * nodes.clients.length)]!)
      this.#connection++
      await sleep(PAUSE_MS * random.float())
    }
  }

  /** Until the connection breaks, or it has stayed long enough. */
  async #follow(client: Client): Promise<void> {
    const { prefix, since, random } = this.#o
    const leaving = new AbortController()
    const leave = (): void => leaving.abort()
    this.#stopping.signal.addEventListener('abort', leave)
    const timer = setTimeout(leave, STAY_MS * random.float())
    try {
      const events = client.events(
        `kv-changes/${prefix}`,
        { index: since },
        { signal: leaving.signal, lastEventId: this.#lastEventId, idleTimeoutMs: IDLE_MS, onError: leave },
      )
      for await (const { event, data, id } of events) {
        this.#lastEventId = id
        if (event === 'compacted') this.#failure = 'it was told that history is gone, which nobody compacted'
        else if (event === 'put' || event === 'delete') this.#take(event, JSON.parse(data) as KvJson)
      }
    } catch (error) {
      assertExpected(error)
    } finally {
      clearTimeout(timer)
      this.#stopping.signal.removeEventListener('abort', leave)
    }
  }

  #take(event: 'put' | 'delete', { Key, Value, CreateIndex, ModifyIndex }: KvJson): void {
    const value = event === 'delete' ? null : Buffer.from(Value ?? '', 'base64').toString()
    const connection = this.#connection
    this.#changes.push({ key: Key, value, index: ModifyIndex, createIndex: CreateIndex ?? 0, connection })
  }
}

const WAIT_MS = 2_000
/** More answers need not be kept to be sure. */
const MAX_POLLS = 5_000

/** Asks for all keys, each time for what is new since the last answer. */
export class PollWatcher {
  readonly polls: Poll[] = []
  readonly #o: WatcherOptions
  readonly #stopping = new AbortController()
  #index = 0
  #running: Promise<void> | undefined

  constructor(options: WatcherOptions) {
    this.#o = options
    this.#index = options.since
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Of the last answer. */
  get position(): number {
    return this.#index
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { nodes, random, name, prefix } = this.#o
    while (!this.#stopping.signal.aborted && this.polls.length < MAX_POLLS) {
      const client = nodes.clients[Math.floor(random.float() * nodes.clients.length)]!
      try {
        const { signal } = this.#stopping
        const options = { index: this.#index, waitMs: WAIT_MS, timeoutMs: 3_000, signal }
        const { rows, index, isOld } = await listRows(client, prefix, options)
        if (isOld) {
          await sleep(PAUSE_MS)
          continue
        }
        this.polls.push({ name, index, rows })
        this.#index = Math.max(index, this.#index)
      } catch (error) {
        assertExpected(error)
        await sleep(PAUSE_MS)
      }
    }
  }
}

export async function listRows(
  client: Client,
  prefix: string,
  options: Parameters<Client['kv']['list']>[1],
): Promise<{ rows: Row[]; index: number; isOld: boolean }> {
  const { value, meta } = await client.kv.list(prefix, options)
  const decoder = new TextDecoder()
  const rows = value.map((pair) => ({ key: pair.key, value: decoder.decode(pair.value), index: pair.modifyIndex }))
  return { rows, index: meta.index, isOld: isStale(meta) }
}
