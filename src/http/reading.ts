/** Routes that ask the mesh one question: options, waiting, headers and the short way are the same for all of them. */
import type * as z from 'zod'
import { isAtollError } from '../model/errors.ts'
import type { Answer, AnswerValue, AskOptions, Prepared, Question, QuestionKind } from '../resolver/mesh.ts'
import { encodedJson, failed, type MetaKind, metaHeaders, NO_ANSWER_META, respond, text } from './answer.ts'
import { type Answers, type HeaderName, type Parameter, shows } from './described.ts'
import { HttpError } from './errors.ts'
import { type Fields, type Filter, filterOf } from './filter/filter.ts'
import type { Json } from './json.ts'
import { FilteredShapes, KeptAnswer, keptShape, lastShape, type Shape } from './kept.ts'
import { META_HEADERS } from './openapi/headers.ts'
import { readOptions } from './query.ts'
import type { Call, Context, Route } from './route.ts'
import { READ_PARAMETERS } from './route.ts'
import { linkSignals } from './signals.ts'

export interface Asked<K extends QuestionKind> {
  readonly question: Question<K>
  readonly shape: Shape<AnswerValue<K>>
  readonly noFailover?: boolean
  /** What is wrong with the request although it is answered: a 400 with the answer's headers, as Consul has it. */
  readonly refuse?: string
}

export interface ReadingOptions<K extends QuestionKind> {
  readonly path: string
  readonly rest?: string
  readonly summary: string
  readonly parameters?: Readonly<Record<string, Parameter | string>>
  /** What it shows: JSON of this schema. */
  readonly shows: z.ZodType
  /** Answers beside that. */
  readonly answers?: Answers
  readonly meta: MetaKind
  /** Whether `?cached` shows in the headers, and a waiting request as one of the streaming backend. */
  readonly cacheable?: boolean
  /** Whether an unknown datacenter comes with the headers of an answer. */
  readonly metaOnNoPath?: boolean
  readonly ask: (call: Call, context: Context) => Asked<K>
}

export function reading<K extends QuestionKind>(options: ReadingOptions<K>): Route {
  return {
    method: 'GET',
    path: options.path,
    ...(options.rest === undefined ? {} : { rest: options.rest }),
    summary: options.summary,
    parameters: { ...READ_PARAMETERS, ...options.parameters },
    answers: { 200: shows('What was asked for', options.shows, headersOf(options)), ...options.answers },
    handle: (call, context) => answerRead(options, call, context),
  }
}

const headersOf = ({ meta, cacheable }: Pick<ReadingOptions<QuestionKind>, 'meta' | 'cacheable'>): HeaderName[] => [
  ...META_HEADERS[meta],
  ...(cacheable ? (['X-Cache', 'Age'] as const) : []),
]

async function answerRead<K extends QuestionKind>(
  options: ReadingOptions<K>,
  call: Call,
  context: Context,
): Promise<Response> {
  const read = readOptions(call.query, call.principal, call.request.headers.get('cache-control'))
  const asked = options.ask(call, context)
  const ask: AskOptions = asked.noFailover ? { ...read.ask, noFailover: true } : read.ask
  const blocks = read.index > 0 && options.meta !== 'none'
  try {
    const plain = !blocks && !read.cached && read.maxStaleMs === undefined && asked.refuse === undefined
    if (plain) {
      const kept = keep(options, asked, ask, call, context)
      if (kept) return await kept
    }
    const prepared = context.mesh.prepare(asked.question, ask)
    let answer = blocks ? await waitForAnswer(prepared, read, call, context) : await prepared.answer()
    if (ask.consistency === 'stale' && read.maxStaleMs !== undefined && answer.ageMs > read.maxStaleMs) {
      answer = await context.mesh.ask(asked.question, { ...ask, consistency: 'default' })
    }
    const streaming = options.cacheable && (blocks || read.cached)
    const headers = metaHeaders(answer, options.meta, streaming ? 'streaming' : 'blocking-query')
    if (read.cached && options.cacheable) {
      const hit = context.cachedBefore.seen(`${ask.datacenter ?? ''} ${JSON.stringify(asked.question)}`)
      headers['X-Cache'] = hit ? 'HIT' : 'MISS'
      if (hit) headers.Age = '0'
    }
    if (asked.refuse !== undefined) return text(400, asked.refuse, headers)
    return respond(asked.shape.encode(answer.value, answer.datacenter), headers, call.gzip)
  } catch (error) {
    if (options.metaOnNoPath && isAtollError(error) && error.code === 'no-path') return failed(error, NO_ANSWER_META)
    throw error
  }
}

/** Keeps what was worked out, when it can be answered at once, or behind a barrier: then the next request takes the short way. */
function keep<K extends QuestionKind>(
  options: ReadingOptions<K>,
  asked: Asked<K>,
  ask: AskOptions,
  call: Call,
  context: Context,
): Response | Promise<Response> | undefined {
  const nowMs = context.clock.nowMs()
  const prepare = (): Prepared<unknown> => context.mesh.prepare(asked.question, ask)
  const kept = new KeptAnswer(prepare, asked.shape as Shape<unknown>, options.meta, nowMs)
  const answer = kept.soon(nowMs, call.gzip)
  if (answer && call.principal.token === '') context.kept.keep(call.target, kept)
  return answer instanceof Promise ? answer.then((settled) => settled.response()) : answer?.response()
}

/** The answer once its index is above the one asked with, as one of a bounded number of blocking queries. */
export async function waitForAnswer<T>(
  prepared: Prepared<T>,
  read: { index: number; waitMs: number },
  call: Call,
  context: Context,
): Promise<Answer<T>> {
  const leave = context.blocking.enter()
  if (!leave) {
    throw new HttpError(
      429,
      `this node holds ${context.limits.maxBlockingQueries} blocking queries, its limit; ask again later or elsewhere`,
      { 'Retry-After': '1' },
    )
  }
  const { signal, done } = linkSignals(call.request.signal, context.closing)
  try {
    return await prepared.answer({ index: read.index, waitMs: read.waitMs, signal })
  } finally {
    done()
    leave()
  }
}

/**
 * A shape for JSON with its `?pretty` twin, and made for the request where it has a `filter`. `fields` are what a filter
 * may select of an entry.
 */
export interface JsonShape<T> {
  of(call: Call): Shape<T>
}

export function jsonShape<T>(shape: (value: T, datacenter: string) => Json): JsonShape<T> {
  const compact = keptShape<T>((value, datacenter) => encodedJson(shape(value, datacenter), false))
  const pretty = keptShape<T>((value, datacenter) => encodedJson(shape(value, datacenter), true))
  return { of: (call) => (call.pretty ? pretty : compact) }
}

/** A list whose entries `filter` may choose from. */
export function listShape<T>(fields: Fields, entry: (value: T, datacenter: string) => Json): JsonShape<readonly T[]> {
  const all = jsonShape<readonly T[]>((list, datacenter) => list.map((value) => entry(value, datacenter)))
  return filteredShape(fields, all, (filter, pretty) =>
    lastShape((list, datacenter) =>
      encodedJson(list.map((value) => entry(value, datacenter)).filter(filter()), pretty),
    ),
  )
}

/** `all` without a filter. */
export function filteredShape<T>(
  fields: Fields,
  all: JsonShape<T>,
  chosen: (filter: Filter, pretty: boolean) => Shape<T>,
): JsonShape<T> {
  const shapes = new FilteredShapes<T>()
  return {
    of(call) {
      const expression = call.query.get('filter')
      if (expression === '') return all.of(call)
      return shapes.of(expression, call.pretty, () => chosen(filterOf(expression, fields)!, call.pretty))
    },
  }
}
