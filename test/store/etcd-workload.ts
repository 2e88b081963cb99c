/** Writers, renewers and watchers on one store, whose every promise is checked afterwards: nothing lost, nothing twice. */
import { type RevisionEvents, type Store, StoreError, type StoreEvent } from '../../src/store/store.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export interface Outage {
  /** Longest time between two transactions that came through, in ms. */
  readonly longestMs: number
}

export interface WorkloadOptions {
  readonly store: Store
  readonly writers: number
  readonly nowMs: () => number
}

/**
 * Each writer raises a counter again and again by compare and swap, and appends its own numbers. A counter that is raised twice
 * by one transaction, or by one that was said to have failed, differs from the tally.
 */
export class Workload {
  readonly #o: WorkloadOptions
  readonly #seen: RevisionEvents[] = []
  readonly problems: string[] = []
  #running = true
  #acknowledged = 0
  #unknown = 0
  #unavailable = 0
  #lastMs: number
  #longestMs = 0
  #work: Promise<unknown>[] = []
  #start = 0
  #lease = 0
  #finish: (() => void) | undefined

  constructor(options: WorkloadOptions) {
    this.#o = options
    this.#lastMs = options.nowMs()
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  async start(): Promise<void> {
    const { store, writers } = this.#o
    const { id } = await store.grantLease(10_000)
    this.#lease = id
    const { revision } = await store.txn({
      then: [
        ...[...new Set(Array.from({ length: writers }, (_, n) => counterOf(n)))].map((put) => ({
          put,
          value: encoder.encode('0'),
        })),
        { put: 'alive', value: new Uint8Array(0), lease: id },
      ],
    })
    this.#start = revision
    store.watch('', '', revision, {
      onRevisions: (batch) => {
        this.#seen.push(...batch)
        this.#finish?.()
      },
      onCompacted: (oldest) => this.problems.push(`the live watch was told that history before ${oldest} is gone`),
      onEnd: (error) => this.problems.push(`the watch ended: ${error?.message}`),
    })
    this.#lastMs = this.#o.nowMs()
    this.#work = [...Array.from({ length: writers }, (_, n) => this.#write(n)), this.#renew()]
  }

  async #write(writer: number): Promise<void> {
    const { store, nowMs } = this.#o
    const counter = counterOf(writer)
    for (let n = 0; this.#running; n++) {
      try {
        const before = await store.barrier()
        const { kvs, revision } = await store.range(counter, `${counter}\0`)
        if (revision < before) this.problems.push(`a range at ${revision} after a barrier at ${before}`)
        const { value, modRevision } = kvs[0]!
        const { succeeded } = await store.txn({
          if: [{ key: counter, target: 'mod', op: '=', to: modRevision }],
          then: [
            { put: counter, value: encoder.encode(String(Number(decoder.decode(value)) + 1)) },
            { put: `w/${writer}/${n}`, value: encoder.encode(String(n)) },
          ],
        })
        if (succeeded) this.#acknowledged++
        this.#longestMs = Math.max(this.#longestMs, nowMs() - this.#lastMs)
        this.#lastMs = nowMs()
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        if (error.code === 'unknown-outcome') this.#unknown++
        else if (error.code === 'unavailable') this.#unavailable++
        else this.problems.push(`${error.code}: ${error.message}`)
      }
    }
  }

  async #renew(): Promise<void> {
    for (; this.#running; await new Promise((resolve) => setTimeout(resolve, 500))) {
      await this.#o.store.renewLease(this.#lease).catch((error: StoreError) => {
        if (error.code !== 'unavailable') this.problems.push(`the lease: ${error.message}`)
      })
    }
  }

  /** Longest time without a transaction that came through, since the last call. */
  takeOutage(): Outage {
    const longestMs = Math.max(this.#longestMs, this.#o.nowMs() - this.#lastMs)
    this.#longestMs = 0
    this.#lastMs = this.#o.nowMs()
    return { longestMs }
  }

  /** Ends it and compares; resolves with what is wrong. */
  async check(): Promise<string[]> {
    const { store } = this.#o
    this.#running = false
    await Promise.all(this.#work)
    const { kvs, revision } = await store.range('', '')
    const last = Math.max(...kvs.map(({ modRevision }) => modRevision))
    await new Promise<void>((resolve) => {
      this.#finish = () => {
        if ((this.#seen.at(-1)?.revision ?? 0) >= last) resolve()
      }
      this.#finish()
    })
    const counters = kvs.filter(({ key }) => key.startsWith('counter/'))
    const counter = counters.reduce((sum, { value }) => sum + Number(decoder.decode(value)), 0)
    const appended = kvs.filter(({ key }) => key.startsWith('w/')).length
    if (counter !== appended) this.problems.push(`the counter stands at ${counter} after ${appended} transactions`)
    if (counter < this.#acknowledged || counter > this.#acknowledged + this.#unknown) {
      this.problems.push(`${this.#acknowledged} were acknowledged, ${this.#unknown} unknown, ${counter} are there`)
    }
    if (!kvs.some(({ key }) => key === 'alive')) this.problems.push('a lease that was renewed has lapsed')
    await this.#compareHistory(revision)
    return this.problems
  }

  /** What the watch showed through all of it, against a watch that reads it afterwards. */
  async #compareHistory(until: number): Promise<void> {
    const { store } = this.#o
    const read: RevisionEvents[] = []
    await new Promise<void>((resolve) => {
      const watch = store.watch('', '', this.#start, {
        onRevisions: (batch) => {
          read.push(...batch)
          if (read.at(-1)!.revision >= (this.#seen.at(-1)?.revision ?? 0)) resolve()
        },
        onCompacted: () => resolve(),
        onEnd: () => resolve(),
      })
      setTimeout(() => {
        watch.cancel()
        resolve()
      }, 15_000)
    })
    const shown = (list: readonly RevisionEvents[]): string =>
      list
        .filter(({ revision }) => revision <= until)
        .flatMap(({ revision, events }) => events.map((event) => `${revision} ${keyOf(event)}`))
        .join('\n')
    if (shown(this.#seen) !== shown(read)) {
      this.problems.push(`the watch saw ${this.#seen.length} revisions, history has ${read.length}`)
    }
    for (const [i, { revision }] of this.#seen.entries()) {
      if (i > 0 && revision <= this.#seen[i - 1]!.revision) this.problems.push(`revision ${revision} is out of order`)
    }
  }

  get tally(): string {
    return `${this.#acknowledged} acknowledged, ${this.#unknown} unknown, ${this.#unavailable} refused`
  }
}

/** Half of the writers have one of their own, and go together with others; the rest meet at one. */
const counterOf = (writer: number): string => `counter/${writer % 2 === 0 ? 'shared' : writer}`

const keyOf = (event: StoreEvent): string => (event.type === 'put' ? event.kv.key : `-${event.key}`)
