/**
 * Replicas on disk, one file per DC, so that a node which starts while the WAN is cut still answers. A file is a help,
 * not a truth: it is checked as a whole, and removed when anything is wrong with it. What a file holds is written anew only when it
 * changed, and large files seldom; a small file beside them (`ages`) says until when each was known to be current.
 */
import { ageFromWire, ageToWire } from '../model/age.ts'
import { messageOf } from '../model/errors.ts'
import type { Clock, Disk, Logger } from '../runtime/ports.ts'
import type { SavedReplica } from './federation.ts'
import { decode, encode, Reader } from './protocol/codec.ts'
import { DIGEST_BYTES, MAX_DATACENTERS, MAX_NAME_LENGTH } from './protocol/limits.ts'
import { decodeSavedReplica, encodeSavedReplica } from './saved-replica.ts'

export interface ReplicaFilesOptions {
  readonly disk: Disk
  readonly directory: string
  readonly clock: Clock
  readonly logger: Logger
  /** Of all files. Default 1 GiB. A replica for which there is no room is not saved. */
  readonly maxBytes?: number
}

/** One replica that may be worth writing. */
export interface Savable {
  readonly datacenter: string
  /** In hex; '' while there is nothing. */
  readonly digest: string
  readonly ageMs: () => number
  readonly save: () => SavedReplica | undefined
}

interface Written {
  readonly digest: string
  readonly bytes: number
  readonly nextMs: number
}

/** Since when, by the wall clock, the content of a file is out of date at most. */
interface Current {
  readonly digest: string
  readonly ageMs: number
  readonly wallMs: number
}

const SUFFIX = '.replica'
const AGES = 'ages'
/** Between two writes of one DC at least, and more for large ones: this many milliseconds for each megabyte. */
const MIN_PERIOD_MS = 5000
const PERIOD_PER_MB_MS = 10_000
const AGES_PERIOD_MS = 5000
const RETRY_MS = 60_000
const DEFAULT_MAX_BYTES = 1024 ** 3
/** A DC of which nothing was heard for so long is gone. */
const MAX_FILE_AGE_MS = 7 * 24 * 3600 * 1000
const MAX_AGES_BYTES = 1024 * 1024

/** The freshest first; those whose age is unknown last, the newer files before the older ones. */
function byAge(a: SavedReplica, b: SavedReplica): number {
  const aMs = a.savedWallMs - a.ageMs
  const bMs = b.savedWallMs - b.ageMs
  return aMs === bMs ? b.savedWallMs - a.savedWallMs : bMs - aMs
}

export class ReplicaFiles {
  readonly #options: ReplicaFilesOptions
  readonly #written = new Map<string, Written>()
  readonly #current = new Map<string, Current>()
  #nextAgesMs = Number.NEGATIVE_INFINITY
  #writing: Promise<void> = Promise.resolve()
  #busy = false

  constructor(options: ReplicaFilesOptions) {
    this.#options = options
  }

  /** What a former run left, the freshest first. Never rejects. */
  async load(): Promise<SavedReplica[]> {
    const { disk, directory, clock } = this.#options
    const names = (await disk.list(directory).catch(() => [])).filter((name) => name.endsWith(SUFFIX))
    await this.#loadAges()
    const out: SavedReplica[] = []
    for (const name of names.slice(0, MAX_DATACENTERS)) {
      try {
        const bytes = await disk.read(disk.join(directory, name))
        if (bytes) out.push(this.#dated(await decodeSavedReplica(bytes, clock), name, bytes.length))
      } catch (error) {
        await this.#discard(name, messageOf(error))
      }
    }
    for (const name of names.slice(MAX_DATACENTERS)) await this.#discard(name, 'there are more files than datacenters')
    return out.sort(byAge)
  }

  /** With the age as it was known last. Throws when nothing was heard of the DC for too long. */
  #dated(saved: SavedReplica, name: string, bytes: number): SavedReplica {
    if (saved.datacenter + SUFFIX !== name) throw new Error(`it is of ${saved.datacenter}`)
    const digest = Buffer.from(saved.digest).toString('hex')
    const current = this.#current.get(saved.datacenter)
    const isNewer = current?.digest === digest && current.wallMs - current.ageMs > saved.savedWallMs - saved.ageMs
    const dated = isNewer ? { ...saved, ageMs: current.ageMs, savedWallMs: current.wallMs } : saved
    const knownMs = Number.isFinite(dated.ageMs) ? dated.ageMs : 0
    if (this.#options.clock.wallMs() - dated.savedWallMs + knownMs > MAX_FILE_AGE_MS)
      throw new Error('nothing was heard of the datacenter for a week')
    this.#written.set(saved.datacenter, { digest, bytes, nextMs: Number.NEGATIVE_INFINITY })
    return dated
  }

  async #discard(name: string, reason: string): Promise<void> {
    const { disk, directory, logger } = this.#options
    logger.warn({ file: name, reason }, 'a saved replica is of no use and removed; going on without it')
    await disk.remove(disk.join(directory, name)).catch(() => {})
  }

  /** Writes what changed and is due; one at a time. Call every second or so. */
  tick(replicas: readonly Savable[]): void {
    const { clock } = this.#options
    this.#note(replicas)
    if (this.#busy) return
    const nowMs = clock.nowMs()
    const due = replicas.find(({ datacenter, digest }) => {
      const written = this.#written.get(datacenter)
      return digest !== '' && (!written || (written.digest !== digest && nowMs >= written.nextMs))
    })
    const saved = due?.save()
    if (due && saved) this.#run(due.datacenter, () => this.#write(saved, due.digest))
    else if (nowMs >= this.#nextAgesMs) this.#run(AGES, () => this.#writeAges())
  }

  /** Writes all that changed, also what is not due yet, and the ages. */
  async flush(replicas: readonly Savable[]): Promise<void> {
    await this.#writing
    for (const { datacenter, digest, save } of replicas) {
      if (digest === '' || this.#written.get(datacenter)?.digest === digest) continue
      const saved = save()
      if (saved) this.#run(datacenter, () => this.#write(saved, digest))
      await this.#writing
    }
    this.#note(replicas)
    this.#run(AGES, () => this.#writeAges())
    await this.#writing
  }

  /** The DC left, or is gone for good. */
  forget(datacenter: string): void {
    const { disk, directory, logger } = this.#options
    this.#written.delete(datacenter)
    this.#current.delete(datacenter)
    this.#writing = this.#writing
      .then(() => disk.remove(disk.join(directory, datacenter + SUFFIX)))
      .catch((error) => logger.warn({ datacenter, reason: messageOf(error) }, 'a saved replica could not be removed'))
  }

  #note(replicas: readonly Savable[]): void {
    const wallMs = this.#options.clock.wallMs()
    for (const { datacenter, digest, ageMs } of replicas)
      if (digest !== '' && this.#written.get(datacenter)?.digest === digest)
        this.#current.set(datacenter, { digest, ageMs: ageMs(), wallMs })
  }

  #run(what: string, write: () => Promise<void>): void {
    const { logger, clock } = this.#options
    this.#busy = true
    this.#writing = write()
      .catch((error) => {
        logger.warn({ datacenter: what, reason: messageOf(error) }, 'a replica could not be saved')
        const nextMs = clock.nowMs() + RETRY_MS
        if (what === AGES) this.#nextAgesMs = nextMs
        else this.#written.set(what, { digest: '', bytes: this.#written.get(what)?.bytes ?? 0, nextMs })
      })
      .finally(() => {
        this.#busy = false
      })
  }

  async #write(saved: SavedReplica, digest: string): Promise<void> {
    const { disk, directory, clock, maxBytes = DEFAULT_MAX_BYTES } = this.#options
    const { datacenter } = saved
    let others = 0
    for (const [name, { bytes }] of this.#written) if (name !== datacenter) others += bytes
    let bytes = 0
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const part of encodeSavedReplica(saved, clock)) {
        bytes += part.length
        if (others + bytes > maxBytes) throw new Error(`saved replicas may take ${maxBytes} bytes in all`)
        yield part
      }
    }
    await disk.makeDirectory(directory)
    await disk.writeAtomic(disk.join(directory, datacenter + SUFFIX), counted())
    const nextMs = clock.nowMs() + MIN_PERIOD_MS + (bytes / 1e6) * PERIOD_PER_MB_MS
    this.#written.set(datacenter, { digest, bytes, nextMs })
    this.#current.set(datacenter, { digest, ageMs: saved.ageMs, wallMs: saved.savedWallMs })
  }

  async #writeAges(): Promise<void> {
    const { disk, directory, clock } = this.#options
    this.#nextAgesMs = clock.nowMs() + AGES_PERIOD_MS
    if (this.#current.size === 0) return
    const rows = [...this.#current].map(([name, { digest, ageMs, wallMs }]) => [name, digest, ageToWire(ageMs), wallMs])
    await disk.writeAtomic(disk.join(directory, AGES), encode([rows]))
  }

  /** Without it, ages are those at the time when the files were written. */
  async #loadAges(): Promise<void> {
    const { disk, directory, logger } = this.#options
    try {
      const bytes = await disk.read(disk.join(directory, AGES))
      if (!bytes) return
      const limits = { maxBytes: MAX_AGES_BYTES, maxItems: 8 + 5 * MAX_DATACENTERS }
      for (const item of new Reader(decode(bytes, limits), 'ages').list('rows', MAX_DATACENTERS)) {
        const row = new Reader(item, 'age')
        const name = row.text('datacenter', MAX_NAME_LENGTH)
        const digest = row.text('digest', 2 * DIGEST_BYTES)
        this.#current.set(name, { digest, ageMs: ageFromWire(row.amount('ageMs')), wallMs: row.amount('wallMs') })
      }
    } catch (error) {
      logger.warn({ file: AGES, reason: messageOf(error) }, 'the ages of saved replicas cannot be read')
    }
  }
}
