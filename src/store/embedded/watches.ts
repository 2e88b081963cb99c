import { messageOf } from '../../model/errors.ts'
import type { Logger } from '../../runtime/ports.ts'
import type { RevisionEvents, StoreError, StoreEvent, Watch, WatchHandler } from '../store.ts'
import { inRange } from '../validate.ts'
import { Unpacker } from './packer.ts'
import type { Reply } from './protocol.ts'
import type { ReadQueue } from './reads.ts'
import { unpackChange } from './rows.ts'

/** Of a page of history: rows looked at, and bytes of keys and values. */
const PAGE_ROWS = 2000
const PAGE_BYTES = 1024 * 1024

interface Watcher {
  readonly from: string
  readonly to: string
  readonly handler: WatchHandler
  /** All revisions up to here were delivered. */
  position: number
  /** Whether it gets what is committed now; otherwise it still reads history. */
  live: boolean
  over: boolean
}

/**
 * Watches first read history, page by page, from the worker. Its messages come in the order of its work: when a page
 * reaches the revision that live watches stand at, nothing can lie between the two.
 */
export class WatchHub {
  readonly #reads: ReadQueue
  readonly #logger: Logger
  readonly #watchers = new Set<Watcher>()
  #live = 0
  #revision: number
  #end: { error: StoreError | undefined } | undefined

  constructor(revision: number, reads: ReadQueue, logger: Logger) {
    this.#revision = revision
    this.#reads = reads
    this.#logger = logger
  }

  /** The last revision that was delivered to all live watches. */
  get revision(): number {
    return this.#revision
  }

  get hasLive(): boolean {
    return this.#live > 0
  }

  add(from: string, to: string, sinceRevision: number, handler: WatchHandler): Watch {
    const live = sinceRevision >= this.#revision
    const watcher: Watcher = { from, to, handler, position: sinceRevision, live, over: false }
    if (this.#end) {
      const { error } = this.#end
      queueMicrotask(() => this.#finish(watcher, () => handler.onEnd(error)))
      return this.#handle(watcher)
    }
    this.#watchers.add(watcher)
    if (live) this.#live++
    else this.#readOn(watcher)
    return this.#handle(watcher)
  }

  #handle(watcher: Watcher): Watch {
    return {
      get position() {
        return watcher.position
      },
      cancel: () => this.#remove(watcher),
    }
  }

  deliver(revision: number, batch: readonly RevisionEvents[]): void {
    this.#revision = revision
    if (batch.length === 0) return
    for (const watcher of [...this.#watchers]) {
      if (watcher.live && !watcher.over) this.#pass(watcher, batch)
    }
  }

  end(error: StoreError | undefined): void {
    if (this.#end) return
    this.#end = { error }
    for (const watcher of [...this.#watchers]) this.#finish(watcher, () => watcher.handler.onEnd(error))
  }

  #pass(watcher: Watcher, batch: readonly RevisionEvents[]): void {
    const wanted = selected(batch, watcher)
    watcher.position = Math.max(watcher.position, batch.at(-1)!.revision)
    if (wanted.length === 0) return
    try {
      watcher.handler.onRevisions(wanted)
    } catch (error) {
      // It has lost events now; to go on would hide that.
      this.#logger.error({ error, from: watcher.from, to: watcher.to }, 'a watch handler threw; its watch is ended')
      this.#finish(watcher, () => watcher.handler.onEnd(error instanceof Error ? error : new Error(messageOf(error))))
    }
  }

  #readOn(watcher: Watcher): void {
    const { from, to } = watcher
    this.#reads.add({
      request: () => ({
        kind: 'history',
        from,
        to,
        after: watcher.position,
        maxRows: PAGE_ROWS,
        maxBytes: PAGE_BYTES,
      }),
      onReply: (reply) => this.#onPage(watcher, reply),
      // The store has ended, and the watch with it.
      onRefused() {},
    })
  }

  #onPage(watcher: Watcher, reply: Reply): void {
    if (watcher.over) return
    if (reply.kind === 'compacted') {
      this.#finish(watcher, () => watcher.handler.onCompacted(reply.oldest))
      return
    }
    if (reply.kind !== 'history') return
    const { through } = reply
    // Before its handler runs: that may cause commits, but none can be delivered before this turn ends.
    if (through >= this.#revision) {
      watcher.live = true
      this.#live++
    }
    const batch = readPage(reply)
    if (batch.length > 0) this.#pass(watcher, batch)
    watcher.position = through
    if (!watcher.live && !watcher.over) this.#readOn(watcher)
  }

  #finish(watcher: Watcher, tell: () => void): void {
    if (watcher.over) return
    this.#remove(watcher)
    try {
      tell()
    } catch (error) {
      this.#logger.error({ error, from: watcher.from, to: watcher.to }, 'a watch handler threw at its end')
    }
  }

  #remove(watcher: Watcher): void {
    if (watcher.over) return
    watcher.over = true
    if (watcher.live && this.#watchers.has(watcher)) this.#live--
    this.#watchers.delete(watcher)
  }
}

function selected(batch: readonly RevisionEvents[], { from, to, position }: Watcher): readonly RevisionEvents[] {
  const recent = batch[0]!.revision > position ? batch : batch.filter(({ revision }) => revision > position)
  if (from === '' && to === '') return recent
  const wanted: RevisionEvents[] = []
  for (const { revision, events } of recent) {
    const inside = events.filter((event) => inRange(keyOf(event), from, to))
    if (inside.length === events.length) wanted.push({ revision, events })
    else if (inside.length > 0) wanted.push({ revision, events: inside })
  }
  return wanted
}

const keyOf = (event: StoreEvent): string => (event.type === 'put' ? event.kv.key : event.key)

function readPage({ count, events: packed }: Extract<Reply, { kind: 'history' }>): RevisionEvents[] {
  const unpacker = new Unpacker(packed)
  const batch: { revision: number; events: StoreEvent[] }[] = []
  for (let i = 0; i < count; i++) {
    const event = unpackChange(unpacker)
    const revision = event.type === 'put' ? event.kv.modRevision : event.modRevision
    const last = batch.at(-1)
    if (last?.revision === revision) last.events.push(event)
    else batch.push({ revision, events: [event] })
  }
  return batch
}
