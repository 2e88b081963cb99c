/** A store in memory that exports, and a sink that checks what it is given. */
import type { Epoch } from '../../model/epoch.ts'
import { compareKeys } from '../../model/keys.ts'
import type {
  ExportedChange,
  ExportedEntry,
  ExportSource,
  Installation,
  ReadableContent,
  ReplicaSink,
} from '../federation.ts'

interface Revision {
  readonly revision: number
  readonly changes: readonly ExportedChange[]
}
/** Entries handed over in one go. */
const PART = 2000
/** Entries taken over in one step of an installation. */
const STEP = 500

type Handler = Parameters<ExportSource['subscribe']>[1]

export class MemorySource implements ExportSource {
  epoch: Epoch
  #revision = 0
  #compacted = 0
  readonly #history: Revision[] = []
  readonly #entries = new Map<string, ExportedEntry>()
  readonly #subscribers = new Set<Handler>()
  readonly counters = { reads: 0, subscriptions: 0 }

  constructor(epoch: Epoch = { generation: 0, random: '0000000000000000' }) {
    this.epoch = epoch
  }

  /** How far a subscriber that reads history is behind. */
  lag = 0
  revision(): number {
    return this.#revision - this.lag
  }
  storeRevision(): number {
    return this.#revision
  }
  get entries(): ReadonlyMap<string, ExportedEntry> {
    return this.#entries
  }
  get history(): readonly Revision[] {
    return this.#history
  }

  /** One transaction; null deletes. With nothing in it, a change that is not exported. */
  write(values: Readonly<Record<string, string | Uint8Array | null>>): number {
    const revision = ++this.#revision
    const changes: ExportedChange[] = []
    for (const [key, given] of Object.entries(values)) {
      if (given === null) {
        if (this.#entries.delete(key)) changes.push({ key, value: null, createRevision: 0, modRevision: revision })
        continue
      }
      const value = typeof given === 'string' ? new TextEncoder().encode(given) : given
      const createRevision = this.#entries.get(key)?.createRevision ?? revision
      const entry = { key, value, createRevision, modRevision: revision }
      this.#entries.set(key, entry)
      changes.push(entry)
    }
    if (changes.length === 0) return revision
    const entry = { revision, changes }
    this.#history.push(entry)
    for (const handler of [...this.#subscribers]) handler.onRevisions([entry])
    return revision
  }

  /** Forgets history up to `revision`. */
  compact(revision = this.#revision): void {
    this.#compacted = revision
  }

  /** A copy of the store as it was at `revision`, as a backup would bring it back. */
  copyAt(revision: number, epoch: Epoch = this.epoch): MemorySource {
    const copy = new MemorySource(epoch)
    for (const entry of this.#history) {
      if (entry.revision > revision) break
      for (const change of entry.changes) {
        if (change.value === null) copy.#entries.delete(change.key)
        else copy.#entries.set(change.key, change as ExportedEntry)
      }
      copy.#history.push(entry)
    }
    copy.#revision = revision
    return copy
  }

  async read(onPart: (entries: readonly ExportedEntry[]) => void | Promise<void>): Promise<number> {
    this.counters.reads++
    const revision = this.#revision
    const entries = [...this.#entries.values()].sort((a, b) => compareKeys(a.key, b.key))
    for (let i = 0; i < entries.length; i += PART) await onPart(entries.slice(i, i + PART))
    return revision
  }

  subscribe(sinceRevision: number, handler: Handler): { cancel(): void } {
    this.counters.subscriptions++
    let cancelled = false
    const missed = this.#history.filter(({ revision }) => revision > sinceRevision)
    queueMicrotask(() => {
      if (cancelled) return
      if (sinceRevision < this.#compacted) handler.onCompacted()
      else if (missed.length > 0) handler.onRevisions(missed)
    })
    this.#subscribers.add(handler)
    return {
      cancel: () => {
        cancelled = true
        this.#subscribers.delete(handler)
      },
    }
  }
}

export class MemorySink implements ReplicaSink {
  epoch: Epoch | undefined
  revision = 0
  readonly entries = new Map<string, ExportedEntry>()
  readonly counters = { applies: 0, repairs: 0, repaired: 0, resets: 0 }
  onChange: () => void = () => {}

  apply(revision: number, changes: readonly ExportedChange[]): void {
    if (revision <= this.revision && changes.length > 0)
      throw new Error(`changes up to ${revision} at revision ${this.revision}`)
    for (const change of changes) {
      if (change.modRevision <= this.revision) throw new Error(`an old change of ${change.key}`)
      if (change.value === null) this.entries.delete(change.key)
      else this.entries.set(change.key, change as ExportedEntry)
    }
    this.counters.applies++
    this.revision = revision
    this.onChange()
  }

  repair(revision: number, changes: readonly ExportedChange[]): void {
    for (const change of changes) {
      if (change.value === null) this.entries.delete(change.key)
      else this.entries.set(change.key, change as ExportedEntry)
    }
    this.counters.repairs++
    this.counters.repaired += changes.length
    this.revision = revision
    this.onChange()
  }

  install(epoch: Epoch, revision: number, content: ReadableContent): Installation {
    const source = content.under('')[Symbol.iterator]()
    const entries = new Map<string, ExportedEntry>()
    return {
      step: () => {
        for (let i = 0; i < STEP; i++) {
          const next = source.next()
          if (next.done) return false
          const { key, value, createRevision, modRevision } = next.value
          entries.set(key, { key, value: value.slice(), createRevision, modRevision })
        }
        return true
      },
      commit: () => {
        if (entries.size !== content.size) throw new Error('the content changed while it was installed')
        this.epoch = epoch
        this.revision = revision
        this.entries.clear()
        for (const entry of entries.values()) this.entries.set(entry.key, entry)
        this.counters.resets++
        this.onChange()
      },
    }
  }
}

type Content = ReadonlyMap<string, ExportedEntry>

export function sameContent(a: Content, b: Content): boolean {
  if (a.size !== b.size) return false
  for (const entry of a.values()) {
    const other = b.get(entry.key)
    if (other?.modRevision !== entry.modRevision || other.createRevision !== entry.createRevision) return false
    if (other.value !== entry.value && Buffer.compare(other.value, entry.value) !== 0) return false
  }
  return true
}
