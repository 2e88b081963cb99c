/**
 * `/v1/watch`: the answers of other routes as Server-Sent Events, each time that they change. An event's id is the index,
 * so a client that comes back with `Last-Event-ID` misses no change. A slow client gets fewer events, always the newest:
 * the next is worked out when the one before was taken.
 */

import type { Answer, AnswerValue, Prepared, QuestionKind } from '../../resolver/mesh.ts'
import { boolean, flag, type Parameter, repeated, streams } from '../described.ts'
import { HttpError } from '../errors.ts'
import { EVENT_STREAM_HEADERS, lastEventIdOf, RETRY_MS } from '../event-stream.ts'
import { utf8 } from '../json.ts'
import type { Shape } from '../kept.ts'
import { readOptions } from '../query.ts'
import { type Asked, jsonShape } from '../reading.ts'
import { type Call, type Context, FILTER_PARAMETER, NODE_PARAMETERS, type Route } from '../route.ts'
import { kvShape } from '../shapes.ts'
import { linkSignals } from '../signals.ts'
import { askServices } from './catalog.ts'
import { askService } from './health.ts'

const kvEntries = jsonShape<AnswerValue<'kv-prefix'>>((rows) => rows.map(kvShape))

const WATCH_PARAMETERS = {
  dc: "a datacenter, `nearest`, or `*` for all; this node's own unless given",
  stale: flag('answer from what this node has'),
}

export const watchRoutes: readonly Route[] = [
  watching<'service'>({
    path: '/v1/watch/health/service/',
    rest: 'service',
    summary: 'The instances of a service as events',
    parameters: {
      passing: boolean('only those whose checks all pass'),
      tag: repeated('repeated: only instances that carry all, in any case'),
      ...NODE_PARAMETERS,
      ...FILTER_PARAMETER,
    },
    ask: (call) => {
      const asked = askService(call)
      if ('refuse' in asked) throw new HttpError(400, asked.refuse!)
      return asked
    },
  }),
  watching<'kv-prefix'>({
    path: '/v1/watch/kv/',
    rest: 'prefix',
    summary: 'The entries of all keys with a prefix as events',
    ask: (call) => ({ question: { kind: 'kv-prefix', prefix: call.rest }, shape: kvEntries.of(call) }),
  }),
  watching<'services' | 'registrations'>({
    path: '/v1/watch/catalog/services',
    summary: 'The names and tags of all services as events',
    parameters: { 'node-meta': NODE_PARAMETERS['node-meta']!, ...FILTER_PARAMETER },
    ask: askServices,
  }),
]

interface WatchingOptions<K extends QuestionKind> {
  readonly path: string
  readonly rest?: string
  readonly summary: string
  readonly parameters?: Readonly<Record<string, Parameter | string>>
  readonly ask: (call: Call) => Asked<K>
}

function watching<K extends QuestionKind>({ path, rest, summary, parameters, ask }: WatchingOptions<K>): Route {
  return {
    method: 'GET',
    path,
    ...(rest === undefined ? {} : { rest }),
    summary,
    parameters: { ...WATCH_PARAMETERS, ...parameters },
    answers: { 200: streams('The events', 'text/event-stream') },
    handle: (call, context) => openStream(call, context, ask({ ...call, pretty: false })),
  }
}

async function openStream<K extends QuestionKind>(call: Call, context: Context, asked: Asked<K>): Promise<Response> {
  const read = readOptions(call.query, call.principal, null)
  const prepared = context.mesh.prepare(asked.question, asked.noFailover ? { ...read.ask, noFailover: true } : read.ask)
  const since = lastEventIdOf(call)
  // The first answer is awaited here, so that what is wrong with the question is a status and no broken stream.
  const first = await prepared.answer()
  const leave = context.watchers.enter()
  if (!leave) {
    throw new HttpError(
      429,
      `this node serves ${context.limits.maxWatchers} event streams, its limit; ask again later or elsewhere`,
      { 'Retry-After': '5' },
    )
  }
  const events = new EventSource(prepared, asked.shape, context, call.request.signal, leave)
  return new Response(events.open(since === first.index ? undefined : first, first.index), {
    status: 200,
    headers: EVENT_STREAM_HEADERS,
  })
}

class EventSource<T> {
  readonly #prepared: Prepared<T>
  readonly #shape: Shape<T>
  readonly #context: Context
  readonly #abort = new AbortController()
  readonly #signal: AbortSignal
  readonly #end: () => void
  #index = 0
  #stalled: { cancel(): void } | undefined

  constructor(prepared: Prepared<T>, shape: Shape<T>, context: Context, request: AbortSignal, leave: () => void) {
    this.#prepared = prepared
    this.#shape = shape
    this.#context = context
    const { signal, done } = linkSignals(this.#abort.signal, request, context.closing)
    this.#signal = signal
    this.#end = () => {
      this.#stalled?.cancel()
      done()
      leave()
      this.#abort.abort()
    }
    signal.addEventListener('abort', this.#end, { once: true })
  }

  open(first: Answer<T> | undefined, index: number): ReadableStream<Uint8Array> {
    this.#index = index
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          controller.enqueue(utf8(`retry: ${RETRY_MS}\n\n`))
          if (first) controller.enqueue(this.#event(first))
          this.#expectPull(controller)
        },
        pull: (controller) => this.#next(controller),
        cancel: () => this.#end(),
      },
      // One event at most is ready ahead of the client.
      { highWaterMark: 1 },
    )
  }

  /** The next change, or a comment when there was none for a while. */
  async #next(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    this.#stalled?.cancel()
    try {
      const waitMs = this.#context.limits.heartbeatMs
      const answer = await this.#prepared.answer({ index: this.#index, waitMs, signal: this.#signal })
      if (this.#signal.aborted) return this.#close(controller)
      const changed = answer.index !== this.#index
      this.#index = answer.index
      controller.enqueue(changed ? this.#event(answer) : utf8(': still here\n\n'))
      this.#expectPull(controller)
    } catch (error) {
      if (!this.#signal.aborted)
        this.#context.logger.debug({ error }, 'an event stream ended: it cannot be answered now')
      this.#close(controller)
    }
  }

  /** What was sent has to be taken within a while. */
  #expectPull(controller: ReadableStreamDefaultController<Uint8Array>): void {
    const { clock, limits } = this.#context
    this.#stalled = clock.after(limits.stalledWatcherMs, () => this.#close(controller))
  }

  #event(answer: Answer<T>): Uint8Array {
    const { bytes } = this.#shape.encode(answer.value, answer.datacenter)
    const head = utf8(`id: ${answer.index}\nevent: change\ndata: `)
    const event = new Uint8Array(head.length + (bytes?.length ?? 0) + 2)
    event.set(head)
    if (bytes) event.set(bytes, head.length)
    event.fill(10, event.length - 2)
    return event
  }

  #close(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#end()
    try {
      controller.close()
    } catch {
      // The client closed it first.
    }
  }
}
