/** Archives of the catalog that a server keeps in its data directory, each some time after the one before. */
import { pipeline, Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import type { Snapshot } from '../catalog/catalog.ts'
import { messageOf } from '../model/errors.ts'
import type { Clock, Disk, Logger, Random, Timer } from '../runtime/ports.ts'

export interface BackupsOptions {
  /** An archive of all that the catalog holds as of one moment. */
  readonly save: () => Promise<Snapshot>
  readonly directory: string
  /** From one to the next, spread by a tenth so that servers do not all write at once. */
  readonly everyMs: number
  /** So many stay, the newest. */
  readonly kept: number
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly logger: Logger
}

/** A server that starts has better to do. */
const FIRST_MS = 60_000
const AGAIN_MS = 300_000
/** Moment in UTC, and the catalog's index then: the order of names is that of time. */
const NAME = /^(\d{8}T\d{6}Z)-(\d+)\.snap$/

interface Backup {
  readonly name: string
  readonly wallMs: number
  readonly index: number
}

/**
 * Each is whole or not there: written beside its name, synced, renamed. A catalog that did not change since the last is not
 * written again. Files of other names are left alone.
 */
export class Backups {
  readonly #o: BackupsOptions
  #timer: Timer | undefined
  #running: Promise<void>
  #closed = false

  constructor(options: BackupsOptions) {
    this.#o = options
    this.#running = this.#begin()
  }

  /** Never rejects. */
  async #begin(): Promise<void> {
    const { disk, directory, clock, everyMs, logger } = this.#o
    let dueMs = 0
    try {
      await disk.makeDirectory(directory)
      await disk.removeTemporary(directory)
      const last = (await this.#list()).at(-1)
      if (last) dueMs = Math.min(everyMs, last.wallMs + everyMs - clock.wallMs())
    } catch (error) {
      logger.warn({ directory, reason: messageOf(error) }, 'the folder of backups cannot be read')
    }
    this.#schedule(Math.max(dueMs, Math.min(FIRST_MS, everyMs)))
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return
    const { clock, random } = this.#o
    this.#timer = clock.after(delayMs * (1 + random.float() / 10), () => {
      this.#running = this.#take()
    })
  }

  /** Never rejects. */
  async #take(): Promise<void> {
    const { directory, everyMs, logger } = this.#o
    try {
      await this.#write()
      this.#schedule(everyMs)
    } catch (error) {
      if (this.#closed) return
      const againInMs = Math.min(AGAIN_MS, everyMs)
      logger.error(
        { directory, reason: messageOf(error), againInMs },
        'no backup could be written; those before it stay',
      )
      this.#schedule(againInMs)
    }
  }

  async #write(): Promise<void> {
    const { save, disk, directory, clock, kept, logger } = this.#o
    const before = await this.#list()
    const { index, bytes } = await save()
    if (before.at(-1)?.index === index) return
    const name = `${stampOf(clock.wallMs())}-${index}.snap`
    await disk.writeAtomic(disk.join(directory, name), this.#gzipped(bytes), { mode: 0o600 })
    logger.info({ directory, name }, 'a backup was written')
    // Names of the same or a later moment, after a clock that went back, are no newer.
    const old = before.filter((backup) => backup.name !== name)
    for (const backup of old.slice(0, Math.max(0, old.length + 1 - kept))) {
      await disk.remove(disk.join(directory, backup.name))
    }
  }

  async *#gzipped(bytes: AsyncGenerator<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array> {
    const gzip = createGzip()
    // What fails on the way ends the reading below with it.
    pipeline(Readable.from(bytes), gzip, () => {})
    for await (const part of gzip) {
      if (this.#closed) throw new Error('the server ends')
      yield part as Uint8Array
    }
  }

  async #list(): Promise<Backup[]> {
    const { disk, directory } = this.#o
    return (await disk.list(directory)).flatMap((name) => {
      const [, stamp, index] = NAME.exec(name) ?? []
      return stamp === undefined ? [] : [{ name, wallMs: momentOf(stamp), index: Number(index) }]
    })
  }

  /** Gives up one that is being written. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#running
  }
}

/** 20261126T201500Z */
const stampOf = (wallMs: number): string => new Date(wallMs).toISOString().replace(/[-:]|\.\d+/g, '')

const momentOf = (stamp: string): number =>
  Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
