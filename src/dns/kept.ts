/**
 * Record sets by name and type, kept until what they show changes. A look-up hashes the name as it is on the wire, in
 * any case of its letters, and allocates nothing. A table of fixed size with a few places for each hash: what is asked
 * often stays, and no names that anybody makes up can take more.
 */
import type { Answer, Prepared } from '../resolver/mesh.ts'
import type { Plan } from './plan.ts'
import { NAME_AT, type Query } from './query.ts'
import { memoryOf, type RecordSet } from './record-set.ts'

/** Routes come and go (replicas load, datacenters leave), so a kept question is prepared anew after so long. */
const PREPARED_FOR_MS = 1_000

/** One name and type with the record set that was last made for it. */
export class Kept {
  readonly key: Uint8Array
  readonly type: number
  readonly #plan: Plan
  #prepared: readonly Prepared<unknown>[]
  #preparedAtMs: number
  #answers: readonly Answer<unknown>[] | undefined
  #set: RecordSet | undefined
  bytes = 0

  /** Throws what preparing throws. */
  constructor(key: Uint8Array, type: number, plan: Plan, nowMs: number) {
    this.key = key
    this.type = type
    this.#plan = plan
    this.#prepared = plan.prepare()
    this.#preparedAtMs = nowMs
  }

  /** undefined when it takes waiting. `serial`: of the zone, for a set that is made anew. Throws what asking throws. */
  now(nowMs: number, serial: () => number): RecordSet | undefined {
    if (nowMs - this.#preparedAtMs > PREPARED_FOR_MS) {
      this.#prepared = this.#plan.prepare()
      this.#preparedAtMs = nowMs
    }
    const prepared = this.#prepared
    const last = this.#answers
    let changed = last === undefined
    let answers: Answer<unknown>[] | undefined
    for (let i = 0; i < prepared.length; i++) {
      const answer = prepared[i]!.now()
      if (answer === undefined) return undefined
      if (!changed && isSame(last![i]!, answer)) continue
      if (!changed) answers = last!.slice(0, i)
      changed = true
      answers ??= []
      answers[i] = answer
    }
    return changed ? this.#make(answers ?? [], serial) : this.#set
  }

  /** The same, however long it takes. */
  async settle(serial: () => number, signal: AbortSignal): Promise<RecordSet> {
    const answers = await Promise.all(this.#prepared.map((prepared) => prepared.answer({ signal })))
    return this.#make(answers, serial)
  }

  #make(answers: readonly Answer<unknown>[], serial: () => number): RecordSet {
    this.#set = this.#plan.compile(answers, serial())
    this.#answers = answers
    this.bytes = memoryOf(this.#set)
    return this.#set
  }
}

const isSame = (a: Answer<unknown>, b: Answer<unknown>): boolean =>
  a.value === b.value && a.datacenter === b.datacenter && a.failover?.to === b.failover?.to

const WAYS = 4

export interface KeptSetsOptions {
  /** Places for names, in all; a power of two. */
  readonly places?: number
  /** What all record sets may take together. */
  readonly maxBytes?: number
}

export class KeptSets {
  readonly #slots: (Kept | undefined)[]
  readonly #mask: number
  readonly #maxBytes: number
  #bytes = 0

  constructor({ places = 4_096, maxBytes = 64 * 1024 * 1024 }: KeptSetsOptions = {}) {
    this.#slots = new Array<Kept | undefined>(places).fill(undefined)
    this.#mask = places / WAYS - 1
    this.#maxBytes = maxBytes
  }

  find(data: Uint8Array, query: Query): Kept | undefined {
    const slots = this.#slots
    const first = this.#slotOf(data, query)
    for (let i = first; i < first + WAYS; i++) {
      const kept = slots[i]
      if (kept === undefined || kept.type !== query.type || !isNamed(kept.key, data, query.nameEnd)) continue
      if (i > first) {
        // Towards the front, so that what is asked often is not the next to go.
        slots[i] = slots[i - 1]
        slots[i - 1] = kept
      }
      return kept
    }
    return undefined
  }

  keep(data: Uint8Array, query: Query, kept: Kept): void {
    const first = this.#slotOf(data, query)
    const slots = this.#slots
    let at = first
    while (at < first + WAYS - 1 && slots[at] !== undefined) at++
    this.#bytes += kept.bytes - (slots[at]?.bytes ?? 0)
    slots[at] = kept
    if (this.#bytes > this.#maxBytes) this.#recount()
  }

  /** A set was made anew, and is of another size. */
  resized(change: number): void {
    this.#bytes += change
    if (this.#bytes > this.#maxBytes) this.#recount()
  }

  clear(): void {
    this.#slots.fill(undefined)
    this.#bytes = 0
  }

  /** Too much is kept: all go, and what is asked for comes back. */
  #recount(): void {
    this.#bytes = this.#slots.reduce((sum, kept) => sum + (kept?.bytes ?? 0), 0)
    if (this.#bytes > this.#maxBytes) this.clear()
  }

  /** FNV-1a over the name in lower case and the type. */
  #slotOf(data: Uint8Array, { type, nameEnd }: Query): number {
    let hash = 0x811c9dc5 ^ type
    for (let i = NAME_AT; i < nameEnd; i++) hash = Math.imul(hash ^ lower(data[i]!), 0x01000193)
    return ((hash ^ (hash >>> 15)) & this.#mask) * WAYS
  }
}

const lower = (byte: number): number => (byte >= 65 && byte <= 90 ? byte + 32 : byte)

/** The name of a query in lower case, as a key. */
export function keyOf(data: Uint8Array, { nameEnd }: Query): Uint8Array {
  return data.slice(NAME_AT, nameEnd).map(lower)
}

function isNamed(key: Uint8Array, data: Uint8Array, nameEnd: number): boolean {
  if (key.length !== nameEnd - NAME_AT) return false
  for (let i = 0; i < key.length; i++) if (key[i] !== lower(data[NAME_AT + i]!)) return false
  return true
}
