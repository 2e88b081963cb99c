import { type RevisionEvents, StoreError } from '../store.ts'
import { type Command, type Outcome, packCommand, ResultReader } from './commands.ts'
import { Packer, transferOf } from './packer.ts'
import type { Position, Reply, Request } from './protocol.ts'
import { errorOf } from './range.ts'

export interface CommitLimits {
  /** Commands that wait or are being committed. */
  readonly queuedTxns: number
  /** Bytes of their keys and values. */
  readonly queuedBytes: number
}

/** A batch grows to this many commands or bytes, then the next one begins: it bounds how long one commit takes. */
const BATCH_COMMANDS = 1024
const BATCH_BYTES = 4 * 1024 * 1024

interface Entry {
  readonly command: Command
  readonly resolve: (outcome: Exclude<Outcome, StoreError>) => void
  readonly reject: (error: StoreError) => void
}

class Gathering {
  readonly packer = new Packer()
  readonly entries: Entry[] = []
}

export interface CommitterPorts {
  send(request: Request, transfer: ArrayBuffer[], onReply: (reply: Reply) => void): void
  /** Whether anybody wants the events of a batch. */
  wantsEvents(): boolean
  /** What a batch did, before any of its promises settles. */
  onCommitted(position: Position, events: readonly RevisionEvents[]): void
  onFailure(error: StoreError): void
  /** Nothing waits. */
  onIdle(): void
}

/**
 * Group commit: while one batch is written and synced, the next gathers, packed already. One batch is under way at a time.
 */
export class Committer {
  readonly #limits: CommitLimits
  readonly #ports: CommitterPorts
  #gathering = new Gathering()
  readonly #full: Gathering[] = []
  #underWay: Gathering | undefined
  #scheduled = false
  #queued = 0
  #queuedBytes = 0

  constructor(limits: CommitLimits, ports: CommitterPorts) {
    this.#limits = limits
    this.#ports = ports
  }

  get idle(): boolean {
    return this.#queued === 0
  }

  /** `bounded`: refused when the queue is full. The store's own commands are not. */
  submit(command: Command, bounded = true): Promise<Exclude<Outcome, StoreError>> {
    return new Promise((resolve, reject) => {
      if (bounded && (this.#queued >= this.#limits.queuedTxns || this.#queuedBytes >= this.#limits.queuedBytes)) {
        reject(new StoreError('overloaded', `${this.#queued} transactions wait for the disk; try again later`))
        return
      }
      this.#add({ command, resolve, reject })
    })
  }

  /** Refuses all that waits; what is under way gets `underWay`. */
  fail(waiting: StoreError, underWay: StoreError): void {
    for (const { reject } of this.#underWay?.entries ?? []) reject(underWay)
    for (const { entries } of [...this.#full, this.#gathering]) for (const { reject } of entries) reject(waiting)
    this.#underWay = undefined
    this.#full.length = 0
    this.#gathering = new Gathering()
    this.#queued = 0
    this.#queuedBytes = 0
  }

  #add(entry: Entry): void {
    const { packer, entries } = this.#gathering
    const before = packer.byteLength
    packCommand(packer, entry.command)
    entries.push(entry)
    this.#queued++
    this.#queuedBytes += packer.byteLength - before
    if (entries.length >= BATCH_COMMANDS || packer.byteLength >= BATCH_BYTES) {
      this.#full.push(this.#gathering)
      this.#gathering = new Gathering()
    }
    this.#schedule()
  }

  /** Sends at the end of this turn of the event loop, so that all that comes in it shares one sync. */
  #schedule(): void {
    if (this.#scheduled || this.#underWay) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#underWay) return
    const batch = this.#next()
    if (!batch) return
    this.#underWay = batch
    const count = batch.entries.length
    const bytes = batch.packer.byteLength
    const packed = batch.packer.finish()
    this.#ports.send({ kind: 'batch', count, packed }, transferOf(packed), (reply) => {
      this.#queued -= count
      this.#queuedBytes -= bytes
      this.#onReply(batch, reply)
    })
  }

  #next(): Gathering | undefined {
    const full = this.#full.shift()
    if (full || this.#gathering.entries.length === 0) return full
    const batch = this.#gathering
    this.#gathering = new Gathering()
    return batch
  }

  #onReply(batch: Gathering, reply: Reply): void {
    this.#underWay = undefined
    if (reply.kind !== 'batch') {
      this.#onRefused(batch, reply)
      return
    }
    // What gathered meanwhile is written while these are answered: whoever is answered now comes too late for it anyway.
    this.#pump()
    const events: RevisionEvents[] = []
    const reader = new ResultReader(reply.request, reply.results, this.#ports.wantsEvents() ? events : undefined)
    const outcomes = batch.entries.map(({ command }) => reader.read(command))
    this.#ports.onCommitted(reply.position, events)
    for (let i = 0; i < outcomes.length; i++) {
      const outcome = outcomes[i]!
      if (outcome instanceof StoreError) batch.entries[i]!.reject(outcome)
      else batch.entries[i]!.resolve(outcome)
    }
    if (this.#queued > 0) this.#schedule()
    else this.#ports.onIdle()
  }

  #onRefused(batch: Gathering, reply: Reply): void {
    const error = errorOf(reply)
    for (const { reject } of batch.entries) reject(error)
    this.#ports.onFailure(error)
  }
}
