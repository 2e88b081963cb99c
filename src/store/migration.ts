/**
 * Moves what one store holds into another, while no server uses either. Each driver has two ends for it: a source, which is only
 * read, and a target, which is marked as unfinished from before its first entry until its last was found right. No server starts on
 * a store with that mark, and the next migration into it starts over.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Epoch } from '../model/epoch.ts'
import { type KeyValue, StoreError } from './store.ts'

export type StoredEntry = Pick<KeyValue, 'key' | 'value'>

export interface MigrationSource {
  /** What messages call it. */
  readonly place: string
  readonly epoch: Epoch
  readonly revision: number
  /** Every key as of one revision, in order; a page is at least an entry, and about a megabyte. */
  pages(): AsyncIterable<readonly StoredEntry[]>
  /** Rejects with StoreError 'locked' when somebody wrote, or a server came, since it was opened. */
  assertUnused(): Promise<void>
  close(): Promise<void>
}

export interface MigrationTarget {
  readonly place: string
  readonly found: FoundTarget
  /** Marks it as unfinished, and removes what an earlier migration left. */
  begin(): Promise<void>
  /** Keys come in order, and each once. */
  write(entries: readonly StoredEntry[]): Promise<void>
  /** As of `MigrationSource`, of what is there now. */
  pages(): AsyncIterable<readonly StoredEntry[]>
  /** In one transaction: takes the mark away and begins a life of this generation. */
  finish(generation: number): Promise<Epoch>
  close(): Promise<void>
}

export interface FoundTarget {
  readonly content: 'none' | 'some' | 'unfinished'
  /** Undefined where there was never a store. */
  readonly epoch: Epoch | undefined
}

export interface MigrationOptions {
  readonly source: MigrationSource
  readonly target: MigrationTarget
  /** Whether an entry goes along. */
  readonly wants: (key: string) => boolean
  /** Written anew in the target: not among those that go along. */
  readonly marks: readonly StoredEntry[]
  /** Told of the number of entries copied so far, after each page. */
  readonly onProgress?: (entries: number) => void
}

export interface Migrated {
  readonly entries: number
  /** Of their keys and values. */
  readonly bytes: number
  /** SHA-256 over all entries, the same on both sides; hex. */
  readonly sha256: string
  /** Entries of the source that do not go along. */
  readonly leftOut: number
  /** Whether an earlier migration into the target was broken off. */
  readonly resumed: boolean
  readonly epoch: Epoch
}

/**
 * Copies, reads back, compares, and only then makes the target a store. Rejects with StoreError: 'invalid' when the target is the
 * source or holds something, 'locked' when somebody uses one of them, 'corrupt' when what was read back is not what was written.
 */
export async function migrate(options: MigrationOptions): Promise<Migrated> {
  const { source, target, marks } = options
  const { found } = target
  assertTakes(target, source)
  await target.begin()
  await target.write(marks)
  const copied = await copy(options)
  const marked = new Set(marks.map(({ key }) => key))
  const written = await summed(target.pages(), (key) => !marked.has(key))
  assertSame(copied.sum, written, target.place)
  await source.assertUnused()
  const generation = Math.max(source.epoch.generation, found.epoch?.generation ?? 0) + 1
  const epoch = await target.finish(generation)
  const { entries, bytes, sha256 } = copied.sum
  return { entries, bytes, sha256, leftOut: copied.leftOut, resumed: found.content === 'unfinished', epoch }
}

function assertTakes({ place, found }: MigrationTarget, source: MigrationSource): void {
  if (found.epoch && found.epoch.random === source.epoch.random) {
    throw new StoreError('invalid', `${place} is the same store as ${source.place}; give another one as the target`)
  }
  if (found.content === 'some') {
    throw new StoreError(
      'invalid',
      `${place} is not empty; give an empty target: another data directory, or another prefix in the address`,
    )
  }
}

async function copy({ source, target, wants, marks, onProgress }: MigrationOptions) {
  const marked = new Set(marks.map(({ key }) => key))
  const sum = new Sum()
  let leftOut = 0
  for await (const page of source.pages()) {
    const wanted = page.filter(({ key }) => !marked.has(key) && wants(key))
    leftOut += page.length - wanted.length
    await target.write(wanted)
    for (const entry of wanted) sum.add(entry)
    onProgress?.(sum.entries)
  }
  return { sum: sum.done(), leftOut }
}

async function summed(
  pages: AsyncIterable<readonly StoredEntry[]>,
  counts: (key: string) => boolean,
): Promise<SummedEntries> {
  const sum = new Sum()
  for await (const page of pages) for (const entry of page) if (counts(entry.key)) sum.add(entry)
  return sum.done()
}

function assertSame(read: SummedEntries, written: SummedEntries, place: string): void {
  if (read.sha256 === written.sha256 && read.entries === written.entries) return
  throw new StoreError(
    'corrupt',
    `what was read back from ${place} is not what was written (${written.entries} entries, ${read.entries} expected); did something else write there? Run the migration again`,
  )
}

interface SummedEntries {
  readonly entries: number
  readonly bytes: number
  readonly sha256: string
}

/** SHA-256 of the length and bytes of each key and value, in the order of the keys. */
class Sum {
  readonly #hash: Hash = createHash('sha256')
  readonly #lengths = new DataView(new ArrayBuffer(8))
  entries = 0
  #bytes = 0

  add({ key, value }: StoredEntry): void {
    const name = Buffer.from(key)
    this.#lengths.setUint32(0, name.byteLength)
    this.#lengths.setUint32(4, value.byteLength)
    this.#hash.update(new Uint8Array(this.#lengths.buffer)).update(name).update(value)
    this.entries++
    this.#bytes += name.byteLength + value.byteLength
  }

  done(): SummedEntries {
    return { entries: this.entries, bytes: this.#bytes, sha256: this.#hash.digest('hex') }
  }
}
