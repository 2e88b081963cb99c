/** The worker of an embedded store: the one writer of its SQLite file. */
import module from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { StoreError } from '../store.ts'
import { Batch } from './apply.ts'
import { Database } from './database.ts'
import { Compaction, readHistory, readRange } from './history.ts'
import { transferOf } from './packer.ts'
import type { FromWorker, Reply, Request, WorkerOptions } from './protocol.ts'
import { storeErrorOf } from './sqlite-errors.ts'

/** Rows of forgotten history that a batch takes along, at least, and those that an idle store sweeps at once. */
const SWEEP_ALONG_ROWS = 64
const SWEEP_IDLE_ROWS = 2000

const port = parentPort!
const options = workerData as WorkerOptions

const send = (message: FromWorker, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer)

function open(): void {
  let database: Database
  try {
    database = new Database(options)
  } catch (error) {
    const { code, message } = storeErrorOf(error, false)
    send({ kind: 'not-opened', code, message })
    return
  }
  const compaction = new Compaction(database, { revisions: options.historyRevisions, bytes: options.historyBytes })
  const worker = new StoreWorker(database, compaction)
  port.on('message', (request: Request) => worker.answer(request))
  const { epoch, leases } = database
  send({ kind: 'opened', opened: { epoch, leases: [...leases], position: worker.position } })
}

class StoreWorker {
  readonly #database: Database
  readonly #compaction: Compaction

  constructor(database: Database, compaction: Compaction) {
    this.#database = database
    this.#compaction = compaction
  }

  get position() {
    return this.#database.position(this.#compaction.unswept)
  }

  answer(request: Request): void {
    try {
      const reply = this.#reply(request)
      send({ kind: 'reply', reply }, transfersOf(reply))
    } catch (error) {
      const { code, message } = storeErrorOf(error, false)
      const fatal = !(error instanceof StoreError && code === 'invalid')
      // Releases the directory: nothing more comes from here, and the store may be opened anew.
      if (fatal) this.#database.close()
      send({ kind: 'reply', reply: { kind: 'error', code, message, fatal } })
    }
  }

  #reply(request: Request): Reply {
    switch (request.kind) {
      case 'batch':
        return this.#batch(request)
      case 'range':
        return readRange(this.#database, request)
      case 'history':
        return readHistory(this.#database, request)
      case 'compact':
        this.#database.transaction(() => this.#compaction.compact(request.revision))
        return { kind: 'done', position: this.position }
      case 'sweep':
        this.#database.transaction(() => this.#compaction.sweep(SWEEP_IDLE_ROWS))
        return { kind: 'done', position: this.position }
      case 'raise':
        return { kind: 'raised', epoch: this.#database.raise(request.epoch) }
      case 'close': {
        const { position } = this
        this.#database.close()
        return { kind: 'done', position }
      }
    }
  }

  #batch({ count, packed }: Extract<Request, { kind: 'batch' }>): Reply {
    const batch = new Batch(this.#database, packed)
    const rowsBefore = this.#database.state.nextRow
    let results = packed
    this.#database.transaction(() => {
      results = batch.apply(count).finish()
      const written = this.#database.state.nextRow - rowsBefore
      if (written === 0) return
      this.#compaction.compactIfDue()
      // Twice what was written, so that the sweep catches up under any load.
      this.#compaction.sweep(Math.max(SWEEP_ALONG_ROWS, written * 2))
    })
    return { kind: 'batch', position: this.position, request: packed, results }
  }
}

function transfersOf(reply: Reply): ArrayBuffer[] {
  if (reply.kind === 'batch') return [...transferOf(reply.request), ...transferOf(reply.results)]
  if (reply.kind === 'range') return transferOf(reply.kvs)
  return reply.kind === 'history' ? transferOf(reply.events) : []
}

open()
// On Node, and only where the process keeps what it compiles: for the next start, also after a kill.
module.flushCompileCache?.()
