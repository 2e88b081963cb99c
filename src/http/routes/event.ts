/** `/v1/event`: user events of a datacenter. */
import * as z from 'zod'
import { type EventEntry, type EventRow, MAX_EVENT_BYTES, MAX_EVENT_FILTER_LENGTH } from '../../model/event.ts'
import { json, metaHeaders } from '../answer.ts'
import { readBody } from '../body/read.ts'
import { duration, shows, uint64 } from '../described.ts'
import { HttpError } from '../errors.ts'
import { filterFault, isFor } from '../event-filter.ts'
import { type JsonStruct, utf8 } from '../json.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { readOptions } from '../query.ts'
import { waitForAnswer } from '../reading.ts'
import type { Call, Context, Route } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import { base64 } from '../shapes.ts'
import { requireText } from '../words.ts'

const eventShape = (event: EventEntry): JsonStruct => ({
  ID: event.id,
  Name: event.name,
  Payload: event.payload.length === 0 ? null : base64(event.payload),
  NodeFilter: event.nodeFilter,
  ServiceFilter: event.serviceFilter,
  TagFilter: event.tagFilter,
  Version: 1,
  LTime: event.time,
})

export const eventRoutes: readonly Route[] = [
  {
    method: 'PUT',
    path: '/v1/event/fire/',
    rest: 'name',
    summary: 'Fires an event: the body is its payload, up to 512 bytes',
    answers: { 200: shows('The event', shown.event) },
    rawBody: 'The payload',
    parameters: {
      dc: 'the datacenter to fire it in',
      node: 'a regular expression: only for nodes with such a name',
      service: 'a regular expression: only for nodes with such a service',
      tag: 'with `service`, a regular expression: only where it has such a tag',
    },
    async handle(call, { mesh, random, limits }) {
      const name = requireText(call.rest, 'Missing name')
      const payload = await readBody(call.request, limits.maxBodyBytes)
      const event = { id: random.uuid(), name, payload, ...(await filtersOf(call)), time: 0 }
      if (payload.length + utf8(name).length > MAX_EVENT_BYTES) throw new HttpError(500, TOO_LARGE)
      const datacenter = call.query.get('dc') || undefined
      const { principal, request } = call
      await mesh.execute(
        { kind: 'event-fire', event },
        { principal, signal: request.signal, ...(datacenter && { datacenter }) },
      )
      return json(eventShape(event), call.pretty)
    },
  },
  {
    method: 'GET',
    path: '/v1/event/list',
    summary: 'The last events of this datacenter that are for the node that is asked, the oldest first',
    answers: { 200: shows('The events', z.array(shown.event), ['X-Consul-Index', ...META_HEADERS.none]) },
    parameters: {
      name: 'only those of this name',
      index: uint64('wait for one after this'),
      wait: duration('for at most this long'),
    },
    async handle(call, context) {
      const { ask, waitMs } = readOptions(call.query, call.principal, null)
      const { datacenter: _, ...options } = ask
      const name = call.query.get('name')
      const prepared = context.mesh.prepare({ kind: 'events', ...(name && { name }) }, options)
      const asked = BigInt(call.query.get('index'))
      const endMs = context.clock.nowMs() + waitMs
      let answer = await prepared.answer()
      let events = await eventsFor(answer.value, context)
      while (asked > 0n && eventIndexOf(events) === asked) {
        const leftMs = endMs - context.clock.nowMs()
        if (leftMs < 1) break
        const before = answer.index
        answer = await waitForAnswer(prepared, { index: before, waitMs: leftMs }, call, context)
        if (answer.index === before || call.request.signal.aborted || context.closing.aborted) break
        events = await eventsFor(answer.value, context)
      }
      const headers = { ...metaHeaders(answer, 'none', ''), 'X-Consul-Index': String(eventIndexOf(events)) }
      return json(events.map(eventShape), call.pretty, 200, headers)
    },
  },
]

/**
 * The index of a list of events is made of the id of its last one, as in Consul, whose clients find by it where in the
 * list they were: the halves of the id, of 64 bits each, added without carry. 1 when there is none.
 */
function eventIndexOf(events: readonly EventRow[]): bigint {
  const hex = events.at(-1)?.id.replaceAll('-', '') ?? ''
  if (!/^[0-9a-f]{32}$/i.test(hex)) return 1n
  return BigInt(`0x${hex.slice(0, 16)}`) ^ BigInt(`0x${hex.slice(16)}`) || 1n
}

const TOO_LARGE =
  '1 error occurred:\n\t* error broadcasting event to segment "": user event exceeds configured limit of 512 bytes before encoding\n\n'

async function filtersOf({ query }: Call): Promise<Pick<EventEntry, 'nodeFilter' | 'serviceFilter' | 'tagFilter'>> {
  const [nodeFilter, serviceFilter, tagFilter] = [query.get('node'), query.get('service'), query.get('tag')]
  if (tagFilter !== '' && serviceFilter === '')
    throw new HttpError(500, 'Cannot provide tag filter without service filter')
  for (const [kind, filter] of [
    ['node', nodeFilter],
    ['service', serviceFilter],
    ['tag', tagFilter],
  ] as const) {
    if (filter.length > MAX_EVENT_FILTER_LENGTH) {
      const bound = `${filter.length} characters, at most ${MAX_EVENT_FILTER_LENGTH} are taken`
      throw new HttpError(500, `Invalid ${kind} filter: ${bound}`)
    }
    const fault = await filterFault(filter)
    if (fault !== undefined) throw new HttpError(500, `Invalid ${kind} filter: ${fault}`)
  }
  return { nodeFilter, serviceFilter, tagFilter }
}

async function eventsFor(events: readonly EventRow[], { mesh }: Context): Promise<EventRow[]> {
  const services = mesh.agent.services().map(({ service, tags }) => ({ service, tags }))
  const target = { node: mesh.nodeName, services }
  const found: EventRow[] = []
  for (const event of events) if (await isFor(event, target)) found.push(event)
  return found
}
