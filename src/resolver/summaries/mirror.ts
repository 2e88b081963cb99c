/** The client's side of summaries: (answers of a server) in, what is known of each service out. No I/O. */

import type { ServiceSummary } from '../../catalog/view.ts'
import type { Table } from '../../model/keys.ts'
import { decodeEntries } from './frames.ts'
import { decodeSummary, type Summary } from './summary.ts'
import {
  datacenterKey,
  decodeIndex,
  isService,
  type SummariesAnswer,
  type SummariesRequest,
  serviceKey,
  servicesPrefix,
  tableKey,
} from './wire.ts'

/** Beyond these a server sends nonsense: what is too much is left out, and nothing is said to be absent any more. */
const MAX_ENTRIES = 40_000
const MAX_BYTES = 32 * 1024 * 1024

interface Content {
  readonly values: Map<string, Uint8Array>
  bytes: number
  services: number
  isWhole: boolean
}

const nothing = (): Content => ({ values: new Map(), bytes: 0, services: 0, isWhole: true })

export class SummaryMirror {
  #content = nothing()
  /** Comes in pages, and takes the content's place once it is all there. */
  #incoming: Content | undefined
  #feed = ''
  #version = -1
  #from = 0
  #confirmedMs: number | undefined

  /** What to ask a server next. */
  request(waitMs: number): SummariesRequest {
    const paging = this.#incoming !== undefined
    return { feed: this.#feed, since: paging ? -1 : this.#version, from: this.#from, waitMs: paging ? 0 : waitMs }
  }

  /** Whether there is more to be fetched at once. */
  get isPaging(): boolean {
    return this.#incoming !== undefined
  }

  /** When, on this node's clock, everything here was surely as its server had it; undefined before the first time. */
  get confirmedMs(): number | undefined {
    return this.#confirmedMs
  }

  /** Services of all DCs. */
  get size(): number {
    return this.#content.services
  }

  /**
   * Takes in an answer to a request that was sent at `askedMs`. Returns the keys that changed. Throws AtollError
   * 'unavailable' when it makes no sense; then all is asked for anew.
   */
  take(answer: SummariesAnswer, askedMs: number): readonly string[] {
    try {
      if (answer.restart || answer.feed !== this.#feed) this.#restart(answer)
      const into = this.#incoming ?? this.#content
      const changed = this.#put(into, answer.runs)
      if (this.#incoming === undefined) this.#version = answer.version
      else if (answer.next === undefined) this.#swap(this.#incoming)
      this.#from = answer.next ?? 0
      const stands = this.#incoming === undefined && this.#version === answer.version
      if (stands && answer.settled) this.#confirmedMs = askedMs + answer.heldMs
      return changed
    } catch (error) {
      this.#feed = ''
      this.#incoming = undefined
      this.#version = -1
      this.#from = 0
      throw error
    }
  }

  /** Deltas follow from the version of the first page: what changed while the others came is in them. */
  #restart(answer: SummariesAnswer): void {
    this.#feed = answer.feed
    this.#version = answer.version
    this.#incoming = nothing()
  }

  #swap(content: Content): void {
    this.#content = content
    this.#incoming = undefined
  }

  #put(into: Content, runs: readonly Uint8Array[]): readonly string[] {
    const changed: string[] = []
    for (const run of runs) {
      for (const { key, value } of decodeEntries(run)) {
        changed.push(key)
        const before = into.values.get(key)
        const counts = Number(isService(key))
        if (before !== undefined) {
          into.bytes -= before.length
          into.services -= counts
          into.values.delete(key)
        }
        if (value === undefined) continue
        if (into.values.size >= MAX_ENTRIES || into.bytes + value.length > MAX_BYTES) into.isWhole = false
        else {
          into.values.set(key, value)
          into.bytes += value.length
          into.services += counts
        }
      }
    }
    return changed
  }

  /** Whether a service of that DC that is not here is nowhere in it. */
  covers(datacenter: string): boolean {
    return this.#content.isWhole && this.#content.values.has(datacenterKey(datacenter))
  }

  summary(datacenter: string, part: string): Summary | undefined {
    const value = this.#content.values.get(serviceKey(datacenter, part))
    return value && decodeSummary(value)
  }

  /** Index of a service, 0 for one that is not there; undefined while nothing is known of the DC. */
  serviceIndex(datacenter: string, part: string): number | undefined {
    const summary = this.summary(datacenter, part)
    if (summary) return summary.index
    return this.covers(datacenter) ? 0 : undefined
  }

  tableIndex(datacenter: string, table: Table): number | undefined {
    const value = this.#content.values.get(tableKey(datacenter, table))
    return value && decodeIndex(value)
  }

  /** Names and tags of a DC's services that have instances, by name; undefined while nothing is known of the DC. */
  services(datacenter: string): readonly ServiceSummary[] | undefined {
    if (!this.covers(datacenter)) return undefined
    const prefix = servicesPrefix(datacenter)
    const found: ServiceSummary[] = []
    for (const [key, value] of this.#content.values) {
      if (!key.startsWith(prefix)) continue
      const { service, tags, instances } = decodeSummary(value)
      if (instances > 0) found.push({ service, tags })
    }
    return found.sort((a, b) => (a.service < b.service ? -1 : 1))
  }
}
