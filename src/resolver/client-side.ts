/**
 * Answers on a client node: from a server of its DC while one can be reached; otherwise what it was told before, or the
 * summaries, with their age. Only `consistent` reads are refused then.
 */
import type { Federation } from '../federation/federation.ts'
import { isAtollError } from '../model/errors.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import { KeptAnswers } from './kept-answers.ts'
import { LiveAnswers, liveKey } from './live.ts'
import { type Answer, type AskOptions, boundedWaitMs, type Question } from './mesh.ts'
import { answerFromSummaries } from './summaries/answer.ts'
import { followSummaries } from './summaries/follow.ts'
import { SummaryMirror } from './summaries/mirror.ts'

export interface ClientSideOptions {
  readonly federation: Federation
  readonly datacenter: string
  readonly clock: Clock
  readonly random: Random
  /** Whether plain lookups may be answered by another DC. */
  readonly failover: boolean
  /** Asks a server of this DC. */
  readonly ask: (question: Question, options: AskOptions) => Promise<Answer<unknown>>
}

/** Who waits for a change while no server can be reached looks so often whether one is back. */
const LOOK_MS = 500
/** Whole entries are worth being so much older than a summary. */
const WORTH_MS = 1_000
/** A blocking question's answer was surely so this long before it came. */
const LATE_MS = 1_000

export class ClientSide {
  readonly #options: ClientSideOptions
  readonly #live: LiveAnswers
  readonly #mirror = new SummaryMirror()
  readonly #kept: KeptAnswers
  readonly #stopFollowing: () => void

  constructor(options: ClientSideOptions) {
    const { clock, ask, datacenter } = options
    this.#options = options
    this.#live = new LiveAnswers({ clock, ask })
    this.#kept = new KeptAnswers({ datacenter, clock, ask, mirror: this.#mirror })
    this.#stopFollowing = followSummaries({ ...options, mirror: this.#mirror, onChanged: () => this.#kept.changed() })
  }

  /** The key of a question about another DC that may be answered from memory; see `liveKey`. */
  keyOf(question: Question, options: AskOptions): string | undefined {
    return liveKey(question, options, this.#options.datacenter)
  }

  /** From memory, when that is known to be good. */
  now(key: string | undefined): Answer<unknown> | undefined {
    return key === undefined ? undefined : this.#live.now(key)
  }

  async answer(key: string | undefined, question: Question, options: AskOptions): Promise<Answer<unknown>> {
    try {
      if (key !== undefined && !waits(options)) return await this.#live.ask(key, question, options)
      return await this.#askServer(question, options)
    } catch (error) {
      if (!isUnreachable(error) || options.consistency === 'consistent') throw error
      return this.#offline(key, question, options, error)
    }
  }

  /** How many services the summaries hold, of all DCs, and since when they are not confirmed; undefined before the first time. */
  summaries(): { readonly services: number; readonly ageMs: number } | undefined {
    const { confirmedMs, size } = this.#mirror
    if (confirmedMs === undefined) return undefined
    return { services: size, ageMs: Math.round(this.#options.clock.nowMs() - confirmedMs) }
  }

  /** This node wrote there. */
  forget(datacenter: string): void {
    this.#live.forget(datacenter)
  }

  close(): void {
    this.#stopFollowing()
    this.#live.close()
    this.#kept.close()
  }

  async #askServer(question: Question, options: AskOptions): Promise<Answer<unknown>> {
    const { clock, ask, datacenter } = this.#options
    if (!isOwn(options, datacenter)) return ask(question, options)
    const askedMs = clock.nowMs()
    const seen = this.#kept.seen(question)
    const answer = await ask(question, options)
    if (!waits(options)) this.#kept.keep(question, options, answer, askedMs, seen)
    else
      this.#kept.keep(question, options, answer, Math.max(askedMs, clock.nowMs() - LATE_MS), this.#kept.seen(question))
    return answer
  }

  /** Rejects with `error` when nothing is known. A waiting question waits on, for a server too. */
  async #offline(
    key: string | undefined,
    question: Question,
    options: AskOptions,
    error: unknown,
  ): Promise<Answer<unknown>> {
    const known = this.#last(key, question, options)
    if (known === undefined) throw error
    if (!waits(options) || known.index !== options.index) return known
    const { clock, random } = this.#options
    const untilMs = clock.nowMs() + boundedWaitMs(options.waitMs)
    while (!options.signal?.aborted && clock.nowMs() < untilMs) {
      const pauseMs = Math.min(LOOK_MS * (0.5 + random.float()), untilMs - clock.nowMs())
      await clock.sleep(pauseMs, options.signal).catch(() => {})
      if (!this.#hasServer() || clock.nowMs() >= untilMs) continue
      try {
        return await this.#askServer(question, { ...options, waitMs: untilMs - clock.nowMs() })
      } catch (failure) {
        if (!isUnreachable(failure)) throw failure
      }
    }
    return this.#last(key, question, options) ?? known
  }

  #hasServer(): boolean {
    const { federation, datacenter } = this.#options
    return federation.peers().some((peer) => peer.datacenter === datacenter && peer.role === 'server')
  }

  #datacenters(): Answer<unknown> {
    const { federation, datacenter } = this.#options
    const value = federation.datacenters()
    return { value, index: 1, datacenter, source: 'kept', ageMs: 0, knownLeader: false, consistency: 'stale' }
  }

  /** Whole entries as they were told, unless summaries know better. */
  #last(key: string | undefined, question: Question, options: AskOptions): Answer<unknown> | undefined {
    const { federation, datacenter, failover, clock } = this.#options
    if (question.kind === 'datacenters') return this.#datacenters()
    const kept = younger(this.#kept.find(question, options), key === undefined ? undefined : this.#live.last(key))
    const summed = answerFromSummaries(question, options, {
      datacenter,
      mirror: this.#mirror,
      remotes: () => federation.datacenters().flatMap((name) => federation.remote(name) ?? []),
      failover,
      nowMs: () => clock.nowMs(),
    })
    if (kept === undefined || summed === undefined) return kept ?? summed
    return kept.ageMs <= summed.ageMs + WORTH_MS ? kept : summed
  }
}

/** What was asked of another DC by its name is the concern of `LiveAnswers`, or (KV) of nobody: it is never kept. */
const isOwn = ({ datacenter }: AskOptions, own: string): boolean =>
  datacenter === undefined || datacenter === own || datacenter === 'nearest' || datacenter === '*'

function younger(a: Answer<unknown> | undefined, b: Answer<unknown> | undefined): Answer<unknown> | undefined {
  return a === undefined || (b !== undefined && b.ageMs < a.ageMs) ? b : a
}

const waits = ({ index }: AskOptions): boolean => index !== undefined && index > 0

/** No server of the own DC, or the one that was asked could not reach another DC. */
const isUnreachable = (error: unknown): boolean => isAtollError(error) && error.code === 'unavailable'
