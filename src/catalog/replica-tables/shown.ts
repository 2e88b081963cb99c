/** One content of a replica: packed entries, and tables of those parts of it that were asked for ("warm"). */
import type { CheckRow, NodeRow, Status } from '../../model/entries.ts'
import type { Epoch } from '../../model/epoch.ts'
import { keyPart } from '../../model/keys.ts'
import { decodeCheck, decodeNode, decodeService } from '../codec.ts'
import { peekNodeId } from '../tables/peek.ts'
import { ServiceCards, servicePartOf } from '../tables/service-cards.ts'
import { nodeThing, serviceThing } from '../tables/waiters.ts'
import { Tables } from '../tables.ts'
import type { Registration, TopicRef } from '../view.ts'

export interface PackedEntry {
  readonly key: string
  readonly value: Uint8Array
  readonly createRevision: number
  readonly modRevision: number
}

/** All that a DC exports, in order of the keys. It changes under who reads it; what changed is told by `apply`. */
export interface PackedContent {
  readonly size: number
  get(key: string): PackedEntry | undefined
  /** Values are good until the content changes. */
  under(prefix: string): Iterable<PackedEntry>
}

/** What became of a key, and the value that it had (undefined: none). */
export interface AppliedEntry {
  readonly key: string
  readonly value: Uint8Array | null
  readonly createRevision: number
  readonly modRevision: number
  readonly former: Uint8Array | undefined
}

export interface ShownContentOptions {
  readonly datacenter: string
  readonly epoch: Epoch
  readonly revision: number
  readonly content: PackedContent
  readonly firstVersion: number
  /** Told of services that an answer about may differ of. */
  readonly onServices: (services: readonly string[]) => void
  readonly onUnreadable?: (key: string, error: unknown) => void
}

/** Entries looked at, and nodes decoded, in one step. */
const STEP_ENTRIES = 256
const STEP_NODES = 16
/** Nodes decoded before anybody asks, since they were in use; the rest when somebody does. */
const MAX_TAKEN_UP = 5000

const WHOLE_OF = { 'e/n/': 'nodes', 'e/s/': 'services', 'e/c/': 'checks' } as const
type Family = keyof typeof WHOLE_OF
const isFamily = (prefix: string): prefix is Family => prefix in WHOLE_OF

export class ShownContent {
  readonly epoch: Epoch
  readonly tables: Tables
  readonly cards = new ServiceCards()
  /** Parts of keys of services that are decoded whole, and stay so. */
  readonly warmServices = new Set<string>()
  readonly #warmNodes = new Set<string>()
  readonly #content: PackedContent
  readonly #revision: number
  readonly #onServices: (services: readonly string[]) => void
  readonly #onUnreadable: (key: string, error: unknown) => void
  #nodeRows: { readonly version: number; readonly rows: readonly NodeRow[] } | undefined
  #registrations: { readonly version: string; readonly rows: readonly Registration[] } | undefined
  readonly #checkRows = new Map<Status | 'any', readonly CheckRow[]>()
  #checksVersion = -1

  constructor(options: ShownContentOptions) {
    const { datacenter, epoch, firstVersion, onUnreadable = () => {} } = options
    this.epoch = epoch
    this.#content = options.content
    this.#revision = options.revision
    this.#onUnreadable = onUnreadable
    this.tables = new Tables({ datacenter, epoch, firstVersion, onUnreadable })
    this.#onServices = options.onServices
    this.tables.onServices(this.#onServices)
  }

  get warmNodes(): number {
    return this.#warmNodes.size
  }
  get lastVersion(): number {
    return this.tables.registry.lastVersion
  }

  /**
   * Looks at every entry once, and decodes the services that are in use, in steps. Indexes do not fall below those of
   * `former`, the same DC's content before.
   */
  *takeUp(former: ShownContent | undefined, services: Iterable<string>): Generator<void> {
    const highest = { nodes: 1, services: 1, checks: 1 }
    for (const [prefix, name] of Object.entries(WHOLE_OF)) {
      let looked = 0
      for (const entry of this.#content.under(prefix)) {
        highest[name] = Math.max(highest[name], entry.modRevision)
        if (prefix === 'e/s/') this.#addCard(entry)
        if (++looked % STEP_ENTRIES === 0) yield
      }
    }
    this.tables.load(this.#revision, [...this.#content.under('e/d/'), ...this.#content.under('e/t/')].map(asKeyValue))
    for (const [name, revision] of Object.entries(highest) as [keyof typeof highest, number][]) {
      const before = former?.tables.registry.whole(name).index ?? 0
      this.tables.registry.touchWhole(name, Math.max(this.tables.indexOf(revision), before))
    }
    this.tables.registry.touchWhole('coordinates', 1)
    yield
    for (const part of services) {
      if (this.#warmNodes.size >= MAX_TAKEN_UP) break
      yield* this.#takeUpService(part, former)
    }
    this.tables.applyExported(this.#revision, [])
  }

  *#takeUpService(part: string, former: ShownContent | undefined): Generator<void> {
    let taken = 0
    for (const node of this.cards.nodesOf(part)) {
      this.tables.reveal(this.#entriesOfNode(node))
      if (++taken % STEP_NODES === 0) yield
    }
    this.#warmService(part)
    const { registry } = this.tables
    const before = former?.tables.registry.serviceStates.get(part)?.index ?? 0
    if (before > 0) registry.raiseService(part, before, false)
    yield
  }

  #addCard({ key, value }: PackedEntry): void {
    try {
      this.cards.add(nodePartOf(key), value)
    } catch (error) {
      this.#onUnreadable(key, error)
    }
  }

  /** Other contents take this one's place. */
  replaced(): void {
    this.tables.replaced()
  }

  // ---- what is asked for

  warm(ref: TopicRef): void {
    if (ref.kind === 'service') this.ofService(keyPart(ref.service))
    else if (ref.kind === 'node') this.ofNode(keyPart(ref.node))
  }

  /** The tables, which hold all of this node. */
  ofNode(part: string): Tables {
    if (!this.#warmNodes.has(part)) this.tables.reveal(this.#entriesOfNode(part))
    return this.tables
  }

  /** The tables, which hold all of this service. */
  ofService(part: string): Tables {
    if (!this.warmServices.has(part)) this.#warmService(part)
    return this.tables
  }

  #warmService(part: string): void {
    const records = [this.#content.get(`e/i/${part}`), this.#content.get(`e/f/${part}`)].filter((one) => !!one)
    // Of what does not exist nothing is kept, whoever asks for it.
    if (!this.cards.has(part) && records.length === 0) return
    this.warmServices.add(part)
    this.tables.reveal(this.#entriesOfService(part, records))
  }

  *#entriesOfService(part: string, records: readonly PackedEntry[]): Generator<PackedEntry> {
    for (const node of this.cards.nodesOf(part)) yield* this.#entriesOfNode(node)
    yield* records
  }

  /** Those that are not in the tables yet. */
  *#entriesOfNode(part: string): Generator<PackedEntry> {
    if (this.#warmNodes.has(part)) return
    let found = false
    const row = this.#content.get(`e/n/${part}`)
    if (row) yield row
    for (const prefix of [`e/s/${part}/`, `e/c/${part}/`]) {
      for (const entry of this.#content.under(prefix)) {
        found = true
        yield entry
      }
    }
    if (!row && !found) return
    this.#warmNodes.add(part)
    // It may have lost something while nobody looked.
    const { registry } = this.tables
    registry.raiseNode(part, Math.max(...['services', 'checks'].map((table) => this.#lossIndex(table))))
  }

  #lossIndex(table: string): number {
    return this.tables.indexOf(this.#content.get(`e/t/${table}`)?.modRevision ?? 0)
  }

  nodes(): readonly NodeRow[] {
    const { version } = this.tables.registry.whole('nodes')
    if (this.#nodeRows?.version !== version) this.#nodeRows = { version, rows: this.#decodeAll('e/n/', decodeNode) }
    return this.#nodeRows.rows
  }

  registrations(): readonly Registration[] {
    const { registry } = this.tables
    const version = `${registry.whole('nodes').version} ${registry.whole('services').version}`
    if (this.#registrations?.version !== version) {
      const byNode = Map.groupBy(this.#decodeAll('e/s/', decodeService), ({ node }) => keyPart(node))
      const rowsOn = (node: NodeRow): Registration[] =>
        (byNode.get(keyPart(node.node)) ?? []).map((service) => ({ node, service }))
      this.#registrations = { version, rows: this.nodes().flatMap(rowsOn) }
    }
    return this.#registrations.rows
  }

  checks(status: Status | undefined): readonly CheckRow[] {
    const { version } = this.tables.registry.whole('checks')
    if (this.#checksVersion !== version) this.#checkRows.clear()
    this.#checksVersion = version
    const name = status ?? 'any'
    let rows = this.#checkRows.get(name)
    if (!rows) {
      rows = status
        ? this.checks(undefined).filter((row) => row.status === status)
        : this.#decodeAll('e/c/', decodeCheck)
      this.#checkRows.set(name, rows)
    }
    return rows
  }

  #decodeAll<T>(prefix: string, decode: (value: Uint8Array, create: number, modify: number) => T): T[] {
    const { tables } = this
    const rows: T[] = []
    for (const { key, value, createRevision, modRevision } of this.#content.under(prefix)) {
      try {
        rows.push(decode(value, tables.indexOf(createRevision), tables.indexOf(modRevision)))
      } catch (error) {
        this.#onUnreadable(key, error)
      }
    }
    return rows
  }

  nodeById(id: string): NodeRow | undefined {
    if (id === '') return undefined
    const wanted = id.toLowerCase()
    for (const { key, value } of this.#content.under('e/n/')) {
      const found = peekNodeId(value)
      if (found !== undefined && found.toLowerCase() !== wanted) continue
      const part = key.slice(4)
      const row = this.ofNode(part).registry.nodeStates.get(part)?.row
      if (row?.id.toLowerCase() === wanted) return row
    }
    return undefined
  }

  // ---- changes

  /** The content holds all of `changes` already. */
  apply(revision: number, changes: readonly AppliedEntry[]): void {
    const warm: AppliedEntry[] = []
    for (const change of changes) {
      const prefix = change.key.slice(0, 4)
      if (isFamily(prefix) ? this.#ofNode(prefix, change, revision) : this.#isWarmRecord(prefix, change))
        warm.push(change)
    }
    this.tables.applyExported(revision, warm)
    for (const { key, value } of warm) {
      const part = value === null && key.startsWith('e/n/') ? key.slice(4) : undefined
      if (part !== undefined && !this.tables.registry.nodeStates.has(part)) this.#warmNodes.delete(part)
    }
  }

  /** A change of a node, or of what is on it; whether it is for the tables. */
  #ofNode(prefix: Family, change: AppliedEntry, revision: number): boolean {
    const { key, value, former } = change
    const part = nodePartOf(key)
    const services = prefix === 'e/s/' ? this.#recard(part, value, former, key) : []
    if (this.#warmNodes.has(part)) return true
    // A service that is decoded whole stays so.
    if (services.some((service) => this.warmServices.has(service))) this.ofNode(part)
    const index = this.tables.indexOf(change.modRevision || revision)
    this.tables.registry.touchWhole(WHOLE_OF[prefix], index)
    if (prefix === 'e/n/' && value === null) this.tables.registry.buryNode(part, index)
    this.tables.wake(nodeThing(part))
    for (const service of services) this.tables.wake(serviceThing(service))
    this.#onServices(prefix === 'e/s/' ? services : this.#servicesOn(part))
    return this.#warmNodes.has(part)
  }

  /** Those on a node, of which nobody asked. */
  #servicesOn(part: string): string[] {
    return [...this.#content.under(`e/s/${part}/`)].flatMap(({ key, value }) => {
      try {
        return servicePartOf(value)
      } catch (error) {
        this.#onUnreadable(key, error)
        return []
      }
    })
  }

  /** Services that the change is about. */
  #recard(node: string, value: Uint8Array | null, former: Uint8Array | undefined, key: string): string[] {
    const services: string[] = []
    try {
      if (former) {
        this.cards.remove(node, former)
        services.push(servicePartOf(former))
      }
      if (value) {
        this.cards.add(node, value)
        services.push(servicePartOf(value))
      }
    } catch (error) {
      this.#onUnreadable(key, error)
    }
    return services
  }

  /** A record about a service or a table; whether it is for the tables. */
  #isWarmRecord(prefix: string, { key }: AppliedEntry): boolean {
    if (prefix !== 'e/i/' && prefix !== 'e/f/') return true
    const part = key.slice(4)
    if (this.warmServices.has(part)) return true
    this.tables.wake(serviceThing(part))
    this.#onServices([part])
    return false
  }
}

const asKeyValue = ({ key, value, createRevision, modRevision }: PackedEntry) => ({
  key,
  value: value.slice(),
  createRevision,
  modRevision,
  version: 1,
  lease: 0,
})

/** Of `e/s/<node>/<id>`, or `e/n/<node>`. */
function nodePartOf(key: string): string {
  const end = key.indexOf('/', 4)
  return key.slice(4, end < 0 ? undefined : end)
}
