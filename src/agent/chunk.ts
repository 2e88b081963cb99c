/** Cuts what has changed into commands that one transaction of the store can take. Pure. */
import type { CheckEntry, ServiceEntry } from '../model/entries.ts'
import { MAX_SYNC_BYTES, MAX_SYNC_ITEMS } from '../model/sync.ts'

export interface Item {
  readonly kind: 'service' | 'check'
  readonly id: string
}

/** What is local now, as catalog entries. */
export interface LocalEntries {
  /** undefined: it is to be removed. */
  service(id: string): ServiceEntry | undefined
  check(id: string): CheckEntry | undefined
  checkIdsOf(serviceId: string): readonly string[]
}

export interface Chunk {
  /** Keys of the items that it carries. */
  readonly keys: readonly string[]
  readonly services: readonly ServiceEntry[]
  readonly checks: readonly CheckEntry[]
  readonly removeServices: readonly string[]
  readonly removeChecks: readonly string[]
  /** Whether it carries all there is. */
  readonly last: boolean
}

export const itemKey = (item: Item): string => `${item.kind}:${item.id.toLowerCase()}`

export interface ChunkBounds {
  readonly items: number
  readonly bytes: number
}

export const DEFAULT_BOUNDS: ChunkBounds = { items: MAX_SYNC_ITEMS, bytes: MAX_SYNC_BYTES }

/**
 * The next command's worth of `items`, oldest first. A service goes with its changed checks, the worst first, so that
 * it does not look healthy before its checks are there; a check never goes before its service.
 */
export function nextChunk(
  items: ReadonlyMap<string, Item>,
  local: LocalEntries,
  bounds: ChunkBounds = DEFAULT_BOUNDS,
): Chunk {
  const builder = new ChunkBuilder(bounds)
  for (const item of items.values()) {
    if (builder.full) break
    addItem(builder, item, items, local)
  }
  return builder.build(items.size)
}

function addItem(builder: ChunkBuilder, item: Item, items: ReadonlyMap<string, Item>, local: LocalEntries): void {
  if (builder.has(item)) return
  if (item.kind === 'check') {
    const check = local.check(item.id)
    const service =
      check && check.serviceId !== '' ? items.get(itemKey({ kind: 'service', id: check.serviceId })) : undefined
    if (service && !builder.has(service)) addItem(builder, service, items, local)
    if (check) builder.putCheck(item, check)
    else builder.remove(item)
    return
  }
  const service = local.service(item.id)
  if (!service) {
    builder.remove(item)
    return
  }
  if (!builder.putService(item, service)) return
  const checks = local
    .checkIdsOf(item.id)
    .map((id) => ({ item: items.get(itemKey({ kind: 'check', id })), entry: local.check(id) }))
    .sort((a, b) => badness(b.entry) - badness(a.entry))
  for (const check of checks) if (check.item && check.entry) builder.putCheck(check.item, check.entry)
}

const badness = (check: CheckEntry | undefined): number =>
  check ? ['passing', 'warning', 'critical'].indexOf(check.status) : -1

class ChunkBuilder {
  readonly #bounds: ChunkBounds
  readonly #keys = new Set<string>()
  readonly #services: ServiceEntry[] = []
  readonly #checks: CheckEntry[] = []
  readonly #removeServices: string[] = []
  readonly #removeChecks: string[] = []
  #bytes = 0
  #overflow = false

  constructor(bounds: ChunkBounds) {
    this.#bounds = bounds
  }

  get full(): boolean {
    return this.#overflow || this.#keys.size >= this.#bounds.items
  }

  has(item: Item): boolean {
    return this.#keys.has(itemKey(item))
  }

  putService(item: Item, entry: ServiceEntry): boolean {
    if (!this.#take(item, sizeOf(entry))) return false
    this.#services.push(entry)
    return true
  }

  putCheck(item: Item, entry: CheckEntry): void {
    if (!this.has(item) && this.#take(item, sizeOf(entry))) this.#checks.push(entry)
  }

  remove(item: Item): void {
    if (!this.#take(item, item.id.length)) return
    if (item.kind === 'service') this.#removeServices.push(item.id)
    else this.#removeChecks.push(item.id)
  }

  build(total: number): Chunk {
    return {
      keys: [...this.#keys],
      services: this.#services,
      checks: this.#checks,
      removeServices: this.#removeServices,
      removeChecks: this.#removeChecks,
      last: this.#keys.size === total,
    }
  }

  /** The first is always taken: what is too large by itself is for the catalog to refuse. */
  #take(item: Item, bytes: number): boolean {
    if (this.full) return false
    if (this.#keys.size > 0 && this.#bytes + bytes > this.#bounds.bytes) {
      this.#overflow = true
      return false
    }
    this.#keys.add(itemKey(item))
    this.#bytes += bytes
    return true
  }
}

/** UTF-16 units of the JSON; what is stored is smaller for ASCII, and the bound leaves room for the rest. */
const sizeOf = (entry: ServiceEntry | CheckEntry): number => JSON.stringify(entry).length
