/** From the bytes of a query to those of its answer. No sockets: the server has them. */
import { decode } from 'dns-packet'
import { addressBytes } from '../model/addresses.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import { Assembler, headerOnly, isBadVersion } from './assemble.ts'
import { Kept, KeptSets, keyOf } from './kept.ts'
import { QuickRandom } from './order.ts'
import { absentPlan, isNoSuchName, type PlanOptions, planOf } from './plan.ts'
import { MIN_UDP_BYTES, NAME_AT, type Query, RCODE, readQuery, TYPE } from './query.ts'
import { bareGroup, type Group, type RecordSet, recordSet } from './record-set.ts'
import { addressRecord, encodedName } from './records.ts'
import type { Recursors } from './recursors.ts'

export type Transport = 'udp' | 'tcp'

export interface ResponderOptions extends PlanOptions {
  readonly clock: Clock
  readonly random: Random
  readonly recursors: Pick<Recursors, 'available' | 'ask'>
}

/** What a look-up that needs other nodes may take. */
const LOOKUP_TIMEOUT_MS = 4_000
/** CNAMEs within our domains that are followed. */
const MAX_ALIASES = 8
const MAX_TCP_BYTES = 65_535

/** Targets of one answer that are looked up. */
const MAX_NAMED_TARGETS = 64

/** A question of our own. */
interface Asked {
  readonly data: Uint8Array
  readonly query: Query | undefined
}

/** A set with what was found of its targets. */
interface Glued {
  readonly targets: readonly { readonly group: Group; readonly a: Asked; readonly aaaa: Asked }[]
  found: readonly (RecordSet['groups'] | undefined)[]
  glued: RecordSet | undefined
}

export class Responder {
  readonly #options: ResponderOptions
  readonly #assembler: Assembler
  readonly #quick: QuickRandom
  readonly #kept = new KeptSets()
  readonly #closed = new AbortController()
  readonly #gluedSets = new WeakMap<RecordSet, Glued>()
  #pending = 0

  constructor(options: ResponderOptions) {
    this.#options = options
    this.#quick = new QuickRandom(options.random)
    this.#assembler = new Assembler(this.#quick)
  }

  /**
   * The answer: at once where it is in memory, otherwise later; undefined where there is to be none. Never throws, and
   * the promise never rejects. `data` is used during the call only.
   */
  respond(data: Uint8Array, transport: Transport): Uint8Array | undefined | Promise<Uint8Array> {
    const query = readQuery(data)
    if (query === 'drop') return undefined
    if (typeof query === 'number') return headerOnly(data, query)
    if (isBadVersion(query)) return this.#bare(data, query, RCODE.BADVERS)
    if (query.type === TYPE.AXFR || query.type === TYPE.IXFR) return this.#bare(data, query, RCODE.REFUSED)
    try {
      const set = this.#setFor(data, query)
      if (set !== undefined) return this.#answer(data, query, set, transport)
    } catch (error) {
      return this.#failed(data, query, error, transport)
    }
    return this.#later(data, query, (own, signal) => this.#settle(own, query, transport, signal))
  }

  /** Nothing but TC: who asked shall come by TCP. */
  truncated(data: Uint8Array): Uint8Array | undefined {
    const query = readQuery(data)
    return typeof query === 'object' ? this.#bare(data, query, RCODE.NOERROR, true) : undefined
  }

  /** Ends what waits; what is asked afterwards that has to wait fails. */
  close(): void {
    this.#closed.abort()
    this.#kept.clear()
  }

  readonly #serial = (): number => Math.floor(this.#options.clock.wallMs() / 1000)

  #setFor(data: Uint8Array, query: Query): RecordSet | undefined {
    const nowMs = this.#options.clock.nowMs()
    const known = this.#kept.find(data, query)
    if (known !== undefined) {
      const before = known.bytes
      const set = known.now(nowMs, this.#serial)
      if (known.bytes !== before) this.#kept.resized(known.bytes - before)
      return set
    }
    const kept = new Kept(keyOf(data, query), query.type, planOf(data, query, this.#options), nowMs)
    const set = kept.now(nowMs, this.#serial)
    this.#kept.keep(data, query, kept)
    return set
  }

  async #settle(data: Uint8Array, query: Query, transport: Transport, signal: AbortSignal): Promise<Uint8Array> {
    try {
      const nowMs = this.#options.clock.nowMs()
      const known = this.#kept.find(data, query)
      const kept = known ?? new Kept(keyOf(data, query), query.type, planOf(data, query, this.#options), nowMs)
      const before = kept.bytes
      const set = await kept.settle(this.#serial, signal)
      if (known !== undefined) this.#kept.resized(kept.bytes - before)
      return await this.#answer(data, query, set, transport)
    } catch (error) {
      return await this.#failed(data, query, error, transport)
    }
  }

  #failed(data: Uint8Array, query: Query, error: unknown, transport: Transport): Uint8Array | Promise<Uint8Array> {
    if (!isNoSuchName(error)) return this.#bare(data, query, RCODE.SERVFAIL)
    return this.#answer(data, query, absentPlan(data, query, this.#options)(this.#serial()), transport)
  }

  #answer(data: Uint8Array, query: Query, set: RecordSet, transport: Transport): Uint8Array | Promise<Uint8Array> {
    if (set.foreign) return this.#forward(data, query, transport)
    if (set.aliases.length > 0) return this.#answerAlias(data, query, set, transport)
    const whole = set.named ? this.#glued(set) : set
    return this.#assembler.answer(data, query, whole, undefined, this.#assembling(query, transport))
  }

  #assembling(query: Query, transport: Transport) {
    const { settings, recursors } = this.#options
    const udpBytes = Math.min(settings.maxUdpBytes, query.edns?.udpBytes ?? MIN_UDP_BYTES)
    return {
      maxBytes: transport === 'tcp' ? MAX_TCP_BYTES : udpBytes,
      udpBytes: settings.maxUdpBytes,
      truncate: settings.truncate,
      recursionAvailable: recursors.available,
    }
  }

  #bare(data: Uint8Array, query: Query, rcode: number, truncated = false): Uint8Array {
    const { settings, recursors } = this.#options
    return this.#assembler.bare(data, query, rcode, {
      truncated,
      recursionAvailable: recursors.available,
      udpBytes: settings.maxUdpBytes,
    })
  }

  /** One of the names, and what that name has where it is known here or recursors find it. */
  #answerAlias(data: Uint8Array, query: Query, set: RecordSet, transport: Transport): Uint8Array | Promise<Uint8Array> {
    const alias = set.aliases[this.#quick.below(set.aliases.length)]!
    const options = this.#assembling(query, transport)
    const withTarget = (target: RecordSet): Uint8Array => this.#assembler.answer(data, query, target, alias, options)
    const alone = recordSet({ owner: set.owner })
    if (query.type === TYPE.CNAME || query.type === TYPE.ANY) return withTarget(alone)
    const target = this.#targetSet(alias.target, query.type, 1)
    if (target !== 'foreign') return withTarget(target ?? alone)
    if (!this.#options.recursors.available || !query.recursionDesired) return withTarget(alone)
    return this.#later(data, query, async (own, signal) => {
      const found = await this.#resolveElsewhere(alias.target, query.type, signal)
      return this.#assembler.answer(own, query, found ?? alone, alias, options)
    })
  }

  /** With the addresses of targets that were registered as names of ours. Made anew only when one of these changed. */
  #glued(set: RecordSet): RecordSet {
    let known = this.#gluedSets.get(set)
    if (known === undefined) {
      const named = set.groups.filter((group) => group.name !== undefined).slice(0, MAX_NAMED_TARGETS)
      const targets = named.map((group) => ({
        group,
        a: asked(group.name!, TYPE.A),
        aaaa: asked(group.name!, TYPE.AAAA),
      }))
      known = { targets, found: [], glued: undefined }
      this.#gluedSets.set(set, known)
    }
    const found = known.targets.map(({ a, aaaa }) => this.#addressesOf(a) ?? this.#addressesOf(aaaa))
    const { glued, targets } = known
    if (glued && found.every((groups, i) => groups === known.found[i])) return glued
    const glueOf = new Map(targets.map(({ group }, i) => [group, (found[i] ?? []).map(({ rest }) => rest)]))
    const groups = set.groups.map((group) => ({ ...group, glue: glueOf.get(group) ?? group.glue }))
    known.found = found
    known.glued = recordSet({ ...set, groups })
    return known.glued
  }

  /** undefined where there are none, or not at once: who asks can ask for the name itself. */
  #addressesOf({ data, query }: Asked): RecordSet['groups'] | undefined {
    const set = query && this.#known(data, query, 1)
    return set === undefined || set === 'foreign' || set.groups.length === 0 ? undefined : set.groups
  }

  /** What a name within our domains has, as far as it is in memory; 'foreign' where it is not ours. */
  #targetSet(name: string, type: number, depth: number): RecordSet | 'foreign' | undefined {
    const { data, query } = asked(name, type)
    return query && this.#known(data, query, depth)
  }

  #known(data: Uint8Array, query: Query, depth: number): RecordSet | 'foreign' | undefined {
    if (depth > MAX_ALIASES) return undefined
    try {
      const set = this.#setFor(data, query)
      if (set?.foreign) return 'foreign'
      // A chain of names is left to who asks: one answer holds one of them.
      return set === undefined || set.aliases.length > 0
        ? undefined
        : { ...set, rcode: RCODE.NOERROR, authority: [], additional: [] }
    } catch {
      return undefined
    }
  }

  async #resolveElsewhere(name: string, type: number, signal: AbortSignal): Promise<RecordSet | undefined> {
    const answer = await this.#options.recursors.ask(questionFor(name, type), 'udp', signal)
    if (answer === undefined) return undefined
    try {
      const { answers = [] } = decode(Buffer.from(answer))
      const found = answers.flatMap((record) => {
        const bytes = record.type === 'A' || record.type === 'AAAA' ? addressBytes(record.data) : undefined
        return bytes === undefined ? [] : [bareGroup(addressRecord(bytes, (record as { ttl?: number }).ttl ?? 0))]
      })
      return recordSet({ groups: found })
    } catch {
      return undefined
    }
  }

  #forward(data: Uint8Array, query: Query, transport: Transport): Uint8Array | Promise<Uint8Array> {
    const { recursors } = this.#options
    if (!recursors.available || !query.recursionDesired) return this.#bare(data, query, RCODE.REFUSED)
    return this.#later(data, query, async (own, signal) => {
      const answer = await recursors.ask(own, transport, signal)
      if (answer === undefined) return this.#bare(own, query, RCODE.SERVFAIL)
      const { maxBytes } = this.#assembling(query, transport)
      return answer.length <= maxBytes ? answer : this.#bare(own, query, RCODE.NOERROR, true)
    })
  }

  /** Work that waits, within its bounds: in number and in time. */
  #later(
    data: Uint8Array,
    query: Query,
    work: (own: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>,
  ): Uint8Array | Promise<Uint8Array> {
    const { clock, settings } = this.#options
    if (this.#pending >= settings.maxPending || this.#closed.signal.aborted)
      return this.#bare(data, query, RCODE.SERVFAIL)
    const own = data.slice()
    const limitMs = Math.max(LOOKUP_TIMEOUT_MS, settings.recursorTimeoutMs * settings.recursors.length)
    const { signal, done } = clock.deadline(limitMs, this.#closed.signal)
    this.#pending++
    return work(own, signal)
      .catch(() => this.#bare(own, query, RCODE.SERVFAIL))
      .finally(() => {
        this.#pending--
        done()
      })
  }
}

function asked(name: string, type: number): Asked {
  const data = questionFor(name, type)
  const query = readQuery(data)
  return { data, query: typeof query === 'object' ? query : undefined }
}

/** A query of our own. */
function questionFor(name: string, type: number): Uint8Array {
  const encoded = encodedName(name)
  const data = new Uint8Array(NAME_AT + encoded.length + 4)
  data.set([0, 0, 1, 0, 0, 1])
  data.set(encoded, NAME_AT)
  data.set([type >> 8, type & 0xff, 0, 1], NAME_AT + encoded.length)
  return data
}
