/**
 * What a client node was asked about other DCs, kept live: after the first answer a question waits at a server of its DC for
 * the next change, and who asks meanwhile is answered from memory, as on the server itself. What nobody asks for any more is
 * let go, so that a question costs its server never more than twice what asking it each time would.
 */
import { isAtollError } from '../model/errors.ts'
import type { Clock } from '../runtime/ports.ts'
import type { Answer, AskOptions, Question } from './mesh.ts'
import { isReplicated } from './read.ts'

export interface LiveOptions {
  readonly clock: Clock
  /** Asks a server of this DC. */
  readonly ask: (question: Question, options: AskOptions) => Promise<Answer<unknown>>
  /** Questions kept; the least recently asked go first. Default 256. */
  readonly max?: number
  /** Entries of all their answers together. Default 50,000: about 50 MB of instances. */
  readonly maxEntries?: number
}

interface Kept {
  /** undefined: the own DC, or wherever the answer came from. */
  readonly datacenter: string | undefined
  readonly answer: Answer<unknown>
  readonly receivedMs: number
}

interface Entry {
  kept: Kept
  /** Asked since it last began to wait for a change. */
  used: boolean
  following: boolean
}

/** A wait ends after so long without a change, and begins anew: the age that is told is never further off. */
const CONFIRM_MS = 1_000
/** Without a confirmation for so long it is asked for again. */
const CONFIRMED_FOR_MS = 2_000
/** A server that answers waits at once, for whatever reason, is not asked more often than this. */
const MIN_PAUSE_MS = 5

/**
 * What a question that may be kept is kept under; undefined for all others. Only what is read from another DC's replica
 * may be kept, and what `stale` asks of the own one: its other answers stand behind a barrier.
 */
export function liveKey(question: Question, options: AskOptions, own: string): string | undefined {
  const { datacenter, consistency, principal } = options
  if (consistency === 'consistent' || datacenter === '*' || !isReplicated(question.kind)) return undefined
  const ofOwn = datacenter === undefined || datacenter === own || datacenter === 'nearest'
  if (ofOwn && consistency !== 'stale') return undefined
  // The order by distance, and who has an address, move without an index.
  if (question.kind === 'address' || ('near' in question && question.near !== undefined)) return undefined
  return JSON.stringify([datacenter, consistency, principal.token, question])
}

export class LiveAnswers {
  readonly #options: LiveOptions
  readonly #max: number
  readonly #maxEntries: number
  readonly #entries = new Map<string, Entry>()
  readonly #asking = new Map<string, Promise<Answer<unknown>>>()
  readonly #closed = new AbortController()

  constructor(options: LiveOptions) {
    this.#options = options
    this.#max = options.max ?? 256
    this.#maxEntries = options.maxEntries ?? 50_000
  }

  /** The answer, when it is known to be good. */
  now(key: string): Answer<unknown> | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || !entry.following) return undefined
    const passedMs = this.#options.clock.nowMs() - entry.kept.receivedMs
    if (passedMs > CONFIRMED_FOR_MS) return undefined
    entry.used = true
    return aged(entry.kept, passedMs)
  }

  /**
   * From memory, else from a server; those who ask the same at the same time share its answer. When no server can be
   * reached, what was last known, with its age.
   */
  async ask(key: string, question: Question, options: AskOptions): Promise<Answer<unknown>> {
    const known = this.now(key)
    if (known !== undefined) return known
    try {
      return await (this.#asking.get(key) ?? this.#begin(key, question, options))
    } catch (error) {
      const last = isAtollError(error) && error.code === 'unavailable' ? this.last(key) : undefined
      if (last === undefined) throw error
      return last
    }
  }

  /** What was last known, with its age, as of a server that cannot be reached. */
  last(key: string): Answer<unknown> | undefined {
    const kept = this.#entries.get(key)?.kept
    if (kept === undefined) return undefined
    const answer = aged(kept, this.#options.clock.nowMs() - kept.receivedMs)
    return { ...answer, knownLeader: false, source: answer.source === 'catalog' ? 'kept' : answer.source }
  }

  /** This node wrote there: what was known or asked before is not to be told any more. */
  forget(datacenter: string): void {
    for (const [key, { kept }] of this.#entries) {
      const named = kept.datacenter
      if (named === datacenter || named === undefined || named === 'nearest') this.#entries.delete(key)
    }
    this.#asking.clear()
  }

  close(): void {
    this.#closed.abort()
    this.#entries.clear()
    this.#asking.clear()
  }

  #begin(
    key: string,
    question: Question,
    { principal, datacenter, consistency }: AskOptions,
  ): Promise<Answer<unknown>> {
    const options = { principal, datacenter, consistency, signal: this.#closed.signal }
    const asking = this.#options.ask(question, options).then(
      (answer) => {
        if (this.#asking.get(key) === asking) {
          this.#asking.delete(key)
          this.#keep(key, question, options, answer)
        }
        return answer
      },
      (error: unknown) => {
        if (this.#asking.get(key) === asking) this.#asking.delete(key)
        throw error
      },
    )
    this.#asking.set(key, asking)
    return asking
  }

  #keep(key: string, question: Question, options: AskOptions, answer: Answer<unknown>): void {
    if (this.#closed.signal.aborted || answer.index <= 0) return
    const kept = { datacenter: options.datacenter, answer, receivedMs: this.#options.clock.nowMs() }
    const former = this.#entries.get(key)
    this.#entries.delete(key)
    const entry: Entry = former ?? { kept, used: true, following: false }
    entry.kept = kept
    entry.used = true
    this.#entries.set(key, entry)
    this.#shrink()
    if (!entry.following) void this.#follow(key, entry, question, options)
  }

  /** Lets the least recently asked go until all is within bounds; an answer that alone is beyond them is not kept. */
  #shrink(): void {
    let size = 0
    for (const { kept } of this.#entries.values()) size += sizeOf(kept)
    for (const [key, { kept }] of this.#entries) {
      if (size <= this.#maxEntries && this.#entries.size <= this.#max) return
      this.#entries.delete(key)
      size -= sizeOf(kept)
    }
  }

  /** Never rejects: what goes wrong is told to whoever asks next. */
  async #follow(key: string, entry: Entry, question: Question, options: AskOptions): Promise<void> {
    const { clock, ask } = this.#options
    entry.following = true
    try {
      while (entry.used && this.#entries.get(key) === entry) {
        entry.used = false
        const sinceMs = clock.nowMs()
        const { answer: before } = entry.kept
        const answer = await ask(question, { ...options, index: before.index, waitMs: CONFIRM_MS })
        const receivedMs = clock.nowMs()
        // Another server may have answered somebody with something newer meanwhile.
        if (entry.kept.answer === before) entry.kept = { ...entry.kept, answer: unchanged(before, answer), receivedMs }
        if (answer.index !== before.index) this.#shrink()
        if (receivedMs - sinceMs < MIN_PAUSE_MS) await clock.sleep(MIN_PAUSE_MS, options.signal)
      }
    } catch {
    } finally {
      entry.following = false
    }
  }
}

/** The value is the same object for as long as nothing changed. */
const unchanged = (before: Answer<unknown>, answer: Answer<unknown>): Answer<unknown> =>
  answer.index === before.index ? { ...answer, value: before.value } : answer

const sizeOf = ({ answer }: Kept): number => (Array.isArray(answer.value) ? answer.value.length : 1)

const aged = ({ answer }: Kept, passedMs: number): Answer<unknown> => ({ ...answer, ageMs: answer.ageMs + passedMs })
