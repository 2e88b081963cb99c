/**
 * `/v1/watch/kv-changes`: every change of the keys with a prefix as a Server-Sent Event, in order, none left out. The id of an
 * event is its index; of several in one transaction the last one alone has it, so that who comes back with `Last-Event-ID`
 * gets whole transactions.
 */

import type { KvChange, KvChanges } from '../../catalog/catalog.ts'
import { streams, whole } from '../described.ts'
import { HttpError } from '../errors.ts'
import { EVENT_STREAM_HEADERS, lastEventIdOf, RETRY_MS } from '../event-stream.ts'
import { encodeJson, type Json, utf8 } from '../json.ts'
import type { Call, Context, Route } from '../route.ts'
import { kvShape } from '../shapes.ts'
import { linkSignals } from '../signals.ts'

export const kvChangeRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/watch/kv-changes/',
    rest: 'prefix',
    summary: 'Every change of the keys with a prefix: events `put` and `delete`, after a first one, `position`',
    parameters: {
      dc: 'the datacenter of the keys',
      index: whole('begin after this index instead of now; `Last-Event-ID` counts before it'),
    },
    answers: { 200: streams('The events', 'text/event-stream') },
    handle: (call, context) => openStream(call, context),
  },
]

async function openStream(call: Call, context: Context): Promise<Response> {
  const given = call.query.get('index')
  if (!/^\d{0,16}$/.test(given)) throw new HttpError(400, 'Invalid index')
  const since = lastEventIdOf(call) ?? (given === '' ? undefined : Number(given))
  const follow = followerOf(call, context)
  // The first is awaited here, so that what is wrong is a status and no broken stream.
  const first = await follow(since, 0)
  const leave = context.watchers.enter()
  if (!leave) {
    const text = `this node serves ${context.limits.maxWatchers} event streams, its limit; ask again later or elsewhere`
    throw new HttpError(429, text, { 'Retry-After': '5' })
  }
  return new Response(streamOf(first, follow, call, context, leave), { status: 200, headers: EVENT_STREAM_HEADERS })
}

type Follow = (since: number | undefined, waitMs: number, signal?: AbortSignal) => Promise<KvChanges>

function followerOf({ rest, query, principal }: Call, { mesh }: Context): Follow {
  const datacenter = query.get('dc') || undefined
  return (since, waitMs, signal) =>
    mesh.home.kvChanges(rest, { principal, since, waitMs, signal, ...(datacenter && { datacenter }) })
}

function streamOf(
  first: KvChanges,
  follow: Follow,
  call: Call,
  context: Context,
  leave: () => void,
): ReadableStream<Uint8Array> {
  const { clock, limits, logger } = context
  const { signal, done } = linkSignals(call.request.signal, context.closing)
  let { index } = first
  let stalled: { cancel(): void } | undefined
  const end = (): void => {
    stalled?.cancel()
    done()
    leave()
  }
  const close = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    end()
    try {
      controller.close()
    } catch {
      // The client closed it first.
    }
  }
  const send = (controller: ReadableStreamDefaultController<Uint8Array>, text: string): void => {
    controller.enqueue(utf8(text))
    stalled = clock.after(limits.stalledWatcherMs, () => close(controller))
  }
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => send(controller, `retry: ${RETRY_MS}\n\n${beginning(first)}${eventsOf(first)}`),
      async pull(controller) {
        stalled?.cancel()
        try {
          const changes = await follow(index, limits.heartbeatMs, signal)
          if (signal.aborted) return close(controller)
          index = changes.index
          // Nothing happened up to here: who comes back later need not have that history any more.
          send(controller, eventsOf(changes) || `id: ${index}\nretry: ${RETRY_MS}\n\n`)
        } catch (error) {
          if (!signal.aborted) logger.debug({ error }, 'a stream of changes ended: it cannot be answered now')
          close(controller)
        }
      },
      cancel: end,
    },
    { highWaterMark: 1 },
  )
}

const event = (name: string, data: Json, id: number | undefined): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${encodeJson(data)}\n\n`

/** Where the stream stands: what was read at this index or later misses nothing of what follows. */
const beginning = ({ index, compacted, changes }: KvChanges): string =>
  compacted || changes.length > 0 ? '' : event('position', { Index: index }, index)

function eventsOf({ index, compacted, changes }: KvChanges): string {
  if (compacted) return event('compacted', { Index: index }, index)
  return changes.map((change, i) => eventOf(change, changes[i + 1]?.index !== change.index)).join('')
}

const eventOf = ({ key, index, row }: KvChange, isLast: boolean): string =>
  row === undefined
    ? event('delete', { Key: key, ModifyIndex: index }, isLast ? index : undefined)
    : event('put', kvShape(row), isLast ? index : undefined)
