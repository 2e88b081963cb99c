/** Puts an answer together for one query: its header and question, a random order of the records, and as many as fit. */
import { type Draw, inOrder, type QuickRandom, UniformDraw, weightedDraw } from './order.ts'
import { HEADER_BYTES, MIN_UDP_BYTES, type Query, TYPE } from './query.ts'
import { type Group, type OwnedRecord, POINTER_BYTES, type RecordSet } from './record-set.ts'
import { REST_HEAD_BYTES, type Rest } from './records.ts'

const MAX_MESSAGE_BYTES = 65_535
/** Compressed names point no further. */
const MAX_POINTER = 0x3fff
const OPT_BYTES = 11
const OPTION_HEAD_BYTES = 4

export interface AssembleOptions {
  /** Largest answer: what the client takes, and what is given by its transport. */
  readonly maxBytes: number
  /** Told in the EDNS record: what is taken here. */
  readonly udpBytes: number
  /** Set TC where records had to be left out. */
  readonly truncate: boolean
  readonly recursionAvailable: boolean
}

/** A CNAME before the answer. */
export interface Alias {
  readonly rest: Rest
}

/** One for a node: it reuses its room. */
export class Assembler {
  readonly #random: QuickRandom
  readonly #uniform: UniformDraw
  readonly #out = new Uint8Array(MAX_MESSAGE_BYTES)
  readonly #drawn: Group[] = []
  /** Where the drawn groups' targets are in the message. */
  readonly #targets: number[] = []
  #at = 0
  #limit = 0
  #answers = 0
  #additional = 0

  constructor(random: QuickRandom) {
    this.#random = random
    this.#uniform = new UniformDraw(random)
  }

  /**
   * The message. Records of the answer are left out only where they do not fit, and never all of them while one fits;
   * what else there is to tell is left out first.
   */
  answer(
    data: Uint8Array,
    query: Query,
    set: RecordSet,
    alias: Alias | undefined,
    options: AssembleOptions,
  ): Uint8Array {
    this.#begin(data, query, options.maxBytes)
    let owner = set.owner
    if (alias !== undefined && this.#put(owner, alias.rest)) {
      this.#answers++
      owner = this.#at - alias.rest.length + REST_HEAD_BYTES
    }
    const left = this.#putGroups(set, owner)
    let authority = 0
    for (const { owner: name, rest } of set.authority) if (this.#put(name, rest)) authority++
    this.#putAdditional(set.additional)
    if (query.edns) this.#putOpt(query, options.udpBytes, set.rcode)
    this.#putHeader(data, set.rcode, options.truncate && left > 0, options.recursionAvailable, true)
    this.#setCount(8, authority)
    return this.#out.slice(0, this.#at)
  }

  /** Nothing but a header, the question and an RCODE; `truncated` asks the client to come by TCP. */
  bare(
    data: Uint8Array,
    query: Query,
    rcode: number,
    options: { readonly truncated?: boolean; readonly recursionAvailable: boolean; readonly udpBytes: number },
  ): Uint8Array {
    this.#begin(data, query, MIN_UDP_BYTES)
    if (query.edns) this.#putOpt(query, options.udpBytes, rcode)
    this.#putHeader(data, rcode, options.truncated ?? false, options.recursionAvailable, false)
    return this.#out.slice(0, this.#at)
  }

  #begin(data: Uint8Array, query: Query, maxBytes: number): void {
    this.#out.set(query.end === data.length ? data : data.subarray(0, query.end), 0)
    this.#at = query.end
    this.#answers = 0
    this.#additional = 0
    this.#limit = Math.min(maxBytes, MAX_MESSAGE_BYTES) - (query.edns ? optBytes(query) : 0)
  }

  /** How many had to be left out. */
  #putGroups(set: RecordSet, owner: number): number {
    const { groups } = set
    const wanted = set.limit > 0 ? Math.min(set.limit, groups.length) : groups.length
    if (wanted === 0) return 0
    const draw = this.#draw(set)
    const room = this.#limit - this.#at
    const drawn = this.#drawn
    drawn.length = 0
    this.#targets.length = 0
    if (set.bytes.answers <= room || wanted < groups.length) {
      // All answers fit, or nearly; glue as far as there is room.
      for (let i = 0; i < wanted; i++) if (!this.#putGroup(groups[draw.next()]!, owner)) break
      if (drawn.length > 0) this.#putGlue(room >= set.bytes.answers + set.bytes.glue + set.bytes.texts)
      if (drawn.length === wanted) return 0
    } else this.#putSubset(groups, draw, owner)
    return wanted - drawn.length
  }

  /** As many as fit with their glue: a part that can be used at once is worth more than more names. */
  #putSubset(groups: readonly Group[], draw: Draw, owner: number): void {
    let glue = 0
    for (let i = 0; i < groups.length; i++) {
      const group = groups[draw.next()]!
      const more = group.glue.reduce((sum, rest) => sum + POINTER_BYTES + rest.length, 0)
      const fits = this.#at + POINTER_BYTES + group.rest.length + glue + more <= this.#limit
      if (fits || this.#drawn.length === 0) {
        if (this.#putGroup(group, owner)) glue += more
      } else break
    }
    this.#putGlue(false)
  }

  #putGroup(group: Group, owner: number): boolean {
    const target = this.#at + POINTER_BYTES + group.targetAt
    if (!this.#put(owner, group.rest)) return false
    this.#answers++
    this.#drawn.push(group)
    this.#targets.push(target)
    return true
  }

  #putGlue(allFits: boolean): void {
    for (let i = 0; i < this.#drawn.length; i++) {
      for (const rest of this.#drawn[i]!.glue) this.#putOfTarget(this.#targets[i]!, rest)
    }
    for (let i = 0; i < this.#drawn.length; i++) {
      for (const rest of this.#drawn[i]!.texts) if (!this.#putOfTarget(this.#targets[i]!, rest) && !allFits) return
    }
  }

  #putOfTarget(target: number, rest: Rest): boolean {
    if (!this.#put(target, rest)) return false
    this.#additional++
    return true
  }

  #draw(set: RecordSet): Draw {
    if (set.ordered) return inOrder()
    if (!set.weighted) return this.#uniform.start(set.groups.length)
    return weightedDraw(
      this.#random,
      set.groups.map((group) => group.weight),
    )
  }

  #putAdditional(records: readonly OwnedRecord[]): void {
    for (const { owner, rest } of records) if (this.#put(owner, rest)) this.#additional++
  }

  /** Whether there was room. An owner that is too far away to be pointed at is written out. */
  #put(owner: number | Uint8Array, rest: Rest): boolean {
    const out = this.#out
    let at = this.#at
    if (typeof owner === 'number' && owner <= MAX_POINTER) {
      if (at + POINTER_BYTES + rest.length > this.#limit) return false
      out[at] = 0xc0 | (owner >> 8)
      out[at + 1] = owner & 0xff
      at += POINTER_BYTES
    } else {
      const name = typeof owner === 'number' ? out.slice(owner, endOfName(out, owner)) : owner
      if (at + name.length + rest.length > this.#limit) return false
      out.set(name, at)
      at += name.length
    }
    out.set(rest, at)
    this.#at = at + rest.length
    return true
  }

  /** RFC 6891; the client subnet comes back with scope 0: the answer is the same for all networks (RFC 7871). */
  #putOpt(query: Query, udpBytes: number, rcode: number): void {
    const { edns } = query
    const out = this.#out
    const subnet = edns!.subnet
    const optionBytes = subnet === undefined ? 0 : OPTION_HEAD_BYTES + subnet.length
    out.set([0, 0, TYPE.OPT, udpBytes >> 8, udpBytes & 0xff, rcode >> 4, 0, 0, 0, 0, optionBytes], this.#at)
    if (subnet !== undefined) {
      out.set([0, 8, 0, subnet.length, ...subnet], this.#at + OPT_BYTES)
      out[this.#at + OPT_BYTES + OPTION_HEAD_BYTES + 3] = 0
    }
    this.#at += OPT_BYTES + optionBytes
    this.#additional++
  }

  #putHeader(data: Uint8Array, rcode: number, truncated: boolean, recursion: boolean, authoritative: boolean): void {
    const out = this.#out
    // The id is the query's, and so is RD.
    out[2] = 0x80 | (authoritative ? 0x04 : 0) | (truncated ? 0x02 : 0) | (data[2]! & 0x01)
    out[3] = (recursion ? 0x80 : 0) | (rcode & 0x0f)
    this.#setCount(4, 1)
    this.#setCount(6, this.#answers)
    this.#setCount(8, 0)
    this.#setCount(10, this.#additional)
  }

  #setCount(at: number, count: number): void {
    this.#out[at] = count >> 8
    this.#out[at + 1] = count & 0xff
  }
}

const optBytes = ({ edns }: Query): number =>
  OPT_BYTES + (edns?.subnet === undefined ? 0 : OPTION_HEAD_BYTES + edns.subnet.length)

function endOfName(out: Uint8Array, start: number): number {
  let at = start
  while (out[at]! > 0) at += out[at]! + 1
  return at + 1
}

/** For what could not even be read: a header with the RCODE. */
export function headerOnly(data: Uint8Array, rcode: number): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES)
  out.set(data.subarray(0, 2))
  out[2] = 0x80 | (data[2]! & 0x79)
  out[3] = rcode & 0x0f
  return out
}

/** What a server cannot answer with: an EDNS version other than 0. */
export const isBadVersion = (query: Query): boolean => query.edns !== undefined && query.edns.version !== 0
