/**
 * What a client node was told of its own DC, kept for when no server can be reached. As long as the summaries say that
 * what an answer is about did not change since, it is as fresh as they are; what did change is asked for anew.
 */
import { keyPart } from '../model/keys.ts'
import type { Clock } from '../runtime/ports.ts'
import type { Answer, AskOptions, Question } from './mesh.ts'
import type { SummaryMirror } from './summaries/mirror.ts'

export interface KeptAnswersOptions {
  readonly datacenter: string
  readonly mirror: SummaryMirror
  readonly clock: Clock
  /** Asks a server of this DC. */
  readonly ask: (question: Question, options: AskOptions) => Promise<Answer<unknown>>
  /** Default 512; the least recently asked go first. */
  readonly max?: number
  /** Of all answers together, about. Default 32 MB. */
  readonly maxBytes?: number
}

interface Kept {
  readonly question: Question
  readonly options: AskOptions
  answer: Answer<unknown>
  /** When it was surely so. */
  atMs: number
  /** Whether the summaries can say that it still holds. */
  readonly isTold: boolean
  /** What they said of its subject before it was asked for; undefined when nothing yet. */
  seen: number | undefined
  usedMs: number
  bytes: number
}

/** Questions about which the summaries tell whether anything changed. */
const TOLD: ReadonlySet<Question['kind']> = new Set(['service', 'service-checks', 'nodes', 'services', 'state'])
/** Those that were asked for within so long are kept up to date. */
const REFRESH_FOR_MS = 600_000
/** What changes all the time is asked for anew so often. */
const REFRESH_EVERY_MS = 1_000
/** About what an entry of an answer takes in memory. */
const ENTRY_BYTES = 1_024

export class KeptAnswers {
  readonly #options: KeptAnswersOptions
  readonly #max: number
  readonly #maxBytes: number
  readonly #entries = new Map<string, Kept>()
  readonly #closed = new AbortController()
  #bytes = 0
  #refreshing = false
  #again = false

  constructor(options: KeptAnswersOptions) {
    this.#options = options
    this.#max = options.max ?? 512
    this.#maxBytes = options.maxBytes ?? 32 * 1024 * 1024
  }

  /** Before a question is sent: what the summaries say of its subject now. */
  seen(question: Question): number | undefined {
    const { mirror, datacenter } = this.#options
    switch (question.kind) {
      case 'service':
      case 'service-checks':
        return mirror.serviceIndex(datacenter, keyPart(question.service))
      case 'nodes':
        return mirror.tableIndex(datacenter, 'nodes')
      case 'services':
        return mirror.tableIndex(datacenter, 'services')
      case 'state':
        return mirror.tableIndex(datacenter, 'checks')
      default:
        return undefined
    }
  }

  /** A server answered what was asked at `askedMs`; `seen` as before that. */
  keep(
    question: Question,
    options: AskOptions,
    answer: Answer<unknown>,
    askedMs: number,
    seen: number | undefined,
  ): void {
    if (this.#closed.signal.aborted || options.consistency === 'consistent') return
    const key = keyOf(question, options)
    this.#drop(key)
    const bytes = bytesOf(answer.value) + key.length
    // A routed answer depends on other DCs as well.
    const ownOnly = answer.datacenter === this.#options.datacenter && answer.failover === undefined
    const { principal, datacenter, noFailover } = options
    const asked: AskOptions = {
      principal,
      consistency: 'stale',
      ...(datacenter !== undefined && { datacenter }),
      ...(noFailover && { noFailover }),
    }
    this.#entries.set(key, {
      question,
      options: asked,
      answer,
      atMs: askedMs - answer.ageMs,
      isTold: ownOnly && TOLD.has(question.kind),
      seen,
      usedMs: askedMs,
      bytes,
    })
    this.#bytes += bytes
    while (this.#entries.size > this.#max || (this.#bytes > this.#maxBytes && this.#entries.size > 0))
      this.#drop(this.#entries.keys().next().value!)
  }

  /** With its age, as of no living server; undefined when it is not known. */
  find(question: Question, options: AskOptions): Answer<unknown> | undefined {
    const key = keyOf(question, options)
    const kept = this.#entries.get(key)
    if (kept === undefined) return undefined
    const nowMs = this.#options.clock.nowMs()
    kept.usedMs = nowMs
    this.#entries.delete(key)
    this.#entries.set(key, kept)
    const ageMs = Math.max(0, nowMs - this.#sureMs(kept))
    return { ...kept.answer, ageMs, knownLeader: false, consistency: 'stale', source: 'kept' }
  }

  /** When it was last surely so: as its server said, or as long as the summaries say that nothing changed. */
  #sureMs(kept: Kept): number {
    const { confirmedMs } = this.#options.mirror
    const holds = kept.isTold && kept.seen !== undefined && this.seen(kept.question) === kept.seen
    return holds && confirmedMs !== undefined ? Math.max(kept.atMs, confirmedMs) : kept.atMs
  }

  /** The summaries moved: asks anew for what they say has changed, one after the other. */
  changed(): void {
    this.#again = true
    if (!this.#refreshing) void this.#refresh()
  }

  close(): void {
    this.#closed.abort()
    this.#entries.clear()
    this.#bytes = 0
  }

  /** Never rejects: who cannot be asked now is asked after the next change. */
  async #refresh(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#closed
    this.#refreshing = true
    try {
      while (this.#again && !signal.aborted) {
        this.#again = false
        for (const [key, kept] of [...this.#entries]) if (this.#isOutdated(kept)) await this.#askAnew(key, kept)
        await clock.sleep(REFRESH_EVERY_MS, signal)
      }
    } catch {
    } finally {
      this.#refreshing = false
    }
  }

  #isOutdated(kept: Kept): boolean {
    const now = kept.isTold ? this.seen(kept.question) : undefined
    if (now === undefined || now === kept.seen) return false
    return this.#options.clock.nowMs() - kept.usedMs < REFRESH_FOR_MS
  }

  async #askAnew(key: string, kept: Kept): Promise<void> {
    const { clock, ask } = this.#options
    const askedMs = clock.nowMs()
    const seen = this.seen(kept.question)
    const answer = await ask(kept.question, { ...kept.options, signal: this.#closed.signal })
    if (this.#entries.get(key) !== kept) return
    const bytes = bytesOf(answer.value) + key.length
    this.#bytes += bytes - kept.bytes
    Object.assign(kept, { answer, atMs: askedMs - answer.ageMs, seen, bytes })
  }

  #drop(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0
    this.#entries.delete(key)
  }
}

/** The same answer serves default and stale reads. */
const keyOf = (question: Question, { datacenter, principal, noFailover }: AskOptions): string =>
  JSON.stringify([datacenter ?? '', principal.token, noFailover ?? false, question])

function bytesOf(value: unknown): number {
  const entries = Array.isArray(value) ? value : [value]
  let bytes = 0
  for (const entry of entries) {
    if (typeof entry === 'string') bytes += 2 * entry.length + 16
    else bytes += ENTRY_BYTES + kvBytesOf(entry)
  }
  return bytes
}

/** Of a KV pair; other entries have no value. */
function kvBytesOf(entry: unknown): number {
  const value = (entry as { readonly value?: unknown } | null | undefined)?.value
  return value instanceof Uint8Array ? value.length : 0
}
