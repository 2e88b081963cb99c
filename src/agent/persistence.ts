/** Keeps what is registered with an agent, and the health of its checks, across restarts. */
import { messageOf } from '../model/errors.ts'
import type { Disk, Logger } from '../runtime/ports.ts'
import {
  decodeStatuses,
  decodeUnit,
  encodeStatuses,
  encodeUnit,
  type KeptStatus,
  REMOVED,
  type Unit,
  UnreadableFile,
} from './persisted.ts'
import { idKey } from './registry.ts'

export interface Kept {
  readonly units: readonly Unit[]
  readonly statuses: readonly KeptStatus[]
}

export interface Persistence {
  /** Rejects when the folder cannot be read; a file that makes no sense is moved aside with a warning. */
  load(): Promise<Kept>
  /** Resolves when it is on the disk. undefined: the unit is gone. */
  writeUnit(key: string, unit: Unit | undefined): Promise<void>
  writeStatuses(statuses: readonly KeptStatus[]): Promise<void>
}

export const serviceUnitKey = (serviceId: string): string => `service:${idKey(serviceId)}`
export const checkUnitKey = (checkId: string): string => `check:${idKey(checkId)}`

const STATUS_FILE = 'check-status.json'
const DAMAGED = '.damaged'
const MAX_SLUG = 80
/** Files read at a time. */
const READ_AHEAD = 16

/** For a node without a data directory. */
export const inMemory: Persistence = {
  load: () => Promise.resolve({ units: [], statuses: [] }),
  writeUnit: () => Promise.resolve(),
  writeStatuses: () => Promise.resolve(),
}

export class FolderPersistence implements Persistence {
  readonly #disk: Disk
  readonly #folder: string
  readonly #logger: Logger
  /** File names by key of their unit: ids may hold anything, and two may look alike as a file name. */
  readonly #names = new Map<string, string>()
  readonly #taken = new Set<string>([STATUS_FILE])

  constructor(options: { disk: Disk; folder: string; logger: Logger }) {
    this.#disk = options.disk
    this.#folder = options.folder
    this.#logger = options.logger
  }

  async load(): Promise<Kept> {
    await this.#disk.makeDirectory(this.#folder)
    const names = (await this.#disk.list(this.#folder)).filter(
      (name) => name.endsWith('.json') && name !== STATUS_FILE && !name.startsWith('.'),
    )
    const units: Unit[] = []
    for (let at = 0; at < names.length; at += READ_AHEAD) {
      const batch = await Promise.all(names.slice(at, at + READ_AHEAD).map((name) => this.#readUnit(name)))
      for (const unit of batch) if (unit) units.push(unit)
    }
    return { units, statuses: (await this.#readFile(STATUS_FILE, decodeStatuses)) ?? [] }
  }

  async writeUnit(key: string, unit: Unit | undefined): Promise<void> {
    const name = this.#names.get(key)
    if (unit) {
      await this.#disk.writeAtomic(this.#path(name ?? this.#claim(key)), encodeUnit(unit), { mode: 0o600 })
      return
    }
    if (name === undefined) return
    await this.#disk.writeAtomic(this.#path(name), REMOVED, { mode: 0o600 })
    await this.#disk.remove(this.#path(name))
    this.#names.delete(key)
    this.#taken.delete(name)
  }

  async writeStatuses(statuses: readonly KeptStatus[]): Promise<void> {
    await this.#disk.writeAtomic(this.#path(STATUS_FILE), encodeStatuses(statuses), { mode: 0o600 })
  }

  async #readUnit(name: string): Promise<Unit | undefined> {
    this.#taken.add(name)
    let removed = false
    const unit = await this.#readFile(name, (bytes) => {
      const decoded = decodeUnit(bytes)
      removed = decoded === undefined
      return decoded
    })
    if (removed) {
      await this.#disk.remove(this.#path(name))
      this.#taken.delete(name)
    }
    if (unit) {
      const key = unit.kind === 'service' ? serviceUnitKey(unit.service.id) : checkUnitKey(unit.check.checkId)
      this.#names.set(key, name)
    }
    return unit
  }

  async #readFile<T>(name: string, decode: (bytes: Uint8Array) => T): Promise<T | undefined> {
    const bytes = await this.#disk.read(this.#path(name))
    if (bytes === undefined) return undefined
    try {
      return decode(bytes)
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error
      await this.#setAside(name, bytes, error)
      return undefined
    }
  }

  async #setAside(name: string, bytes: Uint8Array, error: UnreadableFile): Promise<void> {
    const file = this.#path(name)
    if (error.newer) {
      this.#logger.warn({ file, reason: messageOf(error) }, 'left out a file of a later release; it stays as it is')
      return
    }
    const movedTo = `${file}${DAMAGED}`
    await this.#disk.writeAtomic(movedTo, bytes, { mode: 0o600 })
    await this.#disk.remove(file)
    this.#logger.warn(
      { file, movedTo, reason: messageOf(error) },
      'a file of the agent is damaged and was moved aside; register anew what is missing',
    )
  }

  #claim(key: string): string {
    const slug = key.replaceAll(/[^a-z0-9._-]+/g, '-').slice(0, MAX_SLUG)
    let name = `${slug}.json`
    for (let n = 2; this.#taken.has(name); n++) name = `${slug}-${n}.json`
    this.#taken.add(name)
    this.#names.set(key, name)
    return name
  }

  #path(name: string): string {
    return this.#disk.join(this.#folder, name)
  }
}
